//! What each kind of entry says. Field by field with sizes and what it tells: `ENTRIES.md`.

use cairn_chunker::cbor::Writer;
use ed25519_dalek::{Signer, SigningKey};

use super::terms::{
    Access, BreakGlassReason, Conditions, Purpose, ReviewVerdict, RevokeReason, TombstoneReason,
    Verdict,
};
use crate::id::{Commitment, ConsentId, Link, SiteId, StudyId};
use crate::keys::{Possession, SiteKeys, verify};
use crate::opening::Sealed;

/// Starts what is countersigned of an access.
const RECEIPT: &[u8] = b"cairn 2026-11 v1 access receipt\n";

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A site begins its log.
    Join(Box<Join>),
    /// A site replaces its keys.
    Rotate(Box<Rotate>),
    /// A study is registered: its first version.
    Register(Register),
    /// A study has a new version.
    Supersede(Supersede),
    /// What the ingest checks said of a version.
    Attest(Attest),
    /// Another site may read a version.
    Grant(Box<Grant>),
    /// The grantee takes a grant with its conditions.
    Accept(Accept),
    /// A grant ends at once.
    Revoke(Revoke),
    /// Somebody has read; both sides signed.
    Receipt(Box<Receipt>),
    /// A study is handed to another site.
    TransferOut(Box<TransferOut>),
    /// A study that was handed over is taken.
    TransferIn(TransferIn),
    /// A site opens another's study in an emergency, without a grant.
    BreakGlass(BreakGlass),
    /// The owner has reviewed a break-glass access.
    Review(Review),
    /// A patient's key is bound to a study.
    PatientKey(PatientKey),
    /// A study ends.
    Tombstone(Tombstone),
}

/// See [`Body::Join`]. Always the first entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The log's origin line (C2SP tlog-checkpoint): a URL without scheme. With the signing key it
    /// makes the site's id.
    pub origin: String,
    /// The site's keys.
    pub keys: SiteKeys,
    /// That it holds them.
    pub possession: Possession,
}

/// See [`Body::Rotate`]. Signed with the old key; the new ones count from the next entry on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// The new keys, all of them.
    pub keys: SiteKeys,
    /// That the site holds them.
    pub possession: Possession,
}

/// See [`Body::Register`]. The study's id is [`StudyId::derive`] of the site and `salt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// 32 random bytes.
    pub salt: [u8; 32],
    /// To the root of version 1.
    pub commitment: Commitment,
}

/// See [`Body::Supersede`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supersede {
    /// Which study.
    pub study: StudyId,
    /// The new version: one more than the last.
    pub version: u64,
    /// To its root, with a blinding of its own.
    pub commitment: Commitment,
}

/// See [`Body::Attest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// Which study.
    pub study: StudyId,
    /// Which version.
    pub version: u64,
    /// Version of the set of checks.
    pub checks: u64,
    /// What they said.
    pub verdict: Verdict,
}

/// See [`Body::Grant`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which study.
    pub study: StudyId,
    /// Which version, and no other.
    pub version: u64,
    /// Who may read.
    pub grantee: SiteId,
    /// What for.
    pub purpose: Purpose,
    /// From when, in seconds since the epoch.
    pub not_before: u64,
    /// Until when; at this second it no longer holds.
    pub expires: u64,
    /// What is asked of the grantee.
    pub conditions: Conditions,
    /// The break-glass entry that it answers: such a grant ends within a day.
    pub break_glass: Option<Link>,
    /// The opening of the version's commitment, for the grantee's eyes only.
    pub opening: Sealed,
    /// What the patient signed, where it is given because of that. A kind of entry of its own.
    pub consent: Option<ConsentId>,
}

/// See [`Body::Accept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The grant.
    pub grant: Link,
}

/// See [`Body::Revoke`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoke {
    /// Sequence of the grant in the same log.
    pub grant: u64,
    /// Why.
    pub reason: RevokeReason,
}

/// See [`Body::Receipt`]. Stands in the owner's log with the reader's signature, and in the reader's
/// log with the owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What happened.
    pub access: Access,
    /// The other side's signing key.
    pub key: [u8; 32],
    /// The other side's signature over the access.
    pub countersignature: [u8; 64],
}

/// See [`Body::TransferOut`]. All grants of the study end here; the new owner gives its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferOut {
    /// Which study.
    pub study: StudyId,
    /// Its last version here.
    pub version: u64,
    /// To whom.
    pub to: SiteId,
    /// The opening of the last version's commitment, for the new owner.
    pub opening: Sealed,
}

/// See [`Body::TransferIn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferIn {
    /// Which study.
    pub study: StudyId,
    /// The entry that handed it over.
    pub from: Link,
    /// The version that was handed over.
    pub version: u64,
    /// To the same root, with a blinding of the new owner's.
    pub commitment: Commitment,
}

/// See [`Body::BreakGlass`]. Stands in the log of who breaks the glass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlass {
    /// Whose study.
    pub owner: SiteId,
    /// Which study.
    pub study: StudyId,
    /// Until when: at most a day after the entry's time.
    pub expires: u64,
    /// Why.
    pub reason: BreakGlassReason,
}

/// See [`Body::Review`]. Stands in the owner's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The break-glass entry.
    pub break_glass: Link,
    /// What was found.
    pub verdict: ReviewVerdict,
}

/// See [`Body::PatientKey`]. A later one replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientKey {
    /// Which study.
    pub study: StudyId,
    /// To the patient's public key, with a blinding of its own: the same patient's studies cannot be
    /// told to belong together.
    pub commitment: Commitment,
    /// From now on the study is granted with the patient's signature only, emergencies apart. A kind of
    /// entry of its own; it is never taken back.
    pub required: bool,
}

/// See [`Body::Tombstone`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Which study.
    pub study: StudyId,
    /// Why.
    pub reason: TombstoneReason,
}

impl Access {
    /// What either side signs of an access.
    fn message(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        [RECEIPT, &writer.finish()].concat()
    }

    /// This side's signature, for the other side's log.
    #[must_use]
    pub fn countersign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.message()).to_bytes()
    }
}

impl Receipt {
    /// Did the holder of `key` sign this access?
    #[must_use]
    pub fn holds(&self) -> bool {
        verify(&self.key, &self.access.message(), &self.countersignature)
    }
}
