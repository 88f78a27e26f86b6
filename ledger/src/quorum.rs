//! Which cosignatures make a checkpoint count: a configured k of n witnesses.

use crate::checkpoint::SignedCheckpoint;
use crate::note::VerifierKey;
use crate::{Error, Result};

/// k of n witnesses.
#[derive(Clone, Debug)]
pub struct Quorum {
    needed: usize,
    witnesses: Vec<VerifierKey>,
}

impl Quorum {
    /// At least `needed` of `witnesses`, each of which counts once, whatever its name. `needed` may be
    /// 0 for a log that nobody witnesses; its checkpoints are then as fresh as they are new.
    pub fn new(needed: usize, witnesses: Vec<VerifierKey>) -> Result<Self> {
        let fault = |why| Err(Error::Note { what: "witness policy", why });
        let keys: std::collections::BTreeSet<_> = witnesses.iter().map(VerifierKey::key).collect();
        if keys.len() != witnesses.len() {
            return fault("two witnesses have one key");
        }
        if needed > witnesses.len() {
            return fault("more witnesses are needed than there are");
        }
        if witnesses.iter().any(|key| key.kind() != crate::note::COSIGNATURE) {
            return fault("a key is not a witness's");
        }
        Ok(Self { needed, witnesses })
    }

    /// The same of a federation whose members come and go: a key that two of them name counts once, and
    /// as long as there are too few of them no checkpoint counts.
    #[must_use]
    pub fn among(needed: usize, members: impl IntoIterator<Item = VerifierKey>) -> Self {
        let mut witnesses: Vec<VerifierKey> = Vec::new();
        for member in members {
            let known = witnesses.iter().any(|known| known.key() == member.key());
            if !known && member.kind() == crate::note::COSIGNATURE {
                witnesses.push(member);
            }
        }
        Self { needed, witnesses }
    }

    /// The same policy for the log of a site that is itself among the witnesses: nobody vouches for
    /// himself, so its key does not count.
    #[must_use]
    pub fn without(&self, key: &[u8; 32]) -> Self {
        let others = self.witnesses.iter().filter(|witness| witness.key() != key).cloned();
        Self { needed: self.needed, witnesses: others.collect() }
    }

    /// Cosignatures that are needed.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Until when it is certain that this was the log's latest checkpoint, in seconds since the epoch:
    /// the time that k witnesses have reached. `None` where no witness is needed.
    pub fn fresh_at(&self, checkpoint: &SignedCheckpoint) -> Result<Option<u64>> {
        let mut times = Vec::new();
        for witness in &self.witnesses {
            times.extend(checkpoint.cosigned_at(witness)?);
        }
        times.sort_unstable_by(|a, b| b.cmp(a));
        if times.len() < self.needed {
            return Err(Error::Quorum { found: times.len(), needed: self.needed });
        }
        Ok(self.needed.checked_sub(1).and_then(|last| times.get(last).copied()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::checkpoint::Checkpoint;
    use ed25519_dalek::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn witness(seed: u8) -> VerifierKey {
        VerifierKey::of_witness("w", key(seed).verifying_key().to_bytes()).unwrap()
    }

    #[test]
    fn k_of_n_counts_each_witness_once() {
        let two_of_three = Quorum::new(2, vec![witness(2), witness(3), witness(4)]).unwrap();
        let checkpoint = Checkpoint { origin: "log".into(), size: 3, root: [3; 32] };
        let mut signed = checkpoint.sign(&[key(1)]).unwrap();
        let found = |signed: &_| match two_of_three.fresh_at(signed) {
            Err(Error::Quorum { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(found(&signed), 0);
        signed.add(signed.cosign("w", &key(2), 900).unwrap());
        signed.add(signed.cosign("w", &key(9), 900).unwrap());
        assert_eq!(found(&signed), 1, "a stranger does not count");
        signed.add(signed.cosign("w", &key(3), 500).unwrap());
        assert_eq!(two_of_three.fresh_at(&signed).unwrap(), Some(500));
        signed.add(signed.cosign("w", &key(4), 800).unwrap());
        assert_eq!(two_of_three.fresh_at(&signed).unwrap(), Some(800), "two have reached it");
        let own = two_of_three.without(&key(2).verifying_key().to_bytes());
        assert_eq!(own.fresh_at(&signed).unwrap(), Some(500));
        assert!(Quorum::new(2, vec![witness(2), witness(2)]).is_err(), "one key twice");
        assert!(Quorum::new(3, vec![witness(2), witness(3)]).is_err());
        let members = Quorum::among(2, [witness(2), witness(4), witness(2)]);
        assert_eq!(members.fresh_at(&signed).unwrap(), Some(800), "one key counts once");
        assert!(Quorum::among(2, [witness(2)]).fresh_at(&signed).is_err(), "too few of them");
        assert_eq!(Quorum::new(0, vec![]).unwrap().fresh_at(&signed).unwrap(), None);
    }
}
