//! Read your writes: what was answered is found at once, though it is not coded yet.

use std::collections::BTreeSet;

use crate::support::commitment::{COMMITMENT, request, told};
use crate::support::dimse::{
    Client, EXPLICIT_LE, IMPLICIT_LE, SECONDARY_CAPTURE, implicit, number, parted,
};
use crate::support::server::{Server, client};
use crate::support::{Site, dicom};
use cairn_dicom::phantom;

const STUDY_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const LEVEL: u32 = 0x0008_0052;
const STUDY: u32 = 0x0020_000D;
const SERIES: u32 = 0x0020_000E;
const SOP: u32 = 0x0008_0018;

fn object(n: usize) -> (String, Vec<u8>) {
    let sop = format!("1.2.3.{n}");
    let pixels: Vec<u8> = (0..60_000).map(|i| ((i * (n + 7)) >> 3) as u8).collect();
    let data = parted(&dicom("1.2.1", "1.2.2", &sop, "Doe^Jane", &pixels)).3;
    (sop, data)
}

fn store(client: &mut Client, n: usize) -> String {
    store_under(client, 1, n)
}

fn store_under(client: &mut Client, context: u8, n: usize) -> String {
    let (sop, data) = object(n);
    assert_eq!(client.store(context, SECONDARY_CAPTURE, &sop, &data), 0);
    sop
}

/// Instances that a C-FIND tells.
fn found(client: &mut Client) -> usize {
    let keys = implicit(&[(LEVEL, "IMAGE"), (SOP, ""), (STUDY, "1.2.1"), (SERIES, "1.2.2")]);
    client.request(3, 0x0020, STUDY_FIND, &[(0x0700, number(0))], Some(&keys));
    let mut count = 0;
    while matches!(client.message().status(), 0xFF00 | 0xFF01) {
        count += 1;
    }
    count
}

fn status(reply: &reqwest::blocking::Response) -> u16 {
    reply.status().as_u16()
}

#[test]
fn what_was_answered_is_found_fetched_and_deleted_at_once() {
    let site = Site::new();
    // A search of a machine that is busy with something else may take longer than the two seconds that
    // it waits otherwise.
    let server = Server::start(&site, &[("INGEST__SEARCH_WAIT_MS", "60000")]);
    let contexts: [(&str, &[&str]); 2] =
        [(SECONDARY_CAPTURE, &[EXPLICIT_LE]), (STUDY_FIND, &[IMPLICIT_LE])];
    let mut dimse = Client::open(server.dimse, &contexts);
    let web = client();
    let study = format!("{}/1.2.1", server.studies());
    let mut stored = 0;
    let mut spooled = 0;
    for _ in 0..10 {
        store(&mut dimse, stored);
        stored += 1;
        spooled = spooled.max(server.metric("cairn_ingest_spool_objects"));
        store(&mut dimse, stored);
        stored += 1;
        assert_eq!(found(&mut dimse), stored);
        store(&mut dimse, stored);
        stored += 1;
        let listed = web.get(format!("{study}/instances")).send().unwrap().text().unwrap();
        assert_eq!(listed.matches("\"00080018\"").count(), stored);
        let sop = store(&mut dimse, stored);
        stored += 1;
        let instance = format!("{study}/series/1.2.2/instances/{sop}");
        assert_eq!(status(&web.get(format!("{instance}/metadata")).send().unwrap()), 200);
        let sop = store(&mut dimse, stored);
        stored += 1;
        let instance = format!("{study}/series/1.2.2/instances/{sop}");
        assert_eq!(status(&web.get(&instance).send().unwrap()), 200);
    }
    assert!(spooled > 0, "nothing was ever spooled");
    let counted = "cairn_ingest_stage_duration_seconds_count{stage=\"spool\"}";
    assert_eq!(server.metric(counted), stored as u64);
    store(&mut dimse, stored);
    assert_eq!(status(&web.delete(&study).send().unwrap()), 204);
    assert_eq!(found(&mut dimse), 0);
    assert_eq!(status(&web.get(&study).send().unwrap()), 410);
}

