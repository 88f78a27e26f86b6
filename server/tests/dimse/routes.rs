//! Forwarding by rules, against the real binary.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::dimse::{Client, EXPLICIT_LE, IMPLICIT_LE, SECONDARY_CAPTURE, Wish, parted};
use crate::support::object::Object;
use crate::support::ports::free_port;
use crate::support::receiver::Receiver;
use crate::support::server::Server;
use crate::support::{Site, dicom};

const CONTEXTS: [(&str, &[&str]); 1] = [(SECONDARY_CAPTURE, &[EXPLICIT_LE])];

/// An archive with these rules, whose peers are given.
fn site(peers: &str, rules: &str) -> Site {
    let site = Site::new();
    let text = format!("[dimse]\npeers = \"{peers}\"\n{rules}\n");
    site.put("data/cairn.toml", text.as_bytes());
    site
}

fn file(study: &str, sop: &str) -> Vec<u8> {
    dicom(study, &format!("{study}.1"), sop, "Doe^Jane", &[7; 64])
}

/// C-STORE of objects of one study, each answered with success.
fn send(address: SocketAddr, calling: &str, study: &str, sops: &[&str]) {
    let mut client = Wish { calling: calling.into(), ..Wish::new(&CONTEXTS) }.open(address);
    for sop in sops {
        let data = parted(&file(study, sop)).3;
        assert_eq!(client.store(1, SECONDARY_CAPTURE, sop, &data), 0);
    }
    client.release();
}

