//! Every measurement once, on phantoms so small that no figure means anything.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use cairn_dicom::phantom;
use serde_json::Value;
use tempfile::TempDir;

/// The `cairn` binary of this build. `cargo test --workspace` makes it before any test runs; a test
/// of this crate alone may have to.
fn cairn() -> &'static Path {
    static CAIRN: OnceLock<PathBuf> = OnceLock::new();
    CAIRN.get_or_init(|| {
        let bench = Path::new(env!("CARGO_BIN_EXE_cairn-bench"));
        let cairn = bench.with_file_name("cairn");
        if !cairn.exists() {
            let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--package", "cairn-server", "--profile", profile]);
            assert!(cargo.status().unwrap().success());
        }
        cairn
    })
}

/// Files of a study, and those of the same study with another patient's name.
fn sets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in phantom::ct(5, 4, 64).chain([phantom::structured_report(5)]) {
        let changed = phantom::correct_demographics(&file.bytes, "A^B", "1", "2").unwrap();
        for (set, bytes) in [("set", file.bytes), ("changed", changed)] {
            let path = folder.path().join(set).join(&file.name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
    folder
}

/// Runs `cairn-bench`; nothing may be left in the scratch folder.
fn bench(arguments: &[&str]) -> (Output, Value) {
    let folder = tempfile::tempdir().unwrap();
    let (scratch, json) = (folder.path().join("scratch"), folder.path().join("out.json"));
    std::fs::create_dir(&scratch).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn-bench"));
    command.args(arguments).arg("--cairn").arg(cairn());
    let output = command.arg("--scratch").arg(&scratch).arg("--json").arg(&json).output().unwrap();
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "scratch is not empty");
    let json = std::fs::read(json).unwrap();
    (output, serde_json::from_slice(&json).unwrap_or_default())
}

/// The same, if it has to end well.
fn good(arguments: &[&str]) -> (String, Value) {
    let (output, json) = bench(arguments);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {stdout}{stderr}");
    assert!(stdout.contains("cores"), "{stdout}");
    (stdout, json)
}

#[test]
fn ingest_without_peers() {
    let folder = sets();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (set, changed) = (path("set"), path("changed"));
    let arguments = ["ingest", "--set", &set, "--changed", &changed, "--runs", "2", "--no-peers"];
    let (_, json) = good(&arguments);
    let steps = json["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| (&step["who"], &step["step"])).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    for step in steps {
        assert!(step["wall_s"]["median"].as_f64().unwrap() > 0.0);
        assert!(step["peak_bytes"].as_u64().unwrap() > 100_000);
        assert!(step["stored_bytes"].as_u64().unwrap() > 0);
        assert_eq!(step["runs"].as_array().unwrap().len(), 2);
    }
    assert_eq!(json["set"]["size"]["files"], 5);
    assert_eq!(json["goals"].as_array().unwrap().len(), 6);
}

#[test]
fn a_giant_of_sixteen_mib() {
    let (_, json) = good(&["giant", "--gib", "0.015625"]);
    assert!(json["giant_bytes"].as_u64().unwrap() >= 16 << 20);
    assert_eq!(json["commands"].as_array().unwrap().len(), 3);
}

#[test]
fn many_are_sixty() {
    let (_, json) = good(&["many", "--count", "60"]);
    let imports = json["imports"].as_array().unwrap();
    let instances: Vec<_> = imports.iter().map(|i| i["instances"].as_u64().unwrap()).collect();
    assert_eq!(instances, [6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 60]);
}

#[test]
fn codecs() {
    let folder = sets();
    let set = folder.path().join("set");
    let (stdout, json) = good(&["codec", set.to_str().unwrap(), "--runs", "1"]);
    let coders = json["coders"].as_array().unwrap();
    let names: Vec<_> = coders.iter().map(|line| line["coder"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 9, "{stdout}");
    for name in ["codec 6", "codec 4", "codec 5", "zstd 3"] {
        assert!(names.iter().any(|line| line.contains(name)), "{name}: {stdout}");
    }
}

#[test]
fn dicomweb_without_peers() {
    let folder = sets();
    let set = folder.path().join("set");
    let mut arguments = vec!["dicomweb", "--set", set.to_str().unwrap(), "--no-peer"];
    arguments.extend(["--runs", "2", "--slices", "3", "--cine-frames", "2", "--frames", "5"]);
    let (stdout, json) = good(&arguments);
    for name in ["synthetic", "set"] {
        let measured = &json[format!("dicomweb: {name}")];
        let requests = measured["requests"].as_array().unwrap();
        let count = |kind: &str| {
            let line = requests.iter().find(|line| line["request"] == kind);
            line.map_or(0, |line| line["latency"]["count"].as_u64().unwrap())
        };
        assert_eq!(count("metadata, cold process"), 2, "{stdout}");
        let frames = count("frame, first time") + count("frame, again");
        assert_eq!(frames, if name == "set" { 0 } else { 10 }, "{stdout}");
        assert!(count("study, first time") > 0 && count("store 20") > 0, "{stdout}");
        let samples = measured["samples"].as_array().unwrap();
        assert_eq!(samples.len(), if name == "set" { 10 } else { 12 });
        assert!(samples.iter().any(|sample| sample["stored_bytes"].as_u64().unwrap() > 1000));
    }
}

#[test]
fn soaks_of_seconds() {
    for more in [&[][..], &["--hostile"]] {
        let mut arguments = vec!["soak", "--minutes", "0.05", "--clients", "6"];
        arguments.extend(more);
        let (stdout, json) = good(&arguments);
        let soak = &json["soak"];
        assert_eq!(soak["errors"], 0, "{stdout}");
        assert_eq!(soak["inventory"]["missing"], 0, "{stdout}");
        assert_eq!(soak["inventory"]["unknown"], 0, "{stdout}");
        assert_eq!(soak["sound"], true, "{stdout}");
        assert!(soak["stored"].as_u64().unwrap() > 0, "{stdout}");
        let attacks = soak["attacks"]["ends"].as_object().unwrap();
        assert_eq!(attacks.is_empty(), more.is_empty(), "{stdout}");
    }
}

/// `cairn-bench all` on a small corpus, with a Python that is not there.
fn all(folder: &Path, only: &str) -> Command {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("scratch")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn-bench"));
    command.args(["all", "--quick", "--only", only, "--python", "/no/such/python"]);
    command.args(["--corpus", &path("corpus"), "--scratch", &path("scratch")]);
    command.args(["--json", &path("all.json"), "--html", &path("all.html")]);
    command.arg("--cairn").arg(cairn());
    command
}

/// A corpus of one hospital.
fn corpus() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in phantom::ct(5, 4, 64) {
        let path = folder.path().join("corpus/hospital").join(&file.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file.bytes).unwrap();
    }
    folder
}

#[test]
fn a_part_that_fails_does_not_end_the_run() {
    let folder = corpus();
    let output = all(folder.path(), "limits,reference,codec").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0);
    let json = std::fs::read(folder.path().join("all.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let parts = json["parts"].as_array().unwrap();
    let states: Vec<_> = parts.iter().map(|part| part["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["done", "done", "failed"], "{stderr}");
    let reason = parts[2]["reason"].as_str().unwrap();
    assert!(reason.contains("imagecodecs"), "{reason}");
    let coders = parts[1]["report"]["coders"].as_array().unwrap();
    assert!(coders.len() > 3, "{coders:?}");
    // What is promised of all sets stands with the last part that codes, though that one failed.
    let goals = parts[2]["report"]["goals"].as_array().unwrap();
    let of_all = |what: &str| goals.iter().find(|goal| goal["what"] == what);
    let beside = of_all("codec 4, coding / zstd 3, over 1 sets").unwrap();
    assert!(beside["measured"].as_f64().unwrap() > 0.0, "{beside:?}");
    assert!(of_all("codec 4, smaller than JPEG-LS, over 1 sets").is_none(), "nobody measured it");
    let of = |name: &str| json["peers"].as_array().unwrap().iter().find(|p| p["name"] == name);
    assert!(of("imagecodecs").unwrap()["version"].is_null());
    let page = std::fs::read_to_string(folder.path().join("all.html")).unwrap();
    assert!(page.contains("<figure id=\"encode\">") && page.contains("cannot import imagecodecs"));

    // The same page again from the JSON.
    let again = folder.path().join("again.html");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn-bench"));
    command.arg("report").arg(folder.path().join("all.json")).arg("--html").arg(&again);
    assert!(command.status().unwrap().success());
    assert_eq!(std::fs::read_to_string(again).unwrap(), page);
}

#[test]
fn a_signal_leaves_a_report_of_what_was_done() {
    let folder = corpus();
    let mut command = all(folder.path(), "limits,sizes");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("[2 of 2]")), "it did not come to the sizes");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0);
    let json = std::fs::read(folder.path().join("all.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["interrupted"], true);
    let states: Vec<_> = [0, 1].map(|n| json["parts"][n]["state"].clone()).to_vec();
    assert_eq!(states, ["done", "running"]);
    let page = std::fs::read_to_string(folder.path().join("all.html")).unwrap();
    assert!(page.contains("The run was interrupted"));
}

#[test]
fn nothing_is_left_after_a_signal() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cairn-bench"))
        .args(["soak", "--minutes", "5", "--clients", "2", "--cairn"])
        .arg(cairn())
        .arg("--scratch")
        .arg(scratch.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first line says that the server is up and the clients start.
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("2 clients"), "{line}");
    // SIGINT by kill(1): this crate's dependencies are not the tests'.
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "scratch is not empty");
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    let (output, _) = bench(&["ingest", "--set", empty, "--no-peers"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("holds no files"));
    let output = Command::new(env!("CARGO_BIN_EXE_cairn-bench"))
        .args(["many", "--cairn", "/no/such/binary"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--cairn"));
}
