//! Names on the ledger: 32 bytes each, one type and one hash context for each thing that is named.

use std::fmt;

use cairn_chunker::cbor::Writer;

use crate::{Error, Result};

const CONTEXT_SITE: &str = "cairn 2026-11 v1 site id";
const CONTEXT_STUDY: &str = "cairn 2026-11 v1 ledger study id";

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 32 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Reads 64 hexadecimal digits.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                // The digits are those of every name in Cairn.
                cairn_chunker::id::ChunkId::from_hex(text).map(|id| Self(id.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

name_type! {
    /// Names a site for good: a hash of its origin and of its first signing key, so that no other site
    /// can join under it. This is the fingerprint that people compare.
    SiteId
}
name_type! {
    /// Names a study on the ledger: 32 bytes that nobody can predict and that tell nothing of it.
    StudyId
}
name_type! {
    /// A study root or a key under a blinding value: binds to it and hides it.
    Commitment
}
name_type! {
    /// Names what a patient signed: a hash of its bytes. They hold a blinding value, so nobody who has
    /// not seen them can tell what it is the hash of.
    ConsentId
}
name_type! {
    /// Hash of an entry as a leaf of its log (RFC 6962 §2.1).
    LeafHash
}

impl SiteId {
    /// The id of the site that joins with this origin and signing key.
    #[must_use]
    pub fn derive(origin: &str, sign: &[u8; 32]) -> Self {
        let mut writer = Writer::new();
        writer.array(2).text(origin).bytes(sign);
        Self(blake3::derive_key(CONTEXT_SITE, &writer.finish()))
    }
}

impl StudyId {
    /// The id of the study that `site` registers with a random `salt`.
    ///
    /// The site is hashed in so that an id belongs to who registers it: nobody can register another
    /// site's study and then grant it.
    #[must_use]
    pub fn derive(site: &SiteId, salt: &[u8; 32]) -> Self {
        let mut writer = Writer::new();
        writer.array(2).bytes(&site.0).bytes(salt);
        Self(blake3::derive_key(CONTEXT_STUDY, &writer.finish()))
    }
}

/// An entry of some log, pinned by its hash: a forked log cannot put another in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Whose log.
    pub site: SiteId,
    /// The entry's position in it.
    pub sequence: u64,
    /// The entry's leaf hash.
    pub leaf: LeafHash,
}

/// 32 bytes of the system's randomness.
pub fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_id_belongs_to_its_site_and_a_site_id_to_its_key() {
        let (a, b) = (SiteId::derive("a", &[1; 32]), SiteId::derive("b", &[1; 32]));
        assert_ne!(a, b);
        assert_ne!(a, SiteId::derive("a", &[2; 32]));
        assert_ne!(StudyId::derive(&a, &[3; 32]), StudyId::derive(&b, &[3; 32]));
        assert_eq!(SiteId::from_hex(&a.to_string()), Some(a));
    }
}