fn until(what: &str, server: &Server, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < patience, "{what}: {}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// SOP Instance UIDs of the next objects that come.
fn received(receiver: &Receiver, count: usize) -> BTreeSet<String> {
    (0..count).map(|_| receiver.next().1.text(0x1000)).collect()
}

fn uids(sops: &[&str]) -> BTreeSet<String> {
    sops.iter().map(|sop| (*sop).to_owned()).collect()
}

fn sent(server: &Server, route: &str) -> u64 {
    server.metric(&format!("cairn_routes_objects_total{{result=\"sent\",route=\"{route}\"}}"))
}

#[test]
fn what_matches_is_forwarded_once_and_the_rest_is_not() {
    let receiver = Receiver::start(&[EXPLICIT_LE], |_| 0);
    let site = site(
        &format!("PACS@{}", receiver.address),
        "[[routes]]\nname = \"ot\"\nwhen = { calling = \"CT*\", modality = \"ot\" }\nto = [\"PACS\"]",
    );
    let server = Server::start(&site, &[]);
    send(server.dimse, "MR1", "1.2.9", &["1.2.9.8"]);
    let sops = ["1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4", "1.2.3.5", "1.2.3.6"];
    send(server.dimse, "CT1", "1.2.3", &sops);
    assert_eq!(received(&receiver, sops.len()), uids(&sops));
    until("all are counted", &server, || sent(&server, "ot") == 6);
    // What is here already is no arrival.
    send(server.dimse, "CT1", "1.2.3", &sops);
    send(server.dimse, "CT1", "1.2.3", &["1.2.3.7"]);
    assert_eq!(received(&receiver, 1), uids(&["1.2.3.7"]));
    until("the queue is empty", &server, || {
        server.has_metric("cairn_routes_queue{route=\"ot\"} 0") && sent(&server, "ot") == 7
    });
    assert!(receiver.all().is_empty());
    for word in ["1.2.3", "Doe"] {
        assert!(!server.log().contains(word), "{}", server.log());
    }
    drop(server);
    let line = site.object(&["routes"]);
    assert_eq!((line["route"].as_str(), line["waiting"].as_u64()), (Some("ot"), Some(0)));
    assert_eq!(line["failed"], 0);
}

#[test]
fn bytes_are_those_that_came_or_converted_where_the_receiver_wants_it() {
    let (same, old) =
        (Receiver::start(&[EXPLICIT_LE], |_| 0), Receiver::start(&[IMPLICIT_LE], |_| 0));
    let site = site(
        &format!("SAME@{}, OLD@{}", same.address, old.address),
        "[[routes]]\nname = \"all\"\nto = [\"SAME\", \"OLD\"]",
    );
    let server = Server::start(&site, &[]);
    send(server.dimse, "CT1", "1.2.3", &["1.2.3.1"]);
    let data = parted(&file("1.2.3", "1.2.3.1")).3;
    assert_eq!(same.next().1.data.unwrap(), data);
    let (syntax, message) = old.next();
    assert_eq!(syntax, IMPLICIT_LE);
    assert_ne!(message.data.unwrap(), data);
    drop(server);
}

#[test]
fn a_study_waits_until_it_is_quiet() {
    let receiver = Receiver::start(&[EXPLICIT_LE], |_| 0);
    let site = site(
        &format!("PACS@{}", receiver.address),
        "[[routes]]\nname = \"quiet\"\nto = [\"PACS\"]\nquiet_seconds = 3",
    );
    let server = Server::start(&site, &[]);
    let begun = Instant::now();
    send(server.dimse, "CT1", "1.2.3", &["1.2.3.1"]);
    std::thread::sleep(Duration::from_millis(1500));
    send(server.dimse, "CT1", "1.2.3", &["1.2.3.2"]);
    assert!(receiver.all().is_empty());
    assert_eq!(received(&receiver, 2), uids(&["1.2.3.1", "1.2.3.2"]));
    assert!(begun.elapsed() > Duration::from_millis(4300), "{:?}", begun.elapsed());
    drop(server);
}

#[test]
fn a_peer_that_is_down_delays_only_what_goes_to_it() {
    let up = Receiver::start(&[EXPLICIT_LE], |_| 0);
    let port = free_port();
    let site = site(
        &format!("UP@{}, DOWN@127.0.0.1:{port}", up.address),
        "[[routes]]\nname = \"both\"\nto = [\"DOWN\", \"UP\"]",
    );
    let server = Server::start(&site, &[]);
    let sops = ["1.2.3.1", "1.2.3.2"];
    send(server.dimse, "CT1", "1.2.3", &sops);
    assert_eq!(received(&up, 2), uids(&sops));
    until("two wait", &server, || server.has_metric("cairn_routes_queue{route=\"both\"} 2"));
    assert!(server.log().contains("out of reach"));
    let down = Receiver::at(port, &[EXPLICIT_LE], |_| 0);
    assert_eq!(received(&down, 2), uids(&sops));
    until("none waits", &server, || server.has_metric("cairn_routes_queue{route=\"both\"} 0"));
    assert!(server.has_metric("cairn_routes_undelivered{route=\"both\"} 0"));
}

#[test]
fn what_was_acknowledged_is_forwarded_after_a_kill() {
    let port = free_port();
    let site = site(
        &format!("PACS@127.0.0.1:{port}"),
        "[[routes]]\nname = \"all\"\nwhen.calling = \"CT1\"\nto = [\"PACS\"]",
    );
    let mut all = BTreeSet::new();
    for round in 0..3 {
        let mut server = Server::start(&site, &[]);
        let sops: Vec<String> = (0..5).map(|n| format!("1.2.3.{round}.{n}")).collect();
        send(server.dimse, "CT1", "1.2.3", &sops.iter().map(String::as_str).collect::<Vec<_>>());
        // At once, so that mostly no rule has looked at them.
        server.kill();
        all.extend(sops);
    }
    let receiver = Receiver::at(port, &[EXPLICIT_LE], |_| 0);
    let server = Server::start(&site, &[]);
    let mut came = BTreeSet::new();
    while came.len() < all.len() {
        came.insert(receiver.next().1.text(0x1000));
    }
    assert_eq!(came, all);
    until("none waits", &server, || server.has_metric("cairn_routes_queue{route=\"all\"} 0"));
}

#[test]
fn the_journal_alone_knows_what_is_owed() {
    let port = free_port();
    let site = site(
        &format!("PACS@127.0.0.1:{port}"),
        "[[routes]]\nname = \"all\"\nwhen.calling = \"CT1\"\nto = [\"PACS\"]",
    );
    let mut server = Server::start(&site, &[]);
    send(server.dimse, "CT1", "1.2.1", &["1.2.1.1"]);
    until("it waits", &server, || server.has_metric("cairn_routes_queue{route=\"all\"} 1"));
    // The catalog as it was before: what a power cut may leave of it.
    let saved = site.path("saved");
    std::fs::create_dir(&saved).unwrap();
    let files = ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"];
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        for file in files {
            let _ = std::fs::remove_file(to.join(file));
            if from.join(file).exists() {
                std::fs::copy(from.join(file), to.join(file)).unwrap();
            }
        }
    };
    copy(&site.data(), &saved);
    send(server.dimse, "CT1", "1.2.2", &["1.2.2.1"]);
    send(server.dimse, "MR1", "1.2.4", &["1.2.4.1"]);
    server.kill();
    copy(&saved, &site.data());
    let receiver = Receiver::at(port, &[EXPLICIT_LE], |_| 0);
    let server = Server::start(&site, &[]);
    assert_eq!(received(&receiver, 2), uids(&["1.2.1.1", "1.2.2.1"]));
    until("none waits", &server, || server.has_metric("cairn_routes_queue{route=\"all\"} 0"));
    assert!(receiver.all().is_empty());
}

