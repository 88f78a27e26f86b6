//! `cairn grants`: what this site grants, and what it was granted.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Exit, Session};
use crate::error::Result;
use crate::output::{Align, Table, clean, time};
use crate::sharing::GrantLine;
use crate::sharing::control::Request;

/// List grants given and received
#[derive(Debug, Args)]
#[command(after_help = "\
A grant is named by its number in its owner's ledger. Whether one that this site received can be used \
is told as far as is known here; its owner is asked at every access and has the last word.

Exit codes: 0 they are listed, or accepted; 1 the ledger failed, or there is no such grant; 2 wrong \
usage or settings.

Examples:
  cairn grants
  cairn --json grants | jq 'select(.is_usable)'
  cairn grants accept 17 --from a.example/cairn")]
pub(crate) struct GrantsArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them: the default
    List,
    /// Accept a grant of another site with its conditions
    Accept {
        /// Number of the grant
        #[arg(value_name = "GRANT")]
        grant: u64,
        /// Whose grant it is: a name, or the beginning of an id
        #[arg(long, value_name = "SITE")]
        from: String,
    },
}

pub(super) fn run(session: &Session, args: &GrantsArgs) -> Result<Exit> {
    if let Some(What::Accept { grant, from }) = &args.what {
        let accepted: Value = session.ask(Request::Accept { from: from.clone(), grant: *grant })?;
        if session.output.json {
            session.output.object(&accepted)?;
        } else {
            session.output.note(&format!("accepted grant {grant} of {}", clean(from)));
        }
        return Ok(Exit::Good);
    }
    let mut table = Table::new(&[
        ("GRANT", Align::Right),
        ("WAY", Align::Left),
        ("SITE", Align::Left),
        ("STUDY", Align::Left),
        ("FOR", Align::Left),
        ("UNTIL", Align::Left),
        ("CHECKS", Align::Left),
        ("STATE", Align::Left),
    ]);
    session.ask_each(Request::Grants, &mut |line: GrantLine| {
        if session.output.json {
            return session.output.object(&line);
        }
        table.row(cells(&line));
        Ok(())
    })?;
    session.output.text(&table.render())?;
    Ok(Exit::Good)
}

fn cells(line: &GrantLine) -> Vec<String> {
    let study = match &line.study_uid {
        Some(uid) => clean(uid),
        None => format!("{}…", line.study.get(..16).unwrap_or_default()),
    };
    let state = match (&line.why, line.is_accepted) {
        (Some(why), _) => clean(why),
        (None, true) => "accepted".to_owned(),
        (None, false) => "holds".to_owned(),
    };
    vec![
        line.grant.to_string(),
        if line.is_given { "to" } else { "from" }.to_owned(),
        clean(&line.site_name),
        format!("{study} v{}", line.version),
        line.purpose.clone(),
        time(line.expires * 1000),
        line.verdict.clone().unwrap_or_else(|| "-".to_owned()),
        state,
    ]
}
