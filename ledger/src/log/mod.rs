//! A site's own log: signs, orders and keeps its entries.
//!
//! Invariants:
//! - an entry is answered for, and enters the state that others read, once a head that covers it is
//!   durable;
//! - no head is ever signed twice for one size with two roots: a head is durable before anybody sees
//!   it, and the next one is made from what is on disk;
//! - the first failure of the disk stops the log. It goes on when it is opened again, from what is
//!   really there.

mod group;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use cairn_store::disk::Disk;

use self::group::{Committer, Job};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::entry::{Body, Join, SignedEntry};
use crate::id::SiteId;
use crate::keys::SiteSecret;
use crate::merkle::{ConsistencyProof, InclusionProof, consistency, inclusion};
use crate::note::{VerifierKey, is_key_name};
use crate::order::{Logged, Order};
use crate::state::SiteState;
use crate::tiles::{CHECKPOINT, TILE_WIDTH, TileReader, TileWriter, bundle_path};
use crate::{Error, Result};

/// Tells the time in seconds since the epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// What the committer writes and others read.
struct Shared {
    directory: PathBuf,
    state: RwLock<SiteState>,
    head: RwLock<SignedCheckpoint>,
    failure: Mutex<Option<String>>,
}

/// A site's own log. Dropping it finishes what was handed in.
pub struct SiteLog {
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    committer: Option<JoinHandle<()>>,
    site: SiteId,
}

impl fmt::Debug for SiteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteLog({})", self.site)
    }
}

impl SiteLog {
    /// Opens the log in `directory`; an empty one is begun with a join of this origin and secret.
    ///
    /// Every entry is read again, and their root compared with the signed head. `previous` is the
    /// secret before a rotation, as long as witnesses may not know the new key: heads are then signed
    /// with both.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        origin: &str,
        secret: &SiteSecret,
        previous: Option<&SiteSecret>,
        clock: Clock,
    ) -> Result<Self> {
        if !is_key_name(origin) {
            return Err(Error::Note { what: "origin", why: "it is empty, long or has spaces" });
        }
        let mut state = SiteState::default();
        let mut files = TileWriter::open(disk, directory, &mut |_, bytes| {
            // The root over these very bytes is signed: their own signatures were checked when they
            // were made.
            Ok(state.apply_known(&SignedEntry::decode(bytes)?)?)
        })?;
        if files.head().is_none() {
            // To begin again with the same keys would be a fork.
            if has_history(directory) {
                return Err(Error::damaged(directory, "it has entries and no head"));
            }
            begin(&mut files, &mut state, origin, secret, &clock)?;
        }
        let head = files.head().cloned().ok_or(Error::OutOfRange)?;
        let own = VerifierKey::of_log(origin, secret.public().log)?;
        if state.keys() != Some(&secret.public()) || head.verify(&own).is_err() {
            return Err(Error::damaged(directory, "the log is of another origin or other keys"));
        }
        let site = state.site().ok_or(Error::OutOfRange)?;
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            state: RwLock::new(state),
            head: RwLock::new(head),
            failure: Mutex::new(None),
        });
        let (jobs, taken) = channel();
        let previous = previous.map(SiteSecret::log_key);
        let committer = Committer::new(Arc::clone(&shared), files, secret.clone(), previous, clock);
        let committer = std::thread::Builder::new()
            .name("cairn-ledger".to_owned())
            .spawn(move || committer.run(&taken))
            .map_err(Error::io("start a thread for", directory))?;
        Ok(Self { shared, jobs: Some(jobs), committer: Some(committer), site })
    }

    /// Whose log it is.
    #[must_use]
    pub fn site(&self) -> SiteId {
        self.site
    }

    /// Reads files of the log as of the last durable head.
    #[must_use]
    pub fn reader(&self) -> TileReader {
        TileReader::new(&self.shared.directory, self.head().checkpoint().size)
    }

    fn hand_in<T>(
        &self,
        job: impl FnOnce(std::sync::mpsc::SyncSender<Result<T>>) -> Job,
    ) -> Result<T> {
        let (reply, answer) = sync_channel(1);
        self.send(job(reply));
        answer.recv().unwrap_or_else(|_| Err(self.shared.stopped()))
    }

    fn send(&self, job: Job) {
        // Where the committer is gone the reply channel goes with the job, and says so.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }

    /// Replaces the site's keys: logs the rotation, signed with the old ones. Heads are signed with the
    /// new and the last key until the log is opened without the latter.
    pub fn rotate(&self, secret: SiteSecret) -> Result<Logged> {
        self.hand_in(|reply| Job::Rotate { secret: Box::new(secret), reply })
    }

    /// The last head that was published, with its cosignatures; `None` if none was.
    pub fn published(&self) -> Result<Option<SignedCheckpoint>> {
        crate::tiles::read_head(&self.shared.directory.join(CHECKPOINT))
    }

    /// Publishes a durable head with the cosignatures it has got.
    pub fn publish(&self, checkpoint: SignedCheckpoint) -> Result<()> {
        self.hand_in(|reply| Job::Publish { checkpoint: Box::new(checkpoint), reply })
    }
}

