//! `cairn audit`: who looked at what, and is the log as it was written?

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::{Exit, Session};
use crate::audit::{Found, Head, Line, dicom, fhir, folder, walk};
use crate::dicomweb::subject::hex;
use crate::error::{Error, Result};
use crate::output::{Align, Table, clean, counted};

/// Show or check the log of every access to the archive
#[derive(Debug, Args)]
#[command(after_help = "\
`cairn serve` writes a line for each access over HTTP and DIMSE, by other sites and by commands, also for \
those that it refused, into audit/ of the data directory. A command that changes something where no server \
runs writes its own. Each line holds a hash of itself and of what came before.

verify finds a line that was changed, taken out, put in or moved. That the end was cut off, or the rest \
written anew, shows against a head that was noted before: verify prints it, and a server logs it when it \
begins, ends, and begins a new file. Old files may be taken away as a whole, the oldest first.

Exit codes: 0 the log is as it was written; 1 it is not, or it cannot be read; 2 wrong usage or settings.

Examples:
  cairn audit show --study 1.2.840.1
  cairn --json audit show --since 2026-11-26T00:00:00Z | jq -r .who | sort | uniq -c
  cairn audit export --format fhir --since 2026-11-26T00:00:00Z > events.ndjson
  cairn audit verify
  cairn audit verify --head 1042:5f0c…")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List accesses
    Show {
        /// Only those that name this study, or stored into it
        #[arg(long, value_name = "UID")]
        study: Option<String>,
        /// Only those of this name: a person, a service token, an AE title, a site, a user of this machine
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
        /// Only those since then: a time as 2026-11-26T08:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
    },
    /// Print lines in the words of a standard, one document a line
    Export {
        /// dicom: DICOM audit messages (PS3.15 A.5), XML; fhir: AuditEvents of FHIR R4, JSON
        #[arg(long, value_name = "FORMAT")]
        format: Format,
        /// Only those since then: a time as 2026-11-26T08:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
    },
    /// Check every line
    Verify {
        /// A head that was noted before has to be in the log
        #[arg(long, value_name = "NUMBER:HASH")]
        head: Option<Head>,
    },
}

/// In whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// DICOM's.
    Dicom,
    /// HL7's.
    Fhir,
}

pub(super) fn run(session: &Session, args: &AuditArgs) -> Result<Exit> {
    if !folder(&session.data).is_dir() {
        return Err(Error::Usage("there is no audit log in this data directory"));
    }
    match &args.what {
        What::Show { study, who, since } => show(
            session,
            &Filter {
                ledger: session.ledger_names(study.as_deref()),
                study: study.as_deref(),
                who: who.as_deref(),
                since: *since,
            },
        ),
        What::Export { format, since } => export(session, *format, *since),
        What::Verify { head } => verify(session, *head),
    }
}

/// Which lines are asked for.
struct Filter<'a> {
    study: Option<&'a str>,
    /// The study's names on the ledger: other sites ask for it by those.
    ledger: Vec<String>,
    who: Option<&'a str>,
    since: Option<Timestamp>,
}

impl Filter<'_> {
    fn takes(&self, line: &Line) -> bool {
        let event = &line.event;
        let is_about = |study: &str| {
            event.studies.iter().any(|known| known == study)
                || event.ledger_study.as_ref().is_some_and(|name| self.ledger.contains(name))
        };
        let is_later =
            |since: &Timestamp| line.at.parse::<Timestamp>().is_ok_and(|at| at >= *since);
        self.study.is_none_or(is_about)
            && self.who.is_none_or(|who| event.who == who || event.user == who)
            && self.since.as_ref().is_none_or(is_later)
    }
}

impl Session {
    /// What a study is called on the ledger, as far as the archive is there and knows it.
    fn ledger_names(&self, study: Option<&str>) -> Vec<String> {
        let Some(study) = study else { return Vec::new() };
        let Ok(store) = self.open_to_read() else { return Vec::new() };
        let editions = store.catalog().editions().editions(Some(study)).unwrap_or_default();
        editions.iter().map(|edition| hex(&edition.study)).collect()
    }
}

