//! What a codec works with, kept by a thread from chunk to chunk.

use std::cell::Cell;
use std::thread::LocalKey;

use crate::limits::CHUNK_BYTES_MAX;

/// Where a thread keeps it. It is taken for the time of a call: a thread that waits for others may be
/// given another chunk.
pub(super) type Kept<S> = Cell<Option<Box<S>>>;

/// It is kept after a chunk of up to so many bytes: longer ones are rare.
pub(super) const KEPT_BYTES: usize = 2 * CHUNK_BYTES_MAX;

/// Works on a chunk of so many plain bytes.
pub(super) fn with<S: Default, T>(
    kept: &'static LocalKey<Kept<S>>,
    plain_bytes: usize,
    work: impl FnOnce(&mut S) -> T,
) -> T {
    let mut scratch: Box<S> = kept.take().unwrap_or_default();
    let done = work(&mut scratch);
    if plain_bytes <= KEPT_BYTES {
        kept.set(Some(scratch));
    }
    done
}
