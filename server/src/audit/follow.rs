//! Following a log while it is written: from a line on, to the last one that is whole.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::chain::{self, LINE_BYTES_MAX};
use super::event::Line;
use super::reading;
use crate::error::{Error, Result};

/// See the [module](self).
pub(crate) struct Follow {
    folder: PathBuf,
    /// Number of the next line.
    next: u64,
    /// The file that it is in, and where.
    place: Option<(u64, u64)>,
}

impl Follow {
    /// From this line on.
    pub(crate) fn from(folder: PathBuf, next: u64) -> Self {
        Self { folder, next, place: None }
    }

    /// Number of the next line.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The next lines, as far as they are there, but not more than `most`. Lines that cannot be read, or
    /// were taken away, are passed over: to find them is the work of `verify`.
    pub(crate) fn lines(&mut self, most: usize) -> Result<Vec<Line>> {
        let files = reading::files(&self.folder)?;
        let mut lines = Vec::new();
        // The file that may hold the next line, and those after it.
        let begin = files.iter().rposition(|file| file.first <= self.next).unwrap_or(0);
        for file in files.iter().skip(begin) {
            if lines.len() >= most {
                break;
            }
            let offset = match self.place {
                Some((first, offset)) if first == file.first => offset,
                _ => 0,
            };
            let mut open = File::open(&file.path).map_err(Error::io("read", &file.path))?;
            open.seek(SeekFrom::Start(offset)).map_err(Error::io("read", &file.path))?;
            let read = self.read(BufReader::new(open), offset, most, &mut lines);
            let offset = read.map_err(Error::io("read", &file.path))?;
            self.place = Some((file.first, offset));
        }
        Ok(lines)
    }

    /// Reads whole lines; where they end.
    fn read(
        &mut self,
        mut reader: impl BufRead,
        mut offset: u64,
        most: usize,
        lines: &mut Vec<Line>,
    ) -> std::io::Result<u64> {
        while lines.len() < most {
            let mut bytes = Vec::new();
            reader.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes)?;
            let Some(line) = bytes.strip_suffix(b"\n") else { break };
            offset += bytes.len() as u64;
            if let Some((line, _)) = chain::claim(line)
                && line.n >= self.next
            {
                self.next = line.n + 1;
                lines.push(line);
            }
        }
        Ok(offset)
    }
}