fn show(session: &Session, filter: &Filter<'_>) -> Result<Exit> {
    let mut table = Table::new(&[
        ("AT", Align::Left),
        ("WHO", Align::Left),
        ("KIND", Align::Left),
        ("FROM", Align::Left),
        ("OVER", Align::Left),
        ("DID", Align::Left),
        ("ANSWER", Align::Left),
        ("STUDIES", Align::Left),
    ]);
    let found = walk(&folder(&session.data), &mut |line, _| {
        if !filter.takes(line) {
            return Ok(());
        }
        if session.output.json {
            return session.output.object(line);
        }
        table.row(cells(line));
        Ok(())
    })?;
    session.output.text(&table.render())?;
    if !found.faults.is_empty() {
        session.output.note("cairn: the log is not as it was written; see `cairn audit verify`");
    }
    Ok(Exit::good_if(found.faults.is_empty()))
}

fn cells(line: &Line) -> Vec<String> {
    let event = &line.event;
    let answer = match event.why.as_str() {
        "" => event.status.clone(),
        why => format!("{} {why}", event.status),
    };
    let studies = event.studies.join(" ");
    let more = event.studies_count.map(|count| format!(" … {count} in all")).unwrap_or_default();
    [
        &line.at,
        &event.who,
        &event.kind,
        &event.from,
        event.face.word(),
        &event.op,
        &answer,
        &format!("{studies}{more}"),
    ]
    .map(|cell: &str| clean(cell))
    .to_vec()
}

/// Lines for which the standards have no message are left out.
fn export(session: &Session, format: Format, since: Option<Timestamp>) -> Result<Exit> {
    let source = session.config()?.audit.source;
    let filter = Filter { study: None, ledger: Vec::new(), who: None, since };
    let found = walk(&folder(&session.data), &mut |line, _| {
        if !filter.takes(line) {
            return Ok(());
        }
        match format {
            Format::Dicom => match dicom::message(line, &source) {
                Some(message) => session.output.text(&format!("{message}\n")),
                None => Ok(()),
            },
            Format::Fhir => match fhir::resource(line, &source) {
                Some(resource) => session.output.object(&resource),
                None => Ok(()),
            },
        }
    })?;
    Ok(Exit::good_if(found.faults.is_empty()))
}

fn verify(session: &Session, noted: Option<Head>) -> Result<Exit> {
    // Before the first line that is there, it can only be believed.
    let mut is_there = noted.is_none_or(|noted| noted == Head::START);
    let found = walk(&folder(&session.data), &mut |_, head| {
        is_there |= noted == Some(head);
        Ok(())
    })?;
    let Found { first, head, faults, torn_bytes } = &found;
    let is_good = faults.is_empty() && is_there;
    if session.output.json {
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| {
                let file = fault.path.display().to_string();
                json!({ "file": file, "line": fault.line, "why": fault.what.to_string() })
            })
            .collect();
        session.output.object(&json!({
            "is_good": is_good, "first": first, "lines": head.lines, "head": head.to_string(),
            "faults": faults, "torn_bytes": torn_bytes, "noted_head_is_there": is_there,
        }))?;
        return Ok(Exit::good_if(is_good));
    }
    session.output.text(&told(&found, is_there))?;
    Ok(Exit::good_if(is_good))
}

/// What was found, for people.
fn told(found: &Found, noted_is_there: bool) -> String {
    let Found { first, head, faults, torn_bytes } = found;
    let mut lines: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}, line {}: {}", fault.path.display(), fault.line, fault.what))
        .collect();
    if !noted_is_there {
        let lost = "the head that was noted is not in the log: its end was cut off or replaced";
        lines.push(lost.into());
    }
    if *torn_bytes > 0 {
        let bytes = counted(*torn_bytes, "byte");
        lines.push(format!("a last line was not finished ({bytes}): a crash, not a change"));
    }
    let count = counted(head.lines - first, "line");
    lines.push(if faults.is_empty() && noted_is_there {
        format!("{count} as they were written; head {head}")
    } else {
        format!("{count}; the log is NOT as it was written")
    });
    lines.join("\n") + "\n"
}
