//! What somebody with access to a hospital's disk and key could do to its ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_chunker::id::StudyRoot;
use cairn_ledger::entry::{Body, Register};
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::log::{SiteLog, system_clock};
use cairn_ledger::opening::Opening;
use cairn_ledger::order::Order;
use cairn_store::disk::OsDisk;
use walkdir::WalkDir;

use crate::error::{Error, Result};

/// Entries of the rewritten history: more than the honest one has, so that it looks like its sequel.
const ENTRIES: u8 = 200;

/// A file with entries.
pub(super) fn first_bundle(log: &Path) -> Result<PathBuf> {
    let files = WalkDir::new(log.join("tile/entries")).into_iter().flatten();
    let mut files: Vec<_> = files
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    // The one that is read: the widest.
    files.sort_by_key(|path| std::fs::metadata(path).map_or(0, |meta| meta.len()));
    files.pop().ok_or_else(|| Error::Demo("the ledger has no entries".into()))
}

fn log(data: &Path) -> PathBuf {
    data.join("ledger/log")
}

/// Puts another history in the place of a ledger, signed with its own key. Gives where the honest one is.
pub(super) fn forge(data: &Path, name: &str) -> Result<PathBuf> {
    let kept = data.join("honest-log");
    let log = log(data);
    std::fs::rename(&log, &kept).map_err(Error::io("rename", &log))?;
    let secret = SiteSecret::load(&data.join("ledger/site.key"))?;
    let forged = SiteLog::open(Arc::new(OsDisk), &log, name, &secret, None, system_clock())?;
    for number in 0..ENTRIES {
        let commitment = Opening::generate(StudyRoot([number; 32]))?.commitment();
        forged.append(Body::Register(Register { salt: [number; 32], commitment }))?;
    }
    forged.publish(forged.head())?;
    Ok(kept)
}

/// Brings the honest one back.
pub(super) fn restore(data: &Path, kept: &Path) -> Result<()> {
    let log = log(data);
    std::fs::remove_dir_all(&log).map_err(Error::io("remove", &log))?;
    std::fs::rename(kept, &log).map_err(Error::io("rename", kept))?;
    // What the site wrote down against its own ledger while it was the forged one.
    let _ = std::fs::remove_file(data.join("ledger/behind"));
    Ok(())
}
