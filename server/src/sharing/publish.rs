//! The own head on its way: cosigned by others, then published.

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::id::SiteId;
use cairn_ledger::note::NoteSignature;
use cairn_ledger::order::Order;

use super::lock;
use super::peering::Peering;
use super::site::Site;
use crate::error::Result;
use crate::peer;

/// The newest own head that somebody has cosigned, with the cosignatures so far.
pub(super) struct Collected {
    head: SignedCheckpoint,
    /// Entries under the last checkpoint that was published.
    published: u64,
}

impl Collected {
    pub(super) fn new(published: Option<SignedCheckpoint>, head: SignedCheckpoint) -> Self {
        let size = published.as_ref().map_or(0, |published| published.checkpoint().size);
        let newest = published.filter(|published| published.checkpoint() == head.checkpoint());
        Self { head: newest.unwrap_or(head), published: size }
    }
}

impl Site {
    /// The own checkpoint that others may follow, with its cosignatures.
    ///
    /// A head is published once as many peers have cosigned it as are asked for, so that who follows is
    /// not left without; where nobody is asked for, or nothing was published yet, it is the newest.
    pub(crate) fn published(&self) -> Result<SignedCheckpoint> {
        let collected = lock(&self.collected);
        if self.needed() > 0
            && let Some(published) = self.log.published()?
        {
            return Ok(published);
        }
        let head = self.log.head();
        let is_newest = collected.head.checkpoint() == head.checkpoint();
        Ok(if is_newest { collected.head.clone() } else { head })
    }

    /// Cosignatures that a head waits for: there cannot be more than there are peers.
    fn needed(&self) -> usize {
        self.settings.witnesses.min(self.peerings().len())
    }

    /// Entries under the checkpoint that others may follow.
    pub(super) fn published_size(&self) -> u64 {
        let published = lock(&self.collected).published;
        if self.needed() == 0 { self.log.head().checkpoint().size } else { published }
    }

    /// Takes a peer's cosignature of an own head, and publishes the head if there are enough.
    pub(super) fn collect(
        &self,
        from: &Peering,
        head: SignedCheckpoint,
        signature: NoteSignature,
    ) -> Result<()> {
        let record = from.record();
        let mut alone = head.without_cosignatures();
        alone.add(signature.clone());
        // One that does not hold, or names another witness, would spoil the checkpoint for everybody.
        if !matches!(alone.cosigned_at(&record.witness()?), Ok(Some(_))) {
            let why = "the cosignature is not its own".to_owned();
            return Err(peer::Error::Wrong { url: record.url, why }.into());
        }
        let mut collected = lock(&self.collected);
        let (new, known) = (head.checkpoint().size, collected.head.checkpoint().size);
        if new < known {
            return Ok(());
        }
        if new > known {
            collected.head = head;
        }
        collected.head.add(signature);
        if self.cosigners(&collected.head).len() >= self.needed() {
            self.log.publish(collected.head.clone())?;
            collected.published = new;
        }
        Ok(())
    }

    /// Peers that have cosigned an own checkpoint.
    pub(super) fn cosigners(&self, checkpoint: &SignedCheckpoint) -> Vec<SiteId> {
        let signed = |peering: &Peering| {
            let witness = peering.record().witness();
            witness.is_ok_and(|key| matches!(checkpoint.cosigned_at(&key), Ok(Some(_))))
        };
        let peers = self.peerings();
        peers.iter().filter(|peering| signed(peering)).map(|peering| peering.site).collect()
    }

    /// Peers that have cosigned a head over at least so many own entries.
    pub(super) fn cosigners_of(&self, size: u64) -> usize {
        let head = lock(&self.collected).head.clone();
        if head.checkpoint().size < size { 0 } else { self.cosigners(&head).len() }
    }
}
