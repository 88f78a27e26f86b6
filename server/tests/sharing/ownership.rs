//! What becomes of a study after it was shared: copies that may not be kept, deletions, and studies that
//! change hands. Real servers on this machine.

use crate::support::Site;
use crate::support::server::{PARTS, client, parts};
use crate::support::sites::{Hospital, grants, introduce, study_of};
use serde_json::Value;

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";

/// A has a study; B knows A.
fn two() -> (Hospital, Hospital, String) {
    let site = Site::new();
    let study = study_of(&site);
    let (a, b) = (Hospital::start_on(site, A), Hospital::start(B));
    introduce(&a, &b);
    (a, b, study)
}

fn fetch(b: &Hospital, study: &str) -> Value {
    b.site.object(&["fetch", study, "--from", A])
}

/// Instances of a study that are shown.
fn instances(hospital: &Hospital, study: &str) -> Vec<Value> {
    let url = format!("{}/{study}/instances", hospital.server.studies());
    let reply = client().get(url).send().unwrap().text().unwrap();
    serde_json::from_str(&reply).unwrap_or_default()
}

fn shown(hospital: &Hospital, study: &str) -> usize {
    instances(hospital, study).len()
}

fn status(hospital: &Hospital, study: &str) -> u16 {
    let url = format!("{}/{study}/metadata", hospital.server.studies());
    client().get(url).send().unwrap().status().as_u16()
}

fn send(hospital: &Hospital, files: &[Vec<u8>]) {
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let request = client().post(hospital.server.studies()).header("content-type", PARTS);
    let sent = request.body(parts(&files)).send().unwrap();
    assert!(sent.status().is_success(), "{}", sent.status());
}

fn slices() -> Vec<Vec<u8>> {
    cairn_dicom::phantom::ct(7, 5, 128).map(|file| file.bytes).collect()
}

const GIVEN_BACK: &str = "cairn_sharing_given_back_instances_total ";

/// A copy that may not be kept goes when the grant is revoked; what B had by other ways does not.
#[test]
fn an_entrusted_study_is_given_back_and_no_more_than_that() {
    let (a, b, study) = two();
    let slices = slices();
    // One slice was here before, and one comes from elsewhere while the study is entrusted.
    send(&b, &slices[..1]);
    crate::support::eventually("it is in the archive", || shown(&b, &study) == 1);
    let shared = a.site.object(&["share", &study, "--to", B, "--no-retention"]);
    let fetched = fetch(&b, &study);
    let all = fetched["instances"].as_u64().unwrap();
    assert_eq!((fetched["instances_held"].as_u64(), shown(&b, &study) as u64), (Some(1), all));
    send(&b, &slices[1..2]);
    assert_eq!(shown(&b, &study) as u64, all, "no second version of it");
    a.site.good(&["revoke", &shared["grant"].to_string()]);
    crate::support::eventually("what was entrusted is gone", || shown(&b, &study) == 2);
    assert_eq!(b.server.metric(GIVEN_BACK), all - 2);
    assert!(!b.server.log().contains(&study), "{}", b.server.log());
    // It is over: nothing more goes.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!((shown(&b, &study), b.server.metric(GIVEN_BACK)), (2, all - 2));
    assert_eq!(shown(&a, &study) as u64, all, "its owner has it");
}

