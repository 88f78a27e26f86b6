//! The log of every access, against the real binary: over HTTP and DIMSE, after a kill, tampered with.

use std::io::Write;
use std::path::PathBuf;

use crate::support::dimse::{
    Client, EXPLICIT_LE, SECONDARY_CAPTURE, VERIFICATION, implicit, parted,
};
use crate::support::server::{PARTS, Server, client, parts};
use crate::support::sites::{Hospital, introduce};
use crate::support::{Site, dicom};
use serde_json::Value;

const STUDY_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const IMPLICIT_LE: &str = "1.2.840.10008.1.2";

fn shown(site: &Site, arguments: &[&str]) -> Vec<Value> {
    site.list(&[&["audit", "show"], arguments].concat())
}

/// What was done, by whom, with which answer.
fn brief(lines: &[Value]) -> Vec<String> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or("").to_owned();
    let lines = lines.iter().filter(|line| line["face"] != "log");
    lines.map(|l| ["op", "who", "status"].map(|key| text(l, key)).join(" ")).collect()
}

fn files(site: &Site) -> Vec<PathBuf> {
    let all = crate::support::files_under(&site.data().join("audit"));
    all.into_iter().filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect()
}

#[test]
fn who_looked_at_this() {
    let site = Site::new();
    site.put("in/a.dcm", &dicom("1.2", "1.3", "1.4", "SECRET^NAME", &[1; 64]));
    site.good(&["import", "in"]);
    let settings = [("IDENTITY__REQUIRED", "always")];
    let mut server = Server::start(&site, &settings);
    let token = |name: &str, role: &str| {
        let made = site.object(&["token", "new", "--name", name, "--role", role]);
        made["token"].as_str().unwrap().to_owned()
    };
    let (alice, bob) = (token("alice", "reader"), token("bob", "writer"));
    let get = |token: &str, path: &str| {
        client().get(server.url(path)).bearer_auth(token).send().unwrap().status().as_u16()
    };
    assert_eq!(get(&alice, "/dicom-web/studies/1.2/metadata"), 200);
    assert_eq!(get(&alice, "/dicom-web/studies?PatientName=SECRET*"), 200);
    assert_eq!(get(&bob, "/dicom-web/studies/1.2"), 403);
    assert_eq!(get("x.y.z", "/dicom-web/studies/1.2"), 401);
    assert_eq!(client().get(server.url("/dicom-web/studies/1.2")).send().unwrap().status(), 401);
    assert_eq!(get("", "/healthz"), 200);
    // What came without a study in its path is found by what it stored.
    let file = dicom("2.2", "2.3", "2.4", "SECRET^NAME", &[2; 64]);
    let sent = client().post(server.studies()).bearer_auth(&bob).header("content-type", PARTS);
    assert_eq!(sent.body(parts(&[file.as_slice()])).send().unwrap().status(), 200);

    let about = brief(&shown(&site, &["--study", "1.2"]));
    assert_eq!(
        about,
        [
            "metadata_study alice 200",
            "retrieve_study bob 403",
            "retrieve_study  401",
            "retrieve_study  401",
        ]
    );
    assert_eq!(brief(&shown(&site, &["--study", "2.2"])), ["store bob 200"]);
    let lines = shown(&site, &[]);
    let why: Vec<_> = lines.iter().filter_map(|line| line["why"].as_str()).collect();
    assert_eq!(why, ["permission", "token_shape", "unknown"]);
    assert_eq!(brief(&shown(&site, &["--who", "alice"])).len(), 2);
    assert!(shown(&site, &["--since", "2999-01-01T00:00:00Z"]).is_empty());
    assert_eq!(server.terminate(), 0);
    let text = std::fs::read_to_string(&files(&site)[0]).unwrap();
    assert!(!text.contains("SECRET"), "{text}");
    // UIDs stand there, and in no other log.
    assert!(text.contains("\"1.2\"") && !server.log().contains("1.2/"), "{}", server.log());
    site.good(&["audit", "verify"]);
}

#[test]
fn over_dimse_too() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let contexts: [(&str, &[&str]); 3] = [
        (VERIFICATION, &[IMPLICIT_LE]),
        (SECONDARY_CAPTURE, &[EXPLICIT_LE]),
        (STUDY_ROOT_FIND, &[IMPLICIT_LE]),
    ];
    let mut modality = Client::open(server.dimse, &contexts);
    assert_eq!(modality.echo(1), 0);
    let file = dicom("1.2", "1.3", "1.4", "SECRET^NAME", &[1; 64]);
    let (class, sop, _, data) = parted(&file);
    assert_eq!(modality.store(3, &class, &sop, &data), 0);
    let keys = [(0x0008_0052, "STUDY"), (0x0010_0010, "SECRET*"), (0x0020_000D, "1.2")];
    modality.request(5, 0x0020, STUDY_ROOT_FIND, &[], Some(&implicit(&keys)));
    while modality.message().status() == 0xFF00 {}
    modality.release();
    let lines = shown(&site, &[]);
    let ops: Vec<_> =
        brief(&lines).iter().map(|l| l.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(ops, ["echo", "store", "find"]);
    let about = shown(&site, &["--study", "1.2"]);
    assert_eq!(about.len(), 2);
    assert_eq!((&about[0]["kind"], &about[0]["from"]), (&"ae".into(), &"127.0.0.1".into()));
    assert_eq!(about[0]["instance"], "1.4");
    assert_eq!(server.terminate(), 0);
    assert!(!std::fs::read_to_string(&files(&site)[0]).unwrap().contains("SECRET"));
}

