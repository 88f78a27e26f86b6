//! `cairn routes`: rules, what they owe, and what was given up.

use std::collections::BTreeMap;

use cairn_store::catalog::outbox::{Depth, Which};
use cairn_store::catalog::{Catalog, Outbox};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Exit, Session};
use crate::clock::now_ms;
use crate::dimse::{Referral, meaning};
use crate::error::Result;
use crate::output::{Align, Table, count, counted, time};

/// Show what rules forward, what they owe and what was given up
#[derive(Debug, Args)]
#[command(after_help = "\
Rules stand in [[routes]] of cairn.toml:
  name                 what it is called
  when                 { source, calling, called, modality, body_part, study_description, \
series_description, referring_physician, institution }: each a pattern with * and ?, or a list of \
them; all that are given have to match. source: dimse, stow, import
  to                   AE titles, known from [dimse] peers
  refer                other sites (`cairn peers`) that the study is granted to
  refer_days           for how many days [30]
  refer_purpose        what for: TREAT, ETREAT, HRESCH, PATRQT [TREAT]
  refer_no_retention   they must not keep a copy once the grant has ended [false]
  refer_from_bucket    bytes may come straight from the bucket [false]
  quiet_seconds        send when nothing came for the study for so long; 0: at once [0; 10 with refer]
  priority             higher goes first [0]
  tries                how often an object that is refused is tried [5]
  retry_seconds        the pause after the first refusal; it doubles with each [30]
  prefetch             \"priors\": send earlier studies of the patient, not the study itself
  priors_max           how many of them, the newest first [3]
  priors_same          in what they have to be the same: modality, body_part []
  priors_from          an archive that is asked for them first

A rule is about what comes in after the server first ran with it. Objects that were given up stay in \
the list until they are retried or dropped. All of this works while `cairn serve` runs.

Exit codes: 0 nothing was given up, or what was asked is done; 1 something was given up, or the \
archive failed; 2 wrong usage or settings.

Examples:
  cairn routes
  cairn routes failed --route ct-to-pacs
  cairn routes retry --to PACS
  cairn routes drop --route ct-to-pacs --waiting")]
pub(crate) struct RoutesArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List objects that were given up
    Failed(Chosen),
    /// Put objects that were given up back into the queue
    Retry(Chosen),
    /// Forget objects that were given up
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Also those that are still to be sent
        #[arg(long)]
        waiting: bool,
    },
}

#[derive(Debug, Args)]
struct Chosen {
    /// Of this rule only
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// For this peer only
    #[arg(long, value_name = "AE")]
    to: Option<String>,
}

impl Chosen {
    fn which(&self) -> Which {
        Which { route: self.route.clone(), peer: self.to.clone() }
    }
}

/// A rule and a peer, as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    route: &'a str,
    to: &'a str,
    /// False: the queue holds objects of a rule that the settings do not have.
    is_set: bool,
    waiting: u64,
    oldest_seconds: u64,
    failed: u64,
}

/// An object that was given up.
#[derive(Serialize)]
struct GivenUp<'a> {
    route: &'a str,
    to: &'a str,
    study_uid: &'a str,
    series_uid: &'a str,
    sop_instance_uid: &'a str,
    status: String,
    meaning: &'static str,
    tries: u32,
    failed_ms: u64,
}

/// An answer to `retry` and `drop`.
#[derive(Serialize)]
struct Done {
    objects: u64,
}