/// A copy under any other grant stays readable when that has ended.
#[test]
fn a_study_that_may_be_kept_is_kept() {
    let (a, b, study) = two();
    a.site.good(&["share", &study, "--to", B]);
    let all = fetch(&b, &study)["instances"].as_u64().unwrap() as usize;
    // Entrusted as well, and fetched again under that: it is B's already.
    a.site.good(&["share", &study, "--to", B, "--no-retention", "--days", "60"]);
    assert_eq!(fetch(&b, &study)["instances_held"], all);
    a.site.good(&["revoke", &study]);
    crate::support::eventually("b knows", || {
        grants(&b.site).iter().all(|it| it["is_usable"] == false)
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!((shown(&b, &study), b.server.metric(GIVEN_BACK)), (all, 0));
}

/// As long as another grant stands nothing goes; fetched under one that lets it be kept, it is kept.
#[test]
fn another_grant_keeps_what_is_entrusted() {
    let (a, b, study) = two();
    let entrusted = ["share", &study, "--to", B, "--no-retention"];
    let first = a.site.object(&entrusted)["grant"].to_string();
    let all = fetch(&b, &study)["instances"].as_u64().unwrap() as usize;
    let other = a.site.object(&["share", &study, "--to", B, "--purpose", "HRESCH", "--days", "9"]);
    a.site.good(&["revoke", &first]);
    crate::support::eventually("b knows", || grants(&b.site)[0]["why"] == "the grant was revoked");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(shown(&b, &study), all, "the other stands");
    // The other ends too, without anything having come under it.
    a.site.good(&["revoke", &other["grant"].to_string()]);
    crate::support::eventually("and now it goes", || shown(&b, &study) == 0);
    // Granted anew, whoever asks for it gets it, to keep.
    a.site.good(&entrusted);
    assert_eq!(status(&b, &study), 200, "on demand");
    a.site.good(&["share", &study, "--to", B, "--days", "60"]);
    assert_eq!(fetch(&b, &study)["instances_held"], all);
    a.site.good(&["revoke", &study]);
    crate::support::eventually("b knows", || {
        grants(&b.site).iter().all(|it| it["is_usable"] == false)
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(shown(&b, &study), all, "it may be kept");
}

/// A grant that ends while nobody is there: at the next start.
#[test]
fn what_is_entrusted_goes_after_a_kill_too() {
    let (a, mut b, study) = two();
    let entrusted = ["share", &study, "--to", B, "--no-retention", "--seconds", "12"];
    let ends = a.site.object(&entrusted)["expires"].as_u64().unwrap();
    let all = fetch(&b, &study)["instances"].as_u64().unwrap() as usize;
    assert_eq!(shown(&b, &study), all);
    b.server.kill();
    let end = std::time::UNIX_EPOCH + std::time::Duration::from_secs(ends + 1);
    std::thread::sleep(end.duration_since(std::time::SystemTime::now()).unwrap_or_default());
    b.restart();
    crate::support::eventually("it expired", || shown(&b, &study) == 0);
    for _ in 0..2 {
        b.server.kill();
        b.restart();
        assert_eq!((shown(&b, &study), status(&b, &study)), (0, 410));
    }
}

fn delete(hospital: &Hospital, study: &str) -> u16 {
    let url = format!("{}/{study}", hospital.server.studies());
    client().delete(url).send().unwrap().status().as_u16()
}

fn kinds(hospital: &Hospital) -> Vec<String> {
    let entries = hospital.site.list(&["ledger", "entries"]);
    entries.iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
}

fn tombstones(hospital: &Hospital) -> usize {
    kinds(hospital).iter().filter(|kind| *kind == "tombstone").count()
}

/// What its owner deletes ends on the ledger, once; stored again it is another study there.
#[test]
fn a_deleted_study_ends_on_the_ledger() {
    let (mut a, b, study) = two();
    let first = a.site.object(&["share", &study, "--to", B]);
    assert_eq!(delete(&a, &study), 204);
    // As soon as that is answered it cannot be forgotten.
    a.server.kill();
    a.restart();
    crate::support::eventually("it has ended", || tombstones(&a) == 1);
    crate::support::eventually("b knows", || grants(&b.site)[0]["why"] == "the study has ended");
    assert_eq!(b.site.run(&["fetch", &study, "--from", A]).code, 1);
    assert_eq!(delete(&a, &study), 410, "it is gone already");
    assert_eq!(a.site.run(&["share", &study, "--to", B]).code, 1, "nothing is there");
    send(&a, &slices());
    let second = a.site.object(&["share", &study, "--to", B]);
    assert_eq!((&second["version"], &second["is_new_version"]), (&1.into(), &true.into()));
    assert_ne!(second["study"], first["study"]);
    assert_eq!(fetch(&b, &study)["instances"], second["instances"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(tombstones(&a), 1);
    // Deleted, stored and shared again faster than anybody looks.
    assert_eq!(delete(&a, &study), 204);
    send(&a, &slices());
    let third = a.site.object(&["share", &study, "--to", B]);
    assert_eq!((&third["version"], tombstones(&a)), (&1.into(), 2));
    assert_eq!(third["root"], second["root"], "the same images");
    assert_ne!(third["study"], second["study"]);
    // One instance deleted and stored again: the study goes on, in a version that can be served.
    let one = &instances(&a, &study)[0];
    let uid = |tag: &str| one[tag]["Value"][0].as_str().unwrap().to_owned();
    let path = format!("{study}/series/{}/instances/{}", uid("0020000E"), uid("00080018"));
    assert_eq!(delete(&a, &path), 204);
    send(&a, &slices());
    let fourth = a.site.object(&["share", &study, "--to", B]);
    assert_eq!((&fourth["study"], &fourth["root"]), (&third["study"], &third["root"]));
    assert_eq!((&fourth["version"], tombstones(&a)), (&2.into(), 2));
    assert_eq!(fetch(&b, &study)["instances"], third["instances"]);
}

/// A study changes hands: the old grants end, the new owner fetches it, takes it over and shares it.
#[test]
fn a_study_is_handed_over() {
    let (a, b, study) = two();
    let c = Hospital::start("c.example/cairn");
    introduce(&a, &c);
    introduce(&b, &c);
    let shared = a.site.object(&["share", &study, "--to", "c.example/cairn"]);
    let name = shared["study"].as_str().unwrap();
    let take = ["take-over", name, "--from", A];
    assert_eq!(b.site.run(&take).code, 1, "nobody handed it over");
    assert!(b.site.list(&["take-over"]).is_empty());
    let handed = a.site.object(&["hand-over", &study, "--to", B]);
    assert_eq!((&handed["root"], &handed["is_delivered"]), (&shared["root"], &true.into()));
    // It is A's no more: no second time, no grant, and the old ones ended.
    assert_eq!(a.site.run(&["hand-over", &study, "--to", B]).code, 1);
    let refused = a.site.run(&["share", &study, "--to", "c.example/cairn"]);
    assert!(refused.code == 1 && refused.stderr.contains("handed over"), "{}", refused.stderr);
    crate::support::eventually("c knows", || grants(&c.site)[0]["is_usable"] == false);
    assert_eq!(c.site.run(&["fetch", name, "--from", A]).code, 1);
    assert_eq!(c.site.run(&take).code, 1, "it was not handed to c");
    let waiting = b.site.list(&["take-over"]);
    assert_eq!((waiting.len(), &waiting[0]["site_name"]), (1, &A.into()));
    // By the UID that only A tells; what is not here comes.
    let taken = b.site.object(&["take-over", &study, "--from", A]);
    assert_eq!((&taken["root"], &taken["study"]), (&shared["root"], &shared["study"]));
    assert_eq!(taken["instances_fetched"], shared["instances"]);
    assert_eq!(b.site.run(&take).code, 1, "it was taken over already");
    assert!(b.site.list(&["take-over"]).is_empty());
    // B is its owner: it shares the study under the same name, and C reads it from there.
    let of_b = b.site.object(&["share", &study, "--to", "c.example/cairn"]);
    assert_eq!((&of_b["study"], &of_b["is_new_version"]), (&shared["study"], &false.into()));
    let fetched = c.site.object(&["fetch", name, "--from", B]);
    assert_eq!((&fetched["root"], &fetched["receipt"]), (&shared["root"], &true.into()));
    // Nobody else learned that both commit to the same, and no ledger has a UID.
    let of = |hospital: &Hospital, kind: &str| {
        let entries = hospital.site.list(&["ledger", "entries"]);
        entries.into_iter().find(|entry| entry["kind"] == kind).unwrap()["commitment"].clone()
    };
    assert_ne!(of(&a, "register"), of(&b, "transfer-in"));
    // And back. A's old grants do not come back with it.
    b.site.good(&["hand-over", &study, "--to", A]);
    let back = a.site.object(&["take-over", &study, "--from", B]);
    assert_eq!((&back["study"], &back["instances_fetched"]), (&shared["study"], &0.into()));
    crate::support::eventually("c knows", || {
        grants(&c.site).iter().all(|grant| grant["is_usable"] == false)
    });
    let again = a.site.object(&["share", &study, "--to", "c.example/cairn"]);
    assert_eq!(again["study"], shared["study"]);
    assert!(c.site.object(&["fetch", name, "--from", A])["receipt"] == true);
}

/// Only what is this site's is handed over, and only exactly that is taken over.
#[test]
fn nobody_hands_over_or_takes_over_anything_else() {
    let (a, b, study) = two();
    a.site.good(&["share", &study, "--to", B]);
    fetch(&b, &study);
    let refused = b.site.run(&["hand-over", &study, "--to", A]);
    assert!(refused.code == 1 && refused.stderr.contains("another site"), "{}", refused.stderr);
    assert_eq!(a.site.run(&["hand-over", &study, "--to", "d.example"]).code, 1, "who?");
    assert_eq!(a.site.run(&["hand-over", "1.2.3", "--to", B]).code, 1, "nothing is there");
    // B has more of the study than is handed over: that is not what it would answer for.
    send(&b, &cairn_dicom::phantom::ct(7, 6, 128).skip(5).map(|it| it.bytes).collect::<Vec<_>>());
    a.site.good(&["hand-over", &study, "--to", B]);
    let refused = b.site.run(&["take-over", &study, "--from", A]);
    assert!(
        refused.code == 1 && refused.stderr.contains("not what was handed"),
        "{}",
        refused.stderr
    );
    assert!(!kinds(&b).contains(&"transfer-in".to_owned()));
    // Its copy came under a grant that let it be kept; that ended, and it is here all the same.
    assert_eq!(shown(&b, &study), 7);
    assert_eq!(tombstones(&a), 0);
    assert_eq!((delete(&a, &study), delete(&a, &study)), (204, 410));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(tombstones(&a), 0, "it is not A's any more");
}

/// The owner attests what its checks found of a version; who it is granted to sees that.
#[test]
fn a_version_is_registered_with_the_verdict_of_its_checks() {
    let (a, b, study) = two();
    let shared = a.site.object(&["share", &study, "--to", B]);
    a.site.good(&["share", &study, "--to", B, "--purpose", "HRESCH"]);
    assert_eq!(kinds(&a), ["join", "register", "attest", "grant", "grant"], "once");
    assert!(grants(&a.site).iter().all(|grant| grant["verdict"] == "passed"));
    assert_eq!(grants(&b.site)[0]["verdict"], "passed");
    assert_eq!(fetch(&b, &study)["verdict"], "passed");
    // A slice more, which ends before its pixels do.
    let more = cairn_dicom::phantom::ct(7, 6, 128).last().unwrap().bytes;
    send(&a, &[more[..more.len() - 10].to_vec()]);
    let second = a.site.object(&["share", &study, "--to", B]);
    assert_eq!((&second["version"], &second["study"]), (&2.into(), &shared["study"]));
    let received = grants(&b.site);
    let of_second = received.iter().find(|grant| grant["version"] == 2).unwrap();
    assert_eq!(of_second["verdict"], "failed");
    assert!(received.iter().all(|it| it["version"] == 2 || it["verdict"] == Value::Null));
    assert!(b.site.good(&["grants"]).stdout.contains("failed"));
    let entries = a.site.list(&["ledger", "entries"]);
    let at = entries.iter().position(|entry| entry["kind"] == "supersede").unwrap();
    // Behind it, though a receipt may have come in between.
    let attest = entries[at..].iter().find(|entry| entry["kind"] == "attest").unwrap();
    assert_eq!((&attest["version"], &attest["verdict"]), (&2.into(), &"failed".into()));
    assert_eq!(attest["checks"], 1);
}

/// Killed at any moment of it, a study is taken over once, and can be shared then.
#[test]
fn a_kill_while_taking_over_leaves_nothing_half_done() {
    let (a, mut b, study) = two();
    let handed = a.site.object(&["hand-over", &study, "--to", B]);
    let name = handed["study"].as_str().unwrap();
    for delay in [0, 20, 60, 120, 200, 300] {
        let mut taking = b.site.command(&["take-over", name, "--from", A]);
        let mut child = taking.stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        b.server.kill();
        let _ = child.wait();
        b.restart();
    }
    if !b.site.list(&["take-over"]).is_empty() {
        b.site.good(&["take-over", name, "--from", A]);
    }
    let taken = kinds(&b).iter().filter(|kind| *kind == "transfer-in").count();
    assert_eq!(taken, 1);
    let shared = b.site.object(&["share", &study, "--to", A]);
    assert_eq!((&shared["study"], &shared["root"]), (&handed["study"], &handed["root"]));
    assert_eq!(grants(&b.site)[0]["verdict"], "passed");
}
