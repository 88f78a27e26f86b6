//! Files with a secret of 32 bytes: a line with what it is and 64 hexadecimal digits, for its owner alone.

use std::path::Path;

use cairn_chunker::id::ChunkId;
use zeroize::Zeroizing;

use crate::{Error, Result};

/// A kind of key file.
pub(crate) struct KeyFile {
    /// The first word of its line.
    pub(crate) tag: &'static str,
    /// What is said of a file that is none.
    pub(crate) fault: &'static str,
    /// Lines that tell people what it is.
    pub(crate) head: &'static str,
}

/// Reads a key file that only its owner can read.
pub(crate) fn load(path: &Path, kind: &KeyFile) -> Result<Zeroizing<[u8; 32]>> {
    let text = cairn_store::keys::read_private(path)?;
    let line = text.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty());
    let digits = line.and_then(|line| line.trim().strip_prefix(kind.tag)?.strip_prefix(' '));
    let seed = digits.and_then(ChunkId::from_hex).map(|id| Zeroizing::new(id.0));
    seed.ok_or_else(|| Error::damaged(path, kind.fault))
}

/// Writes a new one; never replaces one.
pub(crate) fn save(path: &Path, kind: &KeyFile, seed: &[u8; 32]) -> Result<()> {
    let mut text = Zeroizing::new(String::from(kind.head));
    text.push_str(&line(kind, seed));
    text.push('\n');
    Ok(cairn_store::keys::write_private(path, &text)?)
}

/// Its one line.
pub(crate) fn line(kind: &KeyFile, seed: &[u8; 32]) -> Zeroizing<String> {
    let digits = Zeroizing::new(ChunkId(*seed).to_string());
    Zeroizing::new(format!("{} {}", kind.tag, *digits))
}
