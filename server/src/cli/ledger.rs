//! `cairn ledger`: the site's own log, and those that it follows.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use cairn_ledger::limits::NOTE_BYTES_MAX;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Exit, Session};
use crate::error::{Error, Result};
use crate::output::{clean, count, counted, pairs, time};
use crate::sharing::control::{ENTRIES_MAX, Request};
use crate::sharing::{Proof, ProofKeys, Status, Verified, check_proof, proof_origin};

/// Begin, show, audit and prove the ledger
#[derive(Debug, Args)]
#[command(after_help = "\
Each site has a ledger of its own: signed entries that say what it registered, granted and revoked, \
and what was read. Other sites mirror it and sign its heads, so it cannot be rewritten unnoticed. \
Nothing of a patient stands in it.

A ledger's name is for ever; a host name of yours and /cairn is a good one. Its key is in \
DIR/ledger/site.key: keep a copy in a safe place, and none of the ledger itself: one that was brought \
back from a copy would be a second history. If a site is lost it begins again under another name.

`proof` writes a file (C2SP tlog-proof, with the entry in it) that anybody can check without this \
archive: `check` takes the keys from the ledgers that are known here, or as they are given.

Exit codes: 0 all is well; 1 something failed or is damaged, a proof does not hold, a ledger was \
caught; 2 wrong usage or settings.

