//! Entries as JSON, for people and programs that read a ledger.

use cairn_ledger::entry::{Access, Body, Conditions, SignedEntry};
use cairn_ledger::id::{Link, SiteId};
use cairn_ledger::keys::SiteKeys;
use cairn_ledger::tiles::TileReader;
use serde_json::{Value, json};

use super::Fault;
use super::record::digits;
use super::site::Site;
use super::words::{
    glass_word, outcome_word, reason_word, review_word, tombstone_word, verdict_word,
};
use crate::error::Result;

impl Site {
    /// Reads the log of a site as far as it is known here; its own if none is named.
    pub(super) fn reader_of(&self, site: Option<&str>) -> Result<(SiteId, TileReader)> {
        let Some(named) = site.filter(|named| *named != self.name()) else {
            return Ok((self.id(), self.log.reader()));
        };
        let peer = self.find_peer(named)?.site;
        let size = self.with_view(&peer, |view| view.state.next());
        let size = size.ok_or(Fault::NoMirror(peer))?;
        Ok((peer, TileReader::new(&self.folder.mirror(&peer), size)))
    }

    /// Entries of a log from one on, at most so many.
    pub(super) fn entries(&self, site: Option<&str>, from: u64, most: u64) -> Result<Vec<Value>> {
        let (_, reader) = self.reader_of(site)?;
        let from = from.min(reader.size());
        let to = reader.size().min(from.saturating_add(most));
        let entries = reader.entries(from..to)?;
        entries.iter().map(|bytes| Ok(told(&SignedEntry::decode(bytes)?))).collect()
    }
}

/// One entry of a log.
pub(super) fn entry_at(reader: &TileReader, sequence: u64) -> Result<SignedEntry> {
    if sequence >= reader.size() {
        return Err(Fault::NoEntry(sequence).into());
    }
    let entries = reader.entries(sequence..sequence + 1)?;
    let bytes = entries.first().ok_or(Fault::NoEntry(sequence))?;
    Ok(SignedEntry::decode(bytes)?)
}

/// An entry as an object.
pub(super) fn told(signed: &SignedEntry) -> Value {
    let entry = signed.entry();
    let mut object = json!({
        "sequence": entry.header.sequence,
        "time": entry.header.time,
        "kind": entry.body.name(),
        "bytes": signed.bytes().len(),
        "leaf": signed.leaf().to_string(),
        "site": entry.header.site.to_string(),
    });
    if let (Value::Object(all), Value::Object(body)) = (&mut object, body(&entry.body)) {
        all.extend(body);
    }
    object
}

fn keys(keys: &SiteKeys) -> Value {
    let SiteKeys { sign, log, witness, tls, seal } = keys;
    json!({
        "sign": digits(sign),
        "log": digits(log),
        "witness": digits(witness),
        "tls": digits(tls),
        "seal": digits(seal),
    })
}

fn link(link: &Link) -> Value {
    let Link { site, sequence, leaf } = link;
    json!({ "site": site.to_string(), "sequence": sequence, "leaf": leaf.to_string() })
}

fn access(access: &Access) -> Value {
    json!({
        "owner": access.owner.to_string(),
        "reader": access.reader.to_string(),
        "right": link(&access.right),
        "study": access.study.to_string(),
        "version": access.version,
        "number": access.number,
        "began": access.began,
        "ended": access.ended,
        "outcome": outcome_word(access.outcome),
    })
}

fn body(body: &Body) -> Value {
    match body {
        Body::Join(join) => json!({ "origin": join.origin, "keys": keys(&join.keys) }),
        Body::Rotate(rotate) => json!({ "keys": keys(&rotate.keys) }),
        Body::Register(body) => json!({ "commitment": body.commitment.to_string() }),
        Body::Supersede(body) => json!({
            "study": body.study.to_string(),
            "version": body.version,
            "commitment": body.commitment.to_string(),
        }),
        Body::Attest(body) => json!({
            "study": body.study.to_string(),
            "version": body.version,
            "checks": body.checks,
            "verdict": verdict_word(body.verdict),
        }),
        Body::Grant(grant) => {
            let Conditions { accept_first, from_bucket, no_retention } = grant.conditions;
            json!({
                "study": grant.study.to_string(),
                "version": grant.version,
                "grantee": grant.grantee.to_string(),
                "purpose": grant.purpose.code(),
                "not_before": grant.not_before,
                "expires": grant.expires,
                "accept_first": accept_first,
                "from_bucket": from_bucket,
                "no_retention": no_retention,
                "break_glass": grant.break_glass.as_ref().map(link),
                "consent": grant.consent.map(|consent| consent.to_string()),
            })
        }
        Body::Accept(accept) => json!({ "grant": link(&accept.grant) }),
        Body::Revoke(revoke) => {
            json!({ "grant": revoke.grant, "reason": reason_word(revoke.reason) })
        }
        Body::Receipt(receipt) => json!({
            "access": access(&receipt.access),
            "signed_by": digits(&receipt.key),
        }),
        Body::TransferOut(out) => json!({
            "study": out.study.to_string(),
            "version": out.version,
            "to": out.to.to_string(),
        }),
        Body::TransferIn(taken) => json!({
            "study": taken.study.to_string(),
            "version": taken.version,
            "from": link(&taken.from),
            "commitment": taken.commitment.to_string(),
        }),
        Body::BreakGlass(broken) => json!({
            "owner": broken.owner.to_string(),
            "study": broken.study.to_string(),
            "expires": broken.expires,
            "reason": glass_word(broken.reason),
        }),
        Body::Review(review) => json!({
            "break_glass": link(&review.break_glass),
            "verdict": review_word(review.verdict),
        }),
        Body::PatientKey(bound) => json!({
            "study": bound.study.to_string(),
            "commitment": bound.commitment.to_string(),
            "required": bound.required,
        }),
        Body::Tombstone(stone) => json!({
            "study": stone.study.to_string(),
            "reason": tombstone_word(stone.reason),
        }),
    }
}
