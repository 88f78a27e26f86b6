//! A patient is referred: what arrives under a rule is granted to the other site, which has it before
//! anybody there asks; and when that ends, it is over. Real servers on this machine.

use std::time::{Duration, Instant};

use crate::support::dimse::{EXPLICIT_LE, SECONDARY_CAPTURE, Wish, parted};
use crate::support::server::{PARTS, client, parts};
use crate::support::sites::{Hospital, grants, introduce};
use crate::support::{Site, dicom, files_under};

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";
const CONTEXTS: [(&str, &[&str]); 1] = [(SECONDARY_CAPTURE, &[EXPLICIT_LE])];
const RULE: &str = "[[routes]]\nname = \"to-b\"\nwhen.calling = \"REF_*\"\n\
    refer = [\"b.example/cairn\"]\nquiet_seconds = 1\nretry_seconds = 1\n";

/// A, which refers; B, which fetches what A grants.
fn two(b: &[(&str, &str)]) -> (Hospital, Hospital) {
    let site = Site::new();
    site.put("data/cairn.toml", RULE.as_bytes());
    let a = Hospital::start_on(site, A);
    let b = Hospital::start_with(
        Site::new(),
        B,
        &[&[("SHARING__PREFETCH", "[\"a.example/cairn\"]")], b].concat(),
    );
    introduce(&a, &b);
    (a, b)
}

/// C-STORE of objects of one study.
fn send(to: &Hospital, calling: &str, study: &str, sops: &[&str]) {
    let wish = Wish { calling: calling.into(), ..Wish::new(&CONTEXTS) };
    let mut client = wish.open(to.server.dimse);
    for sop in sops {
        let file = dicom(study, &format!("{study}.1"), sop, "Doe^Jane", sop.repeat(90).as_bytes());
        assert_eq!(client.store(1, SECONDARY_CAPTURE, sop, &parted(&file).3), 0);
    }
    client.release();
}

/// Instances that a site has in its archive. Asks the archive, not the server: a server that is asked for
/// a study would fetch it.
fn held(at: &Hospital, study: &str) -> u64 {
    let studies = at.site.list(&["ls"]);
    let found = studies.iter().find(|it| it["study_uid"] == study);
    found.map_or(0, |it| it["instances"].as_u64().unwrap())
}

fn status(at: &Hospital, study: &str) -> u16 {
    let url = at.server.url(&format!("/dicom-web/studies/{study}/metadata"));
    client().get(url).send().unwrap().status().as_u16()
}

