//! Another site's log as this site keeps it: followed entry by entry, and caught where it lies.
//!
//! Nothing of a new checkpoint is used before all of it is checked: enough witnesses, the log's
//! signature, entries that continue the known tree to the signed root, every signature, every rule.
//! What does not fit is a [`Finding`]; it is kept on disk and stops the use of the log.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_store::disk::Disk;

use crate::checkpoint::SignedCheckpoint;
use crate::entry::{Body, SignedEntry};
use crate::evidence::Finding;
use crate::federation::Member;
use crate::id::SiteId;
use crate::limits::{FETCH_ENTRIES, PUBLISH_SECONDS};
use crate::merkle::{ConsistencyProof, consistency, inclusion};
use crate::note::VerifierKey;
use crate::quorum::Quorum;
use crate::state::SiteState;
use crate::tiles::{TileReader, TileWriter, replace_file};
use crate::{Error, Result};

const FINDING: &str = "finding";
/// Longest file of a finding: two notes and a proof.
const FINDING_BYTES_MAX: u64 = 1 << 20;

/// Gives entries of the other log, in order; fewer than asked for if it has no more.
pub type Fetch<'a> = dyn FnMut(Range<u64>) -> Result<Vec<Vec<u8>>> + 'a;

/// What following a checkpoint brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Nothing new; it may be known to be fresh for longer.
    Unchanged,
    /// New entries.
    Advanced {
        /// Entries before.
        from: u64,
        /// Entries now.
        to: u64,
    },
}

/// A mirrored log.
#[derive(Debug)]
pub struct Mirror {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    site: SiteId,
    quorum: Quorum,
    files: TileWriter,
    state: SiteState,
    /// Keys that have signed the log's checkpoints, the one in force last.
    log_keys: Vec<VerifierKey>,
    fresh_at: Option<u64>,
    finding: Option<Finding>,
    /// The largest checkpoint that somebody else has shown and that is not followed yet, and since when.
    promised: Option<(SignedCheckpoint, u64)>,
}

