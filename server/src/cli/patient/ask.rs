//! A patient's side: with key and sheet, on any machine.

use std::path::PathBuf;
use std::time::Duration;

use cairn_ledger::entry::{Conditions, Purpose};
use cairn_ledger::id::{SiteId, random};
use cairn_ledger::opening::Blinding;
use cairn_ledger::patient::{
    Consent, Inquiry, PatientSecret, SignedStatement, StatementBody, Withdrawal,
};
use clap::Args;
use reqwest::{Certificate, Client, redirect};
use serde::de::DeserializeOwned;
use url::Url;

use super::super::{Exit, Session};
use super::sheet::{self, Meant};
use super::{PURPOSES, text_of};
use crate::clock::now;
use crate::error::{Error, Result};
use crate::output::{clean, counted};
use crate::sharing::patients::{Sheet, Withdrawn};
use crate::sharing::{Fault, Shared, days};

/// Time for one answer: others may be asked to cosign meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
struct Home {
    /// Where the hospital is reached
    #[arg(long, value_name = "URL")]
    server: Url,
    /// Certificate of an authority (PEM) that counts beside the system's
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct StudiesArgs {
    /// The key
    #[arg(long, value_name = "FILE", default_value = "patient.key")]
    key: PathBuf,
    /// The sheet; it is brought up to date
    #[arg(long, value_name = "FILE")]
    sheet: PathBuf,
    #[command(flatten)]
    home: Home,
}

#[derive(Debug, Args)]
pub(super) struct GrantArgs {
    /// The key
    #[arg(long, value_name = "FILE", default_value = "patient.key")]
    key: PathBuf,
    #[command(flatten)]
    meant: Meant,
    /// Who may read: a site's name as the sheet has it, or its whole id
    #[arg(long, value_name = "SITE")]
    to: String,
    /// What for
    #[arg(long, value_name = "CODE", default_value = "PATRQT", value_parser = PURPOSES)]
    purpose: String,
    /// For how many days
    #[arg(long, value_name = "N", default_value = "30")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// The site must not keep its copy once that is over
    #[arg(long)]
    no_retention: bool,
    /// Hand it to the hospital now; without, it is printed for whoever shall show it
    #[arg(long, value_name = "URL")]
    server: Option<Url>,
    /// Certificate of an authority (PEM) that counts beside the system's
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// The key
    #[arg(long, value_name = "FILE", default_value = "patient.key")]
    key: PathBuf,
    #[command(flatten)]
    meant: Meant,
    /// This grant alone [default: all, and everything that was signed until now]
    #[arg(long, value_name = "N")]
    grant: Option<u64>,
    #[command(flatten)]
    home: Home,
}

pub(super) fn studies(session: &Session, args: &StudiesArgs) -> Result<Exit> {
    let (secret, before) = (PatientSecret::load(&args.key)?, sheet::read(&args.sheet)?);
    let body = StatementBody::Inquiry(Inquiry { nonce: random()? });
    let signed = SignedStatement::sign(&secret, before.owner()?, now(), body)?;
    let told: Sheet = say(&args.home.server, args.home.ca.as_deref(), &signed)?;
    if told.site != before.site {
        return Err(Fault::Patient("another site answered".into()).into());
    }
    sheet::write(&args.sheet, &told)?;
    if session.output.json {
        session.output.object(&told)?;
    } else {
        session.output.text(&sheet::told(&told))?;
    }
    Ok(Exit::Good)
}

pub(super) fn grant(session: &Session, args: &GrantArgs) -> Result<Exit> {
    let secret = PatientSecret::load(&args.key)?;
    let (sheet, study) = args.meant.read()?;
    let named = sheet.sites.get(&args.to).map_or(args.to.as_str(), String::as_str);
    let unknown = || Fault::UnknownSite(args.to.clone());
    let grantee = SiteId::from_hex(named).ok_or_else(unknown)?;
    let not_before = now();
    let blinding = SiteId::from_hex(&study.blinding).map(|bytes| Blinding(bytes.0));
    let consent = Consent {
        study: study.id()?,
        blinding: blinding.ok_or(Fault::Patient("the sheet's study has no blinding".into()))?,
        grantee,
        purpose: Purpose::from_code(&args.purpose).unwrap_or(Purpose::PatientRequest),
        not_before,
        expires: not_before + days(args.days),
        conditions: Conditions { no_retention: args.no_retention, ..Conditions::default() },
    };
    let body = StatementBody::Consent(consent);
    let signed = SignedStatement::sign(&secret, sheet.owner()?, not_before, body)?;
    let Some(server) = &args.server else {
        if session.output.json {
            let consent = signed.id().to_string();
            let statement = signed.to_text();
            let told = serde_json::json!({ "consent": consent, "statement": statement.trim() });
            session.output.object(&told)?;
        } else {
            session.output.text(&signed.to_text())?;
        }
        return Ok(Exit::Good);
    };
    let shared: Shared = say(server, args.ca.as_deref(), &signed)?;
    if session.output.json {
        session.output.object(&shared)?;
    } else {
        session.output.text(&super::super::share::told(&shared))?;
    }
    Ok(Exit::Good)
}

pub(super) fn revoke(session: &Session, args: &RevokeArgs) -> Result<Exit> {
    let secret = PatientSecret::load(&args.key)?;
    let (sheet, study) = args.meant.read()?;
    let withdrawal = Withdrawal { study: study.id()?, grant: args.grant };
    let body = StatementBody::Withdrawal(withdrawal);
    let signed = SignedStatement::sign(&secret, sheet.owner()?, now(), body)?;
    let withdrawn: Withdrawn = say(&args.home.server, args.home.ca.as_deref(), &signed)?;
    if session.output.json {
        session.output.object(&withdrawn)?;
    } else {
        let ended = counted(withdrawn.grants.len() as u64, "grant");
        let numbers: Vec<String> = withdrawn.grants.iter().map(u64::to_string).collect();
        let and = match withdrawn.consents_until {
            Some(_) => "; what you signed until now counts no more",
            None => "",
        };
        session.output.text(&format!("ended {ended}: {}{and}\n", numbers.join(", ")))?;
    }
    Ok(Exit::Good)
}

pub(super) fn proof(session: &Session, meant: &Meant) -> Result<Exit> {
    let (_, study) = meant.read()?;
    let none = || Fault::Patient("the sheet has no proof of that study yet".into());
    let proof = study.proof.ok_or_else(none)?;
    if session.output.json {
        session.output.object(&serde_json::json!({ "proof": proof }))?;
    } else {
        session.output.text(&proof)?;
    }
    Ok(Exit::Good)
}

/// Says something to a hospital, and reads its answer.
fn say<T: DeserializeOwned>(
    server: &Url,
    ca: Option<&std::path::Path>,
    signed: &SignedStatement,
) -> Result<T> {
    let fault = |why: String| Error::from(Fault::Patient(why));
    let http = |error: reqwest::Error| fault(format!("{server} does not answer: {error}"));
    let mut client = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none());
    if let Some(ca) = ca {
        let pem = text_of(ca)?;
        for trusted in Certificate::from_pem_bundle(pem.as_bytes()).map_err(http)? {
            client = client.add_root_certificate(trusted);
        }
    }
    let client = client.build().map_err(http)?;
    let url = server.join("patient/v1/statements").map_err(|error| fault(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| fault(error.to_string()))?;
    let body = signed.bytes().to_vec();
    runtime.block_on(async {
        let request = client.post(url).header("content-type", "application/cose").body(body);
        let reply = request.send().await.map_err(http)?;
        let status = reply.status();
        let bytes = reply.bytes().await.map_err(http)?;
        if !status.is_success() {
            let why = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
            let why = why.and_then(|why| Some(clean(why["error"].as_str()?)));
            let why = why.unwrap_or_default();
            return Err(fault(format!("{server} refuses it ({}): {why}", status.as_u16())));
        }
        let read = serde_json::from_slice(&bytes);
        read.map_err(|_| fault("the answer cannot be read".into()))
    })
}
