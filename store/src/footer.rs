//! What stands in a pack in the bucket, as its end says.

use crate::catalog::PackRow;
use crate::error::Result;
use crate::layout::pack_object;
use crate::pack::{Cipher, FooterEntry, TRAILER_BYTES, decode_trailer, read_footer};
use crate::store::Shared;

/// The pack's footer, if it is sound.
pub(crate) fn footer(
    shared: &Shared,
    row: &PackRow,
    cipher: &Cipher,
) -> Result<Option<Vec<FooterEntry>>> {
    let object = pack_object(row.id);
    let Some(trailer_at) = row.bytes.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let trailer = shared.bucket.get_range(&object, trailer_at..row.bytes)?;
    let Some((offset, length)) = decode_trailer(&trailer) else { return Ok(None) };
    let end = offset.saturating_add(u64::from(length));
    if end != trailer_at {
        return Ok(None);
    }
    let bytes = shared.bucket.get_range(&object, offset..end)?;
    Ok(read_footer(cipher, row.id, offset, &bytes).ok())
}
