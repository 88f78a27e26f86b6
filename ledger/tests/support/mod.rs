//! Sites for tests: keys from small seeds, entries signed by hand, logs in temporary folders.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod samples;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_chunker::id::StudyRoot;
use cairn_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use cairn_ledger::entry::{
    Access, Body, Conditions, Entry, Grant, Header, Join, Outcome, Purpose, Receipt, Register,
    SignedEntry,
};
use cairn_ledger::federation::Member;
use cairn_ledger::id::{Link, SiteId, StudyId};
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::log::{Clock, SiteLog};
use cairn_ledger::note::VerifierKey;
use cairn_ledger::opening::{Opening, SealedFor};
use cairn_ledger::state::{Reject, SiteState};
use cairn_store::disk::OsDisk;

/// When tests begin, in seconds since the epoch.
pub const START: u64 = 1_800_000_000;
pub const DAY: u64 = 86_400;

/// A site with the entries that it signed, without a disk.
#[derive(Clone)]
pub struct Site {
    pub secret: SiteSecret,
    pub origin: String,
    pub id: SiteId,
    pub state: SiteState,
    pub entries: Vec<SignedEntry>,
    pub time: u64,
}

impl Site {
    /// Joined at [`START`].
    pub fn new(seed: u8) -> Self {
        let origin = format!("ledger.example/{seed}");
        let secret = SiteSecret::from_seed([seed; 32]);
        let id = SiteId::derive(&origin, &secret.public().sign);
        let (state, entries) = (SiteState::default(), Vec::new());
        let mut site = Self { secret, origin, id, state, entries, time: START };
        site.say(site.join()).unwrap();
        site
    }

    pub fn join(&self) -> Body {
        let possession = self.secret.possession(&self.id, 0);
        let keys = self.secret.public();
        Body::Join(Box::new(Join { origin: self.origin.clone(), keys, possession }))
    }

    /// Signs a body as the next entry.
    pub fn sign(&self, body: Body) -> SignedEntry {
        let (site, sequence, time) = (self.id, self.state.next(), self.time);
        let entry = Entry { header: Header { site, sequence, time }, body };
        SignedEntry::sign(entry, &self.secret.entry_key()).unwrap()
    }

    /// Logs a body.
    pub fn say(&mut self, body: Body) -> Result<Link, Reject> {
        let signed = self.sign(body);
        self.state.apply(&signed)?;
        let link = signed.link();
        self.entries.push(signed);
        Ok(link)
    }

    /// Registers a study with a salt and a root that `n` stands for.
    pub fn register(&mut self, n: u8) -> (StudyId, Opening) {
        let opening = Opening::generate(StudyRoot([!n; 32])).unwrap();
        let salt = [n; 32];
        let commitment = opening.commitment();
        self.say(Body::Register(Register { salt, commitment })).unwrap();
        (StudyId::derive(&self.id, &salt), opening)
    }

    /// A grant of version 1 for a day.
    pub fn grant_of(&self, study: StudyId, opening: &Opening, to: &Self) -> Grant {
        let place = SealedFor { from: self.id, to: to.id, study, version: 1 };
        Grant {
            study,
            version: 1,
            grantee: to.id,
            purpose: Purpose::Treatment,
            not_before: self.time,
            expires: self.time + DAY,
            conditions: Conditions::default(),
            break_glass: None,
            opening: opening.seal(&place, &to.secret.public().seal).unwrap(),
            consent: None,
        }
    }

    pub fn grant(&mut self, study: StudyId, opening: &Opening, to: &Self) -> Link {
        self.say(Body::Grant(Box::new(self.grant_of(study, opening, to)))).unwrap()
    }

    /// A receipt for this site's log of an access that `other` countersigned.
    pub fn receipt(access: Access, other: &Self) -> Receipt {
        let countersignature = access.countersign(&other.secret.entry_key());
        Receipt { access, key: other.secret.public().sign, countersignature }
    }

    /// The tree head of the first `size` entries, signed.
    pub fn checkpoint(&self, size: usize) -> SignedCheckpoint {
        checkpoint_of(&self.origin, &self.secret, &bytes_of(&self.entries[..size]))
    }

    pub fn member(&self, fresh_at: u64) -> Member<'_> {
        Member { state: &self.state, fresh_at: Some(fresh_at), finding: None }
    }

    pub fn log_key(&self) -> VerifierKey {
        VerifierKey::of_log(&self.origin, self.secret.public().log).unwrap()
    }

    pub fn witness_key(&self) -> VerifierKey {
        VerifierKey::of_witness(&self.origin, self.secret.public().witness).unwrap()
    }
}

pub fn access(owner: &Site, reader: &Site, right: Link, study: StudyId, number: u64) -> Access {
    let (began, ended) = (START, START);
    let (owner, reader) = (owner.id, reader.id);
    let outcome = Outcome::Verified;
    Access { owner, reader, right, study, version: 1, number, began, ended, outcome }
}

pub fn bytes_of(entries: &[SignedEntry]) -> Vec<Vec<u8>> {
    entries.iter().map(|entry| entry.bytes().to_vec()).collect()
}

/// A tree head over any entries, signed with any keys.
pub fn checkpoint_of(origin: &str, secret: &SiteSecret, entries: &[Vec<u8>]) -> SignedCheckpoint {
    let leaves: Vec<_> = entries.iter().map(|e| cairn_ledger::merkle::leaf_hash(e).0).collect();
    let root = cairn_ledger::merkle::root_of(&leaves);
    let size = entries.len() as u64;
    Checkpoint { origin: origin.to_owned(), size, root }.sign(&[secret.log_key()]).unwrap()
}

/// A clock that tests set.
pub fn clock_at(time: u64) -> (Arc<AtomicU64>, Clock) {
    let now = Arc::new(AtomicU64::new(time));
    let read = Arc::clone(&now);
    (now, Arc::new(move || read.load(Ordering::SeqCst)))
}

pub fn open_log(directory: &Path, seed: u8) -> SiteLog {
    let secret = SiteSecret::from_seed([seed; 32]);
    let origin = format!("ledger.example/{seed}");
    let (_, clock) = clock_at(START);
    SiteLog::open(Arc::new(OsDisk), directory, &origin, &secret, None, clock).unwrap()
}

/// A register entry with random contents.
pub fn any_register() -> Body {
    let salt = cairn_ledger::id::random().unwrap();
    let root = StudyRoot(cairn_ledger::id::random().unwrap());
    Body::Register(Register { salt, commitment: Opening::generate(root).unwrap().commitment() })
}
