//! An audit of every log on disk: hashes, heads, signatures, rules.

use std::path::Path;

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::{Entry, SignedEntry};
use cairn_ledger::id::SiteId;
use cairn_ledger::note::VerifierKey;
use cairn_ledger::order::Order;
use cairn_ledger::state::SiteState;
use cairn_ledger::tiles::TileReader;
use serde::{Deserialize, Serialize};

use super::Fault;
use super::site::Site;
use crate::error::{Error, Result};

/// What came of a log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// Whose.
    pub(crate) site: String,
    /// Its name.
    pub(crate) name: String,
    /// Is it this site's own?
    pub(crate) is_own: bool,
    /// Entries that were read.
    pub(crate) entries: u64,
    /// What is wrong with what is on disk.
    pub(crate) problem: Option<String>,
    /// What the log was caught at.
    pub(crate) finding: Option<String>,
}

impl Verified {
    /// Is all as it should be?
    pub(crate) fn is_good(&self) -> bool {
        self.problem.is_none() && self.finding.is_none()
    }
}

impl Site {
    /// Reads and checks all that is on disk, the own log first. Takes as long as the logs are.
    pub(super) fn verify(&self) -> Vec<Verified> {
        let own = self.log.head();
        let mut done = vec![Verified {
            site: self.id().to_string(),
            name: self.name(),
            is_own: true,
            entries: own.checkpoint().size,
            problem: problem(&self.folder.log(), &own, &self.id()),
            finding: self.trouble(),
        }];
        for peer in self.peers() {
            let known = self.with_view(&peer.site, |view| {
                (view.head.clone(), view.finding.as_ref().map(ToString::to_string))
            });
            let (problem, finding, entries) = match known {
                Some((Some(head), finding)) => {
                    let found = problem(&self.folder.mirror(&peer.site), &head, &peer.site);
                    (found, finding, head.checkpoint().size)
                }
                Some((None, finding)) => (None, finding, 0),
                None => (Some("its mirror cannot be used".to_owned()), None, 0),
            };
            let (site, name) = (peer.site.to_string(), peer.name);
            done.push(Verified { site, name, is_own: false, entries, problem, finding });
        }
        done
    }
}

fn problem(directory: &Path, head: &SignedCheckpoint, site: &SiteId) -> Option<String> {
    audit(directory, head, site, &mut |_, _| ()).err().map(|error| error.to_string())
}

/// Reads and checks a log on disk: each entry is shown with what the log says up to it. Only when this
/// ends well is any of it to be believed.
pub(super) fn audit(
    directory: &Path,
    head: &SignedCheckpoint,
    site: &SiteId,
    each: &mut dyn FnMut(&SiteState, &Entry),
) -> Result<SiteState> {
    let size = head.checkpoint().size;
    let reader = TileReader::new(directory, size);
    // Each tile is that of the entries, and so the root is theirs.
    reader.verify()?;
    let damaged = |why| Error::from(Fault::File { file: directory.display().to_string(), why });
    if reader.root_at(size)? != head.checkpoint().root {
        return Err(damaged("its entries are not those whose root the head signed".into()));
    }
    let mut state = SiteState::default();
    reader.for_each(0..size, &mut |_, bytes| {
        let signed = SignedEntry::decode(bytes)?;
        state.apply(&signed)?;
        each(&state, signed.entry());
        Ok(())
    })?;
    if state.site() != Some(*site) {
        return Err(damaged("it is the log of another site".into()));
    }
    let signed = state.key_history().last().zip(state.origin()).is_some_and(|(keys, origin)| {
        VerifierKey::of_log(origin, keys.log).is_ok_and(|key| head.verify(&key).is_ok())
    });
    if signed {
        Ok(state)
    } else {
        Err(damaged("its head is not signed by the key in force".into()))
    }
}

/// The root over the first entries of a log on disk.
pub(super) fn root_of(directory: &Path, size: u64) -> Result<[u8; 32]> {
    Ok(TileReader::new(directory, size).root_at(size)?)
}