pub(super) fn run(session: &Session, args: &RoutesArgs) -> Result<Exit> {
    let config = session.config()?;
    let store = session.open_to_read()?;
    let catalog = store.catalog();
    let outbox = catalog.outbox();
    let done = match &args.what {
        None => {
            let routes = config.dimse_settings(std::time::Duration::ZERO)?.routes;
            let pairs = routes.iter().flat_map(|rule| {
                let from = rule.priors.iter().flat_map(|priors| &priors.from);
                let sites = rule.referral.iter().flat_map(Referral::owed_to);
                let all = rule.to.iter().chain(from).cloned().chain(sites);
                all.map(|peer| (rule.name.clone(), peer))
            });
            return list(session, outbox, pairs);
        }
        Some(What::Failed(chosen)) => return failed(session, catalog, &chosen.which()),
        Some(What::Retry(chosen)) => outbox.retry(&chosen.which(), now_ms())?,
        Some(What::Drop { chosen, waiting }) => outbox.forget(&chosen.which(), *waiting)?,
    };
    if session.output.json {
        session.output.object(&Done { objects: done })?;
    } else {
        session.output.note(&counted(done, "object"));
    }
    Ok(Exit::Good)
}

fn list(
    session: &Session,
    outbox: &dyn Outbox,
    rules: impl Iterator<Item = (String, String)>,
) -> Result<Exit> {
    let mut lines: BTreeMap<(String, String), (bool, Depth)> =
        rules.map(|pair| (pair, (true, Depth::default()))).collect();
    for depth in outbox.depths()? {
        let pair = (depth.route.clone(), depth.peer.clone());
        lines.entry(pair).or_default().1 = depth;
    }
    let columns = [
        ("ROUTE", Align::Left),
        ("TO", Align::Left),
        ("WAITING", Align::Right),
        ("OLDEST", Align::Right),
        ("FAILED", Align::Right),
    ];
    let mut table = Table::new(&columns);
    let now = now_ms();
    let mut is_good = true;
    for ((route, to), (is_set, depth)) in &lines {
        is_good &= depth.undelivered == 0;
        let waits = depth.parcels > 0;
        let oldest = if waits { now.saturating_sub(depth.oldest_ms) / 1000 } else { 0 };
        if session.output.json {
            session.output.object(&Line {
                route,
                to,
                is_set: *is_set,
                waiting: depth.instances,
                oldest_seconds: oldest,
                failed: depth.undelivered,
            })?;
            continue;
        }
        let name = if *is_set { route.clone() } else { format!("{route} (not in the settings)") };
        let oldest = if waits { format!("{oldest} s") } else { "-".into() };
        let cells = [name, to.clone(), count(depth.instances), oldest, count(depth.undelivered)];
        table.row(cells.into());
    }
    if !session.output.json {
        if lines.is_empty() {
            session
                .output
                .note("There are no rules; `cairn routes --help` shows how they are set.");
        }
        session.output.text(&table.render())?;
    }
    Ok(Exit::good_if(is_good))
}

fn failed(session: &Session, catalog: &dyn Catalog, which: &Which) -> Result<Exit> {
    let output = &session.output;
    let mut is_good = true;
    let mut rows = Vec::new();
    catalog.outbox().undelivered(which, &mut |row| {
        rows.push(row);
        Ok(())
    })?;
    for row in rows {
        is_good = false;
        let parcel = &row.parcel;
        let versions =
            catalog.outbox().shown_of(&parcel.study_uid, &parcel.series_uid, &parcel.seqs)?;
        let sop = versions.first().map_or("", |version| version.sop_instance_uid.as_str());
        if output.json {
            output.object(&GivenUp {
                route: &parcel.route,
                to: &parcel.peer,
                study_uid: &parcel.study_uid,
                series_uid: &parcel.series_uid,
                sop_instance_uid: sop,
                status: format!("{:04X}", parcel.status),
                meaning: meaning(parcel.status),
                tries: parcel.tries,
                failed_ms: row.failed_ms,
            })?;
        } else {
            output.text(&format!(
                "{}  {} -> {}  {}  {:04X} {}, {}\n",
                time(row.failed_ms),
                parcel.route,
                parcel.peer,
                if sop.is_empty() { "(replaced or deleted meanwhile)" } else { sop },
                parcel.status,
                meaning(parcel.status),
                counted(parcel.tries.into(), "time"),
            ))?;
        }
    }
    Ok(Exit::good_if(is_good))
}