impl Mirror {
    /// Opens the mirror in `directory` of the log of `site`, whose id a person has compared.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        site: SiteId,
        quorum: Quorum,
    ) -> Result<Self> {
        let (mut state, mut log_keys) = (SiteState::default(), Vec::new());
        let files = TileWriter::open(Arc::clone(&disk), directory, &mut |_, bytes| {
            follow(&mut state, &mut log_keys, &SignedEntry::decode(bytes)?, false)
        })?;
        if state.site().is_some_and(|known| known != site) {
            return Err(Error::damaged(directory, "it is a mirror of another site's log"));
        }
        let published = files.published()?;
        let fresh_at = match (&published, state.keys()) {
            (Some(published), Some(keys)) => {
                quorum.without(&keys.witness).fresh_at(published).ok().flatten()
            }
            _ => None,
        };
        let finding = read_finding(&directory.join(FINDING))?;
        let directory = directory.to_owned();
        let promised = None;
        Ok(Self {
            disk,
            directory,
            site,
            quorum,
            files,
            state,
            log_keys,
            fresh_at,
            finding,
            promised,
        })
    }

    /// What the log says, and whether it may be used.
    #[must_use]
    pub fn member(&self) -> Member<'_> {
        let Self { state, fresh_at, finding, .. } = self;
        Member { state, fresh_at: *fresh_at, finding: finding.as_ref() }
    }

    /// What it says.
    #[must_use]
    pub fn state(&self) -> &SiteState {
        &self.state
    }

    /// What was found against it.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        self.finding.as_ref()
    }

    /// Keys that have signed its checkpoints, the one in force last: for checking findings and for
    /// witnessing.
    #[must_use]
    pub fn log_keys(&self) -> &[VerifierKey] {
        &self.log_keys
    }

    /// The last checkpoint that was followed.
    #[must_use]
    pub fn head(&self) -> Option<&SignedCheckpoint> {
        self.files.head()
    }

    /// Reads what was followed: others may be served from it.
    #[must_use]
    pub fn reader(&self) -> TileReader {
        self.files.reader()
    }

    /// Follows what the log shows as its latest checkpoint, at `now` (seconds since the epoch).
    ///
    /// An error without a finding (too few witnesses, a broken connection, a note that the log did not
    /// sign) changes nothing; the mirror goes stale by itself.
    pub fn update(
        &mut self,
        shown: &SignedCheckpoint,
        fetch: &mut Fetch<'_>,
        now: u64,
    ) -> Result<Update> {
        if let Some(finding) = self.finding.as_ref().filter(|finding| finding.is_final()) {
            return Err(Error::Finding(Box::new(finding.clone())));
        }
        let (from, to) = (self.files.committed(), shown.checkpoint().size);
        if to <= from && from > 0 {
            self.check_known(shown)?;
        }
        // The log itself learns last of a cosignature: it gets a moment to publish what it promised.
        let due =
            |(_, heard): &&(SignedCheckpoint, u64)| now.saturating_sub(*heard) >= PUBLISH_SECONDS;
        let promised = self.promised.iter().filter(due).map(|(promised, _)| promised);
        let behind = |known: &&SignedCheckpoint| known.checkpoint().size > to;
        if let Some(known) = promised.chain(self.files.head()).find(behind) {
            let (known, shown) = (Box::new(known.clone()), Box::new(shown.clone()));
            return Err(self.find(Finding::RolledBack { known, shown }));
        }
        if let Err(why) = self.witnessed(shown) {
            if from > 0 && to > from && self.promised.is_some() {
                self.examine(shown, fetch)?;
            }
            return Err(why);
        }
        if to > from {
            self.advance(shown, fetch)?;
        }
        // Now its keys are known, so that its own cosignature does not count.
        let fresh_at = self.witnessed(shown)?.unwrap_or(now).min(now);
        self.settle(shown)?;
        self.files.publish(shown)?;
        self.fresh_at = self.fresh_at.max(Some(fresh_at));
        Ok(if to > from { Update::Advanced { from, to } } else { Update::Unchanged })
    }

    /// Who vouches for the log from now on: members of a federation come and go, and replace their keys.
    pub fn set_quorum(&mut self, quorum: Quorum) {
        self.quorum = quorum;
    }

    /// Takes note of a checkpoint of this log that somebody else shows at `now`, a witness perhaps: it
    /// may be a fork, or later than what the log itself shows.
    pub fn heard_of(&mut self, shown: &SignedCheckpoint, now: u64) -> Result<()> {
        if shown.checkpoint().size <= self.files.committed() {
            return self.check_known(shown);
        }
        self.signed(shown)?;
        let size = |known: &SignedCheckpoint| known.checkpoint().size;
        if self.promised.as_ref().is_none_or(|(known, _)| size(known) < size(shown)) {
            let since = self.promised.as_ref().map_or(now, |(_, since)| *since);
            self.promised = Some((shown.clone(), since));
        }
        Ok(())
    }

    /// Is this the log whose head it would continue, and have enough witnesses seen it?
    fn witnessed(&self, shown: &SignedCheckpoint) -> Result<Option<u64>> {
        match self.state.keys() {
            Some(keys) => self.quorum.without(&keys.witness).fresh_at(shown),
            None => self.quorum.fresh_at(shown),
        }
    }

    fn signed(&self, shown: &SignedCheckpoint) -> Result<()> {
        let by_the_log = self.log_keys.iter().any(|key| shown.verify(key).is_ok());
        if by_the_log { Ok(()) } else { Err(Error::Signature("a checkpoint")) }
    }

    /// A checkpoint of a size that is known must have the known root.
    fn check_known(&mut self, shown: &SignedCheckpoint) -> Result<()> {
        self.signed(shown)?;
        let Some(head) = self.files.head().cloned() else { return Ok(()) };
        let size = shown.checkpoint().size;
        let reader = self.files.reader();
        let prefix = reader.root_at(size)?;
        if prefix == shown.checkpoint().root {
            return Ok(());
        }
        let proof = consistency(&reader, size, head.checkpoint().size)?;
        let (smaller, larger) = (Box::new(shown.clone()), Box::new(head));
        Err(self.find(Finding::Fork { smaller, larger, prefix, proof }))
    }

    /// Too few witnesses vouch for what the log shows, and one has shown a checkpoint that is not followed
    /// yet: is that because the log was rewritten? Nothing of it is used either way.
    fn examine(&mut self, shown: &SignedCheckpoint, fetch: &mut Fetch<'_>) -> Result<()> {
        self.signed(shown)?;
        let gathered = self.gather(shown, fetch);
        let to = shown.checkpoint().size;
        let differs = self.files.size() == to && self.files.root() != shown.checkpoint().root;
        self.undo();
        gathered?;
        if differs { Err(self.rewritten(shown)) } else { Ok(()) }
    }

    /// Takes in the entries that the checkpoint adds, or none of them.
    fn advance(&mut self, shown: &SignedCheckpoint, fetch: &mut Fetch<'_>) -> Result<()> {
        let outcome = self.take_in(shown, fetch);
        if outcome.is_err() {
            self.undo();
        }
        outcome
    }

    /// What was pushed and applied is undone by reading what is durable.
    fn undo(&mut self) {
        let (mut state, mut log_keys) = (SiteState::default(), Vec::new());
        let replayed = self.files.replay(&mut |_, bytes| {
            follow(&mut state, &mut log_keys, &SignedEntry::decode(bytes)?, false)
        });
        (self.state, self.log_keys) = match replayed {
            Ok(()) => (state, log_keys),
            Err(_) => (SiteState::default(), Vec::new()), // nothing of it can be used then
        };
    }

    /// Brings the entries that the checkpoint adds; false if the log gives fewer.
    fn gather(&mut self, shown: &SignedCheckpoint, fetch: &mut Fetch<'_>) -> Result<bool> {
        let to = shown.checkpoint().size;
        while self.files.size() < to {
            let at = self.files.size();
            let wanted = at..to.min(at + FETCH_ENTRIES);
            let count = wanted.end - wanted.start;
            let entries = fetch(wanted)?;
            for entry in entries.iter().take(count as usize) {
                self.files.push(entry)?;
            }
            if (entries.len() as u64) < count {
                return Ok(false);
            }
            self.files.flush()?;
        }
        Ok(true)
    }

    fn take_in(&mut self, shown: &SignedCheckpoint, fetch: &mut Fetch<'_>) -> Result<()> {
        let (from, to) = (self.files.committed(), shown.checkpoint().size);
        if !self.gather(shown, fetch)? {
            return Err(self.withheld(shown));
        }
        if self.files.root() != shown.checkpoint().root {
            return Err(self.rewritten(shown));
        }
        TileReader::new(&self.directory, to).for_each(from..to, &mut |index, bytes| {
            let refused = |mirror: &mut Self, why: Error| mirror.invalid(shown, index, bytes, &why);
            match SignedEntry::decode(bytes) {
                Ok(signed) => follow(&mut self.state, &mut self.log_keys, &signed, true)
                    .and_then(|()| match self.state.site() {
                        Some(site) if site == self.site => Ok(()),
                        _ => Err(crate::state::Reject::OtherSite.into()),
                    })
                    .map_err(|why| refused(self, why)),
                Err(why) => Err(refused(self, why)),
            }
        })?;
        // Only now the key is known that has to have signed.
        let key = self.log_keys.last().ok_or(Error::Signature("a checkpoint"))?;
        shown.verify(key)?;
        self.files.commit(shown.without_cosignatures())
    }

    fn withheld(&mut self, shown: &SignedCheckpoint) -> Error {
        if self.signed(shown).is_err() {
            return Error::Signature("a checkpoint");
        }
        let have = self.files.size();
        self.find(Finding::Withheld { promised: Box::new(shown.clone()), have })
    }

    fn rewritten(&mut self, shown: &SignedCheckpoint) -> Error {
        match self.files.head().cloned() {
            Some(known) if self.signed(shown).is_ok() => {
                let (known, shown) = (Box::new(known), Box::new(shown.clone()));
                self.find(Finding::Rewritten { known, shown })
            }
            _ => Error::Proof("the entries do not have the root of the checkpoint"),
        }
    }

    fn invalid(
        &mut self,
        shown: &SignedCheckpoint,
        index: u64,
        bytes: &[u8],
        why: &Error,
    ) -> Error {
        // Without the log's signature the entry may be anybody's.
        if self.signed(shown).is_err() {
            return Error::Signature("a checkpoint");
        }
        let size = shown.checkpoint().size;
        let Ok(proof) = inclusion(&TileReader::new(&self.directory, size), index, size) else {
            return Error::OutOfRange;
        };
        let (checkpoint, entry) = (Box::new(shown.clone()), bytes.to_vec());
        self.find(Finding::Invalid { checkpoint, entry, proof, why: why.to_string() })
    }

    /// Does what was followed now refute what was found before, or prove it?
    fn settle(&mut self, shown: &SignedCheckpoint) -> Result<()> {
        let to = self.files.committed();
        let reached = |(known, _): &mut (SignedCheckpoint, u64)| known.checkpoint().size <= to;
        if let Some((promised, _)) = self.promised.take_if(reached) {
            self.check_known(&promised)?;
        }
        match self.finding.clone() {
            Some(Finding::Rewritten { shown: other, .. }) => {
                if other.checkpoint().size > to {
                    return Err(Error::Finding(Box::new(Finding::RolledBack {
                        known: other,
                        shown: Box::new(shown.clone()),
                    })));
                }
                self.check_known(&other)?;
            }
            Some(_) => {}
            None => return Ok(()),
        }
        self.finding = None;
        let path = self.directory.join(FINDING);
        self.disk.remove(&path).map_err(Error::io("remove", &path))
    }

    /// Keeps a finding, and stops the use of the log. If it cannot be written down, it still counts
    /// until the process ends.
    fn find(&mut self, finding: Finding) -> Error {
        let path = self.directory.join(FINDING);
        self.finding = Some(finding.clone());
        match replace_file(&*self.disk, &path, &finding.encode()) {
            Ok(()) => Error::Finding(Box::new(finding)),
            Err(error) => error,
        }
    }
}

