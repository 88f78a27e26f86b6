//! `cairn echo`: does another application entity answer?

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Exit, Session};
use crate::dimse::{Echoed, Peer, echo};
use crate::error::{Error, Result};

/// Ask another application entity for an answer (C-ECHO)
#[derive(Debug, Args)]
#[command(after_help = "\
Opens an association, over TLS if asked to, sends one C-ECHO and prints how long both took. What \
keeps the other side from answering is said in a line: no connection, no TLS, a rejection and its \
reason, a status.

A title alone is looked up among the peers of [dimse] in the settings. Certificates are those of \
[dimse] too, unless flags name others.

Exit codes: 0 it answered with success; 1 it did not; 2 wrong usage or settings.

Examples:
  cairn echo PACS@10.0.0.5:104
  cairn echo PACS
  cairn echo --tls-trusted ca.pem PACS@tls://pacs.example:2762
  cairn --json echo --ae CAIRN PACS@10.0.0.5:104")]
pub(crate) struct EchoArgs {
    /// Whom to ask: AE@host:port, AE@tls://host:port, or the title of a peer in the settings
    #[arg(value_name = "AE@HOST:PORT")]
    peer: String,
    /// AE title under which to call it [default: CAIRN]
    #[arg(long, env = "CAIRN_AE", value_name = "TITLE")]
    ae: Option<String>,
    /// Over TLS, as tls:// before the host
    #[arg(long)]
    tls: bool,
    /// Certificates of authorities, or of the other side itself, in PEM
    #[arg(long, value_name = "FILE")]
    tls_trusted: Option<String>,
    /// Certificate to show, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<String>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<String>,
}

/// What came of it, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    ae: &'a str,
    host: &'a str,
    port: u16,
    tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    echo_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn run(session: &Session, args: &EchoArgs) -> Result<Exit> {
    let mut config = session.config()?;
    let section = &mut config.dimse;
    let flags = [
        (&mut section.ae, &args.ae),
        (&mut section.tls_trusted, &args.tls_trusted),
        (&mut section.tls_certificate, &args.tls_certificate),
        (&mut section.tls_key, &args.tls_key),
    ];
    for (setting, flag) in flags {
        if let Some(flag) = flag {
            setting.clone_from(flag);
        }
    }
    // Nobody calls here.
    section.tls_listen = "none".into();
    section.peers = section.place_of(&args.peer)?;
    if let (true, Some((title, place))) = (args.tls, section.peers.rsplit_once('@')) {
        let place = place.strip_prefix("tls://").unwrap_or(place);
        section.peers = format!("{title}@tls://{place}");
    }
    section.check()?;
    let settings = section.settings(Duration::ZERO)?;
    let [peer] = &settings.peers[..] else {
        return Err(Error::Usage("one application entity is asked at a time"));
    };
    let answered = echo(&settings, peer).map_err(|why| why.to_string());
    if session.output.json {
        session.output.object(&line(peer, &answered))?;
    } else {
        match &answered {
            Ok(echoed) => session.output.text(&told(peer, echoed))?,
            Err(why) => session.output.note(&format!("cairn: {}: {why}", peer.title)),
        }
    }
    Ok(Exit::good_if(answered.is_ok_and(|echoed| echoed.status == 0)))
}

fn line<'a>(peer: &'a Peer, answered: &std::result::Result<Echoed, String>) -> Line<'a> {
    let echoed = answered.as_ref().ok();
    Line {
        ae: &peer.title,
        host: &peer.host,
        port: peer.port,
        tls: peer.tls,
        status: echoed.map(|echoed| echoed.status),
        association_seconds: echoed.map(|echoed| echoed.association.as_secs_f64()),
        echo_seconds: echoed.map(|echoed| echoed.echo.as_secs_f64()),
        error: answered.as_ref().err().cloned(),
    }
}

fn told(peer: &Peer, Echoed { status, association, echo }: &Echoed) -> String {
    let (association, echo) = (association.as_secs_f64() * 1e3, echo.as_secs_f64() * 1e3);
    let over = if peer.tls { " over TLS" } else { "" };
    let end = match status {
        0 => "success".to_owned(),
        status => format!("status {status:04X}"),
    };
    format!("{}: {end}{over}; association {association:.1} ms, C-ECHO {echo:.1} ms\n", peer.title)
}
