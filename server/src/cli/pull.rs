//! `cairn pull`: studies from another archive, over DIMSE; or all of it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_store::{Access, Store};
use clap::Args;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::serve::{end, listen, parts};
use super::{Exit, Session};
use crate::config::Config;
use crate::dimse::{
    self, By, Dimse, Migration, Peer, Ports, Pulled, Settings, Slice, Summary, Way,
};
use crate::error::{Error, Result};
use crate::http::App;
use crate::interrupt;
use crate::metrics::Metrics;
use crate::output::{count, counted, pairs, round, size};
use crate::progress::Progress;

/// Have studies sent here from another archive, over DIMSE
#[derive(Debug, Args)]
#[command(after_help = "\
Asks with C-FIND what a study holds, has it sent with C-GET over an association of its own, and \
takes it in as `cairn serve` does: byte for byte as it is sent, in the syntax in which the other \
archive stores it where it says which. What is here already is not stored again, so a pull that was \
interrupted is simply run again.

--dates takes over a whole archive: it is asked for the studies of each month (week, day), those that \
are here are passed over, of the others what is missing is sent. A span with many studies is asked \
for in halves, since archives cut long answers. Run again, it goes on where it was.

--move-to is for archives without C-GET: they send to this one, which listens meanwhile where [dimse] \
says, and has to be known there under this title.

The archive is made if it is not there. `cairn serve` must not run on it at the same time.

Exit codes: 0 all of every study came; 1 something did not; 2 wrong usage or settings; 130 \
interrupted.

Examples:
  cairn pull --from PACS@10.0.0.5:104 1.2.840.113619.2.5
  cairn --data /srv/cairn pull --from PACS@pacs.example:104 --ae CAIRN 1.2.3 1.2.4
  cairn pull --from PACS@10.0.0.5:104 --dates 20100101-20201231 --modality CT
  cairn pull --from OLD@10.0.0.6:104 --dates 20100101-20101231 --by week --move-to CAIRN")]
pub(crate) struct PullArgs {
    /// The other archive
    #[arg(long, value_name = "AE@HOST:PORT")]
    from: String,
    /// AE title under which to call it [default: CAIRN]
    #[arg(long, env = "CAIRN_AE", value_name = "TITLE")]
    ae: Option<String>,
    /// Study Instance UIDs
    #[arg(required_unless_present = "dates", conflicts_with = "dates", value_name = "STUDY")]
    studies: Vec<String>,
    /// All studies of these days, by Study Date
    #[arg(long, value_name = "YYYYMMDD-YYYYMMDD")]
    dates: Option<String>,
    /// Only studies with this modality
    #[arg(long, requires = "dates", value_name = "CS")]
    modality: Option<String>,
    /// Days that are asked for at once
    #[arg(long, requires = "dates", default_value = "month")]
    by: By,
    /// Studies that come at once
    #[arg(long, requires = "dates", default_value = "4", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=32))]
    associations: u16,
    /// A span with so many studies is asked for in halves
    #[arg(long, requires = "dates", default_value = "200", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    answers_max: u32,
    /// Have it sent by C-MOVE to this AE title, which is this archive's
    #[arg(long, requires = "dates", value_name = "TITLE")]
    move_to: Option<String>,
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
    let dates = args.dates.as_deref().map(Slice::parse);
    if dates == Some(None) {
        return Err(Error::Usage("--dates takes YYYYMMDD-YYYYMMDD, the earlier day first"));
    }
    let store = Store::open(&session.store_config()?, Access::Write)?;
    super::import::tell_key(session, &store)?;
    let ingest = store.ingest(config.ingest_config())?;
    let parts = parts(&config)?;
    let app = Arc::new(App::new(store, ingest, Arc::new(Metrics::new()?), parts));
    let done = match dates.flatten() {
        Some(dates) => by_dates(session, args, &config, &app, (&settings, peer), dates),
        None => by_name(session, args, &app, (&settings, peer)),
    };
    let ended = end(app.close_ingest());
    let exit = done?;
    ended?;
    Ok(exit)
}