/// Applies an entry and collects the keys that sign checkpoints.
fn follow(
    state: &mut SiteState,
    log_keys: &mut Vec<VerifierKey>,
    signed: &SignedEntry,
    check_signature: bool,
) -> Result<()> {
    if check_signature {
        state.apply(signed)?;
    } else {
        state.apply_known(signed)?;
    }
    let new = match &signed.entry().body {
        Body::Join(join) => join.keys.log,
        Body::Rotate(rotate) => rotate.keys.log,
        _ => return Ok(()),
    };
    if let Some(origin) = state.origin() {
        log_keys.push(VerifierKey::of_log(origin, new)?);
    }
    Ok(())
}

fn read_finding(path: &Path) -> Result<Option<Finding>> {
    let file = match std::fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    if file.len() > FINDING_BYTES_MAX {
        return Err(Error::damaged(path, "it is too long"));
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let finding = Finding::decode(&bytes);
    finding.map(Some).map_err(|_| Error::damaged(path, "it is not a finding"))
}

/// A fork by two checkpoints of one size.
#[must_use]
pub fn fork_of_one_size(a: &SignedCheckpoint, b: &SignedCheckpoint) -> Option<Finding> {
    let (one, other) = (a.checkpoint(), b.checkpoint());
    let forked = one.origin == other.origin && one.size == other.size && one.root != other.root;
    forked.then(|| Finding::Fork {
        smaller: Box::new(a.clone()),
        larger: Box::new(b.clone()),
        prefix: other.root,
        proof: ConsistencyProof { old: one.size, new: one.size, path: Vec::new() },
    })
}
