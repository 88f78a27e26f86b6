//! An encapsulated frame as it is stored: items of a sequence (PS3.5 A.4).

use bytes::{Bytes, BytesMut};

use super::PixelError;
use crate::element::{ITEM, SEQUENCE_DELIMITER, UNDEFINED};

const ITEM_HEAD_BYTES: usize = 8;

/// The fragments of one frame, without their item heads, as slices of `frame`. Padding stays.
///
/// `frame` is what [`cairn_chunker::frames::Frames::range`] names: whole items, one after the other. A
/// sequence delimiter ends it.
pub fn fragments(frame: &Bytes) -> Result<Vec<Bytes>, PixelError> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < frame.len() {
        let head = frame.get(at..).and_then(<[u8]>::first_chunk::<ITEM_HEAD_BYTES>);
        let Some(&[a, b, c, d, l, m, n, o]) = head else {
            return Err(PixelError::Fragments("an item head is cut off"));
        };
        let tag =
            u32::from(u16::from_le_bytes([a, b])) << 16 | u32::from(u16::from_le_bytes([c, d]));
        let length = u32::from_le_bytes([l, m, n, o]);
        match tag {
            ITEM if length < UNDEFINED => {}
            SEQUENCE_DELIMITER => break,
            _ => return Err(PixelError::Fragments("something else than an item stands here")),
        }
        let start = at + ITEM_HEAD_BYTES;
        let end = start.saturating_add(length as usize);
        if end > frame.len() {
            return Err(PixelError::Fragments("a fragment is cut off"));
        }
        found.push(frame.slice(start..end));
        at = end;
    }
    Ok(found)
}

/// The code stream of one frame: its fragments joined. One fragment is not copied.
pub fn codestream(frame: &Bytes) -> Result<Bytes, PixelError> {
    let mut pieces = fragments(frame)?;
    if pieces.len() == 1
        && let Some(only) = pieces.pop()
    {
        return Ok(only);
    }
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in &pieces {
        joined.extend_from_slice(piece);
    }
    Ok(joined.freeze())
}