fn until(what: &str, hospital: &Hospital, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < patience, "{what}: {}", hospital.server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

const REFERRED: &str = "cairn_sharing_referred_studies_total ";
const PREFETCHED: &str = "cairn_sharing_prefetched_studies_total ";

#[test]
fn what_arrives_under_the_rule_is_there_before_anybody_asks_and_ends_when_it_is_taken_back() {
    let (a, b) = two(&[]);
    send(&a, "CT1", "1.2.9", &["1.2.9.1"]);
    send(&a, "REF_CARDIO", "1.2.3", &["1.2.3.1", "1.2.3.2"]);
    until("b has it", &b, || held(&b, "1.2.3") == 2);
    let given = grants(&a.site);
    assert_eq!(given.len(), 1, "what no rule is about is not granted");
    let days =
        (given[0]["expires"].as_u64().unwrap() - given[0]["not_before"].as_u64().unwrap()) / 86_400;
    assert_eq!((given[0]["purpose"].as_str(), days), (Some("TREAT"), 30));
    until("the receipt is on a's ledger", &a, || {
        a.site.list(&["ledger", "entries"]).iter().any(|entry| entry["kind"] == "receipt")
    });
    assert_eq!((status(&b, "1.2.3"), held(&b, "1.2.9")), (200, 0));
    // Counted once it was told, which is after B had it.
    until("both have counted it", &a, || {
        (a.server.metric(REFERRED), b.server.metric(PREFETCHED)) == (1, 1)
    });
    for (site, op, who) in [(&a, "share", "to-b"), (&b, "fetch", "prefetch")] {
        let lines = site.site.list(&["audit", "show", "--study", "1.2.3"]);
        let ours = lines.iter().find(|line| line["kind"] == "rule").unwrap();
        assert_eq!((ours["op"].as_str(), ours["who"].as_str()), (Some(op), Some(who)));
    }

    // A late image: another version, granted and fetched as well; sent again: nothing.
    send(&a, "REF_CARDIO", "1.2.3", &["1.2.3.3"]);
    until("b has that too", &b, || held(&b, "1.2.3") == 3);
    send(&a, "REF_CARDIO", "1.2.3", &["1.2.3.3"]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(grants(&a.site).len(), 2);
    assert_eq!((a.server.metric(REFERRED), b.server.metric(PREFETCHED)), (2, 2));

    // Taken back: B's copy, which it might have kept, is not served any more, and no rule gives it again.
    let begun = Instant::now();
    a.site.good(&["revoke", "1.2.3"]);
    until("it is not served", &b, || status(&b, "1.2.3") == 410);
    println!("not served {:.2} s after it was revoked", begun.elapsed().as_secs_f64());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(held(&b, "1.2.3"), 0);
    let refused = b.site.run(&["fetch", "1.2.3", "--from", A, "--patience", "2"]);
    assert_eq!(refused.code, 1);
    send(&a, "REF_CARDIO", "1.2.3", &["1.2.3.4"]);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!((grants(&a.site).len(), held(&b, "1.2.3"), status(&b, "1.2.3")), (2, 0, 410));
    for word in ["1.2.3", "Doe"] {
        assert!(!a.server.log().contains(word), "{}", a.server.log());
        assert!(!b.server.log().contains(word), "{}", b.server.log());
    }
}

/// At the second at which a grant ends, however seldom sites talk; kept by who asked for it to be.
#[test]
fn a_copy_that_nobody_asked_for_ends_with_its_grant_to_the_second() {
    let (a, mut b) = two(&[("SHARING__SYNC_SECONDS", "30")]);
    let studies = [
        cairn_dicom::phantom::ct(7, 3, 64).map(|file| file.bytes).collect::<Vec<_>>(),
        cairn_dicom::phantom::mr(7, 3, 64).map(|file| file.bytes).collect(),
    ];
    for files in &studies {
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let request = client().post(a.server.studies()).header("content-type", PARTS);
        assert!(request.body(parts(&files)).send().unwrap().status().is_success());
    }
    until("a has both", &a, || a.site.list(&["ls"]).len() == 2);
    let uid = |at: usize| a.site.list(&["ls"])[at]["study_uid"].as_str().unwrap().to_owned();
    let (study, other) = (uid(0), uid(1));
    let shared = a.site.object(&["share", &study, "--to", B, "--seconds", "12"]);
    until("b has it", &b, || held(&b, &study) > 0 && status(&b, &study) == 200);
    let ends = shared["expires"].as_u64().unwrap();
    let now = || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
    };
    until("it is over", &b, || status(&b, &study) == 410);
    let late = now() - ends as f64;
    println!("not served {late:.2} s after the grant's end");
    assert!((-0.1..4.0).contains(&late), "{late}");
    // Fetched by a person under a grant that lets it be kept, it stays.
    a.site.good(&["share", &other, "--to", B]);
    until("b has it", &b, || held(&b, &other) > 0);
    b.site.good(&["fetch", &other, "--from", A]);
    a.site.good(&["revoke", &other]);
    until("b knows", &b, || grants(&b.site).iter().all(|it| it["is_usable"] == false));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(status(&b, &other), 200);
    // Nothing that came is left outside the archive, and what a crash would have left goes.
    let fetching = b.site.data().join("ledger/fetching");
    assert!(files_under(&fetching).is_empty(), "{:?}", files_under(&fetching));
    for grant in grants(&b.site) {
        let name = format!("{}-{}", grant["study"].as_str().unwrap(), grant["version"]);
        b.site.put(&format!("data/ledger/fetching/{name}/0"), b"of an earlier fetch");
    }
    assert_eq!(files_under(&fetching).len(), 2);
    b.server.kill();
    b.restart();
    until("it is gone", &b, || files_under(&fetching).is_empty());
}

/// A site that is away, or not known yet, is granted it later; a server that is killed forgets nothing.
#[test]
fn a_referral_waits_for_its_site_and_survives_a_kill() {
    let site = Site::new();
    site.put("data/cairn.toml", RULE.as_bytes());
    let mut a = Hospital::start_on(site, A);
    send(&a, "REF_1", "1.2.3", &["1.2.3.1"]);
    until("it was tried", &a, || a.server.log().contains("a study was not referred"));
    a.server.kill();
    a.restart();
    let b = Hospital::start_with(Site::new(), B, &[("SHARING__PREFETCH", "[\"*\"]")]);
    introduce(&a, &b);
    until("b has it", &b, || held(&b, "1.2.3") == 1);
    assert_eq!(grants(&a.site).len(), 1);
    // What B has from A is A's: B's own rules refer it to nobody. Here B has none, and A gets nothing back.
    until("nothing waits", &a, || a.site.list(&["routes"])[0]["waiting"] == 0);
}