#[test]
fn what_was_answered_before_a_kill_is_there() {
    let site = Site::new();
    site.put("in/a.dcm", &dicom("1.2", "1.3", "1.4", "A^B", &[1; 64]));
    site.good(&["import", "in"]);
    let mut answered = 0;
    for round in 0..4 {
        let mut server = Server::start(&site, &[("AUDIT__FILE_BYTES", "5000")]);
        let url = server.url("/dicom-web/studies/1.2/metadata");
        let asking: Vec<_> = (0..3)
            .map(|thread| {
                let url = url.clone();
                std::thread::spawn(move || {
                    let client = client();
                    let mut answered = Vec::new();
                    for n in 0.. {
                        let id = format!("{round}-{thread}-{n}");
                        let sent = client.get(&url).header("x-request-id", &id).send();
                        if !sent.is_ok_and(|sent| sent.status() == 200) {
                            break;
                        }
                        answered.push(id);
                    }
                    answered
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(250 + 70 * round));
        server.kill();
        let ids: Vec<String> = asking.into_iter().flat_map(|t| t.join().unwrap()).collect();
        let lines = shown(&site, &[]);
        let known: std::collections::HashSet<_> =
            lines.iter().filter_map(|line| line["request"].as_str()).collect();
        for id in &ids {
            assert!(known.contains(id.as_str()), "{id} was answered and has no line");
        }
        answered += ids.len();
        site.good(&["audit", "verify"]);
    }
    assert!(answered > 40 && files(&site).len() > 3, "{answered}");
}

#[test]
fn tampering_is_found_and_a_torn_line_is_none() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    for _ in 0..3 {
        assert_eq!(client().get(server.studies()).send().unwrap().status(), 200);
    }
    assert_eq!(server.terminate(), 0);
    let head = site.object(&["audit", "verify"])["head"].as_str().unwrap().to_owned();
    let path = files(&site).remove(0);
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();

    // Half a line at the end, as a power cut leaves it.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"n\":7,\"at\":\"20").unwrap();
    let found = site.object(&["audit", "verify"]);
    assert_eq!((&found["is_good"], &found["torn_bytes"]), (&true.into(), &15.into()));
    let server = Server::start(&site, &[]);
    crate::support::eventually("it says so", || {
        server.log().contains("last line was not finished")
    });
    drop(server);
    site.good(&["audit", "verify", "--head", &head]);

    // The end cut off, at the end of a line: the chain is whole, and the noted head is not in it.
    let cut = lines[..lines.len() - 2].join("\n") + "\n";
    std::fs::write(&path, &cut).unwrap();
    site.good(&["audit", "verify"]);
    assert_eq!(site.run(&["audit", "verify", "--head", &head]).code, 1);

    // A line changed, with everything else as it was.
    std::fs::write(&path, whole.replacen("\"status\":\"200\"", "\"status\":\"404\"", 1)).unwrap();
    let ran = site.run(&["--json", "audit", "verify"]);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, found["faults"].as_array().unwrap().len()), (1, 1));
    assert!(site.run(&["audit", "verify"]).stdout.contains("NOT as it was written"));
    // A server goes on all the same, and says so.
    let server = Server::start(&site, &[]);
    crate::support::eventually("it says so", || server.log().contains("not as it was written"));
    assert_eq!(client().get(server.studies()).send().unwrap().status(), 200);
}

#[test]
fn no_line_no_answer() {
    let site = Site::new();
    let server = Server::start(&site, &[("AUDIT__FILE_BYTES", "4096")]);
    let get = |path: &str| client().get(server.url(path)).send().unwrap().status().as_u16();
    assert_eq!((get("/dicom-web/studies"), get("/readyz")), (200, 200));
    // The next file cannot be made.
    let folder = site.data().join("audit");
    let aside = site.data().join("aside");
    std::fs::rename(&folder, &aside).unwrap();
    crate::support::eventually("it refuses", || get("/dicom-web/studies") == 503);
    assert_eq!((get("/readyz"), get("/healthz")), (503, 200));
    std::fs::rename(&aside, &folder).unwrap();
    crate::support::eventually("it goes on", || get("/dicom-web/studies") == 200);
    assert_eq!(get("/readyz"), 200);
    drop(server);
    site.good(&["audit", "verify"]);
}

#[test]
fn what_other_sites_read_is_found_by_the_study_that_they_know_by_another_name() {
    let site = Site::new();
    site.put("in/a.dcm", &dicom("1.2", "1.3", "1.4", "SECRET^NAME", &[1; 64]));
    site.good(&["import", "in"]);
    let a = Hospital::start_on(site, "a.example/cairn");
    let b = Hospital::start("b.example/cairn");
    introduce(&a, &b);
    a.site.good(&["share", "1.2", "--to", "b.example/cairn", "--purpose", "TREAT", "--days", "30"]);
    b.site.good(&["fetch", "1.2", "--from", "a.example/cairn"]);
    let lines = shown(&a.site, &["--study", "1.2"]);
    let reading: Vec<_> = lines.iter().filter(|line| line["face"] == "peer").collect();
    assert!(
        reading.iter().any(|line| line["op"] == "peer_chunks" && line["ok"] == true),
        "{lines:?}"
    );
    assert!(reading.iter().all(|line| line["kind"] == "site" && line["who"] == b.id().as_str()));
    let text = std::fs::read_to_string(&files(&a.site)[0]).unwrap();
    assert!(!text.contains("SECRET"));
    a.site.good(&["audit", "verify"]);
}
