//! Makes the metadata of series that have just changed, so that whoever asks finds them made.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Metadata;
use crate::error::{Error, Result};

/// A series is described once nothing has come for it for so long: most come in one go.
const QUIET: Duration = Duration::from_millis(400);
/// A series that never comes to rest is described this often all the same.
const LONGEST: Duration = Duration::from_secs(10);
/// How often to look.
const LOOK: Duration = Duration::from_millis(100);

/// Study and Series Instance UID.
type Series = (String, String);

/// A thread that follows what is committed.
pub(crate) struct Builder {
    changes: Option<Sender<Series>>,
    /// Nothing more is to be described.
    abandoned: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Builder {
    pub(crate) fn start(metadata: Arc<Metadata>) -> Result<Self> {
        let (changes, from_commits) = channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&abandoned);
        let thread = std::thread::Builder::new()
            .name("cairn-metadata".to_owned())
            .spawn(move || run(&metadata, &from_commits, &seen))
            .map_err(Error::io("start a thread for", std::path::Path::new("metadata")))?;
        Ok(Self { changes: Some(changes), abandoned, thread: Some(thread) })
    }

    /// Where changes are told. A series that is told many times before it is looked at costs once.
    pub(crate) fn changes(&self) -> Option<Sender<Series>> {
        self.changes.clone()
    }

    /// Waits until everything told is described. Every other sender must be gone.
    pub(crate) fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.join();
    }
}

fn run(metadata: &Metadata, changes: &Receiver<Series>, abandoned: &AtomicBool) {
    let mut pending: HashMap<Series, (Instant, Instant)> = HashMap::new();
    loop {
        let ended = match changes.recv_timeout(LOOK) {
            Ok(series) => {
                let now = Instant::now();
                for series in std::iter::once(series).chain(changes.try_iter()) {
                    pending.entry(series).or_insert((now, now)).1 = now;
                }
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        if abandoned.load(Ordering::Relaxed) {
            return;
        }
        pending.retain(|(study, series), (first, last)| {
            let due = ended || last.elapsed() >= QUIET || first.elapsed() >= LONGEST;
            // Whoever asks is told of a failure; here it costs only that they have to wait.
            if due && let Err(error) = metadata.series(study, series) {
                tracing::warn!(%error, "the metadata of a series cannot be made yet");
            }
            !due
        });
        if ended {
            return;
        }
    }
}
