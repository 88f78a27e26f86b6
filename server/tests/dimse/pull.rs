//! `cairn pull` from another `cairn serve`, and from one that does not answer.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::dimse::parted;
use crate::support::object::{EXPLICIT_LE, Object, Value};
use crate::support::ports::free_port;
use crate::support::server::Server;
use crate::support::{Site, dicom};

#[test]
fn a_study_is_pulled_byte_for_byte_and_again_for_nothing() {
    let (from, to) = (Site::new(), Site::new());
    let files: Vec<Vec<u8>> = (0..20_u8)
        .map(|n| dicom("1.2.1", "1.2.2", &format!("1.2.3.{n}"), "Doe^Jane", &[n; 500]))
        .collect();
    for (n, file) in files.iter().enumerate() {
        from.put(&format!("in/{n}.dcm"), file);
    }
    from.good(&["import", "in"]);
    let server = Server::start(&from, &[]);
    let place = format!("CAIRN@{}", server.dimse);
    let pulled = to.object(&["pull", "--from", &place, "1.2.1"]);
    assert_eq!((pulled["instances"].as_u64(), pulled["failed"].as_u64()), (Some(20), Some(0)));
    assert_eq!(pulled["duplicates"], 0);
    let pulled = to.object(&["pull", "--from", &place, "1.2.1"]);
    assert_eq!(pulled["duplicates"], 20);
    to.good(&["export", "--all", "out"]);
    let back = crate::support::files_under(&to.path("out"));
    assert_eq!(back.len(), files.len());
    for path in back {
        let data = parted(&std::fs::read(path).unwrap()).3;
        assert!(files.iter().any(|file| parted(file).3 == data));
    }
    // What is not there, and who is not there.
    assert_eq!(to.run(&["pull", "--from", &place, "1.2.99"]).code, 1);
    drop(server);
    assert_eq!(to.run(&["pull", "--from", &place, "1.2.1"]).code, 1);
    assert_eq!(to.run(&["pull", "--from", "nowhere", "1.2.1"]).code, 2);
}

/// A file of a study of some day, with a modality.
fn dated(study: &str, date: &str, modality: &str, sop: &str) -> Vec<u8> {
    Object::new(EXPLICIT_LE, sop)
        .image(1, 2, 8, 1)
        .text(0x0008_0020, *b"DA", date)
        .text(0x0010_0020, *b"LO", "P1")
        .pixels(*b"OB", Value::Bytes(vec![1, 2]))
        .of_study(study, &format!("{study}.1"), modality)
        .file()
}

/// An archive with a study on each of these days, two objects in each.
fn archive(days: &[(&str, &str)]) -> Site {
    let site = Site::new();
    for (n, (date, modality)) in days.iter().enumerate() {
        for image in 0..2 {
            let study = format!("1.2.{}", n + 1);
            let file = dated(&study, date, modality, &format!("{study}.1.{image}"));
            site.put(&format!("in/{n}.{image}.dcm"), &file);
        }
    }
    site.good(&["import", "in"]);
    site
}

const DAYS: [(&str, &str); 7] = [
    ("20200110", "CT"),
    ("20200131", "MR"),
    ("20200201", "CT"),
    ("20200229", "CT"),
    ("20200315", "CT"),
    ("20200316", "MR"),
    ("20210101", "CT"),
];

fn number(summary: &serde_json::Value, key: &str) -> u64 {
    summary[key].as_u64().unwrap()
}

#[test]
fn months_of_an_archive_are_taken_over_and_again_for_nothing() {
    let from = archive(&DAYS);
    let server = Server::start(&from, &[]);
    let place = format!("CAIRN@{}", server.dimse);
    let to = Site::new();
    let pull = |more: &[&str]| {
        to.object(&[&["pull", "--from", &place, "--dates", "20200101-20201231"], more].concat())
    };
    let ct = pull(&["--modality", "CT", "--by", "week"]);
    assert_eq!(
        (number(&ct, "studies"), number(&ct, "pulled"), number(&ct, "instances")),
        (4, 4, 8)
    );
    // A span with more than one study is asked for in halves, down to days.
    let all = pull(&["--answers-max", "2"]);
    assert_eq!((number(&all, "studies"), number(&all, "held"), number(&all, "pulled")), (6, 4, 2));
    assert_eq!(number(&all, "failed"), 0);
    let again = pull(&[]);
    assert_eq!((number(&again, "held"), number(&again, "instances")), (6, 0));
    // Of a study that has grown, the series that is not whole comes.
    let grown = dated("1.2.1", "20200110", "CT", "1.2.1.1.9");
    drop(server);
    from.put("more/9.dcm", &grown);
    from.good(&["import", "more"]);
    let server = Server::start(&from, &[]);
    let place = format!("CAIRN@{}", server.dimse);
    let more = to.object(&["pull", "--from", &place, "--dates", "20200110"]);
    assert_eq!((number(&more, "instances"), number(&more, "duplicates")), (3, 2));
    // Nobody there; and what makes no sense.
    drop(server);
    let ran = to.run(&["--json", "pull", "--from", &place, "--dates", "20200101"]);
    assert_eq!(ran.code, 1);
    let summary = &crate::support::lines(&ran.stdout)[0];
    assert_eq!(summary["failures"][0]["dates"], "20200101");
    for dates in ["2020", "20200201-20200101", "20200230"] {
        assert_eq!(to.run(&["pull", "--from", &place, "--dates", dates]).code, 2, "{dates}");
    }
    assert_eq!(to.run(&["pull", "--from", &place, "--dates", "20200101", "1.2.1"]).code, 2);
}

