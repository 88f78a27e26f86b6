//! DCMTK's programs: who sends, who asks, and who receives; and what they cost.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::unix::process::CommandExt;

use crate::files::list;
use crate::instances::{Instance, Set};
use crate::machine::family_cpu_s;
use crate::measure::{Bench, first_line, output};
use crate::scratch::Running;
use crate::service::{AE_TITLE, DESTINATION, free_port};

/// Associations that send at once, in the step of many.
pub(super) const SENDERS: usize = 8;
/// How long a receiver may take to listen.
const START_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// Which DCMTK it is; `None` if a program of it is not installed.
pub(super) fn about() -> Option<String> {
    let programs = ["storescp", "getscu", "movescu", "storescu"];
    let versions = programs.map(|program| first_line(Command::new(program).arg("--version")));
    let [_, _, _, last] = &versions;
    let text = last.clone()?.trim_matches(['$', ' ']).to_owned();
    versions.iter().all(Option::is_some).then_some(text)
}

/// How DCMTK's programs treat Nagle's algorithm (RFC 896): a message goes out in two pieces, and with it
/// the second waits until the first is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nagle {
    /// Left on, as they do of their own.
    On,
    /// Turned off by `TCP_NODELAY=1`.
    Off,
}

fn program(name: &str, nagle: Nagle) -> Command {
    let mut command = Command::new(name);
    match nagle {
        Nagle::On => command.env_remove("TCP_NODELAY"),
        Nagle::Off => command.env("TCP_NODELAY", "1"),
    };
    command
}

/// CPU seconds that programs used which this process started and waited for.
pub(super) fn children_cpu_s() -> Result<f64> {
    cpu_s(UsageWho::RUSAGE_CHILDREN)
}

/// CPU seconds that this process used.
pub(super) fn own_cpu_s() -> Result<f64> {
    cpu_s(UsageWho::RUSAGE_SELF)
}

fn cpu_s(who: UsageWho) -> Result<f64> {
    let usage = getrusage(who)?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The files of a set as a sender finds them: in [`SENDERS`] folders.
pub(super) struct Outbox {
    folder: PathBuf,
    folders: Vec<PathBuf>,
}

impl Outbox {
    pub(super) fn new(bench: &Bench<'_>, name: &str, set: &Set) -> Result<Self> {
        let folder = bench.scratch.folder(name)?;
        let mut folders = Vec::new();
        for n in 0..SENDERS {
            let path = folder.join(n.to_string());
            std::fs::create_dir_all(&path)?;
            folders.push(path);
        }
        for (n, instance) in set.instances.iter().enumerate() {
            std::fs::write(folders[n % SENDERS].join(format!("{n}.dcm")), &instance.bytes)?;
        }
        Ok(Self { folder, folders })
    }

    /// Sends everything over one association to whoever listens on `port`, or over [`SENDERS`].
    pub(super) fn send(&self, port: u16, at_once: bool, nagle: Nagle) -> Result<()> {
        let one = std::slice::from_ref(&self.folder);
        let folders = if at_once { &self.folders } else { one };
        std::thread::scope(|scope| {
            let senders: Vec<_> = folders
                .iter()
                .map(|folder| scope.spawn(move || send(folder, port, nagle)))
                .collect();
            senders.into_iter().try_for_each(|sender| match sender.join() {
                Ok(sent) => sent,
                Err(_) => bail!("a sender panicked"),
            })
        })
    }
}

fn send(folder: &Path, port: u16, nagle: Nagle) -> Result<()> {
    let mut command = program("storescu", nagle);
    command.args(["-aec", AE_TITLE, "-R", "+sd", "+r", "127.0.0.1"]);
    // It ends with an error if an answer is not success.
    output(command.arg(port.to_string()).arg(folder)).map(drop)
}

/// Has a study sent here over the association that asks for it; it is kept in `folder`, or nowhere.
pub(super) fn get(port: u16, study: &str, folder: Option<&Path>, nagle: Nagle) -> Result<()> {
    let mut command = program("getscu", nagle);
    command.args(["-S", "-aec", AE_TITLE, "-k", "QueryRetrieveLevel=STUDY", "-k"]);
    command.arg(format!("StudyInstanceUID={study}"));
    match folder {
        Some(folder) => command.arg("+B").arg("-od").arg(folder),
        None => command.arg("--ignore"),
    };
    output(command.arg("127.0.0.1").arg(port.to_string())).map(drop)
}

/// Has a study sent to [`DESTINATION`].
pub(super) fn request_move(port: u16, study: &str, nagle: Nagle) -> Result<()> {
    let mut command = program("movescu", nagle);
    command.args(["-S", "-aec", AE_TITLE, "-aem", DESTINATION]);
    command.args(["-k", "QueryRetrieveLevel=STUDY", "-k"]);
    command.arg(format!("StudyInstanceUID={study}"));
    output(command.arg("127.0.0.1").arg(port.to_string())).map(drop)
}

/// How many files in `folder` are instances of `study`, with all of their pixels. Bytes are not compared:
/// `storescu` writes data sets anew.
pub(super) fn count_equal(folder: &Path, study: &[&Instance]) -> Result<usize> {
    let wanted: HashMap<&str, &Instance> =
        study.iter().map(|instance| (instance.sop.as_str(), *instance)).collect();
    let mut equal = HashSet::new();
    for path in list(folder)? {
        let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let Some(found) = Instance::of(bytes) else { continue };
        if wanted.get(found.sop.as_str()).is_some_and(|sent| sent.has_pixels_of(&found)) {
            equal.insert(found.sop);
        }
    }
    Ok(equal.len())
}

/// A receiver that throws away what it gets, or keeps it in a folder.
pub(super) struct Receiver {
    child: Child,
    running: Running,
    pub(super) port: u16,
}

impl Receiver {
    pub(super) fn start(nagle: Nagle) -> Result<Self> {
        let port = free_port()?;
        let mut command = program("storescp", nagle);
        command.args(["-aet", DESTINATION, "--fork", "--ignore"]).arg(port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().context("storescp cannot be started")?;
        let running = Running::new(child.id());
        let receiver = Self { child, running, port };
        let begun = Instant::now();
        while output(program("echoscu", Nagle::Off).arg("127.0.0.1").arg(port.to_string())).is_err()
        {
            ensure!(begun.elapsed() < START_MAX, "storescp does not answer");
            std::thread::sleep(POLL);
        }
        Ok(receiver)
    }
}

impl Receiver {
    /// CPU seconds that it used so far.
    pub(super) fn cpu_s(&self) -> Result<f64> {
        // It has a process for each association, and counts one that ended when the next one comes.
        output(program("echoscu", Nagle::Off).arg("127.0.0.1").arg(self.port.to_string()))?;
        family_cpu_s(self.child.id()).context("storescp has no figures")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.running.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
