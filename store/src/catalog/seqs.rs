//! Sets of sequence numbers: which versions something is about.
//!
//! What arrives together has numbers that mostly follow each other, so a set is a list of ranges, and
//! short as text: `17-93,95`.

use std::fmt;

/// Longest text of one set that is read back. What is written is bounded by a commit: at worst every
/// other number of it.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// See the [module](self). Invariant: ranges ascend, and neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seqs(Vec<(u64, u64)>);

impl Seqs {
    /// Adds a number.
    pub fn add(&mut self, seq: u64) {
        let at = self.0.partition_point(|(_, last)| *last < seq);
        if self.0.get(at).is_some_and(|(first, _)| *first <= seq) {
            return;
        }
        let joins_before = at > 0 && self.0[at - 1].1.checked_add(1) == Some(seq);
        let joins_after =
            self.0.get(at).is_some_and(|(first, _)| seq.checked_add(1) == Some(*first));
        match (joins_before, joins_after) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = seq,
            (false, true) => self.0[at].0 = seq,
            (false, false) => self.0.insert(at, (seq, seq)),
        }
    }

    /// Adds all of another set.
    pub fn merge(&mut self, other: &Self) {
        let mut all = std::mem::take(&mut self.0);
        all.extend_from_slice(&other.0);
        all.sort_unstable();
        for (first, last) in all {
            match self.0.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => self.0.push((first, last)),
            }
        }
    }

    /// Is it one of them?
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < seq);
        self.0.get(at).is_some_and(|(first, _)| *first <= seq)
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The smallest and the greatest.
    #[must_use]
    pub fn bounds(&self) -> Option<(u64, u64)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// All that are at least `least`.
    #[must_use]
    pub fn from(&self, least: u64) -> Self {
        let later = self.0.iter().filter(|(_, last)| *last >= least);
        Self(later.map(|(first, last)| ((*first).max(least), *last)).collect())
    }

    /// Reads the text of one; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range: (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            let follows = ranges.last().is_none_or(|before| before.1.saturating_add(1) < range.0);
            if range.0 > range.1 || !follows {
                return None;
            }
            ranges.push(range);
        }
        Some(Self(ranges))
    }
}

impl fmt::Display for Seqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{first}")?;
            if first != last {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromIterator<u64> for Seqs {
    fn from_iter<I: IntoIterator<Item = u64>>(all: I) -> Self {
        let mut seqs = Self::default();
        all.into_iter().for_each(|seq| seqs.add(seq));
        seqs
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_short() {
        let seqs: Seqs = [5, 3, 4, 9, 11, 10, 3].into_iter().collect();
        assert_eq!(seqs.to_string(), "3-5,9-11");
        assert_eq!((seqs.count(), seqs.bounds()), (6, Some((3, 11))));
        assert_eq!(seqs.from(5).to_string(), "5,9-11");
        for bad in ["5-3", "1-3,4", "1-3,2", "x", "-1", "1-", "1,1"] {
            assert_eq!(Seqs::parse(bad), None, "{bad}");
        }
        assert_eq!(Seqs::parse(""), Some(Seqs::default()));
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_added(all in prop::collection::vec(0_u64..60, 0..60)) {
            let naive: BTreeSet<u64> = all.iter().copied().collect();
            let seqs: Seqs = all.into_iter().collect();
            for seq in 0..61 {
                prop_assert_eq!(seqs.contains(seq), naive.contains(&seq));
            }
            prop_assert_eq!(seqs.count(), naive.len() as u64);
            prop_assert_eq!(Seqs::parse(&seqs.to_string()).unwrap(), seqs);
        }

        #[test]
        fn merged_sets_are_one(a in prop::collection::vec(0_u64..60, 0..40), b: Vec<u8>) {
            let b: Vec<u64> = b.into_iter().map(u64::from).collect();
            let mut merged: Seqs = a.iter().copied().collect();
            merged.merge(&b.iter().copied().collect());
            prop_assert_eq!(merged, a.into_iter().chain(b).collect::<Seqs>());
        }
    }
}
