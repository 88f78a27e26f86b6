//! A hospital in the demo: an archive of its own in a process of its own, spoken to as everybody does, by
//! commands and over HTTP.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::error::{Error, Result};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where it listens for people and programs, and for sites: what it says of each.
const MARKS: [&str; 2] = ["other sites on https://", "listening on http://"];

/// See the [module](self). Its server ends with it.
pub(super) struct Hospital {
    /// The name of its ledger.
    pub(super) name: &'static str,
    pub(super) data: PathBuf,
    /// The address for sites, which stays.
    peer: String,
    http: String,
    server: Option<Child>,
}

/// What a command came to.
pub(super) struct Ran {
    pub(super) good: bool,
    pub(super) stdout: String,
    /// The last line of what it said beside.
    pub(super) said: String,
}

impl Ran {
    /// The one object that it printed.
    pub(super) fn object(&self) -> Result<Value> {
        if !self.good {
            return Err(Error::Demo(self.said.clone()));
        }
        serde_json::from_str(&self.stdout).map_err(|error| Error::Demo(error.to_string()))
    }

    /// The objects that it printed, one a line.
    pub(super) fn lines(&self) -> Result<Vec<Value>> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        let lines: std::result::Result<_, serde_json::Error> = lines.collect();
        lines.map_err(|error| Error::Demo(error.to_string()))
    }
}

impl Hospital {
    pub(super) fn new(folder: &Path, name: &'static str) -> Result<Self> {
        let data = folder.join(name.split('.').next().unwrap_or(name));
        // Others note where it is, so the port has to stay when the server starts anew.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let peer = free.map_err(|error| Error::Demo(error.to_string()))?.to_string();
        Ok(Self { name, data, peer, http: String::new(), server: None })
    }

    fn program(&self) -> Result<Command> {
        let program = std::env::current_exe().map_err(Error::io("find", Path::new("cairn")))?;
        let mut command = Command::new(program);
        // Settings of whoever runs the demo are not its settings.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CAIRN_") {
                command.env_remove(name);
            }
        }
        command.arg("--data").arg(&self.data).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs `cairn --data … --json` with these arguments.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let output = self.program()?.arg("--json").args(arguments).output();
        let output = output.map_err(Error::io("run", Path::new("cairn")))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = stderr.lines().last().unwrap_or_default().trim_start_matches("cairn: ");
        Ok(Ran {
            good: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            said: said.to_owned(),
        })
    }

    /// Runs what has to succeed and print one object.
    pub(super) fn object(&self, arguments: &[&str]) -> Result<Value> {
        self.run(arguments)?.object()
    }

    /// Starts its server.
    pub(super) fn start(&mut self) -> Result<()> {
        let mut command = self.program()?;
        command
            .args(["serve", "--http", "127.0.0.1:0", "--dimse", "none", "--peer", &self.peer])
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().map_err(Error::io("run", Path::new("cairn serve")))?;
        let Some(stderr) = child.stderr.take() else {
            return Err(Error::Demo("the server has no standard error".into()));
        };
        self.server = Some(child);
        let (told, heard) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(std::io::Result::ok) {
                for mark in MARKS {
                    if let Some((_, address)) = line.split_once(mark) {
                        let _ = told.send(address.trim().to_owned());
                    }
                }
            }
        });
        for _ in MARKS {
            let address = heard.recv_timeout(PATIENCE);
            let silent = |_| Error::Demo(format!("the server of {} does not listen", self.name));
            self.http = address.map_err(silent)?;
        }
        Ok(())
    }

    /// Ends its server at once: what was acknowledged does not depend on an orderly end.
    pub(super) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may be gone already.
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Where other sites reach it.
    pub(super) fn peer_url(&self) -> String {
        format!("https://{}", self.peer)
    }

    /// Where people and programs reach it.
    pub(super) fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Asks its server: status and body.
    pub(super) fn ask(
        &self,
        method: &Method,
        path: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Bytes)> {
        let fault = |error: String| Error::Demo(format!("{} over HTTP: {error}", self.name));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| fault(error.to_string()))?;
        let asked = runtime.block_on(async {
            let stream = TcpStream::connect(&self.http).await.map_err(|error| error.to_string())?;
            let (mut sender, connection) =
                handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            let header = if *method == Method::GET { ACCEPT } else { CONTENT_TYPE };
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, &self.http)
                .header(header, media_type)
                .body(Full::new(Bytes::from(body)))
                .map_err(|error| error.to_string())?;
            let reply = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = reply.status().as_u16();
            let body = reply.into_body().collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>((status, body.to_bytes()))
        });
        asked.map_err(fault)
    }
}

impl Drop for Hospital {
    fn drop(&mut self) {
        self.kill();
    }
}
