//! A running `cairn serve`, and clients of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Site;

/// Ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Where it speaks DIMSE.
    pub(crate) dimse: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// A reply that was read from a bare socket.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Server {
    /// Starts on a free port, with these settings of `[serve]` in the environment.
    pub(crate) fn start(site: &Site, settings: &[(&str, &str)]) -> Self {
        Self::start_on(site, ["127.0.0.1:0", "127.0.0.1:0"], settings)
    }

    /// The same at a port that is not of this machine alone.
    pub(crate) fn start_anywhere(site: &Site, settings: &[(&str, &str)]) -> Self {
        Self::start_on(site, ["0.0.0.0:0", "127.0.0.1:0"], settings)
    }

    /// The same with DIMSE at this address.
    pub(crate) fn start_at(site: &Site, dimse: &str) -> Self {
        Self::start_on(site, ["127.0.0.1:0", dimse], &[])
    }

    fn start_on(site: &Site, [http, dimse]: [&str; 2], settings: &[(&str, &str)]) -> Self {
        let mut command = site.command(&["serve", "--http", http, "--dimse", dimse]);
        // What it asks a login provider is asked on this machine.
        command.env("NO_PROXY", "127.0.0.1");
        for (name, value) in settings {
            command.env(format!("CAIRN_{name}"), value);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (told, heard) = std::sync::mpsc::channel();
        let marks = ["listening on http://", "cairn: DIMSE as CAIRN on "];
        let (kept, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                for mark in marks {
                    if let Some((_, address)) = line.split_once(mark) {
                        let _ = told.send(address.trim().parse::<SocketAddr>().unwrap());
                    }
                }
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let [address, dimse] = marks.map(|_| {
            heard.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| {
                let _ = child.kill();
                panic!("it did not listen: {}", log.lock().unwrap())
            })
        });
        Self { child, address, dimse, log }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn studies(&self) -> String {
        self.url("/dicom-web/studies")
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The whole value of a metric, by the beginning of its line; 0 if it is not there.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let text = client().get(self.url("/metrics")).send().unwrap().text().unwrap();
        let found = text.lines().find_map(|known| known.strip_prefix(line));
        found.map_or(0, |value| value.trim().parse::<f64>().unwrap() as u64)
    }

    /// Is there this very line among the figures?
    pub(crate) fn has_metric(&self, line: &str) -> bool {
        let text = client().get(self.url("/metrics")).send().unwrap().text().unwrap();
        text.lines().any(|known| known == line)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends bytes and reads until the server closes or is silent for a while.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Raw {
        let mut stream = self.connect();
        // A server that refuses early may close before all is sent.
        let _ = stream.write_all(bytes);
        Raw::read(&mut stream)
    }

    /// SIGTERM; the exit code.
    pub(crate) fn terminate(&mut self) -> i32 {
        self.signal("-TERM");
        self.wait()
    }

    /// Has it set a handler of this signal at this moment (proc_pid_status(5), `SigCgt`)?
    #[cfg(target_os = "linux")]
    pub(crate) fn catches(&self, signal: u32) -> bool {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> i32 {
        let patience = Instant::now() + Duration::from_secs(40);
        while Instant::now() < patience {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end: {}", self.log());
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Raw {
    /// Reads one reply, as far as it comes.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(got) = stream.read(&mut buffer) {
            if got == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..got]);
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, text }
    }
}

/// A client that trusts nothing of the tester's environment.
pub(crate) fn client() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

/// Files as parts, in between of which the boundary is `b`.
pub(crate) fn parts(files: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(b"--b\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

/// The media type of [`parts`].
pub(crate) const PARTS: &str = "multipart/related; type=\"application/dicom\"; boundary=b";
