//! Running a command and learning what it used.
//!
//! The command runs under a copy of this program (`cairn-bench measured`), whose only children it and
//! its own children are: the kernel's account of a process's ended children (getrusage(2),
//! `RUSAGE_CHILDREN`) is then exactly the account of the command. Peak memory is the largest resident
//! set of any one process in it, shared pages included.
//!
//! Other work on the machine spoils times. How much there was during a measurement is the CPU time
//! that the whole machine used, less the command's: it is reported beside every time. It contains
//! the kernel's own threads, which write back what the command wrote.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};
use std::os::unix::process::CommandExt;

use crate::Common;
use crate::machine;
use crate::scratch::{Running, Scratch};

/// How long the machine is watched to see whether it is idle.
const WATCH: Duration = Duration::from_millis(500);
/// The machine is idle if this many cores are busy at most.
const IDLE_CORES_MAX: f64 = 0.2;

/// What a command used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// From its start to its end.
    pub(crate) wall_s: f64,
    /// User and system time.
    pub(crate) cpu_s: f64,
    /// Largest resident set.
    pub(crate) peak_bytes: u64,
}

/// A measured command.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    #[serde(flatten)]
    pub(crate) usage: Usage,
    /// How long a sync took afterwards: what the command had left for later.
    pub(crate) sync_s: f64,
    /// Cores that other work kept busy meanwhile.
    pub(crate) other_cores: f64,
}

/// What all measurements share.
pub(crate) struct Bench<'a> {
    pub(crate) scratch: &'a Scratch,
    /// The `cairn` binary.
    pub(crate) cairn: PathBuf,
    own_binary: PathBuf,
    quiet_wait: Duration,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(common: &Common, scratch: &'a Scratch) -> Result<Self> {
        let own_binary = std::env::current_exe().context("where is this program?")?;
        let cairn = common.cairn.clone().unwrap_or_else(|| own_binary.with_file_name("cairn"));
        let cairn = cairn.canonicalize().with_context(|| {
            format!("no binary to measure at {}: build it, or name it by --cairn", cairn.display())
        })?;
        let quiet_wait = Duration::from_secs(common.quiet_wait);
        Ok(Self { scratch, cairn, own_binary, quiet_wait })
    }

    /// The binary's path, version, and size, which tells builds apart.
    pub(crate) fn about_cairn(&self) -> String {
        let version = first_line(Command::new(&self.cairn).arg("--version"));
        let bytes = self.cairn.metadata().map_or(0, |metadata| metadata.len());
        let version = version.unwrap_or_else(|| "of unknown version".to_owned());
        format!("{} ({version}, {bytes} bytes)", self.cairn.display())
    }

    /// `cairn` on the archive `data`, with nothing of this process's settings.
    pub(crate) fn cairn(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.cairn);
        command.arg("--data").arg(data).args(["--json", "--quiet"]);
        command
    }

    /// `command` with no signal blocked. Children inherit what [`crate::scratch`] blocks, and a server
    /// that never sees SIGTERM does not end.
    pub(crate) fn open_to_signals(&self, command: &Command) -> Command {
        let mut wrapped = Command::new(&self.own_binary);
        wrapped.arg("open-to-signals").arg("--").arg(command.get_program());
        wrapped.args(command.get_args());
        take_environment(&mut wrapped, command);
        wrapped
    }

    /// Runs `command` and measures it. What is dirty in the page cache is written before, so that a
    /// command that syncs does not pay for others; and free memory is touched, so that a command pays as
    /// little for what others left untouched.
    pub(crate) fn run(&self, command: &Command) -> Result<(Sample, Vec<u8>)> {
        nix::unistd::sync();
        machine::touch_free_memory();
        self.wait_until_quiet();
        let report = self.scratch.path().join("measured.json");
        let mut wrapped = Command::new(&self.own_binary);
        wrapped.arg("measured").arg("--report").arg(&report).arg("--");
        wrapped.arg(command.get_program()).args(command.get_args());
        take_environment(&mut wrapped, command);

        let (busy_before, begun) = (machine::busy_s(), Instant::now());
        let stdout = output(&mut wrapped)?;
        let (busy, lasted) = (machine::busy_s() - busy_before, begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        nix::unistd::sync();
        let sync_s = begun.elapsed().as_secs_f64();

        let usage = std::fs::read(&report).context("the child left no figures")?;
        let usage: Usage = serde_json::from_slice(&usage)?;
        let other_cores = ((busy - usage.cpu_s) / lasted).max(0.0);
        Ok((Sample { usage, sync_s, other_cores }, stdout))
    }

    /// Waits until nothing else runs, or for as long as was asked for.
    pub(crate) fn wait_until_quiet(&self) {
        let begun = Instant::now();
        while begun.elapsed() < self.quiet_wait {
            let before = machine::busy_s();
            std::thread::sleep(WATCH);
            if machine::busy_s() - before <= IDLE_CORES_MAX * WATCH.as_secs_f64() {
                return;
            }
        }
    }
}

/// Runs a command that is not measured; fails if it does.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().display().to_string();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
    let running = Running::new(child.id());
    let done = child.wait_with_output()?;
    drop(running);
    if !done.status.success() {
        let stderr = String::from_utf8_lossy(&done.stderr);
        let stdout = String::from_utf8_lossy(&done.stdout);
        bail!("{name} ended with {}: {}", done.status, format!("{stderr}{stdout}").trim());
    }
    Ok(done.stdout)
}

/// The first line that a command prints, if it is installed.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let text = output(command).ok()?;
    Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
}

/// Gives `wrapped` the folder and environment of `command`, and none of this user's settings of `cairn`.
fn take_environment(wrapped: &mut Command, command: &Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CAIRN_") {
            wrapped.env_remove(name);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
}

/// `cairn-bench open-to-signals`: becomes `words`, with no signal blocked.
pub(crate) fn open_to_signals(words: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = words.split_first().context("no command")?;
    SigSet::all().thread_unblock().context("unblocking signals")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("{} cannot be started", program.display()))
}

/// `cairn-bench measured`: runs `words`, writes what they used to `report`, ends as they did.
pub(crate) fn measured(report: &Path, words: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = words.split_first().context("no command")?;
    let begun = Instant::now();
    let status = Command::new(program).args(arguments).status();
    let status = status.with_context(|| format!("{}", program.display()))?;
    let wall_s = begun.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    // Linux counts the resident set in KiB (getrusage(2)).
    let peak_bytes = used.max_rss().cast_unsigned() * 1024;
    ensure!(peak_bytes > 0, "the kernel has no account of {}", program.display());
    let usage = Usage { wall_s, cpu_s: micros as f64 / 1e6, peak_bytes };
    std::fs::write(report, serde_json::to_vec(&usage)?)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