#[test]
fn what_is_refused_for_good_ends_in_the_list_and_delays_nothing() {
    let receiver =
        Receiver::start(
            &[EXPLICIT_LE],
            |message| {
                if message.text(0x1000) == "1.2.3.2" { 0xC123 } else { 0 }
            },
        );
    let site = site(
        &format!("PACS@{}", receiver.address),
        "[[routes]]\nname = \"r\"\nto = [\"PACS\"]\ntries = 2\nretry_seconds = 1",
    );
    let server = Server::start(&site, &[]);
    send(server.dimse, "CT1", "1.2.3", &["1.2.3.1", "1.2.3.2", "1.2.3.3"]);
    until("it is given up", &server, || {
        server.has_metric("cairn_routes_undelivered{route=\"r\"} 1") && sent(&server, "r") == 2
    });
    let tries = receiver.all().iter().filter(|(_, m)| m.text(0x1000) == "1.2.3.2").count();
    assert_eq!(tries, 2);
    send(server.dimse, "CT1", "1.2.4", &["1.2.4.1"]);
    assert_eq!(received(&receiver, 1), uids(&["1.2.4.1"]));
    // While the server runs: shown, retried, dropped.
    assert_eq!(site.run(&["routes"]).code, 1);
    let ran = site.run(&["--json", "routes", "failed"]);
    assert_eq!(ran.code, 1);
    let failed = &crate::support::lines(&ran.stdout)[0];
    assert_eq!(failed["sop_instance_uid"], "1.2.3.2");
    assert_eq!((failed["status"].as_str(), failed["tries"].as_u64()), (Some("C123"), Some(2)));
    assert_eq!(site.object(&["routes", "retry", "--to", "NOBODY"])["objects"], 0);
    assert_eq!(site.object(&["routes", "retry", "--to", "PACS"])["objects"], 1);
    until("it is given up again", &server, || {
        server.has_metric("cairn_routes_undelivered{route=\"r\"} 1")
            && receiver.all().iter().any(|(_, m)| m.text(0x1000) == "1.2.3.2")
    });
    until("it can be dropped", &server, || {
        site.object(&["routes", "drop", "--route", "r"])["objects"] == 1
    });
    site.good(&["routes"]);
}

