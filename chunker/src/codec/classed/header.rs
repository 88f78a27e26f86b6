//! What stands before the codes of a chunk.

use super::colour::Colour;
use super::{STRIPES_MAX, Shape};

/// Flags, left, stripes, predictor, above, plain length.
const HEADER_BYTES: usize = 12;
const FLAG_WIDE: u8 = 1;
const FLAG_BIG_ENDIAN: u8 = 2;
const FLAG_PARTED: u8 = 4;
const FLAG_DIFFERENCES: u8 = 8;
/// The one predictor that there is.
const PREDICTOR_MED: u8 = 0;

/// The shape of a chunk and how long it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) shape: Shape,
    pub(super) plain_bytes: usize,
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Shape { wide, big_endian, colour, left, above, stripes } = self.shape;
        let flag = |set, flag| if set { flag } else { 0 };
        out.push(
            flag(wide, FLAG_WIDE)
                | flag(big_endian, FLAG_BIG_ENDIAN)
                | flag(colour.parted(), FLAG_PARTED)
                | flag(colour == Colour::Differences, FLAG_DIFFERENCES),
        );
        out.extend([left as u8, stripes as u8, PREDICTOR_MED]);
        out.extend((above as u32).to_le_bytes());
        out.extend((self.plain_bytes as u32).to_le_bytes());
    }

    /// The header and what follows it, or what is wrong.
    pub(super) fn read(coded: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        let (header, rest) =
            coded.split_first_chunk::<HEADER_BYTES>().ok_or("its header is cut short")?;
        let [flags, left, stripes, predictor, a0, a1, a2, a3, bytes @ ..] = *header;
        let colour = match flags & (FLAG_PARTED | FLAG_DIFFERENCES) {
            0 => Colour::Kept,
            FLAG_PARTED => Colour::Parted,
            FLAG_DIFFERENCES => return Err(Self::STRANGE),
            _ => Colour::Differences,
        };
        let shape = Shape {
            wide: flags & FLAG_WIDE != 0,
            big_endian: flags & FLAG_BIG_ENDIAN != 0,
            colour,
            left: usize::from(left),
            above: u32::from_le_bytes([a0, a1, a2, a3]) as usize,
            stripes: usize::from(stripes),
        };
        let known = flags < 16 && predictor == PREDICTOR_MED && (shape.wide || !shape.big_endian);
        let sound =
            left > 0 && shape.above >= shape.left && (1..=STRIPES_MAX).contains(&shape.stripes);
        let parted = !colour.parted() || (left == 3 && shape.above.is_multiple_of(3));
        if !(known && sound && parted) {
            return Err(Self::STRANGE);
        }
        Ok((Self { shape, plain_bytes: u32::from_le_bytes(bytes) as usize }, rest))
    }

    const STRANGE: &'static str = "its header is not one that an encoder writes";
}
