//! What stands before the tables of a chunk.

use super::ans::{LOG_MAX, LOG_MIN};
use super::contexts::CONTEXTS;
use super::predict::{Predictor, WEIGHTS};
use super::{STRIPES_MAX, Shape};

/// Flags, left, stripes, predictor, above, plain length, offset, shift and log, first context.
const HEADER_BYTES: usize = 16;
const FLAG_WIDE: u8 = 1;
const FLAG_BIG_ENDIAN: u8 = 2;
const FLAG_PARTED: u8 = 4;
const FLAG_RANKED: u8 = 8;
const PREDICTOR_MED: u8 = 0;
const PREDICTOR_LINEAR: u8 = 1;
/// The most bits behind the point.
pub(super) const SHIFT_MAX: u32 = 4;

/// All that is told of a chunk before its tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) shape: Shape,
    pub(super) plain_bytes: usize,
    pub(super) predictor: Predictor,
    pub(super) offset: u16,
    pub(super) is_ranked: bool,
    /// Bits of a state.
    pub(super) log: u32,
    /// The context of first rows.
    pub(super) first: u8,
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Shape { wide, big_endian, parted, left, above, stripes } = self.shape;
        let flag = |set, flag| if set { flag } else { 0 };
        out.push(
            flag(wide, FLAG_WIDE)
                | flag(big_endian, FLAG_BIG_ENDIAN)
                | flag(parted, FLAG_PARTED)
                | flag(self.is_ranked, FLAG_RANKED),
        );
        let linear = self.predictor.weights.is_some();
        let predictor = if linear { PREDICTOR_LINEAR } else { PREDICTOR_MED };
        out.extend([left as u8, stripes as u8, predictor]);
        out.extend((above as u32).to_le_bytes());
        out.extend((self.plain_bytes as u32).to_le_bytes());
        out.extend(self.offset.to_le_bytes());
        out.extend([(self.predictor.shift | self.log << 4) as u8, self.first]);
        for weight in self.predictor.weights.iter().flatten() {
            out.extend(weight.to_le_bytes());
        }
    }

    /// The header and what follows it, or what is wrong.
    pub(super) fn read(coded: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        const SHORT: &str = "its header is cut short";
        let (header, mut rest) = coded.split_first_chunk::<HEADER_BYTES>().ok_or(SHORT)?;
        let [flags, left, stripes, predictor, a0, a1, a2, a3, n0, n1, n2, n3, o0, o1, bits, first] =
            *header;
        let shape = Shape {
            wide: flags & FLAG_WIDE != 0,
            big_endian: flags & FLAG_BIG_ENDIAN != 0,
            parted: flags & FLAG_PARTED != 0,
            left: usize::from(left),
            above: u32::from_le_bytes([a0, a1, a2, a3]) as usize,
            stripes: usize::from(stripes),
        };
        let mut weights = None;
        if predictor == PREDICTOR_LINEAR {
            let (bytes, behind) = rest.split_first_chunk::<{ 2 * WEIGHTS }>().ok_or(SHORT)?;
            let mut pairs = bytes.as_chunks::<2>().0.iter();
            weights = Some(std::array::from_fn(|_| {
                pairs.next().map_or(0, |pair| i16::from_le_bytes(*pair))
            }));
            rest = behind;
        }
        let predictor_known = predictor <= PREDICTOR_LINEAR;
        let predictor = Predictor { weights, shift: u32::from(bits & 15), left: shape.left() };
        let log = u32::from(bits >> 4);
        let known = flags < 16 && predictor_known && (shape.wide || !shape.big_endian);
        let sound = left > 0
            && shape.above >= shape.left
            && (1..=STRIPES_MAX).contains(&shape.stripes)
            && usize::from(first) < CONTEXTS
            && (LOG_MIN..=LOG_MAX).contains(&log);
        let parted = !shape.parted || (left == 3 && shape.above.is_multiple_of(3));
        let linear = match weights {
            None => predictor.shift == 0,
            Some(weights) => {
                predictor.shift <= SHIFT_MAX
                    && predictor.left == 1
                    && weights.iter().all(|weight| *weight != i16::MIN)
            }
        };
        if !(known && sound && parted && linear) {
            return Err("its header is not one that an encoder writes");
        }
        let header = Self {
            shape,
            plain_bytes: u32::from_le_bytes([n0, n1, n2, n3]) as usize,
            predictor,
            offset: u16::from_le_bytes([o0, o1]),
            is_ranked: flags & FLAG_RANKED != 0,
            log,
            first,
        };
        Ok((header, rest))
    }
}