#[test]
fn two_servers_that_forward_to_each_other_come_to_rest() {
    let (port_a, port_b) = (free_port(), free_port());
    let rule = "[[routes]]\nname = \"loop\"\nto = [\"OTHER\"]";
    let (a, b) = (
        site(&format!("OTHER@127.0.0.1:{port_b}"), rule),
        site(&format!("OTHER@127.0.0.1:{port_a}"), rule),
    );
    let at = |port: u16| format!("127.0.0.1:{port}");
    let server_a = Server::start_at(&a, &at(port_a));
    let server_b = Server::start_at(&b, &at(port_b));
    let sops = ["1.2.3.1", "1.2.3.2", "1.2.3.3"];
    send(server_a.dimse, "CT1", "1.2.3", &sops);
    // A to B; B back to A, for which they are duplicates; and that is all.
    until("B forwards", &server_b, || sent(&server_b, "loop") == 3);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((sent(&server_a, "loop"), sent(&server_b, "loop")), (3, 3));
    let stored = |server: &Server, outcome: &str| {
        server.metric(&format!("cairn_ingest_instances_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!((stored(&server_a, "new"), stored(&server_a, "duplicate")), (3, 3));
    assert_eq!((stored(&server_b, "new"), stored(&server_b, "duplicate")), (3, 0));
}

fn dated(study: &str, date: &str, patient: &str, modality: &str, sop: &str) -> Vec<u8> {
    let object = Object::new(EXPLICIT_LE, sop).image(1, 2, 8, 1);
    let object = object
        .text(0x0008_0020, *b"DA", date)
        .text(0x0010_0020, *b"LO", patient)
        .pixels(*b"OB", crate::support::object::Value::Bytes(vec![1, 2]));
    let text = object.of_study(study, &format!("{study}.1"), modality);
    text.file()
}

#[test]
fn priors_are_sent_and_had_from_another_archive() {
    let old = Site::new();
    for (n, (date, patient, modality)) in [
        ("20180101", "P1", "OT"),
        ("20190101", "P1", "OT"),
        ("20170101", "P1", "OT"),
        ("20190601", "P1", "MR"),
        ("20190601", "P2", "OT"),
        ("20300101", "P1", "OT"),
    ]
    .iter()
    .enumerate()
    {
        let study = format!("1.2.8{n}");
        let file = dated(&study, date, patient, modality, &format!("{study}.1.1"));
        old.put(&format!("in/{n}.dcm"), &file);
    }
    old.good(&["import", "in"]);
    let archive = Server::start(&old, &[]);
    let receiver = Receiver::start(&[EXPLICIT_LE], |_| 0);
    let site = site(
        &format!("WS@{}, OLD@{}", receiver.address, archive.dimse),
        "[[routes]]\nname = \"priors\"\nwhen.calling = \"CT1\"\nto = [\"WS\"]\n\
         prefetch = \"priors\"\npriors_max = 2\npriors_same = [\"modality\"]\npriors_from = \"OLD\"",
    );
    // One is here already, and older than those that the other archive has.
    let here = dated("1.2.70", "20160101", "P1", "OT", "1.2.70.1.1");
    site.put("in/here.dcm", &here);
    site.good(&["import", "in"]);
    let server = Server::start(&site, &[]);
    let now = parted(&dated("1.2.90", "20200101", "P1", "OT", "1.2.90.1.1")).3;
    let mut client = Wish { calling: "CT1".into(), ..Wish::new(&CONTEXTS) }.open(server.dimse);
    assert_eq!(client.store(1, SECONDARY_CAPTURE, "1.2.90.1.1", &now), 0);
    // The two newest earlier ones of the same patient and modality, and not the study itself.
    assert_eq!(received(&receiver, 2), uids(&["1.2.80.1.1", "1.2.81.1.1"]));
    // More of the same study asks for nothing again.
    let more = parted(&dated("1.2.90", "20200101", "P1", "OT", "1.2.90.1.2")).3;
    assert_eq!(client.store(1, SECONDARY_CAPTURE, "1.2.90.1.2", &more), 0);
    client.release();
    std::thread::sleep(Duration::from_secs(1));
    assert!(receiver.all().is_empty());
    drop(server);
    let held: BTreeSet<String> = site
        .list(&["ls"])
        .iter()
        .map(|study| study["study_uid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(held, uids(&["1.2.70", "1.2.80", "1.2.81", "1.2.90"]));
}

#[test]
fn a_rule_is_about_what_comes_after_it_and_about_imports_too() {
    let receiver = Receiver::start(&[EXPLICIT_LE], |_| 0);
    let peers = format!("PACS@{}", receiver.address);
    let site = site(&peers, "");
    site.put("a/1.dcm", &file("1.2.1", "1.2.1.1"));
    site.good(&["import", "a"]);
    let rule = "[[routes]]\nname = \"in\"\nwhen.source = \"import\"\nto = [\"PACS\"]";
    let text = format!("[dimse]\npeers = \"{peers}\"\n{rule}\n");
    site.put("data/cairn.toml", text.as_bytes());
    let server = Server::start(&site, &[]);
    // The rule is known once it was shown to be.
    until("the rule runs", &server, || server.has_metric("cairn_routes_queue{route=\"in\"} 0"));
    drop(server);
    site.put("b/1.dcm", &file("1.2.2", "1.2.2.1"));
    site.good(&["import", "b"]);
    // A rebuilt catalog knows what is owed, and takes nothing that is old for new.
    site.good(&["rebuild"]);
    let server = Server::start(&site, &[]);
    send(server.dimse, "CT1", "1.2.3", &["1.2.3.1"]);
    assert_eq!(received(&receiver, 1), uids(&["1.2.2.1"]));
    until("none waits", &server, || server.has_metric("cairn_routes_queue{route=\"in\"} 0"));
    assert!(receiver.all().is_empty());
}

#[test]
fn studies_are_sent_by_hand() {
    let receiver = Receiver::start(&[EXPLICIT_LE], |_| 0);
    let site = Site::new();
    let sops = ["1.2.3.1", "1.2.3.2", "1.2.3.3"];
    for sop in sops {
        site.put(&format!("in/{sop}.dcm"), &file("1.2.3", sop));
    }
    site.good(&["import", "in"]);
    let place = format!("PACS@{}", receiver.address);
    let sent = site.object(&["send", &place, "1.2.3"]);
    assert_eq!((sent["instances"].as_u64(), sent["failed"].as_u64()), (Some(3), Some(0)));
    assert_eq!(received(&receiver, 3), uids(&sops));
    assert_eq!(site.run(&["send", &place, "1.2.99"]).code, 1);
    let nobody = format!("PACS@127.0.0.1:{}", free_port());
    let ran = site.run(&["--json", "send", &nobody, "1.2.3"]);
    assert_eq!(ran.code, 1);
    assert_eq!(crate::support::lines(&ran.stdout)[0]["untried"], 3);
    let refuses = Receiver::start(&[EXPLICIT_LE], |_| 0xA700);
    let ran = site.run(&["--json", "send", &format!("PACS@{}", refuses.address), "1.2.3"]);
    assert_eq!((ran.code, crate::support::lines(&ran.stdout)[0]["failed"].as_u64()), (1, Some(3)));
}

#[test]
fn a_move_goes_over_several_associations_and_objects_of_a_broken_one_are_sent_again() {
    let site = Site::new();
    let sops: Vec<String> = (0..60).map(|n| format!("1.2.3.{n}")).collect();
    for sop in &sops {
        site.put(&format!("in/{sop}.dcm"), &file("1.2.3", sop));
    }
    site.good(&["import", "in"]);
    for fragile in [false, true] {
        let receiver = if fragile {
            // Two associations end in the middle of their seventh object.
            Receiver::breaking(&[EXPLICIT_LE], 7)
        } else {
            Receiver::start(&[EXPLICIT_LE], |_| {
                std::thread::sleep(Duration::from_millis(20));
                0
            })
        };
        let peers = format!("WS@{}", receiver.address);
        let server = Server::start(&site, &[("DIMSE__PEERS", &peers)]);
        let mut client =
            Client::open(server.dimse, &[("1.2.840.10008.5.1.4.1.2.2.2", &[IMPLICIT_LE])]);
        let data =
            crate::support::dimse::implicit(&[(0x0008_0052, "STUDY"), (0x0020_000D, "1.2.3")]);
        let more = [(0x0600, b"WS".to_vec()), (0x0700, crate::support::dimse::number(0))];
        client.request(1, 0x0021, "1.2.840.10008.5.1.4.1.2.2.2", &more, Some(&data));
        let last = loop {
            let answer = client.message();
            if answer.status() != 0xFF00 {
                break answer;
            }
        };
        assert_eq!((last.status(), last.number(0x1021), last.number(0x1022)), (0, 60, 0));
        let came: BTreeSet<String> =
            receiver.all().iter().map(|(_, message)| message.text(0x1000)).collect();
        assert_eq!(came, sops.iter().cloned().collect());
        let opened = receiver.opened();
        if fragile {
            assert!(opened > 2, "{opened}");
        } else {
            assert_eq!(opened, 4);
        }
    }
}

/// C-CANCEL (PS3.7 §9.3.2.3) while several associations send: each object has one fate, and those that
/// were not begun are told as remaining.
#[test]
fn a_move_over_several_associations_is_cancelled() {
    const MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
    const ALL: u16 = 200;
    let site = Site::new();
    for n in 0..ALL {
        let sop = format!("1.2.3.{n}");
        site.put(&format!("in/{sop}.dcm"), &file("1.2.3", &sop));
    }
    site.good(&["import", "in"]);
    let receiver = Receiver::start(&[EXPLICIT_LE], |_| {
        std::thread::sleep(Duration::from_millis(50));
        0
    });
    let peers = format!("WS@{}", receiver.address);
    let server = Server::start(&site, &[("DIMSE__PEERS", &peers)]);
    let mut client = Client::open(server.dimse, &[(MOVE, &[IMPLICIT_LE])]);
    let data = crate::support::dimse::implicit(&[(0x0008_0052, "STUDY"), (0x0020_000D, "1.2.3")]);
    let more = [(0x0600, b"WS".to_vec()), (0x0700, crate::support::dimse::number(0))];
    let id = client.request(1, 0x0021, MOVE, &more, Some(&data));
    until("several associations are open", &server, || receiver.opened() > 1);
    let number = crate::support::dimse::number;
    client.command(1, &[(0x0100, number(0x0FFF)), (0x0120, number(id)), (0x0800, number(0x0101))]);
    let last = loop {
        let answer = client.message();
        if answer.status() != 0xFF00 {
            break answer;
        }
    };
    let [left, done, failed, warned] = [0x1020, 0x1021, 0x1022, 0x1023].map(|n| last.number(n));
    assert_eq!((last.status(), failed, warned, left + done), (0xFE00, 0, 0, ALL));
    assert!(left > 0 && done > 0, "{left} left, {done} done");
    assert_eq!(receiver.all().len(), usize::from(done));
    // The association that it came over is as good as before.
    assert_eq!(client.request(1, 0x0021, MOVE, &more, Some(&data)), id + 1);
    client.abort();
}

/// What comes by STOW-RS has no calling title; its source is what a rule can go by.
#[test]
fn what_comes_by_stow_is_forwarded_by_its_source() {
    let receiver = Receiver::start(&[EXPLICIT_LE], |_| 0);
    let rules = "[[routes]]\nname = \"web\"\nwhen = { source = \"stow\" }\nto = [\"PACS\"]\n\
                 [[routes]]\nname = \"ct\"\nwhen = { calling = \"CT*\" }\nto = [\"PACS\"]";
    let site = site(&format!("PACS@{}", receiver.address), rules);
    let server = Server::start(&site, &[]);
    send(server.dimse, "MR1", "1.2.8", &["1.2.8.1"]);
    let web = crate::support::server::client();
    for sop in ["1.2.3.1", "1.2.3.2"] {
        let request = web.post(server.studies()).header("content-type", "application/dicom");
        assert_eq!(request.body(file("1.2.3", sop)).send().unwrap().status().as_u16(), 200);
    }
    assert_eq!(received(&receiver, 2), uids(&["1.2.3.1", "1.2.3.2"]));
    until("both are counted", &server, || sent(&server, "web") == 2);
    assert!(receiver.all().is_empty());
    assert_eq!(sent(&server, "ct"), 0);
    drop(server);
}

/// An association is kept for what is sent next, and for no longer than the settings say.
#[test]
fn an_idle_association_is_kept_for_a_while_and_then_released() {
    for (seconds, connections) in [("60", 1), ("1", 2)] {
        let receiver = Receiver::start(&[EXPLICIT_LE], |_| 0);
        let site = site(
            &format!("PACS@{}", receiver.address),
            "[[routes]]\nname = \"all\"\nto = [\"PACS\"]",
        );
        let server = Server::start(&site, &[("DIMSE__OUT_IDLE_SECONDS", seconds)]);
        for (n, sop) in ["1.2.3.1", "1.2.3.2"].into_iter().enumerate() {
            send(server.dimse, "CT1", "1.2.3", &[sop]);
            assert_eq!(received(&receiver, 1), uids(&[sop]));
            until("it is counted", &server, || sent(&server, "all") == n as u64 + 1);
            std::thread::sleep(Duration::from_millis(2500));
        }
        assert_eq!(receiver.opened(), connections, "kept for {seconds} s");
        drop(server);
    }
}
