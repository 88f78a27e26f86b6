//! `cairn glass`: emergency access, and its review.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Exit, Session};
use crate::audit::NOTE_BYTES_MAX;
use crate::error::{Error, Result};
use crate::fetch::{Finished, Progress};
use crate::output::{Align, Table, clean, count, time};
use crate::sharing::control::Request;
use crate::sharing::{Break, Broken, GLASS_REASONS, REVIEWS};

/// Open another site's study in an emergency, and review who opened this one's
#[derive(Debug, Args)]
#[command(after_help = "\
Where there is no grant and no time, a site may break the glass: it says so on its own ledger, for \
everybody to see, and the study is opened at once, for a day at most. The owner is told at once, and a \
person there has to say whether it was right. Not justified, it ends at that moment.

The study is named as the ledger names it: whoever owns it finds that name with `cairn grants` or \
`cairn ledger entries`.

People break the glass where they work: POST /break-glass, with a token that allows `break-glass`; see \
the README. A group of which an access is not reviewed within glass_review_seconds of [sharing] (three \
days) opens no other until it is. The owner reviews on its ledger; an officer of the site that opened the \
study may review it too, by the site's own name, which lets the group go on.

Without anything said it lists what waits for a review, here and at the owners of what this site opened.

Exit codes: 0 nothing waits, or it is done; 1 something waits for a review, the study did not come, or the \
group may not open another; 2 wrong usage or settings.

Examples:
  cairn glass
  cairn glass break 8b1f…e2 --from a.example/cairn --reason emergency
  cairn glass review b.example/cairn 17 justified")]
pub(crate) struct GlassArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List emergency accesses that wait for a review: the default
    List {
        /// Those that were reviewed too
        #[arg(long)]
        all: bool,
    },
    /// Open a study of another site without a grant, and fetch it
    Break {
        /// The study's name on the ledger
        #[arg(value_name = "STUDY")]
        study: String,
        /// Whose it is: name, or the beginning of the id
        #[arg(long, value_name = "SITE")]
        from: String,
        /// Why, for everybody to see
        #[arg(long, value_name = "WORD", value_parser = GLASS_REASONS)]
        reason: String,
        /// For how many hours
        #[arg(long, value_name = "N", default_value = "24")]
        #[arg(value_parser = clap::value_parser!(u64).range(1..=24))]
        hours: u64,
        /// Why, in your words: for this site's audit log alone
        #[arg(long, value_name = "TEXT", default_value = "")]
        text: String,
    },
    /// Say whether an access was right; if not, it ends
    Review {
        /// Who opened the study; this site's own name for what was opened here
        #[arg(value_name = "SITE")]
        site: String,
        /// The entry in that site's ledger
        #[arg(value_name = "ENTRY")]
        entry: u64,
        /// What was found
        #[arg(value_name = "VERDICT", value_parser = REVIEWS)]
        verdict: String,
    },
}

pub(super) fn run(session: &Session, args: &GlassArgs) -> Result<Exit> {
    match &args.what {
        None => list(session, false),
        Some(What::List { all }) => list(session, *all),
        Some(What::Break { study, from, reason, hours, text }) => {
            if text.len() > NOTE_BYTES_MAX {
                return Err(Error::Usage("the text is longer than 1000 bytes"));
            }
            let (study, from, reason) = (study.clone(), from.clone(), reason.clone());
            let text = text.clone();
            // A minute less than a day: the ledger counts from the entry, which comes later than this.
            let seconds = hours * 3600 - 60;
            let request = Request::BreakGlass(Break { study, from, reason, seconds, text });
            let fetched: Finished = session.ask_told(request, &mut |_: Progress| Ok(()))?;
            if session.output.json {
                session.output.object(&fetched)?;
            } else {
                session.output.text(&super::fetch::told(&fetched))?;
            }
            Ok(Exit::Good)
        }
        Some(What::Review { site, entry, verdict }) => {
            let (site, verdict) = (site.clone(), verdict.clone());
            let done: Value = session.ask(Request::Review { site, entry: *entry, verdict })?;
            if session.output.json {
                session.output.object(&done)?;
            } else if done["entry"].is_null() {
                session.output.note("it is written down here; its owner has the last word");
            } else {
                session.output.note("it is on the ledger");
            }
            Ok(Exit::Good)
        }
    }
}

fn list(session: &Session, all: bool) -> Result<Exit> {
    let mut table = Table::new(&[
        ("SITE", Align::Left),
        ("ENTRY", Align::Right),
        ("OWNER", Align::Left),
        ("STUDY", Align::Left),
        ("REASON", Align::Left),
        ("BY", Align::Left),
        ("OPENED", Align::Left),
        ("UNTIL", Align::Left),
        ("REVIEW", Align::Left),
    ]);
    let mut waits = false;
    session.ask_each(Request::Broken { all }, &mut |broken: Broken| {
        waits |= broken.is_unreviewed();
        if session.output.json {
            return session.output.object(&broken);
        }
        let study = broken.study_uid.as_deref().unwrap_or(&broken.study);
        table.row(vec![
            clean(&broken.site_name),
            count(broken.entry),
            clean(&broken.owner_name),
            clean(study),
            broken.reason.clone(),
            clean(broken.by.as_deref().unwrap_or("-")),
            time(broken.opened * 1000),
            time(broken.expires * 1000),
            review_of(&broken),
        ]);
        Ok(())
    })?;
    session.output.text(&table.render())?;
    Ok(Exit::good_if(!waits))
}

fn review_of(broken: &Broken) -> String {
    match (&broken.verdict, &broken.own_verdict) {
        (Some(verdict), _) => clean(verdict),
        (None, Some(verdict)) => format!("{} (here)", clean(verdict)),
        (None, None) if broken.is_blocking => {
            format!("OVERDUE: {} may open nothing", clean(&broken.groups.join(", ")))
        }
        (None, None) => "waits".into(),
    }
}