#[test]
fn a_migration_that_was_killed_goes_on_where_it_was() {
    let days: Vec<String> =
        (0..120).map(|n| format!("2020{:02}{:02}", n / 28 + 1, n % 28 + 1)).collect();
    let days: Vec<(&str, &str)> = days.iter().map(|day| (day.as_str(), "CT")).collect();
    let from = archive(&days);
    let server = Server::start(&from, &[]);
    let place = format!("CAIRN@{}", server.dimse);
    let to = Site::new();
    let arguments = ["--json", "pull", "--from", &place, "--dates", "20200101-20201231"];
    let mut child =
        to.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Once some of it is there.
    let got = "cairn_dimse_operations_total{operation=\"get\",status=\"success\"}";
    let patience = Instant::now() + Duration::from_secs(30);
    while server.metric(got) < 10 {
        assert!(Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = server.metric(got);
    let rest = to.object(&arguments[1..]);
    assert_eq!((number(&rest, "studies"), number(&rest, "failed")), (120, 0));
    assert!(number(&rest, "held") > 0, "{rest}");
    assert_eq!(number(&rest, "held") + number(&rest, "pulled"), 120);
    assert_eq!(server.metric(got) - before, number(&rest, "pulled"));
    assert_eq!(to.object(&["stats"])["instances"], 240);
    to.good(&["verify", "--all"]);
}

#[test]
fn an_archive_without_c_get_moves_what_it_has() {
    let from = archive(&DAYS);
    let port = free_port();
    let peers = format!("NEW@127.0.0.1:{port}");
    let server = Server::start(&from, &[("DIMSE__PEERS", &peers)]);
    let place = format!("CAIRN@{}", server.dimse);
    let to = Site::new();
    let listen = format!("[dimse]\nlisten = \"127.0.0.1:{port}\"\n");
    to.put("data/cairn.toml", listen.as_bytes());
    let arguments = [
        "pull",
        "--from",
        &place,
        "--dates",
        "20200101-20201231",
        "--ae",
        "NEW",
        "--move-to",
        "NEW",
    ];
    let moved = to.object(&arguments);
    assert_eq!((number(&moved, "pulled"), number(&moved, "instances")), (6, 12));
    assert_eq!(to.object(&["stats"])["instances"], 12);
    assert_eq!(number(&to.object(&arguments), "held"), 6);
}

/// Debian's Orthanc, which ends with this value.
struct Orthanc(Child);

impl Drop for Orthanc {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_orthanc_is_taken_over() {
    if Command::new("Orthanc").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("NOT TESTED: Orthanc is not installed");
        return;
    }
    let (dicom_port, http_port, own) = (free_port(), free_port(), free_port());
    let source = archive(&DAYS);
    let settings = serde_json::json!({
        "Name": "test", "StorageDirectory": source.path("orthanc"),
        "IndexDirectory": source.path("orthanc"), "HttpPort": http_port, "DicomPort": dicom_port,
        "DicomAet": "ORTHANC", "AuthenticationEnabled": false, "RemoteAccessAllowed": false,
        "DicomAlwaysAllowGet": true, "DicomAlwaysAllowStore": true, "DicomAlwaysAllowFind": true,
        "DicomAlwaysAllowMove": true, "DicomCheckCalledAet": false, "DicomTlsEnabled": false,
        "DicomModalities": {"new": ["NEW", "127.0.0.1", own]}, "Plugins": []
    });
    let path = source.put("orthanc.json", settings.to_string().as_bytes());
    let child =
        Command::new("Orthanc").arg(path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _orthanc = Orthanc(child.unwrap());
    let patience = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", dicom_port)).is_err() {
        assert!(Instant::now() < patience, "Orthanc does not listen");
        std::thread::sleep(Duration::from_millis(100));
    }
    let place = format!("ORTHANC@127.0.0.1:{dicom_port}");
    for study in 1..=DAYS.len() {
        let sent = source.object(&["send", &place, &format!("1.2.{study}")]);
        assert_eq!(number(&sent, "instances"), 2, "{sent}");
    }
    let to = Site::new();
    to.put("data/cairn.toml", format!("[dimse]\nlisten = \"127.0.0.1:{own}\"\n").as_bytes());
    let dates = ["pull", "--from", &place, "--ae", "NEW", "--dates"];
    let got = to.object(&[&dates[..], &["20200101-20200229"]].concat());
    assert_eq!((number(&got, "pulled"), number(&got, "instances")), (4, 8), "{got}");
    let moved = to.object(&[&dates[..], &["20200101-20201231", "--move-to", "NEW"]].concat());
    assert_eq!((number(&moved, "held"), number(&moved, "pulled")), (4, 2), "{moved}");
    assert_eq!(to.object(&["stats"])["instances"], 12);
    to.good(&["verify", "--all"]);
}
