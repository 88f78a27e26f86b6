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

/// Decodes into exactly `plain_bytes` bytes.
pub(super) fn decompress(codec: Codec, coded: &[u8], plain_bytes: usize) -> Result<Vec<u8>> {
    let fault = |why| Error::Codec { codec: codec.id(), why };
    let plain = DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(made) => made,
            None => slot.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(coded, plain_bytes).ok()
    });
    match plain {
        Some(plain) if plain.len() == plain_bytes => Ok(plain),
        Some(_) => Err(fault("it has another length")),
        None => Err(fault("it is damaged")),
    }
}
