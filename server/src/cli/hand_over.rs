//! `cairn hand-over`: a study gets another owner.

use clap::Args;

use super::{Exit, Session};
use crate::error::Result;
use crate::output::{clean, pairs};
use crate::sharing::HandedOver;
use crate::sharing::control::Request;

/// Hand a study over to another site, which answers for it from then on
#[derive(Debug, Args)]
#[command(after_help = "\
The study is handed over as it is now. All grants that this site gave of it end at that moment; the new \
owner gives its own once it has taken the study over (`cairn take-over` there), and may fetch it until \
then. The images here stay until somebody deletes them; they cannot be shared from here any more.

On the ledger stand the study's random name and the two sites.

Exit codes: 0 it is handed over; 1 it is not; 2 wrong usage or settings.

Examples:
  cairn hand-over 1.2.840.113619.2.5 --to b.example/cairn")]
pub(crate) struct HandOverArgs {
    /// Study Instance UID
    #[arg(value_name = "STUDY")]
    study: String,
    /// The new owner: its name, or the beginning of its id
    #[arg(long, value_name = "SITE")]
    to: String,
}

pub(super) fn run(session: &Session, args: &HandOverArgs) -> Result<Exit> {
    let (study_uid, to) = (args.study.clone(), args.to.clone());
    let handed: HandedOver = session.ask(Request::HandOver { study_uid, to })?;
    if session.output.json {
        session.output.object(&handed)?;
    } else {
        session.output.text(&told(&handed))?;
    }
    Ok(Exit::Good)
}

fn told(handed: &HandedOver) -> String {
    let delivered = if handed.is_delivered { "knows it" } else { "does not know it yet" };
    pairs(&[
        ("study", clean(&handed.study_uid)),
        ("on the ledger", format!("{}, version {}", handed.study, handed.version)),
        ("root", handed.root.clone()),
        ("to", format!("{}, which {delivered}", clean(&handed.to_name))),
        ("cosigned", format!("by {} of {} sites", handed.cosigned, handed.witnesses)),
    ])
}
