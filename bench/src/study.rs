//! `cairn-bench study`: a synthetic study on disk, for what is measured by other means than this program.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_dicom::phantom;
use clap::Args;

/// Any seed will do.
const SEED: u64 = 41;
/// The side of a slice in pixels.
const SIDE: u16 = 512;

/// Write a synthetic CT study in two series, to be used by scripts
#[derive(Debug, Args)]
#[command(after_help = "\
The first series is written to DIR/first, the second to DIR/second. A slice has 0.53 MB.

Example:
  cairn-bench study /tmp/study --slices 950 --more 100")]
pub(crate) struct StudyArgs {
    /// Where to
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Slices of the first series
    #[arg(long, value_name = "N", default_value_t = 950)]
    slices: u32,
    /// Slices of the second series
    #[arg(long, value_name = "N", default_value_t = 100)]
    more: u32,
}

/// Writes it.
pub(crate) fn write(args: &StudyArgs) -> Result<()> {
    let (first, second) = (args.directory.join("first"), args.directory.join("second"));
    let mut series = None;
    for (number, file) in phantom::ct(SEED, args.slices + args.more, SIDE).enumerate() {
        let name = format!("{number:06}.dcm");
        if number < args.slices as usize {
            put(&first, &name, &file.bytes)?;
            continue;
        }
        // Another series of the same study: a UID of the same length in its place.
        let mut bytes = file.bytes;
        let uid = match &series {
            Some(uid) => uid,
            None => series.insert(series_uid(&bytes).context("a slice without a series")?),
        };
        let mut other = uid.clone();
        if let Some(digit) = other.last_mut() {
            *digit = if *digit == b'1' { b'2' } else { b'1' };
        }
        let places: Vec<usize> = bytes
            .windows(uid.len())
            .enumerate()
            .filter(|(_, at)| at == uid)
            .map(|(at, _)| at)
            .collect();
        for at in places {
            bytes[at..at + other.len()].copy_from_slice(&other);
        }
        put(&second, &name, &bytes)?;
    }
    Ok(())
}

/// Series Instance UID (0020,000E) in Explicit VR Little Endian.
fn series_uid(file: &[u8]) -> Option<Vec<u8>> {
    const ELEMENT: [u8; 6] = [0x20, 0x00, 0x0E, 0x00, b'U', b'I'];
    let at = file.windows(ELEMENT.len()).position(|bytes| bytes == ELEMENT)? + ELEMENT.len();
    let length = usize::from(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    let value = file.get(at + 2..at + 2 + length)?;
    Some(value.iter().copied().take_while(|byte| *byte != 0).collect())
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}