Examples:
  cairn ledger join a.example/cairn
  cairn ledger
  cairn ledger verify
  cairn --json ledger entries --from 100 --count 10
  cairn ledger proof 17 > grant-17.tlog-proof
  cairn ledger check grant-17.tlog-proof
  cairn ledger check grant-17.tlog-proof --log 'a.example/cairn+1c2d…' --witness 'b.example/cairn+…'
  cairn ledger rotate")]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show how it stands, and its keys: the default
    Status,
    /// Begin this site's ledger
    Join {
        /// Its name, for ever [default: name in [sharing]]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Audit all ledgers on disk: every hash, signature and rule
    Verify,
    /// Print entries as JSON, one a line
    Entries {
        /// Of this site's ledger [default: one's own]
        #[arg(long, value_name = "SITE")]
        of: Option<String>,
        /// From this number on
        #[arg(long, value_name = "N", default_value = "0")]
        from: u64,
        /// At most so many
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Print a proof that the ledger has an entry
    Proof {
        /// Number of the entry
        #[arg(value_name = "SEQ")]
        sequence: u64,
        /// Of this site's ledger [default: one's own]
        #[arg(long, value_name = "SITE")]
        of: Option<String>,
    },
    /// Check a proof
    Check(CheckArgs),
    /// Replace this site's keys
    Rotate,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The proof
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    keys: Keys,
}

/// Keys that a proof is checked with: given, or those of a ledger that is known here.
#[derive(Debug, Args)]
pub(super) struct Keys {
    /// Key of the ledger's checkpoints; with it, nothing is looked up here
    #[arg(long, value_name = "KEY")]
    log: Option<String>,
    /// Key of a witness; once for each
    #[arg(long, value_name = "KEY", requires = "log")]
    witness: Vec<String>,
    /// Witnesses that are needed [default: those given]
    #[arg(long, value_name = "N", requires = "log")]
    needed: Option<usize>,
    /// Key that signs the ledger's entries; without it, the head and the place in it are checked
    #[arg(long, value_name = "HEX", requires = "log")]
    signer: Option<String>,
}

pub(super) fn run(session: &Session, args: &LedgerArgs) -> Result<Exit> {
    let output = &session.output;
    match &args.what {
        None | Some(What::Status) => tell_status(session, &session.ask(Request::Status)?),
        Some(What::Join { name }) => {
            let named = name.clone().or(session.config()?.sharing.settings()?.name);
            let name = named.ok_or(Error::Usage("a ledger needs a name"))?;
            let status: Status = session.ask(Request::Join { name })?;
            tell_status(session, &status)?;
            output.note("Keep a copy of ledger/site.key in the data directory in a safe place.");
            Ok(Exit::Good)
        }
        Some(What::Verify) => {
            let mut good = true;
            session.ask_each(Request::Verify, &mut |log: Verified| {
                good &= log.is_good();
                tell_verified(session, &log)
            })?;
            Ok(Exit::good_if(good))
        }
        Some(What::Entries { of, from, count }) => entries(session, of.as_deref(), *from, *count),
        Some(What::Proof { sequence, of }) => {
            let request = Request::Prove { sequence: *sequence, of: of.clone() };
            let text: String = session.ask(request)?;
            if output.json {
                output.object(&serde_json::json!({ "proof": text }))?;
            } else {
                output.text(&text)?;
            }
            Ok(Exit::Good)
        }
        Some(What::Check(args)) => check(session, args),
        Some(What::Rotate) => {
            let done: Value = session.ask(Request::Rotate)?;
            if output.json {
                output.object(&done)?;
            } else {
                output.note(
                    "The keys were replaced. Keep a copy of the new ledger/site.key, and those of \
                     ledger/retired as long as grants to this site are to be opened.",
                );
            }
            Ok(Exit::Good)
        }
    }
}

fn tell_status(session: &Session, status: &Status) -> Result<Exit> {
    let good = status.trouble.is_none() && status.findings == 0;
    if session.output.json {
        session.output.object(status)?;
        return Ok(Exit::good_if(good));
    }
    let cosigned = format!(
        "{} entries, cosigned by {} of {} sites; {} asked for",
        count(status.published),
        status.cosigned,
        status.peers,
        status.needed
    );
    let mut rows = vec![
        ("site", clean(&status.name)),
        ("id", status.site.clone()),
        ("fingerprint", status.fingerprint.clone()),
        ("reached at", status.url.as_deref().map_or_else(|| "-".into(), clean)),
        ("entries", count(status.entries)),
        ("root", status.root.clone()),
        ("published", cosigned),
        ("checkpoint key", status.log_key.clone()),
        ("witness key", status.witness_key.clone()),
        ("signer key", status.signer_key.clone()),
    ];
    if status.findings > 0 {
        let caught = counted(status.findings as u64, "ledger");
        rows.push(("NOT TRUSTED", format!("{caught}; `cairn peers` tells which")));
    }
    if let Some(why) = &status.trouble {
        rows.push(("STOPPED", clean(why)));
    }
    session.output.text(&pairs(&rows))?;
    Ok(Exit::good_if(good))
}

fn tell_verified(session: &Session, log: &Verified) -> Result<()> {
    if session.output.json {
        return session.output.object(log);
    }
    let state = match (&log.problem, &log.finding) {
        (None, None) => "good".to_owned(),
        (Some(why), _) => format!("DAMAGED: {}", clean(why)),
        (None, Some(finding)) => format!("NOT TRUSTED: {}", clean(finding)),
    };
    let name = clean(&log.name);
    session.output.text(&format!("{name}: {} entries, {state}\n", count(log.entries)))
}

fn entries(session: &Session, of: Option<&str>, from: u64, wanted: Option<u64>) -> Result<Exit> {
    let (mut at, mut left) = (from, wanted.unwrap_or(u64::MAX));
    while left > 0 {
        let most = left.min(ENTRIES_MAX);
        let of = of.map(str::to_owned);
        let got: Vec<Value> = session.ask(Request::Entries { of, from: at, most })?;
        for entry in &got {
            session.output.object(entry)?;
        }
        let came = got.len() as u64;
        if came < most {
            break;
        }
        (at, left) = (at + came, left - came);
    }
    Ok(Exit::Good)
}

fn check(session: &Session, args: &CheckArgs) -> Result<Exit> {
    let text = proof_text(&args.file)?;
    let unreadable =
        |error: Error| Error::Proof { path: args.file.clone(), why: error.to_string() };
    let keys = args.keys.find(session, &text).map_err(unreadable)?;
    let proof = check_proof(&text, &keys).map_err(unreadable)?;
    if session.output.json {
        session.output.object(&proof)?;
    } else {
        session.output.text(&tell_proof(&proof))?;
    }
    Ok(Exit::good_if(proof.valid))
}

impl Keys {
    /// Those for a proof.
    pub(super) fn find(&self, session: &Session, proof: &str) -> Result<ProofKeys> {
        let origin = proof_origin(proof)?;
        match &self.log {
            Some(log) => Ok(ProofKeys {
                log: vec![log.clone()],
                signers: self.signer.iter().cloned().collect(),
                needed: self.needed.unwrap_or(self.witness.len()),
                witnesses: self.witness.clone(),
            }),
            None => session.ask(Request::ProofKeys { origin }),
        }
    }
}

pub(super) fn proof_text(file: &Path) -> Result<String> {
    let opened = File::open(file).map_err(Error::io("read", file))?;
    let mut text = String::new();
    // One byte more than a proof may have, so that a longer one is seen to be one.
    let mut bounded = opened.take(NOTE_BYTES_MAX as u64 + 1);
    bounded.read_to_string(&mut text).map_err(Error::io("read", file))?;
    Ok(text)
}

fn tell_proof(proof: &Proof) -> String {
    let entry = |field: &str| match &proof.entry[field] {
        Value::String(text) => clean(text),
        other => other.to_string(),
    };
    let seen = proof.seen_at.map_or_else(|| "-".into(), |seen| time(seen * 1000));
    let written = proof.entry["time"].as_u64().unwrap_or(0);
    let signature = match (proof.valid, proof.is_signature_checked) {
        (true, true) => "holds",
        (true, false) => "not checked (--signer)",
        (false, _) => "-",
    };
    let verdict = match &proof.why {
        None => "The entry is in the ledger.\n".to_owned(),
        Some(why) => format!("REFUSED: {}\n", clean(why)),
    };
    let rows = pairs(&[
        ("ledger", clean(&proof.origin)),
        ("entry", format!("{} of {}: {}", entry("sequence"), proof.size, entry("kind"))),
        ("written", time(written * 1000)),
        ("leaf", entry("leaf")),
        ("witnessed", seen),
        ("entry's signature", signature.to_owned()),
    ]);
    rows + &verdict
}