#[test]
fn commitment_right_after_the_answer_is_of_what_is_in_the_bucket() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let contexts: [(&str, &[&str]); 2] =
        [(COMMITMENT, &[IMPLICIT_LE]), (SECONDARY_CAPTURE, &[EXPLICIT_LE])];
    let mut dimse = Client::open(server.dimse, &contexts);
    let sops: Vec<String> = (0..20).map(|n| store_under(&mut dimse, 3, n)).collect();
    let references: Vec<_> = sops.iter().map(|sop| (SECONDARY_CAPTURE, sop.as_str())).collect();
    let uids: Vec<&str> = sops.iter().map(String::as_str).collect();
    assert_eq!(request(&mut dimse, "1.2.77.1", &references), 0);
    let (_, _, places) = told(&dimse.message(), &uids);
    server.kill();
    assert_eq!(places, vec!["committed"; sops.len()]);
    // What was committed needs neither the journal nor the spool.
    for folder in ["journal", "spool"] {
        std::fs::remove_dir_all(site.data().join(folder)).unwrap();
    }
    site.good(&["rebuild"]);
    site.good(&["export", "--all", "out"]);
    assert_eq!(crate::support::files_under(&site.path("out")).len(), sops.len());
}

/// A request says no study. An instance that is archived under one must not vouch for another one of the
/// same UID that is only spooled.
#[test]
fn commitment_of_a_uid_that_is_spooled_under_another_study_waits_for_both() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let contexts: [(&str, &[&str]); 2] =
        [(COMMITMENT, &[IMPLICIT_LE]), (SECONDARY_CAPTURE, &[EXPLICIT_LE])];
    let mut dimse = Client::open(server.dimse, &contexts);
    let sop = "1.2.3.1";
    for (n, study) in ["1.2.1", "1.2.8"].into_iter().enumerate() {
        let pixels = vec![n as u8; 40_000];
        let data = parted(&dicom(study, "1.2.2", sop, "Doe^Jane", &pixels)).3;
        assert_eq!(dimse.store(3, SECONDARY_CAPTURE, sop, &data), 0);
        let transaction = format!("1.2.77.{n}");
        assert_eq!(request(&mut dimse, &transaction, &[(SECONDARY_CAPTURE, sop)]), 0);
        let (_, _, places) = told(&dimse.message(), &[sop]);
        assert_eq!(places, ["committed"]);
    }
    server.kill();
    for folder in ["journal", "spool"] {
        std::fs::remove_dir_all(site.data().join(folder)).unwrap();
    }
    site.good(&["rebuild"]);
    assert_eq!(site.object(&["stats"])["studies"], 2);
}

