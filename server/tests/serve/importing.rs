//! Files go in: which are archived, which are left alone, and what is said about each.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::support::{Site, assert_all_there, dicom, lines, zip};
use serde_json::Value;

fn line<'a>(report: &'a [Value], end: &str) -> &'a Value {
    report.iter().find(|line| line["path"].as_str().unwrap().ends_with(end)).unwrap()
}

#[test]
fn studies_come_back_and_import_again_stores_nothing() {
    let site = Site::new();
    let sources = site.put_studies();
    let first = site.object(&["import", "in"]);
    assert_eq!((first["files"].as_u64(), first["archived"].as_u64()), (Some(6), Some(6)));
    assert!(first["key_created"].as_str().unwrap().ends_with("keys/site.key"));
    assert!(first["stored_bytes"].as_u64().unwrap() < first["bytes_in"].as_u64().unwrap());
    let study = &first["studies"][0];
    assert_eq!(study["root"].as_str().unwrap().len(), 64);
    assert_eq!(study["version"], 1);

    let again = site.object(&["import", "in"]);
    assert_eq!((again["duplicates"].as_u64(), again["archived"].as_u64()), (Some(6), Some(0)));
    assert_eq!((again["new_bytes"].as_u64(), again["stored_bytes"].as_u64()), (Some(0), Some(0)));
    assert_eq!(again["key_created"], Value::Null);
    assert_eq!(again["dedup_factor"], Value::Null);

    let out = site.object(&["export", "--all", "out"]);
    assert_eq!((out["files"].as_u64(), out["failures"].as_array().unwrap().len()), (Some(6), 0));
    assert_all_there(&sources, &site.path("out"));
    site.good(&["verify", "--all"]);
}

#[test]
fn a_new_key_is_told_of_once_and_even_when_quiet() {
    let site = Site::new();
    site.put_studies();
    let first = site.good(&["--quiet", "import", "in"]);
    assert!(first.stdout.is_empty());
    assert!(first.stderr.contains("site.key") && first.stderr.contains("Back it up"));
    assert!(!site.good(&["import", "in"]).stderr.contains("site.key"));
}

#[test]
fn junk_is_named_and_left_alone() {
    let site = Site::new();
    let sources = site.put_studies();
    let cut = std::fs::read(&sources[0]).unwrap();
    site.put("in/cut.dcm", &cut[..cut.len() / 2]);
    site.put("in/empty.dcm", b"");
    site.put("in/notes.txt", b"just some notes about the disc");
    site.put("in/photo.jpg", b"\xff\xd8\xff\xe0 and so on");
    let mut directory = dicom("1.2", "1.2.3", "1.2.3.4", "A", b"12");
    let class = b"1.2.840.10008.5.1.4.1.1.7";
    let at = directory.windows(class.len()).position(|window| window == class).unwrap();
    directory[at..at + class.len()].copy_from_slice(b"1.2.840.10008.1.3.10\0\0\0\0\0");
    site.put("in/DICOMDIR", &directory);
    symlink(site.path("in"), site.path("in/loop")).unwrap();
    symlink("nowhere", site.path("in/dangling")).unwrap();
    symlink(&sources[1], site.path("in/link.dcm")).unwrap();

    let ran = site.good(&["import", "in", "--report", "report.jsonl"]);
    assert!(ran.stdout.contains("left alone, 1: the file is empty"), "{}", ran.stdout);
    assert!(ran.stdout.contains("in/photo.jpg"), "{}", ran.stdout);
    let report = lines(&std::fs::read_to_string(site.path("report.jsonl")).unwrap());
    assert_eq!(report.len(), 6 + 8);
    for (name, status) in [
        ("empty.dcm", "left_alone"),
        ("notes.txt", "left_alone"),
        ("photo.jpg", "left_alone"),
        ("DICOMDIR", "left_alone"),
        ("loop", "left_alone"),
        ("dangling", "left_alone"),
    ] {
        let line = line(&report, name);
        assert_eq!(line["status"], status, "{line}");
        assert!(!line["reason"].as_str().unwrap().is_empty());
    }
    assert_eq!(line(&report, "cut.dcm")["flags"][0], "truncated");
    // The link and what it leads to are the same object, in whichever order they came.
    let mut twins = [&line(&report, "link.dcm")["status"], {
        let name = sources[1].file_name().unwrap().to_str().unwrap();
        &line(&report, name)["status"]
    }];
    twins.sort_by_key(ToString::to_string);
    assert_eq!(twins, ["archived", "duplicate"]);
}

