//! Sites that share: real servers on this machine, which speak to each other over TLS.

use crate::support::Site;
use crate::support::sites::{Hospital, grants, introduce, study_of};
use serde_json::Value;

fn peer(hospital: &Hospital, name: &str) -> Value {
    let ran = hospital.site.run(&["--json", "peers"]);
    let peers = crate::support::lines(&ran.stdout);
    peers.into_iter().find(|peer| peer["name"] == name).unwrap()
}

/// Shares a study; the other side knows of it when the command ends.
#[test]
fn a_study_is_shared_and_revoked() {
    let site = Site::new();
    let study = study_of(&site);
    let a = Hospital::start_on(site, "a.example/cairn");
    let b = Hospital::start("b.example/cairn");
    introduce(&a, &b);
    let shared = a.site.object(&["share", &study, "--to", "b.example/cairn", "--days", "2"]);
    assert_eq!((&shared["version"], &shared["is_new_version"]), (&1.into(), &true.into()));
    assert_eq!((&shared["cosigned"], &shared["witnesses"]), (&1.into(), &1.into()));
    assert_eq!(shared["is_delivered"], true, "{shared}");
    // The same content again is no new version, and by the beginning of the id.
    let id = b.id();
    let again = a.site.object(&["share", &study, "--to", &id[..8], "--purpose", "HRESCH"]);
    assert_eq!((&again["version"], &again["is_new_version"]), (&1.into(), &false.into()));
    let received = grants(&b.site);
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(|grant| grant["is_usable"] == true), "{received:?}");
    assert_eq!(received[0]["site_name"], "a.example/cairn");
    assert_eq!(received[0]["study_uid"], Value::Null, "nobody told it");
    assert_eq!(grants(&a.site)[0]["study_uid"], study.as_str());
    // One of them ends; the other side knows it at once.
    let grant = shared["grant"].to_string();
    a.site.good(&["revoke", &grant, "--reason", "treatment-ended"]);
    assert_eq!(a.site.run(&["revoke", &grant]).code, 1, "it is revoked");
    crate::support::eventually("b knows that it is revoked", || {
        let received = grants(&b.site);
        received[0]["why"] == "the grant was revoked" && received[1]["is_usable"] == true
    });
    // And the other with all that the study has.
    let revoked = a.site.object(&["revoke", &study, "--to", "b.example/cairn"]);
    assert_eq!(revoked["grants"], serde_json::json!([again["grant"]]));
    assert!(grants(&a.site).iter().all(|grant| grant["is_usable"] == false));
    // Nothing of all that says whom or what it was about.
    let ledger = b.site.data().join("ledger");
    let read = || -> Option<Vec<_>> {
        let files = crate::support::files_under(&ledger).into_iter();
        files.map(|file| std::fs::read(&file).ok().map(|bytes| (file, bytes))).collect()
    };
    // A file may be renamed while it is looked for: then all are read anew.
    let files = std::iter::repeat_with(read).take(100).flatten().next().unwrap();
    for (file, bytes) in files {
        for hidden in [study.as_bytes(), b"1.2.826", b"PHANTOM", b"Phantom"] {
            let found = bytes.windows(hidden.len()).any(|window| window == hidden);
            assert!(!found, "{} has {:?}", file.display(), String::from_utf8_lossy(hidden));
        }
    }
    assert_eq!(b.site.list(&["ledger", "verify"]).len(), 2);
    // The proof of the grant is checked with what b knows of a.
    let proof = a.site.good(&["ledger", "proof", &grant]).stdout;
    let file = b.site.put("grant.tlog-proof", proof.as_bytes());
    let checked = b.site.object(&["ledger", "check", file.to_str().unwrap()]);
    assert_eq!(checked["is_signature_checked"], true, "{checked}");
}

