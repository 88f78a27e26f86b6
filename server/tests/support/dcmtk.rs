//! DCMTK's programs.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Is DCMTK here, and does its help name this? Says so if not.
pub(crate) fn installed(with: &str) -> bool {
    let help = Command::new("echoscu").arg("--help").output();
    let here = help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(with));
    if !here {
        eprintln!("NOT TESTED: DCMTK, or its {with}, is not installed");
    }
    here
}

/// Whether it ended well, and what it said.
pub(crate) fn run(tool: &str, arguments: &[&str], folder: &Path) -> (bool, String) {
    let mut command = Command::new(tool);
    // Without it DCMTK waits for delayed acknowledgements.
    command.env("TCP_NODELAY", "1").args(arguments).current_dir(folder);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// What it said; it has to end well.
pub(crate) fn good(tool: &str, arguments: &[&str], folder: &Path) -> String {
    let (good, text) = run(tool, arguments, folder);
    assert!(good, "{tool} {arguments:?}: {text}");
    text
}

/// A `storescp`, which ends with this value.
pub(crate) struct Storescp(Child);

impl Storescp {
    /// Writes what comes into `into`. Paths among the arguments begin at `folder`.
    pub(crate) fn start(arguments: &[&str], port: u16, folder: &Path, into: &str) -> Self {
        std::fs::create_dir_all(folder.join(into)).unwrap();
        let mut command = Command::new("storescp");
        command.env("TCP_NODELAY", "1").args(arguments).args(["-od", into]);
        command.arg(port.to_string()).current_dir(folder).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let patience = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < patience, "storescp does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(child)
    }
}

impl Drop for Storescp {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