#[test]
fn zips_are_read_without_unpacking() {
    let site = Site::new();
    let sources = site.put_studies();
    let bytes: Vec<Vec<u8>> = sources.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let nested = zip(&[("x.dcm", &bytes[0])]);
    let archive = zip(&[
        ("CD/A.dcm", &bytes[0]),
        ("CD/B", &bytes[1]),
        ("../../escape.dcm", &bytes[2]),
        ("readme.txt", b"put this disc into a viewer"),
        ("more.zip", &nested),
    ]);
    site.put("zips/disc.ZIP", &archive);
    site.put("zips/really-dicom.zip", &bytes[3]);
    site.good(&["import", "zips", "--report", "report.jsonl"]);
    let report = lines(&std::fs::read_to_string(site.path("report.jsonl")).unwrap());
    assert_eq!(report.len(), 6);
    assert_eq!(line(&report, "disc.ZIP!CD/A.dcm")["status"], "archived");
    assert_eq!(line(&report, "!../../escape.dcm")["status"], "archived");
    assert_eq!(line(&report, "!more.zip")["status"], "left_alone");
    assert_eq!(line(&report, "!readme.txt")["status"], "left_alone");
    assert_eq!(line(&report, "really-dicom.zip")["status"], "archived");
    site.good(&["export", "--all", "out"]);
    assert_all_there(&sources[..4], &site.path("out"));
}

