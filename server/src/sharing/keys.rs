//! The site's own secrets, and what is made of them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cairn_ledger::keys::SiteSecret;
use cairn_ledger::log::{SiteLog, system_clock};
use cairn_ledger::witness::Witness;
use cairn_store::disk::OsDisk;

use super::folder::{Folder, remove};
use crate::error::Result;
use crate::peer;

/// How long a command waits for another process to let go of the ledger.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// What the site signs, opens and shows itself with. Replaced as a whole by a rotation.
pub(super) struct Keys {
    pub(super) secret: SiteSecret,
    /// Those before it, the newest last: what was sealed to them is still opened.
    pub(super) retired: Vec<SiteSecret>,
    pub(super) witness: Witness,
    /// Made when it is first needed: most commands speak to nobody.
    identity: OnceLock<peer::Identity>,
}

impl Keys {
    pub(super) fn new(
        folder: &Folder,
        origin: &str,
        secret: SiteSecret,
        retired: Vec<SiteSecret>,
    ) -> Result<Self> {
        let key = secret.witness_key();
        let witness = Witness::open(Arc::new(OsDisk), &folder.witness(), origin, key)?;
        Ok(Self { secret, retired, witness, identity: OnceLock::new() })
    }

    /// What it shows in TLS.
    pub(super) fn identity(&self) -> Result<peer::Identity> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity.clone());
        }
        let made = peer::Identity::new(&self.secret)?;
        Ok(self.identity.get_or_init(|| made).clone())
    }

    /// All secrets, the one in force first.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SiteSecret> {
        std::iter::once(&self.secret).chain(self.retired.iter().rev())
    }
}

/// Keys and those after them. None goes before the process ends, so what was lent of them stays good;
/// there are as many as rotations.
pub(super) struct Succession {
    keys: Keys,
    next: OnceLock<Box<Self>>,
}

impl Succession {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, next: OnceLock::new() }
    }

    fn last(&self) -> &Self {
        let mut last = self;
        while let Some(next) = last.next.get() {
            last = next;
        }
        last
    }

    /// Those in force.
    pub(super) fn keys(&self) -> &Keys {
        &self.last().keys
    }

    /// Puts others in their place. One rotation at a time.
    pub(super) fn succeed(&self, keys: Keys) {
        let _ = self.last().next.set(Box::new(Self::new(keys)));
    }
}

/// Opens the log of this origin, with the secret that it knows: a crash may have left a rotation half
/// done. Begins it if there is none.
pub(super) fn open_log(folder: &Folder, origin: &str) -> Result<(SiteLog, Keys)> {
    folder.mend_rotation()?;
    let (key, next) = (folder.key(), folder.next_key());
    if !key.exists() {
        SiteSecret::generate()?.save(&key)?;
    }
    let mut retired = folder.retired()?;
    let mut secret = SiteSecret::load(&key)?;
    let opened = open(folder, origin, &secret, retired.last());
    let log = match opened {
        Ok(log) => {
            // A rotation that was never logged leaves a key that nobody knows.
            if next.exists() {
                remove(&next)?;
            }
            log
        }
        Err(error) if next.exists() => {
            let successor = SiteSecret::load(&next)?;
            let Ok(log) = open(folder, origin, &successor, Some(&secret)) else {
                return Err(error);
            };
            folder.finish_rotation(retired.len())?;
            retired.push(std::mem::replace(&mut secret, successor));
            log
        }
        Err(error) => return Err(error),
    };
    Ok((log, Keys::new(folder, origin, secret, retired)?))
}

fn open(
    folder: &Folder,
    origin: &str,
    secret: &SiteSecret,
    previous: Option<&SiteSecret>,
) -> Result<SiteLog> {
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        let (disk, log) = (Arc::new(OsDisk), folder.log());
        match SiteLog::open(disk, &log, origin, secret, previous, system_clock()) {
            Err(cairn_ledger::Error::Locked(_)) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(50));
            }
            opened => return Ok(opened?),
        }
    }
}
