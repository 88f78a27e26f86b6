//! Runs the real binary on archives in temporary folders.

#![allow(dead_code, clippy::unwrap_used)] // each test file uses its part; a failed set-up may panic

pub(crate) mod commitment;
pub(crate) mod dcmtk;
pub(crate) mod dimse;
pub(crate) mod multipart;
pub(crate) mod object;
pub(crate) mod peer;
pub(crate) mod ports;
pub(crate) mod provider;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod sites;
pub(crate) mod tls;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// No command of a test takes so long. One that hangs is ended, and the test fails, instead of all of them.
const COMMAND_PATIENCE: Duration = Duration::from_secs(300);

/// Waits for what comes soon: a line of the log is written after the answer that it is about.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A folder with an archive in it, and room for files.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    /// Where its bucket is, if not in the folder: variables of the environment.
    bucket: Vec<(String, String)>,
}

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), bucket: Vec::new() }
    }

    /// With a bucket on the S3 server that the environment tells of, under a prefix of its own; `None` if
    /// it tells of none. Gives the beginning of the URLs of its objects too.
    pub(crate) fn new_on_s3(name: &str) -> Option<(Self, String)> {
        Self::new_on_s3_by(name, |endpoint| endpoint)
    }

    /// The same over another endpoint that leads to that server.
    pub(crate) fn new_on_s3_by(
        name: &str,
        by: impl FnOnce(String) -> String,
    ) -> Option<(Self, String)> {
        if std::env::var("CAIRN_TEST_STORE").as_deref() != Ok("s3") {
            return None;
        }
        let bucket = std::env::var("CAIRN_TEST_S3_BUCKET").unwrap();
        let endpoint = by(std::env::var("CAIRN_TEST_S3_ENDPOINT").unwrap());
        let prefix = format!("{bucket}/{name}-{}", std::process::id());
        let mut site = Self::new();
        site.bucket = vec![
            ("CAIRN_STORE".to_owned(), format!("s3://{prefix}")),
            ("AWS_ENDPOINT".to_owned(), endpoint.clone()),
        ];
        Some((site, format!("{endpoint}/{prefix}/")))
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// `cairn` on this archive, with nothing of the tester's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CAIRN_") {
                command.env_remove(name);
            }
        }
        command.envs(self.bucket.iter().cloned());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.arg("--data").arg(self.data()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = child.id().to_string();
        let (told, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.send(child.wait_with_output()));
        let Ok(output) = heard.recv_timeout(COMMAND_PATIENCE) else {
            let _ = Command::new("kill").args(["-9", &id]).status();
            panic!("{arguments:?} does not end");
        };
        Ran::from(output.unwrap())
    }

    /// Runs what has to end well.
    pub(crate) fn good(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Runs with `--json` what has to end well, and reads the one object that it prints.
    pub(crate) fn object(&self, arguments: &[&str]) -> Value {
        let ran = self.good(&[&["--json"], arguments].concat());
        assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// The same for lists.
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
        lines(&self.good(&[&["--json"], arguments].concat()).stdout)
    }

    /// Writes a file into the folder.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Five CT slices and a report, in the folder `in`.
    pub(crate) fn put_studies(&self) -> Vec<PathBuf> {
        let files = cairn_dicom::phantom::ct(7, 5, 128)
            .chain(std::iter::once(cairn_dicom::phantom::structured_report(7)));
        files.map(|file| self.put(&format!("in/{}", file.name), &file.bytes)).collect()
    }

    /// The packs in the bucket.
    pub(crate) fn packs(&self) -> Vec<PathBuf> {
        let files = files_under(&self.data().join("bucket"));
        files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "pack")).collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// JSON objects, one a line.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All files under a folder, sorted.
pub(crate) fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().flatten() {
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Every one of `sources` is among the files under `folder`, byte for byte.
pub(crate) fn assert_all_there(sources: &[PathBuf], folder: &Path) {
    let there: Vec<Vec<u8>> =
        files_under(folder).iter().map(|path| std::fs::read(path).unwrap()).collect();
    for source in sources {
        let bytes = std::fs::read(source).unwrap();
        assert!(there.contains(&bytes), "{} did not come back", source.display());
    }
}

/// A zip with these files in it, deflated.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A small Explicit VR Little Endian file with these UIDs, patient and pixels.
pub(crate) fn dicom(study: &str, series: &str, sop: &str, patient: &str, pixels: &[u8]) -> Vec<u8> {
    const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7";
    let mut meta = Vec::new();
    element(&mut meta, 2, 2, *b"UI", CLASS.as_bytes());
    element(&mut meta, 2, 3, *b"UI", sop.as_bytes());
    element(&mut meta, 2, 0x10, *b"UI", b"1.2.840.10008.1.2.1");
    let mut out = vec![0; 128];
    out.extend_from_slice(b"DICM");
    element(&mut out, 2, 0, *b"UL", &(meta.len() as u32).to_le_bytes());
    out.extend_from_slice(&meta);
    element(&mut out, 8, 0x16, *b"UI", CLASS.as_bytes());
    element(&mut out, 8, 0x18, *b"UI", sop.as_bytes());
    element(&mut out, 8, 0x60, *b"CS", b"OT");
    element(&mut out, 0x10, 0x10, *b"PN", patient.as_bytes());
    element(&mut out, 0x20, 0x0D, *b"UI", study.as_bytes());
    element(&mut out, 0x20, 0x0E, *b"UI", series.as_bytes());
    let columns = (pixels.len() as u16).to_le_bytes();
    for (number, value) in [(2, [1, 0]), (0x10, [1, 0]), (0x11, columns), (0x100, [8, 0])] {
        element(&mut out, 0x28, number, *b"US", &value);
    }
    out.extend_from_slice(&[0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0]);
    out.extend_from_slice(&(pixels.len() as u32).to_le_bytes());
    out.extend_from_slice(pixels);
    out
}

fn element(out: &mut Vec<u8>, group: u16, number: u16, vr: [u8; 2], value: &[u8]) {
    let odd = value.len() % 2;
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&vr);
    out.extend_from_slice(&((value.len() + odd) as u16).to_le_bytes());
    out.extend_from_slice(value);
    out.extend(std::iter::repeat_n(if vr == *b"UI" { 0 } else { b' ' }, odd));
}
