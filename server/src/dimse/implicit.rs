//! Explicit VR Little Endian to Implicit VR Little Endian (PS3.5 A.1, A.2), as it passes by: for
//! peers that take nothing else.
//!
//! What comes in is what [`cairn_dicom::json::explicit_le`] or [`cairn_dicom::json::read`] wrote:
//! sequences and items of undefined length, no encapsulated pixels. Both encodings have the same
//! values; only heads differ. Pieces may end anywhere.

use cairn_dicom::element::Vr;

use super::end::End;

/// Longest head of an element: tag, VR, reserved, length.
const HEAD_BYTES: usize = 12;
/// A length that is not told.
const UNDEFINED: u32 = u32::MAX;

/// Takes converted bytes.
pub(super) type Put<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), End>;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Implicit {
    /// A head that is not whole yet.
    head: Vec<u8>,
    /// Of the value under way still to pass.
    left: u32,
}

impl Implicit {
    /// Converts a piece.
    pub(super) fn push(&mut self, mut bytes: &[u8], put: Put<'_>) -> Result<(), End> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (value, rest) = bytes.split_at(bytes.len().min(self.left as usize));
                self.left -= value.len() as u32;
                put(value)?;
                bytes = rest;
                continue;
            }
            let missing = self.missing();
            let (piece, rest) = bytes.split_at(bytes.len().min(missing));
            self.head.extend_from_slice(piece);
            bytes = rest;
            if self.missing() == 0 {
                self.begin(put)?;
            }
        }
        Ok(())
    }

    /// Bytes that the head still lacks, as far as it tells.
    fn missing(&self) -> usize {
        let length = match self.head.get(..6) {
            Some(start) if is_item(start) => 8,
            Some([.., v, w]) if is_long(Vr([*v, *w])) => HEAD_BYTES,
            Some(_) => 8,
            None => 6,
        };
        length - self.head.len()
    }

    /// Writes the head of an element whose value follows.
    fn begin(&mut self, put: Put<'_>) -> Result<(), End> {
        let head = std::mem::take(&mut self.head);
        let tail = |at: usize| head.get(at..).and_then(|tail| tail.first_chunk::<4>());
        let length = match head.len() {
            HEAD_BYTES => tail(8).copied().map(u32::from_le_bytes),
            _ if is_item(&head) => tail(4).copied().map(u32::from_le_bytes),
            _ => head.get(6..8).map(|n| u32::from(n[0]) | u32::from(n[1]) << 8),
        };
        let (Some(tag), Some(length)) = (head.get(..4), length) else {
            return Err(End::Failed("a head of an element is too short"));
        };
        // What follows an undefined length are heads again.
        self.left = if length == UNDEFINED { 0 } else { length };
        put(tag)?;
        put(&length.to_le_bytes())
    }
}

/// Does its length have four bytes behind two reserved ones (PS3.5 table 7.1-1)? So do those of VRs that
/// nobody knows.
fn is_long(vr: Vr) -> bool {
    vr.is_long() || !vr.is_known()
}

/// Items and delimiters have no VR.
fn is_item(head: &[u8]) -> bool {
    head.starts_with(&[0xFE, 0xFF])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn heads_change_and_values_do_not() {
        let explicit = b"\x08\0\x05\0CS\x0A\0ISO_IR 192\
            \x40\0\x75\x02SQ\0\0\xFF\xFF\xFF\xFF\
            \xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\
            \x40\0\x09\0SH\x02\0a \
            \xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0\
            \xE0\x7F\x10\0OW\0\0\x04\0\0\0\xFE\xFF\x00\xE0";
        let expected = b"\x08\0\x05\0\x0A\0\0\0ISO_IR 192\
            \x40\0\x75\x02\xFF\xFF\xFF\xFF\
            \xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\
            \x40\0\x09\0\x02\0\0\0a \
            \xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0\
            \xE0\x7F\x10\0\x04\0\0\0\xFE\xFF\x00\xE0";
        for size in [1, 3, 7, explicit.len()] {
            let (mut implicit, mut out) = (Implicit::default(), Vec::new());
            for piece in explicit.chunks(size) {
                implicit
                    .push(piece, &mut |bytes| {
                        out.extend_from_slice(bytes);
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(out, expected, "{size}");
        }
    }
}
