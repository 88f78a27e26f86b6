//! One instance into one file: complete and verified, or not there.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use cairn_store::catalog::VersionRow;
use cairn_store::read::Reader;

use crate::error::{Error, Result};

/// Small pieces are gathered up to this; chunks pass as they are.
const BUFFER_BYTES: usize = 256 << 10;

/// What was done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is there now.
    New(u64),
    /// It was there, byte for byte.
    Same(u64),
}

/// A file that goes away unless it gets its name.
struct Temporary {
    path: PathBuf,
    named: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named {
            // What cannot be removed has a name that says what it is.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes `version` to `target`, which gets its name only after all of it was verified.
pub(super) fn write(
    reader: &Reader,
    version: &VersionRow,
    target: &Path,
    force: bool,
) -> Result<Written> {
    let directory = target.parent().unwrap_or(Path::new("."));
    let path = directory.join(format!(".cairn-{}-{}.part", std::process::id(), version.seq));
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    let mut temporary = Temporary { path, named: false };
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let bytes = reader.write_instance(version, &mut out)?;
    out.flush().map_err(Error::io("write", &temporary.path))?;
    drop(out);
    if target.symlink_metadata().is_ok() {
        if is_same(&temporary.path, target)? {
            return Ok(Written::Same(bytes));
        }
        if !force {
            return Err(Error::Exists { path: target.to_owned() });
        }
    }
    std::fs::rename(&temporary.path, target).map_err(Error::io("rename to", target))?;
    temporary.named = true;
    Ok(Written::New(bytes))
}

/// Do both files hold the same bytes? What is no regular file holds none.
pub(crate) fn is_same(a: &Path, b: &Path) -> Result<bool> {
    let open = |path: &Path| -> Result<(File, std::fs::Metadata)> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let meta = file.metadata().map_err(Error::io("read", path))?;
        Ok((file, meta))
    };
    if !std::fs::metadata(b).is_ok_and(|meta| meta.is_file()) {
        return Ok(false);
    }
    let ((mut a_file, a_meta), (mut b_file, b_meta)) = (open(a)?, open(b)?);
    if a_meta.len() != b_meta.len() {
        return Ok(false);
    }
    let (mut a_bytes, mut b_bytes) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        let got = fill(&mut a_file, &mut a_bytes).map_err(Error::io("read", a))?;
        let other = fill(&mut b_file, &mut b_bytes).map_err(Error::io("read", b))?;
        if a_bytes[..got] != b_bytes[..other] {
            return Ok(false);
        }
        if got == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut end = 0;
    while end < buffer.len() {
        match file.read(&mut buffer[end..]) {
            Ok(0) => break,
            Ok(got) => end += got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(end)
}
