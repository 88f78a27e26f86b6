//! What a patient says, signed with their key: COSE_Sign1 as entries are, over a CBOR array.
//!
//! ```text
//! [version, suite, kind, key, owner, signed, body…]
//! ```
//!
//! The key stands in it, so a statement that was read was signed by the holder of that key; whose key
//! it is, a binding tells. The owner stands in it, so what was said to one site is nothing to another.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cairn_chunker::cbor::{Reader, Writer};

use super::PatientSecret;
use crate::entry::{Body, Conditions, Purpose, SignedEntry, Suite, read_time};
use crate::envelope::Envelope;
use crate::id::{Commitment, ConsentId, SiteId, StudyId};
use crate::limits::{CLOCK_SKEW_SECONDS, GRANT_SECONDS_MAX, STATEMENT_BYTES_MAX};
use crate::opening::Blinding;
use crate::{Error, Result};

/// Signed along (RFC 9052 §4.3): a statement passes for no entry, nor an entry for a statement.
const EXTERNAL_AAD: &[u8] = b"cairn 2026-11 v1 patient statement";
const CONTEXT_ID: &str = "cairn 2026-11 v1 patient consent id";
const VERSION: u64 = 1;
const WHAT: &str = "patient statement";
/// The first word of the line that holds a statement in a text file.
const TEXT_TAG: &str = "cairn-patient-statement-v1 ";

/// Who says it, to whom, when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaidBy {
    /// The patient's public key.
    pub key: [u8; 32],
    /// The site that owns what it is about.
    pub owner: SiteId,
    /// When, by the patient's clock, in seconds since the epoch.
    pub signed: u64,
}

/// One thing that a patient says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// By whom.
    pub by: SaidBy,
    /// What.
    pub body: StatementBody,
}

/// The kinds of statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementBody {
    /// A site may read a study.
    Consent(Consent),
    /// What others may do ends.
    Withdrawal(Withdrawal),
    /// What is known of my studies?
    Inquiry(Inquiry),
}

/// See [`StatementBody::Consent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Which study, whatever version is its last.
    pub study: StudyId,
    /// Opens the binding of the key to the study.
    pub blinding: Blinding,
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
}

/// See [`StatementBody::Withdrawal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Of which study.
    pub study: StudyId,
    /// Sequence of a grant in the owner's log; `None`: all there are, and all consents signed until
    /// now.
    pub grant: Option<u64>,
}

/// See [`StatementBody::Inquiry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Random: the same question asked twice is two statements, and one heard twice is one.
    pub nonce: [u8; 32],
}

/// A statement with the bytes that were signed. Whatever made it, the signature holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedStatement {
    statement: Statement,
    envelope: Envelope,
}

impl SignedStatement {
    /// Signs a statement to `owner` at `signed` (seconds since the epoch).
    pub fn sign(
        secret: &PatientSecret,
        owner: SiteId,
        signed: u64,
        body: StatementBody,
    ) -> Result<Self> {
        let key = *secret.card().key();
        let statement = Statement { by: SaidBy { key, owner, signed }, body };
        let suite = Suite::Ed25519;
        let (payload, key) = (statement.encode(suite), secret.signing_key());
        let envelope = Envelope::sign(suite, payload, EXTERNAL_AAD, &key, STATEMENT_BYTES_MAX)?;
        Ok(Self { statement, envelope })
    }

    /// Reads a statement, and checks that the holder of the key in it signed it.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (envelope, statement) =
            Envelope::decode(bytes, STATEMENT_BYTES_MAX, Statement::decode)?;
        envelope.verify(EXTERNAL_AAD, &statement.by.key, "a patient's statement")?;
        Ok(Self { statement, envelope })
    }

    /// What it says.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.envelope.bytes()
    }

    /// Names it on the ledger.
    #[must_use]
    pub fn id(&self) -> ConsentId {
        ConsentId(blake3::derive_key(CONTEXT_ID, self.bytes()))
    }

    /// The consent, if it is one.
    #[must_use]
    pub fn consent(&self) -> Option<&Consent> {
        match &self.statement.body {
            StatementBody::Consent(consent) => Some(consent),
            _ => None,
        }
    }

    /// A line of text that a person can send on.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{TEXT_TAG}{}\n", STANDARD.encode(self.bytes()))
    }

    /// Reads [`SignedStatement::to_text`], between lines that are empty or begin with `#`.
    pub fn from_text(text: &str) -> Result<Self> {
        let fault = || Error::Patient("patient's statement");
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = lines.find(|line| !line.starts_with('#')).ok_or_else(fault)?;
        let encoded = line.strip_prefix(TEXT_TAG).ok_or_else(fault)?;
        // Base64 is a third longer.
        if encoded.len() > STATEMENT_BYTES_MAX * 2 {
            return Err(fault());
        }
        Self::decode(&STANDARD.decode(encoded.trim()).map_err(|_| fault())?)
    }

    /// Is it a consent, and `entry` the one that binds its key to its study? Whether that entry stands
    /// in the owner's log, a proof tells ([`crate::offline::LogProof::verify`]).
    pub fn check_binding(&self, entry: &SignedEntry) -> Result<&Consent> {
        let consent = self.consent().ok_or(Error::Patient("consent"))?;
        let other = Error::Patient("consent of the patient whose key that entry binds");
        let Body::PatientKey(bound) = &entry.entry().body else { return Err(other) };
        let same_owner = entry.entry().header.site == self.statement.by.owner;
        let same = same_owner && bound.study == consent.study && self.opens(&bound.commitment);
        if same { Ok(consent) } else { Err(other) }
    }

    /// Is it a consent whose key and blinding are behind this commitment?
    #[must_use]
    pub fn opens(&self, commitment: &Commitment) -> bool {
        let key = &self.statement.by.key;
        self.consent().is_some_and(|it| it.blinding.commit_patient_key(key) == *commitment)
    }

    /// Was it signed just now, as far as clocks agree? What is answered at once has to be fresh.
    #[must_use]
    pub fn is_fresh(&self, now: u64) -> bool {
        self.statement.by.signed.abs_diff(now) <= CLOCK_SKEW_SECONDS
    }
}

