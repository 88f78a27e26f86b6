//! Grey levels: how samples become numbers that are easy to predict, and back.
//!
//! Numbers start at zero, so that signed samples are in order as well. Where an image leaves many
//! levels out, as rescaled ones do, a level is numbered by its rank among those that there are.

use super::bits::{Reader, Writer};

/// Levels of a 16-bit sample.
const LEVELS: usize = 1 << 16;

/// How samples become numbers, and back.
#[derive(Debug, Default)]
pub(in crate::codec) struct Levels {
    /// The sample whose number is zero.
    pub(in crate::codec) offset: u16,
    /// Samples in the order of their numbers, if these are ranks. Numbers without one are zero.
    pub(in crate::codec) ranked: Option<Vec<u16>>,
}

/// How numbers are made of samples.
#[derive(Clone, Copy)]
pub(in crate::codec) struct Numbering<'a> {
    pub(in crate::codec) offset: u16,
    /// The number of each sample less the offset, for all [`LEVELS`].
    pub(in crate::codec) ranks: Option<&'a [u16]>,
}

impl Numbering<'_> {
    /// Numbers in place of samples, `shift` bits higher.
    #[inline(always)]
    pub(in crate::codec) fn apply(&self, samples: &mut [u16], shift: u32) {
        match self.ranks {
            None => samples
                .iter_mut()
                .for_each(|sample| *sample = sample.wrapping_sub(self.offset) << shift),
            Some(ranks) => {
                if let Some(ranks) = ranks.first_chunk::<LEVELS>() {
                    for sample in samples {
                        *sample = ranks[usize::from(sample.wrapping_sub(self.offset))] << shift;
                    }
                }
            }
        }
    }
}

/// The smallest and the largest sample, unsigned and signed.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Extent {
    unsigned: (u16, u16),
    signed: (i16, i16),
}

impl Default for Extent {
    fn default() -> Self {
        Self { unsigned: (u16::MAX, 0), signed: (i16::MAX, i16::MIN) }
    }
}

impl Extent {
    #[inline(always)]
    pub(in crate::codec) fn of(samples: &[u16]) -> Self {
        let mut extent = Self::default();
        for sample in samples {
            let (unsigned, signed) = (*sample, sample.cast_signed());
            extent.unsigned = (extent.unsigned.0.min(unsigned), extent.unsigned.1.max(unsigned));
            extent.signed = (extent.signed.0.min(signed), extent.signed.1.max(signed));
        }
        extent
    }

    pub(in crate::codec) fn and(self, other: Self) -> Self {
        let ((a, b), (c, d)) = (self.unsigned, other.unsigned);
        let ((e, f), (g, h)) = (self.signed, other.signed);
        Self { unsigned: (a.min(c), b.max(d)), signed: (e.min(g), f.max(h)) }
    }

    /// The sample to count from and the highest number then, in the order that leaves it lower.
    pub(in crate::codec) fn narrowest(self) -> (u16, u16) {
        let (from, to) = self.unsigned;
        let (signed_from, signed_to) = self.signed;
        let signed = signed_to.wrapping_sub(signed_from).cast_unsigned();
        if from > to {
            (0, 0)
        } else if signed < to - from {
            (signed_from.cast_unsigned(), signed)
        } else {
            (from, to - from)
        }
    }
}

/// Which levels occur, counted from an offset.
pub(in crate::codec) struct Seen {
    highest: u16,
    /// Of all levels, so that none has to be compared with how many there are.
    seen: Vec<bool>,
}

/// The rank of each level that occurs; of others it has what was there before. Kept from chunk to chunk.
#[derive(Default)]
pub(in crate::codec) struct Ranks(Vec<u16>);

impl Seen {
    /// Those of some parts, of which none is further from the offset than `highest`.
    #[inline(always)]
    pub(in crate::codec) fn of(parts: &[&[u16]], offset: u16, highest: u16) -> Self {
        let mut seen = vec![false; LEVELS];
        if let Some(seen) = seen.first_chunk_mut::<LEVELS>() {
            for part in parts {
                for sample in *part {
                    seen[usize::from(sample.wrapping_sub(offset))] = true;
                }
            }
        }
        Self { highest, seen }
    }

    pub(in crate::codec) fn count(&self) -> usize {
        // In bytes that cannot overflow, many at once.
        let all = self.seen[..=usize::from(self.highest)].chunks(255);
        all.map(|some| usize::from(some.iter().map(|seen| u8::from(*seen)).sum::<u8>())).sum()
    }

