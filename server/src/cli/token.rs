//! `cairn token`: tokens of systems.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Exit, Session, require_archive};
use crate::error::{Error, Result};
use crate::identity::STUDIES_MAX;
use crate::identity::tokens::{self, NAME_BYTES_MAX, Token, Wish};
use crate::output::{Align, Table, clean, time};
use crate::sharing::control::Request;

const DAY_SECONDS: u64 = 86_400;

/// Make, list and revoke tokens by which systems are let in over HTTP
#[derive(Debug, Args)]
#[command(after_help = "\
A token is for a system that has no login provider: a scraper of figures, a script, a gateway. It is \
sent as `Authorization: Bearer TOKEN`. It is printed once, when it is made, and only its hash is kept, in \
identity/tokens.json of the data directory. A running server takes changes up at once.

Roles: reader (search, read), writer (store, commit), monitor (metrics), clinician (search, read, \
break-glass), privacy-officer (privacy), admin (all), and those of [identity.roles] in the settings.

Exit codes: 0 it was made, listed or revoked; 1 there is no such token or archive; 2 wrong usage or \
settings.

Examples:
  cairn token new --name prometheus --role monitor
  cairn token new --name trial-7 --role reader --study 1.2.840.1 --days 30
  cairn token ls
  cairn token revoke prometheus")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make one, and print it
    New {
        /// What it is for
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What its bearer may do; several times for several roles
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<String>,
        /// Only with this study; several times for several
        #[arg(long = "study", value_name = "UID")]
        studies: Vec<String>,
        /// When it ends [when it is revoked]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_500))]
        days: Option<u64>,
    },
    /// List them
    Ls,
    /// Take one away
    Revoke {
        /// Its name or id
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

pub(super) fn run(session: &Session, args: &TokenArgs) -> Result<Exit> {
    require_archive(&session.data)?;
    match &args.what {
        What::New { name, roles, studies, days } => {
            let studies = (!studies.is_empty()).then(|| studies.clone());
            let ends = days.map(|days| crate::clock::now() + days * DAY_SECONDS);
            let wish = Wish { name: name.clone(), roles: roles.clone(), studies, ends };
            new(session, wish)
        }
        What::Ls => list(session),
        What::Revoke { token } => {
            let gone: Token = session.ask(Request::RevokeToken { which: token.clone() })?;
            if session.output.json {
                session.output.object(&json!({ "id": gone.id, "name": gone.name }))?;
            } else {
                session.output.note(&format!("revoked {} ({})", clean(&gone.name), gone.id));
            }
            Ok(Exit::Good)
        }
    }
}

fn new(session: &Session, wish: Wish) -> Result<Exit> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@ ".contains(&b);
    if !(1..=NAME_BYTES_MAX).contains(&wish.name.len()) || !wish.name.bytes().all(plain) {
        let why = "a token's name has 1 to 64 letters, digits, points, dashes, underscores, blanks";
        return Err(Error::Usage(why));
    }
    if wish.studies.as_ref().is_some_and(|studies| studies.len() > STUDIES_MAX) {
        return Err(Error::Usage("a token is for a thousand studies at most"));
    }
    let known = session.config()?.identity.roles()?;
    if let Some(role) = wish.roles.iter().find(|role| !known.has(role)) {
        let names: Vec<&str> = known.names().collect();
        let why = format!("there is no such role; there are {}", names.join(", "));
        return Err(Error::Config { place: format!("--role {}", clean(role)), why });
    }
    let (token, text): (Token, String) = session.ask(Request::MakeToken(wish))?;
    if session.output.json {
        let mut object = shown(&token);
        object["token"] = json!(text);
        session.output.object(&object)?;
    } else {
        session.output.text(&format!("{text}\n"))?;
        session.output.note("cairn: this is shown once; keep it as a password");
    }
    Ok(Exit::Good)
}

fn list(session: &Session) -> Result<Exit> {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("NAME", Align::Left),
        ("ROLES", Align::Left),
        ("STUDIES", Align::Right),
        ("MADE", Align::Left),
        ("ENDS", Align::Left),
    ]);
    for token in tokens::all(&session.data)? {
        if session.output.json {
            session.output.object(&shown(&token))?;
            continue;
        }
        let studies = token.studies.as_ref().map(|studies| studies.len().to_string());
        let ends = token.ends.map(|ends| time(ends * 1000));
        table.row(vec![
            clean(&token.id),
            clean(&token.name),
            clean(&token.roles.join(", ")),
            studies.unwrap_or_else(|| "all".into()),
            time(token.made * 1000),
            ends.unwrap_or_else(|| "never".into()),
        ]);
    }
    session.output.text(&table.render())?;
    Ok(Exit::Good)
}

fn shown(token: &Token) -> serde_json::Value {
    json!({
        "id": token.id, "name": token.name, "roles": token.roles, "studies": token.studies,
        "made": token.made, "ends": token.ends,
    })
}