/// What a corpus is answered and called, by C-STORE over one association.
fn sent_and_named(spool_bytes: &str) -> (Vec<u16>, Vec<(String, String)>) {
    let site = Site::new();
    let mut server = Server::start(&site, &[("INGEST__SPOOL_BYTES", spool_bytes)]);
    let mut corpus: Vec<Vec<u8>> =
        phantom::ct(4, 12, 128).chain(phantom::mr(4, 6, 64)).map(|file| file.bytes).collect();
    corpus.extend([phantom::structured_report(4).bytes, phantom::ultrasound_cine(4, 9, 128).bytes]);
    // Again; corrected; with other pixels.
    let mut other = corpus[2].clone();
    *other.last_mut().unwrap() ^= 1;
    let corrected = phantom::correct_demographics(&corpus[1], "B^A", "ID", "ACC").unwrap();
    corpus.extend([corpus[0].clone(), corrected, other, corpus[1].clone()]);
    let mut kinds: Vec<(String, String)> = Vec::new();
    let parts: Vec<_> = corpus.iter().map(|file| parted(file)).collect();
    for (class, _, syntax, _) in &parts {
        let kind = (class.clone(), syntax.clone());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let syntaxes: Vec<[&str; 1]> = kinds.iter().map(|(_, syntax)| [syntax.as_str()]).collect();
    let contexts: Vec<(&str, &[&str])> = kinds
        .iter()
        .zip(&syntaxes)
        .map(|((class, _), syntax)| (class.as_str(), &syntax[..]))
        .collect();
    let mut dimse = Client::open(server.dimse, &contexts);
    let statuses = parts.iter().map(|(class, sop, syntax, data)| {
        let place = kinds.iter().position(|kind| (&kind.0, &kind.1) == (class, syntax)).unwrap();
        dimse.store(2 * place as u8 + 1, class, sop, data)
    });
    let statuses: Vec<u16> = statuses.collect();
    drop(dimse);
    assert_eq!(server.terminate(), 0);
    let named = site.list(&["ls"]).into_iter().map(|study| {
        let uid = study["study_uid"].as_str().unwrap().to_owned();
        let root = site.object(&["show", &uid])["root"].as_str().unwrap().to_owned();
        (uid, root)
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    assert!(named.len() >= 3, "{named:?}");
    let sops: BTreeSet<&String> = parts.iter().map(|(_, sop, ..)| sop).collect();
    let visible = site.object(&["stats"])["instances"].as_u64().unwrap();
    assert_eq!(visible, sops.len() as u64);
    (statuses, named)
}

#[test]
fn answers_and_names_are_the_same_with_and_without_the_spool() {
    let with = sent_and_named("1073741824");
    assert_eq!(with, sent_and_named("0"));
    // A conflict is told as a warning (PS3.4 table B.2-1).
    assert!(with.0.contains(&0) && with.0.iter().any(|status| *status != 0), "{:?}", with.0);
}

/// A second process has no way to ask the server, and waits for it all the same.
#[test]
fn a_command_beside_the_server_shows_what_was_answered() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let mut dimse = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    for n in 0..20 {
        store(&mut dimse, n);
    }
    assert_eq!(site.object(&["stats"])["instances"], 20);
}

/// A server that does not get to it within the patience of a person is not waited for, and the command
/// says that what it shows may not be all.
#[test]
fn a_command_beside_a_server_that_is_behind_says_so() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let mut dimse = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    // Stopped right after an answer, the server has the object in its spool alone, unless this thread
    // did not run for a while in between.
    let told = (0..20).find_map(|n| {
        store(&mut dimse, n);
        server.signal("-STOP");
        let told = site.good(&["stats"]).stderr;
        server.signal("-CONT");
        told.contains("may not be among what follows").then_some(n + 1)
    });
    let sent = told.expect("nothing is spooled any more");
    assert_eq!(site.object(&["stats"])["instances"], sent);
}

#[test]
fn a_filled_spool_survives_a_kill() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let mut dimse = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    let stored: Vec<_> = (0..30).map(|n| store(&mut dimse, n)).collect();
    server.kill();
    assert!(crate::support::files_under(&site.data().join("spool")).len() == 1);
    // Somebody who only looks finds them, and so does the next server.
    assert_eq!(site.object(&["stats"])["instances"], stored.len());
    site.good(&["verify", "--all"]);
    site.good(&["export", "--all", "out"]);
    let mut back: Vec<_> = crate::support::files_under(&site.path("out"))
        .iter()
        .map(|path| parted(&std::fs::read(path).unwrap()).3)
        .collect();
    let mut sent: Vec<_> = (0..30).map(|n| object(n).1).collect();
    back.sort();
    sent.sort();
    assert!(back == sent);
    assert!(crate::support::files_under(&site.data().join("spool")).is_empty());
}

#[test]
fn it_can_be_switched_off() {
    let site = Site::new();
    let server = Server::start(&site, &[("INGEST__SPOOL_BYTES", "0")]);
    let mut dimse = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    store(&mut dimse, 1);
    assert_eq!(server.metric("cairn_ingest_stage_duration_seconds_count{stage=\"spool\"}"), 0);
    assert!(crate::support::files_under(&site.data().join("spool")).is_empty());
}