/// A new version is not implied by a grant of the one before it.
#[test]
fn a_correction_is_shared_anew() {
    let site = Site::new();
    let study = study_of(&site);
    let a = Hospital::start_on(site, "a.example/cairn");
    let b = Hospital::start("b.example/cairn");
    introduce(&a, &b);
    let first = a.site.object(&["share", &study, "--to", "b.example/cairn"]);
    // One slice more: another content of the same study.
    let more = cairn_dicom::phantom::ct(7, 6, 128).last().unwrap();
    let body = crate::support::server::parts(&[&more.bytes]);
    let sent = crate::support::server::client()
        .post(a.server.studies())
        .header("content-type", crate::support::server::PARTS)
        .body(body)
        .send()
        .unwrap();
    assert!(sent.status().is_success(), "{}", sent.status());
    let second = a.site.object(&["share", &study, "--to", "b.example/cairn"]);
    assert_eq!((&second["version"], &second["is_new_version"]), (&2.into(), &true.into()));
    assert_eq!(second["study"], first["study"]);
    assert_ne!(second["root"], first["root"]);
    let versions: Vec<_> =
        grants(&b.site).iter().map(|grant| grant["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2], "both hold");
}

#[test]
fn conditions_are_accepted() {
    let site = Site::new();
    let study = study_of(&site);
    let a = Hospital::start_on(site, "a.example/cairn");
    let b = Hospital::start("b.example/cairn");
    introduce(&a, &b);
    let shared = a.site.object(&["share", &study, "--to", "b.example/cairn", "--accept-first"]);
    let grant = shared["grant"].to_string();
    assert_eq!(grants(&b.site)[0]["why"], "the grant has not been accepted");
    b.site.good(&["grants", "accept", &grant, "--from", "a.example/cairn"]);
    assert_eq!(grants(&b.site)[0]["is_usable"], true);
    crate::support::eventually("a knows that it is accepted", || {
        grants(&a.site)[0]["is_usable"] == true
    });
}

#[test]
fn a_wrong_fingerprint_changes_nothing() {
    let a = Hospital::start("a.example/cairn");
    let b = Hospital::start("b.example/cairn");
    let c = Hospital::start("b.example/cairn");
    let add = |url: &str, print: &str| a.site.run(&["peers", "add", url, "--fingerprint", print]);
    assert_eq!(add(&b.url(), &c.fingerprint()).code, 1);
    assert_eq!(add(&a.url(), &a.fingerprint()).code, 1, "itself");
    assert_eq!(add("https://127.0.0.1:1", &b.fingerprint()).code, 1, "nobody is there");
    assert_eq!(a.site.run(&["peers", "add", &b.url()]).code, 2, "nobody can be asked");
    assert!(a.site.list(&["peers"]).is_empty());
    assert_eq!(add(&b.url(), &b.fingerprint()).code, 0);
    let taken = add(&c.url(), &c.fingerprint());
    assert!(taken.stderr.contains("called b.example/cairn already"), "{}", taken.stderr);
    // Where b should be, somebody else is now: it is not spoken to.
    let moved = a.site.data().join(format!("ledger/peers/{}.toml", b.id()));
    let text = std::fs::read_to_string(&moved).unwrap();
    drop(a.server);
    std::fs::write(&moved, text.replace(&b.url(), &c.url())).unwrap();
    let synced = a.site.run(&["--json", "peers", "sync"]);
    assert_eq!(synced.code, 1);
    assert!(!synced.stdout.contains("\"failure\":null"), "{}", synced.stdout);
}

/// Three sites, of which one is away: the other two go on, and it catches up.
#[test]
fn a_site_that_is_away_delays_nobody_and_catches_up() {
    let site = Site::new();
    let study = study_of(&site);
    let a = Hospital::start_on(site, "a.example/cairn");
    let (b, mut c) = (Hospital::start("b.example/cairn"), Hospital::start("c.example/cairn"));
    introduce(&a, &b);
    introduce(&a, &c);
    introduce(&b, &c);
    c.server.kill();
    let begun = std::time::Instant::now();
    let shared = a.site.object(&["share", &study, "--to", "b.example/cairn"]);
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    assert_eq!((&shared["cosigned"], &shared["is_delivered"]), (&1.into(), &true.into()));
    let to_c = a.site.object(&["share", &study, "--to", "c.example/cairn"]);
    assert_eq!(to_c["is_delivered"], false);
    c.restart();
    crate::support::eventually("c has its grant", || {
        grants(&c.site).iter().any(|grant| grant["is_usable"] == true)
    });
    crate::support::eventually("all have cosigned", || a.site.object(&["ledger"])["cosigned"] == 2);
}

/// A site that begins again from an old copy of its ledger would write a second history.
#[test]
fn a_ledger_from_an_old_copy_is_stopped_by_its_owner_and_caught_by_others() {
    let site = Site::new();
    let study = study_of(&site);
    let mut a = Hospital::start_on(site, "a.example/cairn");
    let b = Hospital::start("b.example/cairn");
    introduce(&a, &b);
    a.server.terminate();
    let (ledger, copy) = (a.site.data().join("ledger"), a.site.path("copy"));
    crate::support::copy_folder(&ledger, &copy);
    a.restart();
    let shared = a.site.object(&["share", &study, "--to", "b.example/cairn"]);
    assert_eq!(shared["is_delivered"], true);
    a.server.terminate();
    std::fs::rename(&ledger, a.site.path("lost")).unwrap();
    std::fs::rename(&copy, &ledger).unwrap();
    // Its owner is told before anything is added.
    a.restart();
    crate::support::eventually("a knows", || a.site.run(&["ledger"]).code == 1);
    let refused = a.site.run(&["share", &study, "--to", "b.example/cairn"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("second history"), "{}", refused.stderr);
    crate::support::eventually("b caught it", || {
        peer(&b, "a.example/cairn")["finding"].as_str().is_some_and(|it| it.contains("went back"))
    });
    assert!(grants(&b.site).iter().all(|grant| grant["is_usable"] == false));
    // Who forces it makes a fork, which is for ever.
    std::fs::remove_file(ledger.join("behind")).unwrap();
    a.server.terminate();
    let mut alone = a.site.command(&["ledger", "rotate"]);
    // Nobody is asked who could tell: the peers' files are gone.
    std::fs::rename(ledger.join("peers"), a.site.path("peers")).unwrap();
    assert!(alone.output().unwrap().status.success());
    std::fs::remove_dir_all(ledger.join("peers")).unwrap();
    std::fs::rename(a.site.path("peers"), ledger.join("peers")).unwrap();
    a.restart();
    crate::support::eventually("b has the proof of a fork, or still sees it go back", || {
        peer(&b, "a.example/cairn")["finding"].is_string()
    });
    assert_eq!(b.site.run(&["ledger"]).code, 1);
}

/// Two histories of one log, each shown to another site: they find out by telling each other.
#[test]
fn a_fork_is_found_by_gossip() {
    let mut a = Hospital::start("a.example/cairn");
    let (b, c) = (Hospital::start("b.example/cairn"), Hospital::start("c.example/cairn"));
    introduce(&a, &b);
    introduce(&a, &c);
    introduce(&b, &c);
    a.server.terminate();
    let ledger = a.site.data().join("ledger");
    let (copy, first) = (a.site.path("copy"), a.site.path("first"));
    crate::support::copy_folder(&ledger, &copy);
    let only = |folder: &std::path::Path, keep: &str| {
        for file in crate::support::files_under(&folder.join("peers")) {
            if !file.to_string_lossy().contains(keep) {
                std::fs::remove_file(file).unwrap();
            }
        }
    };
    // One history for b …
    only(&ledger, &b.id());
    a.restart();
    a.site.good(&["ledger", "rotate"]);
    crate::support::eventually("b follows it", || peer(&b, "a.example/cairn")["entries"] == 2);
    a.server.terminate();
    std::fs::rename(&ledger, &first).unwrap();
    // … and another for c, from the same beginning.
    std::fs::rename(&copy, &ledger).unwrap();
    only(&ledger, &c.id());
    a.restart();
    a.site.good(&["ledger", "rotate"]);
    for hospital in [&b, &c] {
        crate::support::eventually("both found the fork", || {
            peer(hospital, "a.example/cairn")["finding"].is_string()
        });
    }
}

/// Keys are replaced while one site is away; all find the new ones by the ledger.
#[test]
fn keys_are_replaced() {
    let site = Site::new();
    let study = study_of(&site);
    let a = Hospital::start_on(site, "a.example/cairn");
    let (b, mut c) = (Hospital::start("b.example/cairn"), Hospital::start("c.example/cairn"));
    introduce(&a, &b);
    introduce(&a, &c);
    introduce(&b, &c);
    // Sealed to the key before the rotation.
    b.site.good(&["peers", "sync"]);
    c.server.kill();
    b.site.good(&["ledger", "rotate"]);
    let shared = a.site.object(&["share", &study, "--to", "b.example/cairn"]);
    assert_eq!(shared["is_delivered"], true, "{shared}");
    c.restart();
    crate::support::eventually("c found the new keys", || {
        let known = peer(&c, "b.example/cairn");
        known["entries"] == 2 && known["failure"] == Value::Null && known["is_fresh"] == true
    });
    crate::support::eventually("and b is in touch with both", || {
        let peers = crate::support::lines(&b.site.run(&["--json", "peers"]).stdout);
        peers.iter().all(|peer| peer["failure"] == Value::Null && peer["is_fresh"] == true)
    });
}

/// What is known of a site that says nothing any more is not used for ever.
#[test]
fn a_stale_ledger_is_not_used() {
    let site = Site::new();
    let study = study_of(&site);
    let stale = [("SHARING__STALE_SECONDS", "4")];
    let mut a = Hospital::start_with(site, "a.example/cairn", &stale);
    let b = Hospital::start_with(Site::new(), "b.example/cairn", &stale);
    introduce(&a, &b);
    a.site.good(&["share", &study, "--to", "b.example/cairn"]);
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(grants(&b.site)[0]["is_usable"], true, "quiet, and in touch");
    a.server.kill();
    crate::support::eventually("b does not know any more", || {
        let grant = &grants(&b.site)[0];
        grant["why"].as_str().is_some_and(|why| why.contains("too old"))
    });
    a.restart();
    crate::support::eventually("b knows again", || grants(&b.site)[0]["is_usable"] == true);
}

/// A crash between an edition and its entry, and one after it.
#[test]
fn a_kill_while_sharing_leaves_nothing_half_done() {
    let site = Site::new();
    let study = study_of(&site);
    let mut a = Hospital::start_on(site, "a.example/cairn");
    let b = Hospital::start("b.example/cairn");
    introduce(&a, &b);
    for delay in [0, 2, 5, 10, 20, 40] {
        let mut sharing = a.site.command(&["share", &study, "--to", "b.example/cairn"]);
        let mut child = sharing.stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        a.server.kill();
        let _ = child.wait();
        a.restart();
    }
    a.site.good(&["share", &study, "--to", "b.example/cairn"]);
    let kinds: Vec<_> = a.site.list(&["ledger", "entries"]);
    let registered = kinds.iter().filter(|entry| entry["kind"] == "register").count();
    assert_eq!(registered, 1, "registered once, whatever happened");
    assert!(grants(&a.site).iter().all(|grant| grant["study_uid"] == study.as_str()));
    crate::support::eventually("b follows", || {
        grants(&b.site).iter().any(|grant| grant["is_usable"] == true)
    });
}

/// In an emergency a study is opened without a grant; its owner is told, and ends it by a review.
#[test]
fn glass_is_broken_seen_and_reviewed() {
    let site = Site::new();
    let study = study_of(&site);
    let a = Hospital::start_on(site, "a.example/cairn");
    let (b, c) = (Hospital::start("b.example/cairn"), Hospital::start("c.example/cairn"));
    introduce(&a, &b);
    introduce(&a, &c);
    // Shared with C, so it stands on A's ledger; B has no grant.
    let shared = a.site.object(&["share", &study, "--to", "c.example/cairn"]);
    let name = shared["study"].as_str().unwrap();
    assert_eq!(b.site.run(&["fetch", name, "--from", "a.example/cairn"]).code, 1);
    crate::support::eventually("b follows", || peer(&b, "a.example/cairn")["entries"] == 4);
    let broken = ["glass", "break", name, "--from", "a.example/cairn", "--reason", "emergency"];
    let fetched = b.site.object(&broken);
    assert_eq!((&fetched["root"], &fetched["receipt"]), (&shared["root"], &true.into()));
    assert_eq!(fetched["instances"], shared["instances"]);
    // A person at A is told, and finds that it was not right.
    let waiting = crate::support::lines(&a.site.run(&["--json", "glass"]).stdout);
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (&waiting[0]["site_name"], &waiting[0]["reason"]),
        (&"b.example/cairn".into(), &"emergency".into())
    );
    assert_eq!(waiting[0]["study_uid"], study.as_str());
    assert!(a.server.log().contains("GLASS WAS BROKEN"), "{}", a.server.log());
    let entry = waiting[0]["entry"].to_string();
    a.site.good(&["glass", "review", "b.example/cairn", &entry, "unjustified"]);
    assert_eq!(a.site.run(&["glass"]).code, 0, "nothing waits any more");
    // Broken again, it is another access, with another entry: this one is over.
    let b_key = crate::support::peer::secret(&b.site);
    let at = a.url().strip_prefix("https://").unwrap().parse().unwrap();
    let path = format!("/peer/v1/studies/{name}/1/record?purpose=ETREAT&codecs=3");
    assert_eq!(crate::support::peer::ask(at, &b_key, "GET", &path, b"").unwrap().status, 403);
    assert_eq!(
        b.site
            .run(&["glass", "break", "07", "--from", "a.example/cairn", "--reason", "emergency"])
            .code,
        1
    );
}
