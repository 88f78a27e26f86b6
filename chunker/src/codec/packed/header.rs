//! What stands before the widths of a chunk.

use super::Shape;

/// Flags, left, predictor, zero, above, plain length, escapes.
const HEADER_BYTES: usize = 16;
const FLAG_WIDE: u8 = 1;
const FLAG_BIG_ENDIAN: u8 = 2;
const FLAG_PARTED: u8 = 4;
/// The one predictor that there is.
const PREDICTOR_MED: u8 = 0;

/// The shape of a chunk, how long it is, and how many widths are told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) shape: Shape,
    pub(super) plain_bytes: usize,
    pub(super) escapes: usize,
}

impl Header {
    pub(super) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let Shape { wide, big_endian, parted, left, above, .. } = self.shape;
        let flag = |set, flag| if set { flag } else { 0 };
        let flags =
            flag(wide, FLAG_WIDE) | flag(big_endian, FLAG_BIG_ENDIAN) | flag(parted, FLAG_PARTED);
        let [a0, a1, a2, a3] = (above as u32).to_le_bytes();
        let [n0, n1, n2, n3] = (self.plain_bytes as u32).to_le_bytes();
        let [e0, e1, e2, e3] = (self.escapes as u32).to_le_bytes();
        let left = left as u8;
        [flags, left, PREDICTOR_MED, 0, a0, a1, a2, a3, n0, n1, n2, n3, e0, e1, e2, e3]
    }

    /// The header and what follows it, or what is wrong.
    pub(super) fn read(coded: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        let (header, rest) =
            coded.split_first_chunk::<HEADER_BYTES>().ok_or("its header is cut short")?;
        let [flags, left, predictor, zero, a0, a1, a2, a3, n0, n1, n2, n3, escapes @ ..] = *header;
        let shape = Shape {
            wide: flags & FLAG_WIDE != 0,
            big_endian: flags & FLAG_BIG_ENDIAN != 0,
            parted: flags & FLAG_PARTED != 0,
            left: usize::from(left),
            above: u32::from_le_bytes([a0, a1, a2, a3]) as usize,
            width: 0,
            samples: 0,
        };
        let known = flags < 8 && predictor == PREDICTOR_MED && zero == 0;
        let sound = left > 0 && shape.above >= shape.left && (shape.wide || !shape.big_endian);
        let parted = !shape.parted || (left == 3 && shape.above.is_multiple_of(3));
        if !(known && sound && parted) {
            return Err("its header is not one that an encoder writes");
        }
        let plain_bytes = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
        let escapes = u32::from_le_bytes(escapes) as usize;
        Ok((Self { shape: shape.with(plain_bytes), plain_bytes, escapes }, rest))
    }
}
