//! Where a site keeps what it needs for sharing: the folder `ledger` in the data directory.
//!
//! | path | content |
//! |---|---|
//! | `site.key` | the secret in force |
//! | `site.next.key` | its successor, while a rotation is under way |
//! | `retired/<n>.key` | those before it, by age: what was sealed to them is still opened |
//! | `log/` | the site's own log |
//! | `witness/` | the last checkpoint of each log that was cosigned |
//! | `mirrors/<site id>/` | logs of others |
//! | `peers/<site id>.toml` | who they are and where |
//! | `patients/<key>.toml` | a patient's key, and what it is bound to |
//! | `consents/<id>` | what patients signed that grants were given for |
//! | `fetching/<study>-<version>/` | what came of studies that are not whole yet |
//! | `glass.jsonl` | who opened what of others in an emergency, and who was told |
//! | `behind` | others have seen more of the own log than is here |

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::id::{ConsentId, SiteId, StudyId};
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::tiles::HEAD;
use cairn_store::disk::{Disk, OsDisk, create_directories};

use super::Fault;
use crate::error::{Error, Result};

/// See the [module](self).
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn of(data: &Path) -> Self {
        Self(data.join("ledger"))
    }

    /// Makes it, for its owner alone.
    pub(super) fn make(&self) -> Result<()> {
        if let Some(data) = self.0.parent() {
            create_directories(&OsDisk, data).map_err(Error::io("create", data))?;
        }
        make_private(&self.0)?;
        make_private(&self.0.join("peers"))?;
        make_private(&self.0.join("patients"))?;
        make_private(&self.0.join("consents"))?;
        make_private(&self.0.join("mirrors"))
    }

    pub(super) fn key(&self) -> PathBuf {
        self.0.join("site.key")
    }

    pub(super) fn next_key(&self) -> PathBuf {
        self.0.join("site.next.key")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(super) fn witness(&self) -> PathBuf {
        self.0.join("witness")
    }

    pub(super) fn mirror(&self, site: &SiteId) -> PathBuf {
        self.0.join("mirrors").join(site.to_string())
    }

    pub(super) fn peer(&self, site: &SiteId) -> PathBuf {
        self.0.join("peers").join(format!("{site}.toml"))
    }

    pub(super) fn stage(&self, study: &StudyId, version: u64) -> PathBuf {
        self.0.join("fetching").join(format!("{study}-{version}"))
    }

    pub(super) fn patient(&self, key: &[u8; 32]) -> PathBuf {
        self.0.join("patients").join(format!("{}.toml", StudyId(*key)))
    }

    pub(super) fn consent(&self, id: &ConsentId) -> PathBuf {
        self.0.join("consents").join(id.to_string())
    }

    /// Records of patients' keys, in no order.
    pub(super) fn patients(&self) -> Result<Vec<PathBuf>> {
        let path = self.0.join("patients");
        let entries = std::fs::read_dir(&path).map_err(Error::io("read", &path))?;
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io("read", &path))?.path();
            // Others are what a crash leaves.
            if path.extension().is_some_and(|extension| extension == "toml") {
                records.push(path);
            }
        }
        Ok(records)
    }

    pub(super) fn behind(&self) -> PathBuf {
        self.0.join("behind")
    }

    pub(super) fn glass(&self) -> PathBuf {
        self.0.join("glass.jsonl")
    }

    /// The origin of the log that is here, if one was begun.
    pub(super) fn origin(&self) -> Result<Option<String>> {
        let path = self.log().join(HEAD);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let head = SignedCheckpoint::parse(&bytes)?;
                Ok(Some(head.checkpoint().origin.clone()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Sites that people have introduced, in no order.
    pub(super) fn peers(&self) -> Result<Vec<SiteId>> {
        let path = self.0.join("peers");
        let entries = std::fs::read_dir(&path).map_err(Error::io("read", &path))?;
        let mut sites = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::io("read", &path))?.file_name();
            let name = name.to_string_lossy();
            // Others are what an editor or a crash leaves.
            sites.extend(name.strip_suffix(".toml").and_then(SiteId::from_hex));
        }
        Ok(sites)
    }

    /// Secrets before the one in force, the newest last.
    pub(super) fn retired(&self) -> Result<Vec<SiteSecret>> {
        let (mut secrets, mut number) = (Vec::new(), 0);
        loop {
            let path = self.retired_key(number);
            if !path.exists() {
                return Ok(secrets);
            }
            secrets.push(SiteSecret::load(&path)?);
            number += 1;
        }
    }

    fn retired_key(&self, number: usize) -> PathBuf {
        self.0.join("retired").join(format!("{number:04}.key"))
    }

    /// The log has the successor's keys: it takes the place of the secret before it, which is the
    /// retired one with this number.
    pub(super) fn finish_rotation(&self, number: usize) -> Result<()> {
        make_private(&self.0.join("retired"))?;
        let steps = [(self.key(), self.retired_key(number)), (self.next_key(), self.key())];
        for (from, to) in steps {
            OsDisk.rename(&from, &to).map_err(Error::io("rename", &from))?;
        }
        Ok(())
    }

    /// Does a rotation's last step that a crash left out.
    pub(super) fn mend_rotation(&self) -> Result<()> {
        let (key, next) = (self.key(), self.next_key());
        if !key.exists() && next.exists() {
            OsDisk.rename(&next, &key).map_err(Error::io("rename", &next))?;
        }
        Ok(())
    }
}

/// Writes a file for its owner alone, whole or not at all, in the place of what is there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &new)(error));
        }
        _ => {}
    }
    OsDisk.write_file(&new, bytes).map_err(Error::io("write", &new))?;
    OsDisk.rename(&new, path).map_err(Error::io("rename", &new))
}

/// Reads a file of a person's making, or one that a person may have touched.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<String> {
    let length = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if length > bytes_max {
        return Err(unreadable(path, &"it is too long"));
    }
    std::fs::read_to_string(path).map_err(Error::io("read", path))
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<()> {
    match OsDisk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", path)(error));
        }
        _ => {}
    }
    let Some(folder) = path.parent() else { return Ok(()) };
    OsDisk.sync_directory(folder).map_err(Error::io("sync", folder))
}

fn make_private(path: &Path) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("create", path)(error));
        }
        _ => {}
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    OsDisk.sync_directory(parent).map_err(Error::io("sync", parent))
}

/// A file of a person's making that cannot be read.
pub(super) fn unreadable(path: &Path, why: &dyn ToString) -> Error {
    Fault::File { file: path.display().to_string(), why: why.to_string() }.into()
}