impl Consent {
    /// Does it hold at this time (seconds since the epoch)?
    #[must_use]
    pub fn holds_at(&self, now: u64) -> bool {
        (self.not_before..self.expires).contains(&now)
    }
}

impl Statement {
    fn encode(&self, suite: Suite) -> Vec<u8> {
        let SaidBy { key, owner, signed } = &self.by;
        let mut writer = Writer::new();
        let (kind, fields) = self.body.layout();
        writer.array(6 + fields).uint(VERSION).uint(suite.id()).uint(kind);
        writer.bytes(key).bytes(&owner.0).uint(*signed);
        match &self.body {
            StatementBody::Consent(consent) => {
                writer.bytes(&consent.study.0).bytes(&consent.blinding.0);
                writer.bytes(&consent.grantee.0).uint(consent.purpose.id());
                writer.uint(consent.not_before).uint(consent.expires);
                writer.uint(consent.conditions.bits());
            }
            StatementBody::Withdrawal(withdrawal) => {
                writer.bytes(&withdrawal.study.0);
                match withdrawal.grant {
                    Some(grant) => writer.uint(grant),
                    None => writer.null(),
                };
            }
            StatementBody::Inquiry(inquiry) => {
                writer.bytes(&inquiry.nonce);
            }
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<(Suite, Self)> {
        let mut reader = Reader::new(bytes, WHAT);
        let fields = reader.array()?;
        let version = reader.uint()?;
        if version != VERSION {
            return Err(cairn_chunker::Error::Version { what: WHAT, version }.into());
        }
        let Some(suite) = Suite::from_id(reader.uint()?) else {
            return Err(reader.fault("the signature suite is unknown").into());
        };
        let kind = reader.uint()?;
        let (key, owner) = (reader.hash()?, SiteId(reader.hash()?));
        let by = SaidBy { key, owner, signed: read_time(&mut reader)? };
        let body = match kind {
            0 => StatementBody::Consent(Consent::read(&mut reader)?),
            1 => StatementBody::Withdrawal(Withdrawal {
                study: StudyId(reader.hash()?),
                grant: if reader.null() { None } else { Some(reader.uint()?) },
            }),
            2 => StatementBody::Inquiry(Inquiry { nonce: reader.hash()? }),
            _ => return Err(reader.fault("unknown kind of statement").into()),
        };
        if fields != 6 + body.layout().1 {
            return Err(reader.fault("it has another number of fields").into());
        }
        reader.end()?;
        Ok((suite, Self { by, body }))
    }
}

impl StatementBody {
    /// Its number, and how many fields it has.
    fn layout(&self) -> (u64, usize) {
        match self {
            Self::Consent(_) => (0, 7),
            Self::Withdrawal(_) => (1, 2),
            Self::Inquiry(_) => (2, 1),
        }
    }
}

impl Consent {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let consent = Self {
            study: StudyId(reader.hash()?),
            blinding: Blinding(reader.hash()?),
            grantee: SiteId(reader.hash()?),
            purpose: Purpose::read(reader)?,
            not_before: read_time(reader)?,
            expires: read_time(reader)?,
            conditions: Conditions::read(reader)?,
        };
        let lasts = consent.expires.saturating_sub(consent.not_before);
        if lasts == 0 || lasts > GRANT_SECONDS_MAX {
            return Err(reader.fault("its period is none, or too long").into());
        }
        Ok(consent)
    }
}