#[test]
fn what_cannot_be_read_fails_by_name() {
    let site = Site::new();
    let sources = site.put_studies();
    let bytes = std::fs::read(&sources[0]).unwrap();
    let mut broken = zip(&[("a.dcm", &bytes), ("b.dcm", &std::fs::read(&sources[1]).unwrap())]);
    let middle = broken.len() / 4;
    broken[middle] ^= 0xFF;
    site.put("zips/broken.zip", &broken);
    site.put("zips/cut.zip", &broken[..middle]);
    let ran = site.run(&["--json", "import", "zips", "missing", "--report", "report.jsonl"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let report = lines(&std::fs::read_to_string(site.path("report.jsonl")).unwrap());
    for name in ["broken.zip!a.dcm", "cut.zip", "missing"] {
        assert_eq!(line(&report, name)["status"], "failed", "{name}");
    }
    // The others are archived all the same.
    assert_eq!(line(&report, "broken.zip!b.dcm")["status"], "archived");
    let summary: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((summary["failed"].as_u64(), summary["archived"].as_u64()), (Some(3), Some(1)));
    assert_eq!(summary["error"], Value::Null);
    site.good(&["verify", "--all"]);
}

#[test]
fn corrections_and_conflicts_follow_the_policy() {
    let site = Site::new();
    let versions = [
        ("first", dicom("1.2", "1.2.3", "1.2.3.4", "Before", b"pixels")),
        ("corrected", dicom("1.2", "1.2.3", "1.2.3.4", "After", b"pixels")),
        ("conflict", dicom("1.2", "1.2.3", "1.2.3.4", "After", b"others")),
    ];
    for (name, bytes) in &versions {
        site.put(&format!("{name}.dcm"), bytes);
    }
    let report = |file: &str| {
        let ran = site.good(&["-q", "import", file, "--report", "-"]);
        lines(&ran.stdout).remove(0)
    };
    assert_eq!(report("first.dcm")["status"], "archived");
    let correction = report("corrected.dcm");
    assert_eq!(
        (&correction["status"], &correction["visible"]),
        (&"correction".into(), &true.into())
    );
    let conflict = report("conflict.dcm");
    assert_eq!((&conflict["status"], &conflict["visible"]), (&"conflict".into(), &false.into()));

    site.good(&["export", "1.2", "shown"]);
    assert_eq!(std::fs::read(site.path("shown/1.2.3.4.dcm")).unwrap(), versions[1].1);
    site.good(&["export", "1.2", "all", "--all-versions"]);
    assert_eq!(crate::support::files_under(&site.path("all")).len(), 3);
    let sources: Vec<_> =
        versions.iter().map(|(name, _)| site.path(&format!("{name}.dcm"))).collect();
    assert_all_there(&sources, &site.path("all"));
    let shown = site.object(&["show", "1.2.3.4"]);
    let outcomes: Vec<_> =
        shown["versions"].as_array().unwrap().iter().map(|v| &v["outcome"]).collect();
    assert_eq!(outcomes, ["new", "correction", "conflict"]);

    site.put("data/cairn.toml", b"[duplicates]\ncorrection = \"reject\"\n");
    site.put("more.dcm", &dicom("1.2", "1.2.3", "1.2.3.4", "Third", b"pixels"));
    let ran = site.run(&["import", "more.dcm"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("policy rejects"), "{}", ran.stdout);
}

#[test]
fn an_archive_does_not_swallow_itself() {
    let site = Site::new();
    site.put_studies();
    site.good(&["import", "in"]);
    let summary = site.object(&["import", "."]);
    assert_eq!(
        (summary["duplicates"].as_u64(), summary["left_alone"].as_u64()),
        (Some(6), Some(1))
    );
    assert_eq!(summary["left_alone_reasons"][0]["reason"], "this is the archive itself");
}

#[test]
fn what_the_report_says_survives_kill_9() {
    let site = Site::new();
    for i in 0..400_u16 {
        let pixels = vec![i as u8; 2000 + usize::from(i)];
        let sop = format!("1.2.3.{i}");
        site.put(&format!("in/{i:04}.dcm"), &dicom("1.2", "1.2.3", &sop, "K", &pixels));
    }
    let mut command = site.command(&["import", "in", "--report", "-"]);
    // Many small batches, so that there is an answer long before the end.
    command.env("CAIRN_INGEST__COMMIT_INTERVAL_MS", "0");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().take(25) {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(line["status"], "archived");
        acknowledged.push(site.path(line["path"].as_str().unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    site.good(&["export", "1.2", "out"]);
    assert_all_there(&acknowledged, &site.path("out"));
    site.good(&["verify", "--all"]);
    assert_eq!(site.object(&["import", "in"])["files"], 400);
}

#[test]
fn ctrl_c_ends_after_what_is_under_way() {
    let site = Site::new();
    let file = dicom("1.2", "1.2.3", "1.2.3.1", "K", &[7; 3000]);
    site.put("in/0.dcm", &file);
    for i in 0..20_000_u32 {
        let sop = format!("1.2.3.4.{i}");
        site.put(&format!("in/{i:05}.dcm"), &dicom("1.2", "1.2.3", &sop, "K", &i.to_le_bytes()));
    }
    let mut command = site.command(&["--json", "import", "in", "--report", "-"]);
    // Many small batches, so that there is an answer long before the end.
    command.env("CAIRN_INGEST__COMMIT_INTERVAL_MS", "0");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    output.next().unwrap().unwrap();
    let asked = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(asked.unwrap().success());
    let last = output.last().unwrap().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(summary["interrupted"], true);
    let archived = summary["archived"].as_u64().unwrap();
    assert!((1..20_001).contains(&archived), "{archived}");
    assert_eq!(site.list(&["ls"])[0]["instances"], archived);
    site.good(&["verify", "--all"]);
}
