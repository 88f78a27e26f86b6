//! A server that is measured: `cairn serve`, or Orthanc with its DICOMweb plugin, on loopback.
//!
//! Each listens on free ports for HTTP and DIMSE, keeps everything in a home below the scratch folder, and is ended
//! with this value, also on an error; on a signal, [`crate::scratch`] ends it.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::line::Line;
use crate::machine::{ProcessFigures, process};
use crate::measure::{Bench, first_line};
use crate::scratch::Running;
use crate::web::Web;

/// The title under which a server is called.
pub(crate) const AE_TITLE: &str = "ARCHIVE";
/// The title of who receives what a server is asked to move.
pub(crate) const DESTINATION: &str = "DESTINATION";
/// Debian's folder of Orthanc's plugins.
const ORTHANC_PLUGINS: &str = "/usr/share/orthanc/plugins";
/// The two that take part: DICOMweb, and the decoder that it needs.
const ORTHANC_PLUGIN_FILES: [&str; 2] = ["libOrthancDicomWeb.so", "libOrthancGdcm.so"];
/// How long a server may take to answer for the first time, on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end: what it acknowledged may have to be put away.
const STOP_MAX: Duration = Duration::from_secs(180);
/// How often it is asked whether it is there.
const POLL: Duration = Duration::from_millis(10);
/// What is shown of the log of a server that failed.
const LOG_TAIL_BYTES: usize = 1500;

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Cairn,
    /// Orthanc, with or without StorageCompression.
    Orthanc {
        compressed: bool,
    },
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cairn => "cairn",
            Self::Orthanc { compressed: false } => "orthanc",
            Self::Orthanc { compressed: true } => "orthanc, compressed",
        }
    }

    /// Version, settings and durability; `None` if it is not installed.
    pub(crate) fn about(self) -> Option<String> {
        let settings = match self {
            Self::Cairn => {
                let durability = "answers a store after fdatasync (acknowledge = \"received\")";
                return Some(format!(
                    "cairn: its defaults: encrypted; {durability}; access log on"
                ));
            }
            Self::Orthanc { compressed: false } => {
                "SyncStorageArea on (its default): each file is synced before the answer; SQLite \
                 index, its default; StorageCompression off (its default); TCP_NODELAY=1; plugins \
                 DICOMweb and GDCM; not encrypted"
            }
            Self::Orthanc { compressed: true } => "as orthanc, with StorageCompression on",
        };
        let plugins = ORTHANC_PLUGIN_FILES.map(|file| Path::new(ORTHANC_PLUGINS).join(file));
        if !plugins.iter().all(|plugin| plugin.exists()) {
            return None;
        }
        let version = first_line(Command::new("Orthanc").arg("--version"))?;
        Some(format!("{}: {version}; {settings}", self.name()))
    }

    /// Answers once the server is ready.
    fn probe(self) -> &'static str {
        match self {
            Self::Cairn => "/readyz",
            Self::Orthanc { .. } => "/system",
        }
    }

    /// The command that serves what is in `home`.
    fn command(self, bench: &Bench<'_>, home: &Path, doors: Doors) -> Result<Command> {
        let Doors { http, dimse, destination } = doors;
        let data = data(home);
        let command = match self {
            Self::Cairn => {
                let mut command = Command::new(&bench.cairn);
                command.arg("--data").arg(data).args(["serve", "--ae", AE_TITLE]);
                command.args(["--http", &format!("127.0.0.1:{http}")]);
                command.args(["--dimse", &format!("127.0.0.1:{dimse}")]);
                if let Some(port) = destination {
                    let peer = format!("{DESTINATION}@127.0.0.1:{port}");
                    command.env("CAIRN_DIMSE__PEERS", peer);
                }
                command
            }
            Self::Orthanc { compressed } => {
                let plugins = ORTHANC_PLUGIN_FILES.map(|file| format!("{ORTHANC_PLUGINS}/{file}"));
                let modalities = destination.map_or_else(
                    || json!({}),
                    |port| json!({ "destination": [DESTINATION, "127.0.0.1", port] }),
                );
                let config = json!({
                    "Name": "cairn-bench",
                    "StorageDirectory": data,
                    "IndexDirectory": data,
                    "StorageCompression": compressed,
                    "SyncStorageArea": true,
                    "HttpPort": http,
                    "DicomPort": dimse,
                    "DicomAet": AE_TITLE,
                    "DicomModalities": modalities,
                    "DicomAlwaysAllowStore": true,
                    "DicomAlwaysAllowFind": true,
                    "DicomAlwaysAllowGet": true,
                    "DicomAlwaysAllowMove": true,
                    "RemoteAccessAllowed": false,
                    "AuthenticationEnabled": false,
                    "Plugins": plugins,
                    "DicomWeb": { "Enable": true, "Root": "/dicom-web/" },
                });
                let path = home.join("orthanc.json");
                std::fs::write(&path, config.to_string())?;
                let mut command = Command::new("Orthanc");
                command.env("TCP_NODELAY", "1").arg(path);
                command
            }
        };
        Ok(bench.open_to_signals(&command))
    }
}