fn by_name(
    session: &Session,
    args: &PullArgs,
    app: &App,
    (settings, peer): (&Settings, &Peer),
) -> Result<Exit> {
    let mut good = true;
    for study in &args.studies {
        let ingest = app.ingest().map_err(|_| Error::Usage("the archive is being closed"))?;
        let pulled = match dimse::pull(settings, peer, &ingest, study) {
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
    Ok(Exit::good_if(good))
}

/// Whom the other archive sends to by C-MOVE: this process, as long as it lives.
struct Listening {
    runtime: Runtime,
    stop: tokio::sync::oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
}

impl Listening {
    fn start(session: &Session, config: &Config, app: &Arc<App>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Error::io("start threads for", &session.data))?;
        let address = config.dimse.address()?;
        let address = address.ok_or(Error::Usage("--move-to needs [dimse] listen"))?;
        let (listener, bound) = runtime.block_on(listen(address))?;
        session.output.note(&format!("cairn: DIMSE on {bound}"));
        // Who may send is who was asked.
        let settings = config.dimse.settings(Duration::from_secs(5))?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let dimse = Dimse::new(Arc::clone(app), settings);
        let ports = Ports { plain: Some(listener), tls: None };
        let serving = runtime.spawn(dimse::serve(dimse, ports, async {
            // An error: whoever could say so is gone.
            let _ = stopped.await;
        }));
        Ok(Self { runtime, stop, serving })
    }

    fn end(self) {
        let _ = self.stop.send(());
        // An error is a panic of that task, which said so itself.
        let _ = self.runtime.block_on(self.serving);
        self.runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

/// What a migration came to, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    seconds: f64,
}

fn by_dates(
    session: &Session,
    args: &PullArgs,
    config: &Config,
    app: &Arc<App>,
    (settings, peer): (&Settings, &Peer),
    dates: Slice,
) -> Result<Exit> {
    let begun = Instant::now();
    interrupt::listen();
    let listening = match &args.move_to {
        Some(_) => Some(Listening::start(session, config, app)?),
        None => None,
    };
    let progress = Progress::new(&session.output, "pulling");
    let migration = Migration {
        app,
        settings,
        from: peer,
        slices: dates.cut(args.by),
        modality: args.modality.clone(),
        way: args.move_to.clone().map_or(Way::Get, Way::Move),
        associations: args.associations.into(),
        answers_max: args.answers_max as usize,
    };
    let done = dimse::migrate(&migration, &mut |at| {
        let Summary { studies, held, pulled, instances, failed, bytes, .. } = at.summary;
        let message = format!(
            "{}/{} spans, {} studies: {} here, {} pulled, {} instances, {failed} failed",
            at.slices.0,
            at.slices.1,
            count(studies),
            count(held),
            count(pulled),
            count(instances),
        );
        progress.at(bytes, bytes, &message);
        !interrupt::asked()
    });
    if let Some(listening) = listening {
        listening.end();
    }
    drop(progress);
    let summary = done.map_err(|error| match error {
        dimse::PullError::Store(error) => Error::Store(error),
        other => Error::Demo(other.to_string()),
    })?;
    if session.output.json {
        let seconds = round(begun.elapsed().as_secs_f64());
        session.output.object(&Report { summary: &summary, seconds })?;
    } else {
        session.output.text(&summed_up(&summary))?;
    }
    if summary.interrupted {
        return Ok(Exit::Interrupted);
    }
    Ok(Exit::good_if(summary.failed == 0))
}

fn summed_up(summary: &Summary) -> String {
    let mut text = pairs(&[
        ("studies", count(summary.studies)),
        ("were here", count(summary.held)),
        ("pulled", count(summary.pulled)),
        ("instances", count(summary.instances)),
        ("duplicates", count(summary.duplicates)),
        ("data", size(summary.bytes)),
        ("failed", counted(summary.failed, "study or span")),
    ]);
    for failure in &summary.failures {
        let what = failure.study_uid.as_ref().or(failure.dates.as_ref());
        let what = what.map_or("", String::as_str);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {what}: {}", failure.why);
    }
    for day in &summary.maybe_cut {
        let _ = writeln!(text, "  {day}: so many studies that there may be more");
    }
    text
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
