//! `cairn take-over`: a study that another site handed to this one.

use clap::Args;

use super::{Exit, Session};
use crate::error::Result;
use crate::fetch::{Progress, TakeOver, TakenOver};
use crate::output::{Align, Table, clean, count, counted, pairs, size};
use crate::sharing::Handed;
use crate::sharing::control::Request;

/// Take over a study that another site has handed to this one
#[derive(Debug, Args)]
#[command(after_help = "\
What is not here of the study is fetched. If the archive then shows exactly what was handed over, this \
site says on its ledger that the study is its own; from then on it shares it as any other.

Without a study, those are listed that wait for it.

Exit codes: 0 it is this site's, or they are listed; 1 it is not; 2 wrong usage or settings.

Examples:
  cairn take-over
  cairn take-over 1.2.840.113619.2.5 --from a.example/cairn")]
pub(crate) struct TakeOverArgs {
    /// Root, name on the ledger, or Study Instance UID
    #[arg(value_name = "ROOT|STUDY", requires = "from")]
    study: Option<String>,
    /// Who handed it over: name, or the beginning of the id
    #[arg(long, value_name = "SITE", requires = "study")]
    from: Option<String>,
}

pub(super) fn run(session: &Session, args: &TakeOverArgs) -> Result<Exit> {
    let (Some(study), Some(from)) = (args.study.clone(), args.from.clone()) else {
        return list(session);
    };
    let request = Request::TakeOver(TakeOver { study, from });
    let taken: TakenOver = session.ask_told(request, &mut |_: Progress| Ok(()))?;
    if session.output.json {
        session.output.object(&taken)?;
    } else {
        session.output.text(&told(&taken))?;
    }
    Ok(Exit::Good)
}

fn told(taken: &TakenOver) -> String {
    let fetched = counted(taken.instances_fetched, "instance");
    pairs(&[
        ("study", clean(&taken.study_uid)),
        ("on the ledger", format!("{}, version {}", taken.study, taken.version)),
        ("root", format!("{}, proven", taken.root)),
        ("fetched", format!("{fetched}, {} moved", size(taken.bytes_moved))),
        ("cosigned", format!("by {} of {} sites", taken.cosigned, taken.witnesses)),
    ])
}

fn list(session: &Session) -> Result<Exit> {
    let mut table = Table::new(&[
        ("SITE", Align::Left),
        ("ENTRY", Align::Right),
        ("STUDY", Align::Left),
        ("VERSION", Align::Right),
    ]);
    session.ask_each(Request::Handed, &mut |handed: Handed| {
        if session.output.json {
            return session.output.object(&handed);
        }
        let (site, entry) = (clean(&handed.site_name), count(handed.entry));
        table.row(vec![site, entry, handed.study.clone(), count(handed.version)]);
        Ok(())
    })?;
    session.output.text(&table.render())?;
    Ok(Exit::Good)
}