    fn numbers(&self) -> impl Iterator<Item = u16> {
        (0..=self.highest).zip(&self.seen).filter_map(|(number, seen)| seen.then_some(number))
    }

    /// The rank of each number that there is.
    pub(in crate::codec) fn rank<'a>(&self, ranks: &'a mut Ranks) -> &'a [u16] {
        ranks.0.resize(LEVELS, 0);
        for (rank, number) in self.numbers().enumerate() {
            ranks.0[usize::from(number)] = rank as u16;
        }
        &ranks.0
    }

    /// Tells which levels there are: how many, and by how much each is above the one before.
    pub(in crate::codec) fn write(&self, writer: &mut Writer<'_>) {
        writer.put(self.count() as u32, 17);
        let mut next = 0u32;
        for number in self.numbers().map(u32::from) {
            let gap = number + 1 - next;
            let bits = gap.ilog2();
            writer.put((1 << bits) - 1, bits + 1);
            writer.put(gap - (1 << bits), bits);
            next = number + 1;
        }
    }
}

impl Levels {
    /// Reads what [`Seen::write`] wrote; `None` if it is not that.
    pub(in crate::codec) fn read(offset: u16, shift: u32, reader: &mut Reader<'_>) -> Option<Self> {
        let count = reader.number(17) as usize;
        if count > LEVELS {
            return None;
        }
        let mut samples = vec![0; count];
        let mut next = 0u32;
        for sample in &mut samples {
            let bits = reader.peek().trailing_ones();
            if bits > 16 {
                return None;
            }
            reader.skip(bits as usize + 1);
            let gap = (1 << bits) + reader.number(bits as usize);
            next += gap;
            *sample = u16::try_from(next - 1).ok()?.wrapping_add(offset);
        }
        samples.resize(samples.len().max(LEVELS >> shift), 0);
        Some(Self { offset, ranked: Some(samples) })
    }

    /// Samples in place of numbers, which are `shift` bits higher.
    #[inline(always)]
    pub(in crate::codec) fn undo(&self, numbers: &mut [u16], shift: u32) {
        match &self.ranked {
            None => {
                for number in numbers {
                    *number = (*number >> shift).wrapping_add(self.offset);
                }
            }
            Some(samples) => {
                // All ranks that there can be, so that none has to be compared with how many there are.
                match shift {
                    0 => looked_up::<{ LEVELS }>(numbers, shift, samples),
                    1 => looked_up::<{ LEVELS >> 1 }>(numbers, shift, samples),
                    2 => looked_up::<{ LEVELS >> 2 }>(numbers, shift, samples),
                    3 => looked_up::<{ LEVELS >> 3 }>(numbers, shift, samples),
                    _ => looked_up::<{ LEVELS >> 4 }>(numbers, shift, samples),
                }
            }
        }
    }
}

/// Samples in place of ranks, of which there are as many as `samples` at most.
#[inline(always)]
fn looked_up<const RANKS: usize>(numbers: &mut [u16], shift: u32, samples: &[u16]) {
    if let Some(samples) = samples.first_chunk::<RANKS>() {
        for number in numbers {
            *number = samples[usize::from(*number >> shift) % RANKS];
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_come_back(samples in prop::collection::vec(any::<u16>(), 1..200), few: bool) {
            let samples: Vec<u16> =
                samples.iter().map(|sample| if few { sample % 100 * 3 } else { *sample }).collect();
            let (offset, highest) = Extent::of(&samples).narrowest();
            for sample in &samples {
                prop_assert!(sample.wrapping_sub(offset) <= highest);
            }
            let (some, others) = samples.split_at(samples.len() / 2);
            let seen = Seen::of(&[some, others], offset, highest);
            let mut ranks = Ranks(vec![u16::MAX; LEVELS]);
            let ranks = seen.rank(&mut ranks);
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes);
            seen.write(&mut writer);
            writer.finish();
            let levels = Levels::read(offset, 0, &mut Reader::new(&bytes)).unwrap();
            let rank = |sample: &u16| ranks[usize::from(sample.wrapping_sub(offset))];
            let mut numbers: Vec<u16> = samples.iter().map(rank).collect();
            levels.undo(&mut numbers, 0);
            prop_assert_eq!(numbers, samples);
        }
    }
}
