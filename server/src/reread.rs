//! What is made of files, and made again when they change: certificates, users, keys of tokens.
//!
//! Files are looked at whenever somebody needs what they hold, by their time and length; that costs
//! microseconds. New ones that cannot be used are told of once, and what was read before stays: a
//! certificate and its key are replaced one after the other.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use thiserror::Error;

/// A setting that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{setting}: {why}")]
pub(crate) struct Unusable {
    /// Its whole name.
    pub(crate) setting: &'static str,
    /// A sentence; it holds no secret.
    pub(crate) why: String,
}

impl Unusable {
    pub(crate) fn new(setting: &'static str, why: impl fmt::Display) -> Self {
        Self { setting, why: why.to_string() }
    }
}

/// What tells that a file was replaced.
type Stamp = Option<(SystemTime, u64)>;

type Read<T> = Box<dyn Fn() -> Result<T, Unusable> + Send + Sync>;

/// See the [module](self).
pub(crate) struct Reread<T> {
    paths: Vec<PathBuf>,
    read: Read<T>,
    known: Mutex<(Vec<Stamp>, T)>,
}

impl<T: Clone> Reread<T> {
    /// Reads what is made of the files at these paths.
    pub(crate) fn new(
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, Unusable> + Send + Sync + 'static,
    ) -> Result<Self, Unusable> {
        // Looked at before they are read: a change in between is found later.
        let stamps = paths.iter().map(|path| stamp(path)).collect();
        let known = Mutex::new((stamps, read()?));
        Ok(Self { paths, read: Box::new(read), known })
    }

    /// As the files are now.
    pub(crate) fn now(&self) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps: Vec<Stamp> = self.paths.iter().map(|path| stamp(path)).collect();
        if stamps != known.0 {
            known.0 = stamps;
            match (self.read)() {
                Ok(value) => {
                    known.1 = value;
                    tracing::info!(files = self.paths.len(), "files of settings were read again");
                }
                Err(why) => tracing::warn!(%why, "a new file cannot be used; the old one counts"),
            }
        }
        known.1.clone()
    }
}

/// All bytes of a file that a setting names.
pub(crate) fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, Unusable> {
    let cannot =
        |error| Unusable::new(setting, format!("{} cannot be read: {error}", path.display()));
    std::fs::read(path).map_err(cannot)
}

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}
