//! Writing the log.
//!
//! A line is handed to the system before its request is answered, under one lock, in microseconds: a
//! crash of this program loses none that was answered. A thread brings what was written to the disk,
//! [`SYNC_PAUSE`] after the first of it at the latest; a power cut may take so much, and no more: when
//! the disk falls behind by [`UNSYNCED_BYTES_MAX`], lines are refused. A refused line is a refused
//! request. A write that fails is tried again with the next line, as a full disk may be made room on; a
//! sync that fails never is, since the system may have dropped what was written.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::chain::{self, Head};
use super::event::{Event, Face, Line};
use super::reading::{self, EXTENSION};
use crate::dicomweb::subject::hex;
use crate::error::{Error, Result};

/// How long what was written waits for company on its way to the disk. Each sync holds up those of
/// objects that are being stored.
const SYNC_PAUSE: Duration = Duration::from_millis(200);
/// How long whoever wants to write waits for who does: a command writes one line.
const HOLD_PATIENCE: Duration = Duration::from_secs(5);
const HOLD_LOOK: Duration = Duration::from_millis(10);
/// Bytes that may be written and not on the disk.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

/// Why a line is not in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub(crate) struct NotWritten;

/// A log that is being written. Closed or dropped, all of it is on the disk.
pub(crate) struct Log {
    shared: Arc<Shared>,
    /// Locked as long as nobody else may write.
    _held: File,
    syncing: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Shared {
    folder: PathBuf,
    file_bytes_max: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    file: Arc<File>,
    /// Length of the file's whole lines.
    bytes: u64,
    head: Head,
    /// Written since the last sync began.
    unsynced_bytes: u64,
    /// The last line could not be written.
    is_stuck: bool,
    /// A sync failed, for good.
    is_broken: bool,
    is_ending: bool,
}

impl Log {
    /// Goes on with the log in `folder`, or begins it.
    ///
    /// # Errors
    /// Of the disk. A log that was tampered with is told of, and gone on with.
    pub(crate) fn open(folder: &Path, file_bytes_max: u64) -> Result<Self> {
        make(folder)?;
        let held = hold(folder)?;
        let (file, bytes, head) = go_on(folder)?;
        let state = State {
            file: Arc::new(file),
            bytes,
            head,
            unsynced_bytes: 0,
            is_stuck: false,
            is_broken: false,
            is_ending: false,
        };
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            file_bytes_max,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let syncing = std::thread::Builder::new()
            .name("cairn-audit".into())
            .spawn(move || theirs.sync())
            .map_err(Error::io("start a thread for", folder))?;
        let log = Self { shared, _held: held, syncing: Mutex::new(Some(syncing)) };
        let _ = log.tell(of_itself("open"));
        tracing::info!(head = %log.head(), "the audit log goes on");
        Ok(log)
    }

    /// Writes one line into a log that nobody has open, and brings it to the disk.
    pub(crate) fn append(folder: &Path, event: Event) -> Result<()> {
        make(folder)?;
        let _held = hold(folder)?;
        let (file, bytes, head) = go_on(folder)?;
        let written = || {
            let line = Line { n: head.lines, at: jiff::Timestamp::now().to_string(), event };
            let (line, _) = chain::write(head, &line)?;
            let mut file = file;
            if let Err(error) = file.write_all(&line) {
                // Half a line is no line. If it cannot be cut off, the next opening does.
                let _ = file.set_len(bytes);
                return Err(error);
            }
            file.sync_data()
        };
        written().map_err(Error::io("write into", folder))
    }

    /// Writes a line.
    pub(crate) fn tell(&self, event: Event) -> std::result::Result<(), NotWritten> {
        let mut state = self.shared.lock();
        if state.is_broken || state.unsynced_bytes > UNSYNCED_BYTES_MAX {
            return Err(NotWritten);
        }
        let told = self.shared.write(&mut state, event);
        if let Err(error) = &told
            && !state.is_stuck
        {
            tracing::error!(%error, "the audit log cannot be written; requests are refused");
        }
        state.is_stuck = told.is_err();
        drop(state);
        self.shared.changed.notify_all();
        told.map_err(|_| NotWritten)
    }

    /// Would a line be written?
    pub(crate) fn is_well(&self) -> bool {
        let state = self.shared.lock();
        !state.is_broken && !state.is_stuck && state.unsynced_bytes <= UNSYNCED_BYTES_MAX
    }

    /// Tries again what did not go, so that a server which refuses requests finds out that it need not.
    pub(crate) fn try_again(&self) {
        if self.shared.lock().is_stuck {
            let _ = self.tell(of_itself("retry"));
        }
    }

    /// Brings all of it to the disk. Once; who writes a line after that has it written and not synced.
    pub(crate) fn close(&self) {
        let syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(syncing) = syncing else { return };
        let _ = self.tell(of_itself("close"));
        self.shared.lock().is_ending = true;
        self.shared.changed.notify_all();
        let _ = syncing.join();
        tracing::info!(head = %self.head(), "the audit log is closed");
    }

