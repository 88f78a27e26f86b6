//! What a codec works with, kept by a thread from chunk to chunk.

use std::cell::Cell;
use std::thread::LocalKey;

use crate::limits::CHUNK_BYTES_MAX;

/// Where a thread keeps it. It is taken for the time of a call: a thread that waits for others may be
/// given another chunk, and then works with two.
pub(super) type Kept<S> = Cell<Vec<Box<S>>>;

/// So many are kept. More of them than these are rare.
const KEPT_MAX: usize = 2;

/// It is kept after a chunk of up to so many bytes: longer ones are rare.
pub(super) const KEPT_BYTES: usize = 2 * CHUNK_BYTES_MAX;

/// Works on a chunk of so many plain bytes.
pub(super) fn with<S: Default, T>(
    kept: &'static LocalKey<Kept<S>>,
    plain_bytes: usize,
    work: impl FnOnce(&mut S) -> T,
) -> T {
    let mut all = kept.take();
    let mut scratch = all.pop().unwrap_or_default();
    kept.set(all);
    let done = work(&mut scratch);
    if plain_bytes <= KEPT_BYTES {
        let mut all = kept.take();
        if all.len() < KEPT_MAX {
            all.push(scratch);
        }
        kept.set(all);
    }
    done
}
