//! Proofs of entries as files (C2SP tlog-proof): made from a log, checked with keys alone.

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::SignedEntry;
use cairn_ledger::keys::SiteKeys;
use cairn_ledger::merkle::inclusion;
use cairn_ledger::note::VerifierKey;
use cairn_ledger::offline::LogProof;
use cairn_ledger::order::Order;
use cairn_ledger::quorum::Quorum;
use cairn_ledger::state::SiteState;
use cairn_ledger::tiles::CHECKPOINT;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fault;
use super::entries::{entry_at, told};
use super::record::digits;
use super::site::Site;
use crate::error::{Error, Result};

/// Keys that a proof is checked with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// Keys that have signed checkpoints of the log, as C2SP writes them.
    pub(crate) log: Vec<String>,
    /// Keys that have signed its entries, in hexadecimal digits.
    pub(crate) signers: Vec<String>,
    /// Keys of witnesses, as C2SP writes them.
    pub(crate) witnesses: Vec<String>,
    /// Cosignatures that are asked for.
    pub(crate) needed: usize,
}

/// What a proof file came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// Everything that was asked for holds.
    pub(crate) valid: bool,
    /// The log's name.
    pub(crate) origin: String,
    /// Entries under the checkpoint.
    pub(crate) size: u64,
    /// Until when it is certain that this was the log's latest state, in seconds since the epoch.
    pub(crate) seen_at: Option<u64>,
    /// Was the entry's own signature checked?
    pub(crate) is_signature_checked: bool,
    /// The entry.
    pub(crate) entry: Value,
    /// What does not hold.
    pub(crate) why: Option<String>,
}

impl Site {
    /// Proves that a log has an entry: under the newest checkpoint that was cosigned, or else under the
    /// newest there is.
    pub(super) fn prove(&self, sequence: u64, of: Option<&str>) -> Result<String> {
        let (site, reader) = self.reader_of(of)?;
        let entry = entry_at(&reader, sequence)?;
        let checkpoint = if site == self.id() {
            let published = self.published()?;
            let covers = published.checkpoint().size > sequence;
            if covers { published } else { self.log.head() }
        } else {
            let path = self.folder.mirror(&site).join(CHECKPOINT);
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            SignedCheckpoint::parse(&bytes)?
        };
        let inclusion = inclusion(&reader, sequence, checkpoint.checkpoint().size)?;
        Ok(LogProof { inclusion, checkpoint }.format_with_entry(&entry))
    }

    /// The keys with which proofs of a log are checked, if it is known here.
    pub(super) fn proof_keys(&self, origin: &str) -> Result<Keys> {
        let history = if origin == self.name() {
            self.with_state(|state: &SiteState| state.key_history().to_vec())
        } else {
            let site = self.find_peer(origin)?.site;
            self.with_view(&site, |view| view.state.key_history().to_vec()).unwrap_or_default()
        };
        let mut witnesses = vec![self.own_witness()?];
        for peering in self.peerings() {
            let record = peering.record();
            // Nobody vouches for himself.
            if record.name != origin {
                witnesses.push(record.witness()?);
            }
        }
        witnesses.retain(|key| key.name() != origin);
        let log =
            |keys: &SiteKeys| VerifierKey::of_log(origin, keys.log).map(|key| key.to_string());
        Ok(Keys {
            log: history.iter().map(log).collect::<cairn_ledger::Result<_>>()?,
            signers: history.iter().map(|keys| digits(&keys.sign)).collect(),
            witnesses: witnesses.iter().map(ToString::to_string).collect(),
            needed: self.settings.witnesses,
        })
    }

    fn own_witness(&self) -> Result<VerifierKey> {
        let key = self.keys().secret.public().witness;
        Ok(VerifierKey::of_witness(&self.name(), key)?)
    }
}

/// The log that a proof is of, as it says itself.
pub(crate) fn origin_of(text: &str) -> Result<String> {
    let proof = LogProof::parse(text.as_bytes())?;
    Ok(proof.checkpoint.checkpoint().origin.clone())
}

/// Checks a proof with these keys; touches nothing else.
pub(crate) fn check(text: &str, keys: &Keys) -> Result<Proof> {
    let (proof, entry) = LogProof::parse_with_entry(text.as_bytes())?;
    let no_entry = || Fault::Request("the proof does not carry its entry".into());
    let entry = entry.ok_or_else(no_entry)?;
    let head = proof.checkpoint.checkpoint();
    let mut told = Proof {
        valid: false,
        origin: head.origin.clone(),
        size: head.size,
        seen_at: None,
        is_signature_checked: false,
        entry: told(&entry),
        why: None,
    };
    match holds(&proof, &entry, keys, &mut told) {
        Ok(()) => told.valid = true,
        Err(error) => told.why = Some(error.to_string()),
    }
    Ok(told)
}

fn holds(proof: &LogProof, entry: &SignedEntry, keys: &Keys, told: &mut Proof) -> Result<()> {
    let parse = |keys: &[String]| -> cairn_ledger::Result<Vec<VerifierKey>> {
        keys.iter().map(|key| VerifierKey::parse(key)).collect()
    };
    let logs = parse(&keys.log)?;
    let signed = logs.iter().any(|key| proof.checkpoint.verify(key).is_ok());
    if !signed {
        return Err(cairn_ledger::Error::Signature("the checkpoint").into());
    }
    let quorum = Quorum::among(keys.needed, parse(&keys.witnesses)?);
    told.seen_at = quorum.fresh_at(&proof.checkpoint)?;
    proof.inclusion.verify(&entry.leaf(), &proof.checkpoint.checkpoint().root)?;
    if entry.entry().header.sequence != proof.inclusion.index {
        return Err(cairn_ledger::Error::Proof("the entry says that it stands elsewhere").into());
    }
    if keys.signers.is_empty() {
        return Ok(());
    }
    let signers = keys.signers.iter().filter_map(|key| cairn_ledger::id::SiteId::from_hex(key));
    if !signers.into_iter().any(|key| entry.verify(&key.0).is_ok()) {
        return Err(cairn_ledger::Error::Signature("the entry").into());
    }
    told.is_signature_checked = true;
    Ok(())
}
