//! Reading a log back: its files in order, line by line, each checked against the one before.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::chain::{self, Broken, Head, LINE_BYTES_MAX};
use super::event::Line;
use crate::error::{Error, Result};

/// End of every file's name.
pub(super) const EXTENSION: &str = "jsonl";

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFile {
    /// Number of its first line.
    pub(crate) first: u64,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// The files of a log in order; a name says the number of the first line.
pub(crate) fn files(folder: &Path) -> Result<Vec<LogFile>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("look into", folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("look into", folder))?.path();
        let is_log = path.extension().is_some_and(|extension| extension == EXTENSION);
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|s| s.parse().ok());
        if let (true, Some(first)) = (is_log, first) {
            files.push(LogFile { first, path });
        }
    }
    files.sort_by_key(|file| file.first);
    Ok(files)
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// In which file.
    pub(crate) path: PathBuf,
    /// On which line of it, from 1.
    pub(crate) line: u64,
    /// What.
    pub(crate) what: Broken,
}

/// How a log was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Number of the first line that is there: older files may have been taken away as a whole.
    pub(crate) first: u64,
    /// The end of it.
    pub(crate) head: Head,
    /// What is not as it was written. After each, what follows is checked among itself.
    pub(crate) faults: Vec<Fault>,
    /// Bytes of a last line that was not finished: a crash, not somebody's doing.
    pub(crate) torn_bytes: u64,
}

/// How the last file of a log ends.
pub(super) struct Tail {
    /// Bytes of its whole lines.
    pub(super) bytes: u64,
    /// Where the last of them leads; `None`: there is none.
    pub(super) head: Option<Head>,
    /// Bytes behind them.
    pub(super) torn_bytes: u64,
    /// Every line is as it was written.
    pub(super) is_sound: bool,
}

/// Reads a file to go on with it.
pub(super) fn tail(file: &LogFile) -> Result<Tail> {
    let mut pass = |_: &Line, _| Ok(());
    let mut walk = Walk::new(&mut pass);
    walk.file(file, true)?;
    let Walk { bytes, lines, head, torn_bytes, faults, .. } = walk;
    // Whatever lines claim to be, the next file's name is higher than this one's.
    let least = file.first + lines;
    let head = head.map(|head| Head { lines: head.lines.max(least), ..head });
    Ok(Tail { bytes, head, torn_bytes, is_sound: faults.is_empty() })
}

/// Most faults that are told one by one.
const FAULTS_MAX: usize = 100;

/// Is shown each line, and where it leads.
type Each<'a> = &'a mut dyn FnMut(&Line, Head) -> Result<()>;

/// Reads a whole log and checks it. Every line that can be read is shown, also if it is not where it
/// belongs; so is each place in the chain.
pub(crate) fn walk(folder: &Path, each: Each<'_>) -> Result<Found> {
    let files = files(folder)?;
    let first = files.first().map_or(0, |file| file.first);
    let mut walk = Walk::new(each);
    for (n, file) in files.iter().enumerate() {
        walk.file(file, n + 1 == files.len())?;
    }
    let head = walk.head.unwrap_or(Head::START);
    Ok(Found { first, head, faults: walk.faults, torn_bytes: walk.torn_bytes })
}

struct Walk<'a> {
    /// Where the lines so far lead; `None` before the first.
    head: Option<Head>,
    faults: Vec<Fault>,
    torn_bytes: u64,
    /// Whole lines of the last file, and their bytes.
    lines: u64,
    bytes: u64,
    each: Each<'a>,
}

impl<'a> Walk<'a> {
    fn new(each: Each<'a>) -> Self {
        Self { head: None, faults: Vec::new(), torn_bytes: 0, lines: 0, bytes: 0, each }
    }

    fn file(&mut self, file: &LogFile, is_last: bool) -> Result<()> {
        let path = &file.path;
        let open = File::open(path).map_err(Error::io("read", path))?;
        let mut reader = BufReader::with_capacity(1 << 20, open);
        (self.lines, self.bytes) = (0, 0);
        for number in 1.. {
            let mut bytes = Vec::new();
            let mut bounded = (&mut reader).take(LINE_BYTES_MAX as u64);
            bounded.read_until(b'\n', &mut bytes).map_err(Error::io("read", path))?;
            if bytes.is_empty() {
                return Ok(());
            }
            let ended = bytes.last() == Some(&b'\n');
            if !ended && is_last && bytes.len() < LINE_BYTES_MAX {
                self.torn_bytes = bytes.len() as u64;
                return Ok(());
            }
            self.lines += 1;
            self.bytes += bytes.len() as u64;
            let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            if let Err(what) = self.line(file, number, line)?
                && self.faults.len() < FAULTS_MAX
            {
                self.faults.push(Fault { path: path.clone(), line: number, what });
            }
        }
        Ok(())
    }

    fn line(
        &mut self,
        file: &LogFile,
        number: u64,
        bytes: &[u8],
    ) -> Result<std::result::Result<(), Broken>> {
        let head = self.head.or_else(|| begin(file, number, bytes)).unwrap_or(Head::START);
        let (line, next, checked) = match chain::read(head, bytes) {
            Ok((line, next)) => (line, next, Ok(())),
            Err(what) => {
                let Some((line, hash)) = chain::claim(bytes) else {
                    // The next one is checked as what follows the lost one, and will not fit either.
                    self.head = Some(Head { lines: head.lines + 1, ..head });
                    return Ok(Err(what));
                };
                let next = Head { lines: line.n.saturating_add(1), hash };
                (line, next, Err(what))
            }
        };
        self.head = Some(next);
        (self.each)(&line, next)?;
        Ok(checked)
    }
}

/// Where the oldest file that is there says that it goes on from. What came before it is gone, and
/// nothing is said about that.
fn begin(file: &LogFile, number: u64, bytes: &[u8]) -> Option<Head> {
    if number != 1 {
        return None;
    }
    let (line, _) = chain::claim(bytes)?;
    let hash = blake3::Hash::from_hex(line.event.after?).ok()?;
    Some(Head { lines: file.first, hash })
}
