//! `cairn share`: a study for another site.

use clap::Args;

use super::{Exit, Session};
use crate::error::Result;
use crate::output::{clean, counted, pairs, size, time};
use crate::sharing::control::Request;
use crate::sharing::{PURPOSES, Share, Shared, days};

/// Let another site read a study
#[derive(Debug, Args)]
#[command(after_help = "\
The study is registered on this site's ledger, if this content is not there yet, and a grant is \
added for the other site. What is granted is the study as it is now: a correction that arrives later \
is shared by running the command again. On the ledger stand a random name, a blinded hash and the two \
sites; no patient, no UID, no date.

The other site has to be known (`cairn peers add`) and its ledger followed. If it or its witnesses \
are away the grant is on this ledger all the same, and they learn of it when they are back.

Works while `cairn serve` runs, by its socket in the data directory, and without it.

Exit codes: 0 it is granted; 1 it is not; 2 wrong usage or settings.

Examples:
  cairn share 1.2.840.113619.2.5 --to b.example/cairn
  cairn share 1.2.840.113619.2.5 --to 3f9a --purpose HRESCH --days 365 --accept-first
  cairn --json share 1.2.840.113619.2.5 --to b.example/cairn")]
pub(crate) struct ShareArgs {
    /// Study Instance UID
    #[arg(value_name = "STUDY")]
    study: String,
    /// The other site: its name, or the beginning of its id
    #[arg(long, value_name = "SITE")]
    to: String,
    /// What for: treatment, emergency treatment, research, at the patient's request
    #[arg(long, value_name = "CODE", default_value = "TREAT", value_parser = PURPOSES)]
    purpose: String,
    /// For how many days
    #[arg(long, value_name = "N", default_value = "30")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// For how many seconds, instead: for trying out what becomes of a grant that ends
    #[arg(long, value_name = "N", conflicts_with = "days", hide = true)]
    seconds: Option<u64>,
    /// The other site has to accept the grant on its ledger before it may read
    #[arg(long)]
    accept_first: bool,
    /// The other site must not keep its copy once the grant has ended
    #[arg(long)]
    no_retention: bool,
    /// Bytes may be taken straight from this site's bucket
    #[arg(long)]
    from_bucket: bool,
}

pub(super) fn run(session: &Session, args: &ShareArgs) -> Result<Exit> {
    let shared: Shared = session.ask(Request::Share(Share {
        study_uid: args.study.clone(),
        to: args.to.clone(),
        purpose: args.purpose.clone(),
        seconds: args.seconds.unwrap_or_else(|| days(args.days)),
        accept_first: args.accept_first,
        no_retention: args.no_retention,
        from_bucket: args.from_bucket,
    }))?;
    if session.output.json {
        session.output.object(&shared)?;
    } else {
        session.output.text(&told(&shared))?;
    }
    Ok(Exit::Good)
}

pub(super) fn told(shared: &Shared) -> String {
    let new = if shared.is_new_version { "registered now" } else { "registered before" };
    let delivered = if shared.is_delivered { "has it" } else { "does not have it yet" };
    pairs(&[
        ("grant", shared.grant.to_string()),
        ("study", clean(&shared.study_uid)),
        ("on the ledger", format!("{}, version {}, {new}", shared.study, shared.version)),
        ("root", shared.root.clone()),
        ("content", format!("{}, {}", counted(shared.instances, "instance"), size(shared.bytes))),
        ("to", format!("{}, which {delivered}", clean(&shared.to_name))),
        ("for", format!("{} until {}", shared.purpose, time(shared.expires * 1000))),
        ("cosigned", format!("by {} of {} sites", shared.cosigned, shared.witnesses)),
    ])
}
