//! Zstandard with one reused context a thread.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::Codec;
use crate::{Error, Result};

struct LevelledCompressor {
    level: i32,
    inner: Compressor<'static>,
}

thread_local! {
    static COMPRESSOR: RefCell<Option<LevelledCompressor>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// One frame with its content size; `None` if the library refuses (out of memory).
pub(super) fn compress(plain: &[u8], level: i32) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(made) => made,
            None => slot.insert(LevelledCompressor { level, inner: Compressor::new(level).ok()? }),
        };
        if compressor.level != level {
            compressor.inner.set_compression_level(level).ok()?;
            compressor.level = level;
        }
        compressor.inner.compress(plain).ok()
    })
}

/// Fills `plain`, exactly.
pub(super) fn decompress(codec: Codec, coded: &[u8], plain: &mut [u8]) -> Result<()> {
    let fault = |why| Error::Codec { codec: codec.id(), why };
    let length = DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(made) => made,
            None => slot.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress_to_buffer(coded, plain).ok()
    });
    match length {
        Some(length) if length == plain.len() => Ok(()),
        Some(_) => Err(fault("it has another length")),
        None => Err(fault("it is damaged")),
    }
}