    /// Where it is.
    pub(crate) fn head(&self) -> Head {
        self.shared.lock().head
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &mut State, event: Event) -> std::io::Result<()> {
        if state.bytes >= self.file_bytes_max {
            self.roll(state)?;
        }
        let line = Line { n: state.head.lines, at: jiff::Timestamp::now().to_string(), event };
        append(state, &line)
    }

    /// Begins the next file. The old one is whole on the disk before.
    fn roll(&self, state: &mut State) -> std::io::Result<()> {
        if let Err(error) = state.file.sync_data() {
            state.is_broken = true;
            return Err(error);
        }
        let file = create(&self.folder, state.head)?;
        state.file = Arc::new(file);
        state.bytes = 0;
        tracing::info!(head = %state.head, "the audit log has a new file");
        append(state, &first(state.head, "roll"))
    }

    /// The thread that brings lines to the disk.
    fn sync(&self) {
        loop {
            let mut state = self.lock();
            while state.unsynced_bytes == 0 && !state.is_ending {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.unsynced_bytes == 0 {
                return;
            }
            if !state.is_ending {
                drop(state);
                std::thread::sleep(SYNC_PAUSE);
                state = self.lock();
            }
            let (file, bytes) = (Arc::clone(&state.file), state.unsynced_bytes);
            drop(state);
            let synced = file.sync_data();
            let mut state = self.lock();
            state.unsynced_bytes -= bytes.min(state.unsynced_bytes);
            if let Err(error) = synced {
                state.is_broken = true;
                state.unsynced_bytes = 0;
                tracing::error!(%error, "the audit log cannot be synced; requests are refused");
                return;
            }
        }
    }
}

fn make(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(Error::io("make", folder))
}

/// Keeps everybody else from writing until it is dropped: two writers would break the chain.
fn hold(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(Error::io("open", &path))?;
    let patience = Instant::now() + HOLD_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                std::thread::sleep(HOLD_LOOK);
            }
            Err(error) => return Err(Error::io("lock", &path)(error.into())),
        }
    }
}

fn append(state: &mut State, line: &Line) -> std::io::Result<()> {
    let (bytes, next) = chain::write(state.head, line)?;
    let mut file = &*state.file;
    if let Err(error) = file.write_all(&bytes) {
        // Half a line is no line. If it cannot be cut off, the next opening does.
        if state.file.set_len(state.bytes).is_err() {
            state.is_broken = true;
        }
        return Err(error);
    }
    state.bytes += bytes.len() as u64;
    state.unsynced_bytes += bytes.len() as u64;
    state.head = next;
    Ok(())
}

fn of_itself(op: &str) -> Event {
    Event { face: Face::Log, op: op.into(), ok: true, ..Event::default() }
}

/// The first line of a file says what it follows.
fn first(head: Head, op: &str) -> Line {
    let event = Event { after: Some(hex(head.hash.as_bytes())), ..of_itself(op) };
    Line { n: head.lines, at: jiff::Timestamp::now().to_string(), event }
}

fn create(folder: &Path, head: Head) -> std::io::Result<File> {
    let path = folder.join(format!("{:012}.{EXTENSION}", head.lines));
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// The last file, its length, and where its last line leads.
fn go_on(folder: &Path) -> Result<(File, u64, Head)> {
    let mut files = reading::files(folder)?;
    while let Some(last) = files.pop() {
        let path = &last.path;
        let tail = reading::tail(&last)?;
        if tail.torn_bytes > 0 {
            set_aside(path, tail.bytes).map_err(Error::io("cut", path))?;
            tracing::warn!(bytes = tail.torn_bytes, "the audit log's last line was not finished");
        }
        let Some(head) = tail.head else {
            // A crash between making the file and its first line.
            std::fs::remove_file(path).map_err(Error::io("remove", path))?;
            continue;
        };
        if !tail.is_sound {
            tracing::error!(
                "the audit log is not as it was written; `cairn audit verify` says where"
            );
            return begin(folder, head);
        }
        let file = OpenOptions::new().append(true).open(path).map_err(Error::io("open", path))?;
        return Ok((file, tail.bytes, head));
    }
    begin(folder, Head::START)
}

/// A new file after this place.
fn begin(folder: &Path, head: Head) -> Result<(File, u64, Head)> {
    let begun = || {
        let mut file = create(folder, head)?;
        let (bytes, next) = chain::write(head, &first(head, "begin"))?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        Ok((file, bytes.len() as u64, next))
    };
    begun().map_err(Error::io("begin a file in", folder))
}

/// What was not finished is kept beside the log: it is nobody's to throw away.
fn set_aside(path: &Path, bytes: u64) -> std::io::Result<()> {
    let all = std::fs::read(path)?;
    let torn = all.get(bytes as usize..).unwrap_or_default();
    let aside = path.with_extension(format!("{EXTENSION}.torn-{bytes}"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(aside)?;
    file.write_all(torn)?;
    file.sync_all()?;
    let log = OpenOptions::new().write(true).open(path)?;
    log.set_len(bytes)?;
    log.sync_all()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
