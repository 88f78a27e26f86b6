//! What stands before the words of a chunk.

use super::Shape;
use super::fit::{CLASSES, Fitted, TAPS};
use super::streams::STATES;

/// Flags, left, two zeros, above, plain length, offset, highest number.
const HEADER_BYTES: usize = 16;
const FLAG_WIDE: u8 = 1;
const FLAG_BIG_ENDIAN: u8 = 2;
const FLAG_PARTED: u8 = 4;
const FLAG_RANKED: u8 = 8;
const FLAG_HALVED: u8 = 16;
const BOUND_BYTES: usize = 2 * (CLASSES - 1);
const WEIGHT_BYTES: usize = 2 * TAPS * CLASSES;
const STATE_BYTES: usize = 4 * STATES;

/// All that is told of a chunk before its streams.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) shape: Shape,
    pub(super) plain_bytes: usize,
    pub(super) offset: u16,
    /// No prediction is above it.
    pub(super) highest: u16,
    pub(super) is_ranked: bool,
    /// Rows are in two parts.
    pub(super) is_halved: bool,
    pub(super) fitted: Fitted,
    pub(super) states: [u32; STATES],
    /// In the stream of tokens.
    pub(super) words: usize,
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Shape { wide, big_endian, parted, left, above, .. } = self.shape;
        let flag = |set, flag| if set { flag } else { 0 };
        out.push(
            flag(wide, FLAG_WIDE)
                | flag(big_endian, FLAG_BIG_ENDIAN)
                | flag(parted, FLAG_PARTED)
                | flag(self.is_ranked, FLAG_RANKED)
                | flag(self.is_halved, FLAG_HALVED),
        );
        out.extend([left as u8, 0, 0]);
        out.extend((above as u32).to_le_bytes());
        out.extend((self.plain_bytes as u32).to_le_bytes());
        out.extend(self.offset.to_le_bytes());
        out.extend(self.highest.to_le_bytes());
        out.extend(self.fitted.bounds.iter().flat_map(|bound| bound.to_le_bytes()));
        let weights = self.fitted.taps.as_flattened().iter();
        out.extend(weights.flat_map(|weight| (*weight as i16).to_le_bytes()));
        out.extend(self.states.iter().flat_map(|state| state.to_le_bytes()));
        out.extend((self.words as u32).to_le_bytes());
    }

    /// The header and what follows it, or what is wrong.
    pub(super) fn read(coded: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        const SHORT: &str = "its header is cut short";
        let (header, rest) = coded.split_first_chunk::<HEADER_BYTES>().ok_or(SHORT)?;
        let (bounds, rest) = rest.split_first_chunk::<BOUND_BYTES>().ok_or(SHORT)?;
        let (weights, rest) = rest.split_first_chunk::<WEIGHT_BYTES>().ok_or(SHORT)?;
        let (states, rest) = rest.split_first_chunk::<STATE_BYTES>().ok_or(SHORT)?;
        let (words, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let [flags, left, zero, zero2, a0, a1, a2, a3, n0, n1, n2, n3, o0, o1, h0, h1] = *header;
        let shape = Shape {
            wide: flags & FLAG_WIDE != 0,
            big_endian: flags & FLAG_BIG_ENDIAN != 0,
            parted: flags & FLAG_PARTED != 0,
            left: usize::from(left),
            above: u32::from_le_bytes([a0, a1, a2, a3]) as usize,
            stripes: 1,
        };
        let bounds = bounds.as_chunks::<2>().0;
        let weights = weights.as_chunks::<2>().0;
        let weight = |at: usize| i32::from(i16::from_le_bytes(weights[at]));
        let fitted = Fitted {
            bounds: std::array::from_fn(|i| u16::from_le_bytes(bounds[i])),
            taps: std::array::from_fn(|class| {
                std::array::from_fn(|tap| weight(class * TAPS + tap))
            }),
        };
        let states = states.as_chunks::<4>().0;
        let header = Self {
            shape,
            plain_bytes: u32::from_le_bytes([n0, n1, n2, n3]) as usize,
            offset: u16::from_le_bytes([o0, o1]),
            highest: u16::from_le_bytes([h0, h1]),
            is_ranked: flags & FLAG_RANKED != 0,
            is_halved: flags & FLAG_HALVED != 0,
            fitted,
            states: std::array::from_fn(|i| u32::from_le_bytes(states[i])),
            words: u32::from_le_bytes(*words) as usize,
        };
        let known = flags < 32 && zero == 0 && zero2 == 0 && (shape.wide || !shape.big_endian);
        let parted = if shape.parted {
            left == 3 && shape.above > 0 && shape.above.is_multiple_of(3)
        } else {
            left == 1 && shape.above > 0
        };
        let samples = header.plain_bytes / shape.sample_bytes();
        if !(known && parted && shape.above <= samples) {
            return Err("its header is not one that an encoder writes");
        }
        Ok((header, rest))
    }
}
