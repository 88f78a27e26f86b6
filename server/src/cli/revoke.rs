//! `cairn revoke`: end what was granted.

use clap::Args;

use super::{Exit, Session};
use crate::error::{Error, Result};
use crate::output::counted;
use crate::sharing::control::Request;
use crate::sharing::{REASONS, Revocation, Revoke};

/// End a grant, or all grants of a study
#[derive(Debug, Args)]
#[command(after_help = "\
From this moment on nothing is sent under the grant: what is being sent stops, and nothing new \
begins. Other sites know it as soon as they have followed this site's ledger, at once if they are in \
touch. What was sent before cannot be called back: receipts on the ledger say what that was.

Why is a word of a closed list, since whoever mirrors the ledger can read it.

Exit codes: 0 it is revoked; 1 nothing was, or the ledger failed; 2 wrong usage or settings.

Examples:
  cairn revoke 17
  cairn revoke 1.2.840.113619.2.5 --to b.example/cairn --reason treatment-ended
  cairn revoke 1.2.840.113619.2.5 --reason consent-withdrawn")]
pub(crate) struct RevokeArgs {
    /// Number of a grant, or a Study Instance UID for all of its grants
    #[arg(value_name = "GRANT|STUDY")]
    what: String,
    /// Of a study: only what is granted to this site
    #[arg(long, value_name = "SITE")]
    to: Option<String>,
    /// Why
    #[arg(long, value_name = "WORD", default_value = "unspecified", value_parser = REASONS)]
    reason: String,
}

pub(super) fn run(session: &Session, args: &RevokeArgs) -> Result<Exit> {
    let grant: Option<u64> = args.what.parse().ok();
    if grant.is_some() && args.to.is_some() {
        return Err(Error::Usage("--to goes with a study; a grant is to one site"));
    }
    let revoked: Revocation = session.ask(Request::Revoke(Revoke {
        study_uid: grant.is_none().then(|| args.what.clone()),
        grant,
        to: args.to.clone(),
        reason: args.reason.clone(),
    }))?;
    if session.output.json {
        session.output.object(&revoked)?;
    } else {
        let Revocation { grants, cosigned, witnesses } = &revoked;
        let numbers: Vec<String> = grants.iter().map(u64::to_string).collect();
        session.output.text(&format!(
            "revoked {}: {}; cosigned by {cosigned} of {witnesses} sites\n",
            counted(grants.len() as u64, "grant"),
            numbers.join(", "),
        ))?;
    }
    Ok(Exit::Good)
}