/// Are there more entries than the join, which a crash may have left without a head?
fn has_history(directory: &Path) -> bool {
    let partial = directory.join(bundle_path(0, TILE_WIDTH) + ".p");
    let longer =
        |file: std::io::Result<std::fs::DirEntry>| file.is_ok_and(|file| file.file_name() != "1");
    directory.join(CHECKPOINT).exists()
        || directory.join(bundle_path(0, TILE_WIDTH)).exists()
        || std::fs::read_dir(partial).is_ok_and(|mut files| files.any(longer))
}

/// Logs the join, in a commit of its own.
fn begin(
    files: &mut TileWriter,
    state: &mut SiteState,
    origin: &str,
    secret: &SiteSecret,
    clock: &Clock,
) -> Result<()> {
    let keys = secret.public();
    let site = SiteId::derive(origin, &keys.sign);
    let possession = secret.possession(&site, 0);
    let body = Body::Join(Box::new(Join { origin: origin.to_owned(), keys, possession }));
    let header = crate::entry::Header { site, sequence: 0, time: clock() };
    let signed = SignedEntry::sign(crate::entry::Entry { header, body }, &secret.entry_key())?;
    state.apply(&signed)?;
    files.push(signed.bytes())?;
    let head = Checkpoint { origin: origin.to_owned(), size: files.size(), root: files.root() };
    files.commit(head.sign(&[secret.log_key()])?)
}

impl Order for SiteLog {
    fn append(&self, body: Body) -> Result<Logged> {
        self.hand_in(|reply| Job::Append { body: Box::new(body), reply })
    }

    fn append_all(&self, bodies: Vec<Body>) -> Vec<Result<Logged>> {
        let mut answers = Vec::with_capacity(bodies.len());
        for body in bodies {
            let (reply, answer) = sync_channel(1);
            self.send(Job::Append { body: Box::new(body), reply });
            answers.push(answer);
        }
        let answers = answers.into_iter();
        answers.map(|answer| answer.recv().unwrap_or_else(|_| Err(self.shared.stopped()))).collect()
    }

    fn head(&self) -> SignedCheckpoint {
        self.shared.head.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>> {
        self.reader().entries(range)
    }

    fn inclusion(&self, sequence: u64, size: u64) -> Result<InclusionProof> {
        let reader = self.reader();
        if size > reader.size() {
            Err(Error::OutOfRange)
        } else {
            inclusion(&reader, sequence, size)
        }
    }

    fn consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof> {
        let reader = self.reader();
        if new > reader.size() { Err(Error::OutOfRange) } else { consistency(&reader, old, new) }
    }

    fn read(&self, read: &mut dyn FnMut(&SiteState)) {
        read(&self.shared.state.read().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Shared {
    fn stopped(&self) -> Error {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        Error::Stopped(failure.clone().unwrap_or_else(|| "its thread has ended".to_owned()))
    }
}

impl Drop for SiteLog {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(committer) = self.committer.take() {
            let _ = committer.join();
        }
    }
}
