//! `cairn send`: studies to another archive, over DIMSE.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::serve::parts;
use super::{Exit, Session};
use crate::dimse::{Sent, send};
use crate::error::{Error, Result};
use crate::http::App;
use crate::interrupt;
use crate::metrics::Metrics;
use crate::output::{count, counted};
use crate::progress::Progress;

/// Send studies to another archive or workstation, over DIMSE
#[derive(Debug, Args)]
#[command(after_help = "\
Sends each object as it is stored where the receiver takes that, else as Explicit or Implicit VR \
Little Endian, over several associations at once ([dimse] out_associations_max). Works while \
`cairn serve` runs.

Exit codes: 0 the receiver took everything; 1 it did not, or a study is not here; 2 wrong usage or \
settings; 130 interrupted.

Examples:
  cairn send PACS@10.0.0.5:104 1.2.840.113619.2.5
  cairn --json send WS1@ws.example:11112 1.2.3 1.2.4")]
pub(crate) struct SendArgs {
    /// Whom to send to
    #[arg(value_name = "AE@HOST:PORT")]
    to: String,
    /// AE title under which to call it [default: CAIRN]
    #[arg(long, env = "CAIRN_AE", value_name = "TITLE")]
    ae: Option<String>,
    /// Study Instance UIDs
    #[arg(required = true, value_name = "STUDY")]
    studies: Vec<String>,
}

/// A study, as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    study_uid: &'a str,
    #[serde(flatten)]
    sent: Sent,
}

pub(super) fn run(session: &Session, args: &SendArgs) -> Result<Exit> {
    let mut config = session.config()?;
    config.dimse.ae = args.ae.clone().unwrap_or(config.dimse.ae);
    config.dimse.peers.clone_from(&args.to);
    // Nobody calls here.
    config.dimse.tls_listen = "none".into();
    let settings = config.dimse.settings(Duration::ZERO)?;
    let [peer] = &settings.peers[..] else {
        return Err(Error::Usage("there is one receiver: AE@host:port or AE@tls://host:port"));
    };
    let store = session.open_to_read()?;
    let parts = parts(&config)?;
    let app = Arc::new(App::new(store, None, Arc::new(Metrics::new()?), parts));
    interrupt::listen();
    let mut good = true;
    for study in &args.studies {
        let mut versions = Vec::new();
        app.store.catalog().study_versions(study, false, &mut |version| {
            versions.push(version);
            Ok(())
        })?;
        if versions.is_empty() {
            session.output.note(&format!("cairn: {study} is not here"));
            good = false;
            continue;
        }
        let progress = Progress::new(&session.output, "sending");
        let all = versions.len();
        let bytes: u64 = versions.iter().map(|version| version.dataset_bytes).sum();
        let sent = send(&app, &settings, peer, versions, &mut |done| {
            let message = format!("{}/{} instances", count(done as u64), count(all as u64));
            progress.at(bytes * done as u64 / all as u64, bytes, &message);
            !interrupt::asked()
        });
        drop(progress);
        good &= sent.failed == 0 && sent.untried == 0;
        if session.output.json {
            session.output.object(&Line { study_uid: study, sent })?;
        } else {
            session.output.text(&told(study, &sent))?;
        }
        if interrupt::asked() {
            return Ok(Exit::Interrupted);
        }
    }
    Ok(Exit::good_if(good))
}

fn told(study: &str, sent: &Sent) -> String {
    let why = match &sent.statuses[..] {
        [] => String::new(),
        statuses => format!(" ({})", statuses.join(", ")),
    };
    format!(
        "{study}: {} sent, {} with a warning, {} refused{why}, {} not tried\n",
        counted(sent.instances, "instance"),
        sent.warnings,
        sent.failed,
        sent.untried
    )
}
