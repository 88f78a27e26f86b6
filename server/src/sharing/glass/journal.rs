//! What no ledger says of an emergency access, and this site has to remember: who opened the study, for
//! which groups, what this site's own officer found, and who was told.
//!
//! A file of lines of JSON, `glass.jsonl` in the ledger's folder. A line is on the disk before what it is
//! about goes on: whoever breaks the glass is written down before the entry is made, so no crash leaves an
//! entry that is nobody's. A line whose entry never came is of no effect. What a crash left of a last line
//! is cut off.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::sharing::{Fault, lock};

/// Longest file that is read: some hundred thousand accesses.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Who opens a study of another site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Breaker {
    /// Their name.
    pub(crate) name: String,
    /// The groups that answer for it together.
    pub(crate) groups: Vec<String>,
}

/// Somebody opened a study. Told from other accesses to the same study by when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opener {
    /// Whose study: the site's id.
    pub(super) owner: String,
    /// Its name on the ledger.
    pub(super) study: String,
    /// As in the entry.
    pub(super) expires: u64,
    /// Who.
    pub(super) by: Breaker,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    /// Somebody is about to open a study.
    Opened(Opener),
    /// An officer of this site has looked at what this site opened.
    Reviewed {
        /// The entry in this site's log.
        entry: u64,
        /// What was found.
        verdict: String,
        /// By whom.
        by: String,
    },
    /// The audit log has a line about this entry.
    Told {
        /// Whose log.
        site: String,
        /// The entry there.
        entry: u64,
        /// What it said: `opened` or `reviewed`.
        what: String,
    },
}

/// See the [module](self).
pub(in crate::sharing) struct Journal {
    path: PathBuf,
    lines: Mutex<Vec<Line>>,
}

impl Journal {
    /// That in `path`; it is made when there is something to write.
    pub(in crate::sharing) fn open(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => {
                let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
                read.map_err(Error::io("read", path))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
        let damaged = |why: &str| {
            Error::from(Fault::File { file: path.display().to_string(), why: why.to_owned() })
        };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(damaged("it is too long"));
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < bytes.len() {
            let file = OpenOptions::new().write(true).open(path);
            let cut =
                file.and_then(|file| file.set_len(whole as u64).and_then(|()| file.sync_all()));
            cut.map_err(Error::io("cut", path))?;
        }
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(serde_json::from_slice).collect::<std::result::Result<_, _>>();
        let lines = Mutex::new(lines.map_err(|_| damaged("it cannot be read"))?);
        Ok(Self { path: path.to_owned(), lines })
    }

    /// Writes a line; when this returns it is on the disk.
    pub(super) fn add(&self, line: Line) -> Result<()> {
        let mut lines = lock(&self.lines);
        self.write(&line)?;
        lines.push(line);
        Ok(())
    }

    /// The same for who opens a study. `expires` is made earlier by as many seconds as it takes to tell
    /// this access from others; gives what it has become.
    pub(super) fn open_for(&self, mut opener: Opener) -> Result<u64> {
        let mut lines = lock(&self.lines);
        let is_taken = |wanted: &Opener| {
            lines.iter().any(|line| match line {
                Line::Opened(known) => {
                    known.owner == wanted.owner
                        && known.study == wanted.study
                        && known.expires == wanted.expires
                }
                _ => false,
            })
        };
        while is_taken(&opener) {
            opener.expires = opener.expires.saturating_sub(1);
        }
        let expires = opener.expires;
        let line = Line::Opened(opener);
        self.write(&line)?;
        lines.push(line);
        Ok(expires)
    }

    fn write(&self, line: &Line) -> Result<()> {
        let path = &self.path;
        let written = || {
            let mut bytes = serde_json::to_vec(line)?;
            bytes.push(b'\n');
            let is_new = !path.exists();
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            match path.parent() {
                Some(folder) if is_new => File::open(folder)?.sync_all(),
                _ => Ok(()),
            }
        };
        written().map_err(Error::io("write", path))
    }

    /// Lends the lines.
    pub(super) fn read<T>(&self, job: impl FnOnce(&[Line]) -> T) -> T {
        job(&lock(&self.lines))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn opener(expires: u64) -> Opener {
        let by = Breaker { name: "alice".into(), groups: vec!["er".into()] };
        Opener { owner: "01".into(), study: "02".into(), expires, by }
    }

    #[test]
    fn lines_outlive_the_process_and_what_a_crash_left_of_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("glass.jsonl");
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.open_for(opener(100)).unwrap(), 100);
        assert_eq!(journal.open_for(opener(100)).unwrap(), 99, "told apart from the first");
        let reviewed = Line::Reviewed { entry: 7, verdict: "justified".into(), by: "bob".into() };
        journal.add(reviewed.clone()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len();
        bytes.extend_from_slice(b"{\"line\":\"told\",\"si");
        std::fs::write(&path, &bytes).unwrap();
        let again = Journal::open(&path).unwrap();
        let expected = [Line::Opened(opener(100)), Line::Opened(opener(99)), reviewed];
        again.read(|lines| assert_eq!(lines, expected));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole as u64);
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Journal::open(&path).is_err(), "nobody shall be let off by damage");
    }
}
