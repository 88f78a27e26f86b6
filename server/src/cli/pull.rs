//! `cairn pull`: studies from another archive, over DIMSE.

use std::time::Duration;

use cairn_store::{Access, Store};
use clap::Args;
use serde::Serialize;

use super::{Exit, Session};
use crate::dimse::{Pulled, pull};
use crate::error::{Error, Result};

/// Have studies sent here from another archive, over DIMSE
#[derive(Debug, Args)]
#[command(after_help = "\
Asks with C-FIND what a study holds, has it sent with C-GET over an association of its own, and \
takes it in as `cairn serve` does: byte for byte as it is sent, in the syntax in which the other \
archive stores it where it says which. What is here already is not stored again, so a pull that was \
interrupted is simply run again.

The archive is made if it is not there. `cairn serve` must not run on it at the same time.

Exit codes: 0 all of every study came; 1 something did not; 2 wrong usage or settings.

Examples:
  cairn pull --from PACS@10.0.0.5:104 1.2.840.113619.2.5
  cairn --data /srv/cairn pull --from PACS@pacs.example:104 --ae CAIRN 1.2.3 1.2.4")]
pub(crate) struct PullArgs {
    /// The other archive
    #[arg(long, value_name = "AE@HOST:PORT")]
    from: String,
    /// AE title under which to call it [default: CAIRN]
    #[arg(long, env = "CAIRN_AE", value_name = "TITLE")]
    ae: Option<String>,
    /// Study Instance UIDs
    #[arg(required = true, value_name = "STUDY")]
    studies: Vec<String>,
}

/// A study that came, as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    study_uid: &'a str,
    #[serde(flatten)]
    pulled: Pulled,
}

pub(super) fn run(session: &Session, args: &PullArgs) -> Result<Exit> {
    let mut config = session.config()?;
    config.dimse.ae = args.ae.clone().unwrap_or(config.dimse.ae);
    config.dimse.peers.clone_from(&args.from);
    // Nobody calls here.
    config.dimse.tls_listen = "none".into();
    let settings = config.dimse.settings(Duration::ZERO)?;
    let [peer] = &settings.peers[..] else {
        return Err(Error::Usage("--from takes one AE@host:port or AE@tls://host:port"));
    };
    let store = Store::open(&session.store_config()?, Access::Write)?;
    super::import::tell_key(session, &store)?;
    let ingest = store.ingest(config.ingest_config())?;
    let mut good = true;
    for study in &args.studies {
        let pulled = match pull(&settings, peer, &ingest, study) {
            Ok(pulled) => pulled,
            Err(why) => {
                session.output.note(&format!("cairn: {study}: {why}"));
                good = false;
                continue;
            }
        };
        good &= pulled.failed == 0 && pulled.status == 0 && pulled.instances > 0;
        if session.output.json {
            session.output.object(&Line { study_uid: study, pulled })?;
        } else {
            session.output.text(&told(study, &pulled))?;
        }
    }
    ingest.finish()?;
    Ok(Exit::good_if(good))
}

fn told(study: &str, pulled: &Pulled) -> String {
    let Pulled { instances, duplicates, failed, bytes, status } = pulled;
    let end = match status {
        0 => String::new(),
        status => format!("; the other archive ended with status {status:04X}"),
    };
    format!(
        "{study}: {instances} instances, {duplicates} were here, {failed} failed, {bytes} bytes{end}\n"
    )
}
