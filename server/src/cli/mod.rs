//! The command line: global flags, one file for each command, and what they share.

mod asking;
mod audit;
mod demo;
mod echo;
mod export;
mod fetch;
mod gc;
mod glass;
mod grants;
mod hand_over;
mod import;
mod ledger;
mod ls;
mod passcode;
mod patient;
mod peers;
mod probe;
mod proof;
mod pull;
mod rebuild;
mod revoke;
mod routes;
mod send;
mod serve;
mod share;
mod show;
mod stats;
mod take_over;
mod token;
mod usage;
mod verify;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairn_store::layout::Layout;
use cairn_store::{Access, Store, StoreConfig};
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::interrupt::EXIT_INTERRUPTED;
use crate::logging::{self, Style};
use crate::output::Output;

/// How long a command that reads waits for a server beside it to bring what it acknowledged into the
/// catalog: some seconds of coding are as much as a person likes to wait for a list.
const SPOOL_PATIENCE: Duration = Duration::from_secs(4);
/// How often it looks.
const SPOOL_LOOK: Duration = Duration::from_millis(100);

const ABOUT: &str = "\
A content-addressed archive for medical images: every DICOM file comes back byte for byte, \
identical pixels are stored once, and every study has a name that proves its content.";

const AFTER_HELP: &str = "\
Settings: DIR/cairn.toml or --config FILE; every key is also a variable, as CAIRN_INGEST__READERS \
for readers in [ingest].

Exit codes: 0 all is well; 1 something failed or is damaged; 2 wrong usage or settings; 130 \
interrupted.

Examples:
  cairn demo
  cairn --data /srv/cairn import /mnt/cd
  cairn --data /srv/cairn export 1.2.840.113619.2.5 out/";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, about = ABOUT, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Data directory: catalog, keys and open packs
    #[arg(long, global = true, env = "CAIRN_DATA", value_name = "DIR")]
    #[arg(default_value = "./cairn-data")]
    data: PathBuf,
    /// Where packs are: a directory or s3://bucket/prefix, az://…, gs://… [default: DIR/bucket]
    #[arg(long, global = true, env = "CAIRN_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<String>,
    /// Settings [default: cairn.toml in the data directory, if it is there]
    #[arg(long, global = true, env = "CAIRN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON: one object, or one a line for lists; sizes in bytes, times in seconds
    #[arg(long, global = true)]
    json: bool,
    /// No progress, notes or summaries; errors and asked-for data only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Ls(ls::LsArgs),
    Show(show::ShowArgs),
    Verify(verify::VerifyArgs),
    Gc(gc::GcArgs),
    Stats(stats::StatsArgs),
    Rebuild(rebuild::RebuildArgs),
    Serve(serve::ServeArgs),
    Pull(pull::PullArgs),
    Echo(echo::EchoArgs),
    Passcode(passcode::PasscodeArgs),
    Token(token::TokenArgs),
    Patient(patient::PatientArgs),
    Audit(audit::AuditArgs),
    Send(send::SendArgs),
    Routes(routes::RoutesArgs),
    Share(share::ShareArgs),
    Fetch(fetch::FetchArgs),
    Glass(glass::GlassArgs),
    Revoke(revoke::RevokeArgs),
    HandOver(hand_over::HandOverArgs),
    TakeOver(take_over::TakeOverArgs),
    Grants(grants::GrantsArgs),
    Peers(peers::PeersArgs),
    Ledger(ledger::LedgerArgs),
    Usage(usage::UsageArgs),
    Probe(probe::ProbeArgs),
    Demo(demo::DemoArgs),
}

/// How a command that could do its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything is as it should be.
    Good,
    /// Something failed or is damaged; the output names it.
    Bad,
    /// Somebody asked it to end early.
    Interrupted,
}

impl Exit {
    /// [`Exit::Good`] if `good`, else [`Exit::Bad`].
    pub(crate) fn good_if(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    /// The exit code of the process.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Bad => 1,
            Self::Interrupted => EXIT_INTERRUPTED,
        }
    }
}

/// What a command works with.
pub(crate) struct Session {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Where it prints.
    pub(crate) output: Output,
    store_url: Option<String>,
    config_file: Option<PathBuf>,
}