impl serde::Serialize for Who {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a server keeps in its home: everything below it is what was stored.
pub(crate) fn data(home: &Path) -> PathBuf {
    home.join("data")
}

/// Where a server listens, and whom it knows.
#[derive(Clone, Copy, Debug)]
struct Doors {
    http: u16,
    dimse: u16,
    /// The port of [`DESTINATION`].
    destination: Option<u16>,
}

/// A port that is free now; nobody else on this machine is expected to take it within milliseconds.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Service {
    who: Who,
    child: Child,
    running: Running,
    log: PathBuf,
    /// As `http://127.0.0.1:4711`.
    url: String,
    /// The port on which it speaks DIMSE.
    pub(crate) dimse: u16,
    ended: bool,
}

impl Service {
    /// Starts it on what is in `home`, and waits until it is ready.
    pub(crate) fn start(bench: &Bench<'_>, who: Who, home: &Path) -> Result<Self> {
        Self::start_knowing(bench, who, home, None)
    }

    /// The same, with [`DESTINATION`] at a port.
    pub(crate) fn start_knowing(
        bench: &Bench<'_>,
        who: Who,
        home: &Path,
        destination: Option<u16>,
    ) -> Result<Self> {
        std::fs::create_dir_all(home).with_context(|| format!("{}", home.display()))?;
        let doors = Doors { http: free_port()?, dimse: free_port()?, destination };
        let log = home.join("log");
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = who.command(bench, home, doors)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("{} cannot be started", who.name()))?;
        let running = Running::new(child.id());
        let (url, dimse) = (format!("http://127.0.0.1:{}", doors.http), doors.dimse);
        let mut service = Self { who, child, running, log, url, dimse, ended: false };
        service.wait_until_ready()?;
        Ok(service)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        let web = Web::new(self.url.clone())?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start: {status}\n{}", self.who.name(), self.log_tail());
            }
            if web.get(self.who.probe(), "*/*").is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < START_MAX,
                "{} does not answer\n{}",
                self.who.name(),
                self.log_tail()
            );
            std::thread::sleep(POLL);
        }
    }

    /// Where it listens, as `http://127.0.0.1:4711`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A client of its own connection.
    pub(crate) fn web(&self) -> Result<Web> {
        Web::new(format!("{}/dicom-web", self.url))
    }

    /// A connection of its own, without a client's threads.
    pub(crate) fn line(&self) -> Result<Line> {
        Line::new(&format!("{}/dicom-web", self.url))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it used since it was started.
    pub(crate) fn figures(&self) -> Result<ProcessFigures> {
        process(self.pid()).with_context(|| {
            format!("{} has no figures: did it end?\n{}", self.who.name(), self.log_tail())
        })
    }

    /// Asks it to end, and waits until it did; gives the seconds that it took.
    pub(crate) fn stop(mut self) -> Result<f64> {
        let begun = Instant::now();
        ensure!(
            self.child.try_wait()?.is_none(),
            "{} ended by itself\n{}",
            self.who.name(),
            self.log_tail()
        );
        self.running.signal(Signal::SIGTERM);
        let status = self.wait(STOP_MAX)?;
        ensure!(status.success(), "{} ended with {status}\n{}", self.who.name(), self.log_tail());
        Ok(begun.elapsed().as_secs_f64())
    }

    fn wait(&mut self, most: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < most {
            if let Some(status) = self.child.try_wait()? {
                self.ended = true;
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        bail!("{} does not end when asked to\n{}", self.who.name(), self.log_tail())
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let tail = &log[log.len().saturating_sub(LOG_TAIL_BYTES)..];
        String::from_utf8_lossy(tail).trim().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !self.ended {
            self.running.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
