//! `cairn peers`: other sites.

use std::io::{BufRead, IsTerminal, Read, Write};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Exit, Session};
use crate::error::{Error, Result};
use crate::output::{Align, Table, clean, count, pairs};
use crate::sharing::control::Request;
use crate::sharing::{Fingerprint, Introduction, PeerLine, Synced};

/// Longest answer that is read from the terminal, in bytes.
const ANSWER_BYTES_MAX: u64 = 100;

/// List, add and remove other sites
#[derive(Debug, Args)]
#[command(after_help = "\
Sites know each other by keys, not by a certificate authority: people compare fingerprints once, over \
the phone or in person, and after that each site's ledger says which keys are its own. Both sides \
have to add each other.

`add` shows who answers at the URL, and both fingerprints, and asks. Read yours to the person at the \
other site, have theirs read to you, and say yes if both are what the other side sees.

The list is good if every site's ledger is followed, fresh and was caught at nothing.

Exit codes: 0 all is well, or done; 1 a site is not followed, not fresh, was caught at something, or \
was not added; 2 wrong usage or settings.

Examples:
  cairn peers
  cairn peers add https://b.example:8444
  cairn peers add https://b.example:8444 --fingerprint 'd7c1 09aa …'
  cairn peers sync
  cairn peers remove b.example/cairn")]
pub(crate) struct PeersArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them: the default
    List,
    /// Add the site at a URL, once its fingerprint was compared; also where a known one has moved
    Add {
        /// Where it listens for sites
        #[arg(value_name = "https://HOST:PORT")]
        url: String,
        /// The fingerprint that its people gave: add it without asking if that is what it shows
        #[arg(long, value_name = "HEX")]
        fingerprint: Option<String>,
    },
    /// Forget a site: it can read nothing any more. What was followed of its ledger stays on disk
    Remove {
        /// Its name, or the beginning of its id
        #[arg(value_name = "SITE")]
        site: String,
    },
    /// Have one round with each site now: follow their ledgers, have this one cosigned
    Sync {
        /// With this one only
        #[arg(value_name = "SITE")]
        site: Option<String>,
    },
}

pub(super) fn run(session: &Session, args: &PeersArgs) -> Result<Exit> {
    match &args.what {
        None | Some(What::List) => list(session),
        Some(What::Add { url, fingerprint }) => add(session, url, fingerprint.as_deref()),
        Some(What::Remove { site }) => {
            let removed: Value = session.ask(Request::RemovePeer { site: site.clone() })?;
            if session.output.json {
                session.output.object(&removed)?;
            } else {
                session.output.note(&format!("removed {}", clean(site)));
            }
            Ok(Exit::Good)
        }
        Some(What::Sync { site }) => {
            let mut good = true;
            session.ask_each(Request::Sync { site: site.clone() }, &mut |synced: Synced| {
                good &= synced.failure.is_none();
                tell_round(session, &synced)
            })?;
            Ok(Exit::good_if(good))
        }
    }
}

fn tell_round(session: &Session, synced: &Synced) -> Result<()> {
    if session.output.json {
        return session.output.object(synced);
    }
    let name = clean(&synced.name);
    let text = match &synced.failure {
        None => format!("{name}: {} entries followed\n", count(synced.entries)),
        Some(why) => format!("{name}: {}\n", clean(why)),
    };
    session.output.text(&text)
}

fn list(session: &Session) -> Result<Exit> {
    let mut table = Table::new(&[
        ("SITE", Align::Left),
        ("ID", Align::Left),
        ("URL", Align::Left),
        ("ENTRIES", Align::Right),
        ("FRESH", Align::Right),
        ("STATE", Align::Left),
    ]);
    let mut good = true;
    let mut any = false;
    session.ask_each(Request::Peers, &mut |peer: PeerLine| {
        any = true;
        good &= peer.is_fresh && peer.finding.is_none();
        if session.output.json {
            return session.output.object(&peer);
        }
        let state = match (&peer.finding, &peer.failure) {
            (Some(finding), _) => format!("NOT TRUSTED: {finding}"),
            (None, Some(why)) => why.clone(),
            (None, None) if peer.is_fresh => "good".to_owned(),
            (None, None) => "not known to be fresh".to_owned(),
        };
        table.row(vec![
            clean(&peer.name),
            peer.site.get(..12).unwrap_or_default().to_owned(),
            clean(&peer.url),
            count(peer.entries),
            peer.fresh_seconds.map_or_else(|| "-".into(), |seconds| format!("{seconds} s ago")),
            clean(&state),
        ]);
        Ok(())
    })?;
    if !any && !session.output.json {
        session.output.note("There are no other sites; `cairn peers add URL` adds one.");
    }
    session.output.text(&table.render())?;
    Ok(Exit::good_if(good))
}

fn add(session: &Session, url: &str, given: Option<&str>) -> Result<Exit> {
    let given = given.map(|text| {
        Fingerprint::parse(text).ok_or(Error::Usage("--fingerprint takes 32 hexadecimal digits"))
    });
    let given = given.transpose()?;
    let met: Introduction = session.ask(Request::Meet { url: url.to_owned() })?;
    if given.is_none() {
        eprint!("{}", shown(&met));
        if !std::io::stdin().is_terminal() {
            return Err(Error::Usage(
                "compare the fingerprints, then say --fingerprint with that of the other site",
            ));
        }
        if !agreed()? {
            session.output.note("nothing is changed");
            return Ok(Exit::Bad);
        }
    }
    let fingerprint = given.map_or(met.fingerprint, |given| given.to_string());
    let added: Synced = session.ask(Request::AddPeer { url: url.to_owned(), fingerprint })?;
    if session.output.json {
        session.output.object(&added)?;
        return Ok(Exit::Good);
    }
    session.output.note(&format!("added {}", clean(&added.name)));
    if let Some(why) = &added.failure {
        session.output.note(&format!(
            "its ledger is not followed yet: {}. It has to add this site as well: {}",
            clean(why),
            met.own_fingerprint
        ));
    }
    Ok(Exit::Good)
}

fn shown(met: &Introduction) -> String {
    let known = if met.is_known { ", known already" } else { "" };
    let theirs = pairs(&[
        ("site", format!("{}{known}", clean(&met.name))),
        ("id", met.site.clone()),
        ("TLS key", met.tls_key.clone()),
        ("fingerprint", met.fingerprint.clone()),
    ]);
    let own = pairs(&[
        ("site", clean(&met.own_name)),
        ("id", met.own_site.clone()),
        ("fingerprint", met.own_fingerprint.clone()),
    ]);
    format!("At {}:\n{theirs}\nThis site, as the other one must see it:\n{own}\n", clean(&met.url))
}

fn agreed() -> Result<bool> {
    eprint!("Did people compare both fingerprints, and are they the same? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let mut input = std::io::stdin().lock().take(ANSWER_BYTES_MAX);
    input.read_line(&mut answer).map_err(|source| Error::Io {
        action: "read an answer from",
        path: "standard input".into(),
        source,
    })?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