/// Runs what was asked for.
pub(crate) fn run(cli: &Cli) -> Result<Exit> {
    let global = &cli.global;
    // The server's lines look as its settings say.
    if !matches!(cli.command, Command::Serve(_)) {
        logging::start(Style::new(global.quiet, global.verbose));
    }
    let session = Session {
        data: global.data.clone(),
        output: Output::new(global.json, global.quiet, global.verbose),
        store_url: global.store.clone(),
        config_file: global.config.clone(),
    };
    let exit = match &cli.command {
        Command::Import(args) => import::run(&session, args),
        Command::Export(args) => export::run(&session, args),
        Command::Ls(args) => ls::run(&session, args),
        Command::Show(args) => show::run(&session, args),
        Command::Verify(args) => verify::run(&session, args),
        Command::Gc(args) => gc::run(&session, args),
        Command::Stats(args) => stats::run(&session, args),
        Command::Rebuild(args) => rebuild::run(&session, args),
        Command::Serve(args) => serve::run(&session, args),
        Command::Pull(args) => pull::run(&session, args),
        Command::Echo(args) => echo::run(&session, args),
        Command::Passcode(args) => passcode::run(&session, args),
        Command::Token(args) => token::run(&session, args),
        Command::Patient(args) => patient::run(&session, args),
        Command::Audit(args) => audit::run(&session, args),
        Command::Send(args) => send::run(&session, args),
        Command::Routes(args) => routes::run(&session, args),
        Command::Share(args) => share::run(&session, args),
        Command::Fetch(args) => fetch::run(&session, args),
        Command::Glass(args) => glass::run(&session, args),
        Command::Revoke(args) => revoke::run(&session, args),
        Command::HandOver(args) => hand_over::run(&session, args),
        Command::TakeOver(args) => take_over::run(&session, args),
        Command::Grants(args) => grants::run(&session, args),
        Command::Peers(args) => peers::run(&session, args),
        Command::Ledger(args) => ledger::run(&session, args),
        Command::Usage(args) => usage::run(&session, args),
        Command::Probe(args) => probe::run(&session, args),
        Command::Demo(args) => demo::run(&session, args),
    };
    session.output.flush()?;
    exit
}

impl Session {
    /// The settings.
    pub(crate) fn config(&self) -> Result<Config> {
        Config::load(self.config_file.as_deref(), &self.data, variables())
    }

    /// Where the archive lives.
    pub(crate) fn store_config(&self) -> Result<StoreConfig> {
        Ok(self.config()?.store_config(&self.data, self.store_url.as_deref()))
    }

    /// Opens an archive that is there. Never makes one: a wrong `--data` or `--store` shall not
    /// leave a trace.
    pub(crate) fn open_to_read(&self) -> Result<Store> {
        let config = self.store_config()?;
        require_archive(&self.data)?;
        require_bucket(&config)?;
        let store = Store::open(&config, Access::Read)?;
        self.await_server(&store);
        Ok(store)
    }

    /// A server beside this process may have acknowledged what is not in the catalog yet. It brings it
    /// there as soon as nobody sends, so who only looks waits for a moment; who would have to wait longer
    /// is told.
    fn await_server(&self, store: &Store) {
        let begun = Instant::now();
        while store.unseen_bytes() > 0 {
            if begun.elapsed() > SPOOL_PATIENCE {
                let unseen = crate::output::size(store.unseen_bytes());
                self.output.note(&format!(
                    "cairn: a server is receiving; the last {unseen} of what it acknowledged may not \
                     be among what follows"
                ));
                return;
            }
            std::thread::sleep(SPOOL_LOOK);
        }
    }
}

/// Variables that are text; others cannot be ours.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Is there an archive, or what is left of one? Which of its parts are missing is for the store to
/// say.
fn require_archive(data: &Path) -> Result<()> {
    let layout = Layout { data: data.to_owned() };
    let traces = [layout.catalog(), data.join("bucket"), data.join("keys")];
    if traces.iter().any(|trace| trace.exists()) {
        return Ok(());
    }
    Err(Error::NoArchive { path: data.to_owned() })
}

/// A bucket that is a directory has to be there; of any other the store learns soon enough.
fn require_bucket(config: &StoreConfig) -> Result<()> {
    let Some(bucket) = &config.bucket else { return Ok(()) };
    let path = Path::new(bucket.strip_prefix("file://").unwrap_or(bucket));
    if bucket.contains("://") && !bucket.starts_with("file://") || path.is_dir() {
        return Ok(());
    }
    Err(Error::NoArchive { path: path.to_owned() })
}
