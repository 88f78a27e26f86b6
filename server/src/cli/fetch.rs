//! `cairn fetch`: a study of another site.

use std::cell::RefCell;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, Session};
use crate::error::Result;
use crate::fetch::{Consented, Finished, Progress as Progressed, Wish};
use crate::output::{clean, counted, pairs, size};
use crate::progress::Progress;
use crate::sharing::PURPOSES;
use crate::sharing::control::Request;

/// Fetch a study that another site has granted
#[derive(Debug, Args)]
#[command(after_help = "\
The owner is asked what the study is made of; that has to make the root on its ledger. Then comes \
what is missing here, over several connections at once, and every chunk is compared with its name \
before it is written. Chunks of other versions of the study, and of what came from the same site \
before, are not moved again. At the end both sites sign a receipt on their ledgers.

A fetch that broke, or was stopped, goes on where it was when it is run again. `cairn grants` lists \
what may be fetched.

Works while `cairn serve` runs, by its socket in the data directory. The other site follows this \
site's ledger, so a server has to be reachable for it now and then.

Exit codes: 0 all of it is here and proven; 1 it is not; 2 wrong usage or settings.

Examples:
  cairn fetch 1.2.840.113619.2.5 --from a.example/cairn
  cairn fetch 8b1f…e2 --from 3f9a
  cairn fetch --consent from-the-patient.txt
  cairn --json fetch 1.2.840.113619.2.5")]
pub(crate) struct FetchArgs {
    /// Root, name on the ledger, or Study Instance UID
    #[arg(value_name = "ROOT|STUDY", required_unless_present = "consent")]
    study: Option<String>,
    /// Whose study: name, or the beginning of the id [default: whoever has granted it]
    #[arg(long, value_name = "SITE")]
    from: Option<String>,
    /// What for [default: what it was granted for]
    #[arg(long, value_name = "CODE", value_parser = PURPOSES)]
    purpose: Option<String>,
    /// What a patient signed: it is shown to the owner, who grants the study because of it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["study", "from", "purpose"])]
    consent: Option<PathBuf>,
    /// Connections at once
    #[arg(long, value_name = "N", default_value = "6")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=32))]
    connections: u16,
    /// Give up when nothing came for so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    patience: u64,
}

pub(super) fn run(session: &Session, args: &FetchArgs) -> Result<Exit> {
    let progress = RefCell::new(None);
    let fetched: Finished = session.ask_told(request(args)?, &mut |event| {
        let event: Progressed = event;
        if event.instances > 0 {
            let mut shown = progress.borrow_mut();
            let shown = shown.get_or_insert_with(|| Progress::new(&session.output, "fetching"));
            let message = format!("{} of {} instances", event.instances_here, event.instances);
            shown.at(event.bytes_here, event.bytes, &message);
        }
        Ok(())
    })?;
    drop(progress);
    if session.output.json {
        session.output.object(&fetched)?;
    } else {
        session.output.text(&told(&fetched))?;
    }
    Ok(Exit::Good)
}

fn request(args: &FetchArgs) -> Result<Request> {
    let (lanes, patience_seconds) = (usize::from(args.connections), args.patience);
    if let Some(file) = &args.consent {
        let statement = super::patient::text_of(file)?;
        let wish = Consented { statement, lanes, patience_seconds };
        return Ok(Request::FetchConsented(wish));
    }
    let study = args.study.clone().unwrap_or_default();
    let (from, purpose) = (args.from.clone(), args.purpose.clone());
    Ok(Request::Fetch(Wish { study, from, purpose, lanes, patience_seconds }))
}

pub(super) fn told(fetched: &Finished) -> String {
    let rate = if fetched.seconds > 0.0 {
        format!("{}/s", size((fetched.bytes_moved as f64 / fetched.seconds) as u64))
    } else {
        "-".into()
    };
    let receipt = if fetched.receipt { "on both ledgers" } else { "due; the owner is away" };
    let moved = match fetched.bytes_from_bucket {
        0 => size(fetched.bytes_moved),
        lent => format!("{}; {} straight from the bucket", size(fetched.bytes_moved), size(lent)),
    };
    let checks = fetched.verdict.as_ref().map_or_else(
        || "the owner attests nothing".to_owned(),
        |verdict| format!("{verdict}, as the owner attests"),
    );
    let held = counted(fetched.instances_held, "instance");
    pairs(&[
        ("study", clean(&fetched.study_uid)),
        ("root", format!("{}, proven", fetched.root)),
        ("content", format!("{}, {}", counted(fetched.instances, "instance"), size(fetched.bytes))),
        ("moved", moved),
        ("saved", format!("{}; {held} were here", size(fetched.bytes_saved))),
        (
            "took",
            format!(
                "{:.2} s, {rate}; first image after {:.2} s",
                fetched.seconds, fetched.first_seconds
            ),
        ),
        ("receipt", receipt.into()),
        ("checks", checks),
    ])
}
