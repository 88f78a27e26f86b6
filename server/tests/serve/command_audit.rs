//! Commands have their lines in the audit log: who, what, and how it ended; by a server and without one.

use std::os::unix::fs::MetadataExt;

use crate::support::Site;
use crate::support::sites::{Hospital, introduce, study_of};
use serde_json::{Value, json};

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";

fn lines(site: &Site) -> Vec<Value> {
    let all = site.list(&["audit", "show"]);
    all.into_iter().filter(|line| line["face"] == "command").collect()
}

fn last(site: &Site, op: &str) -> Value {
    let mut of = lines(site).into_iter().filter(|line| line["op"] == op);
    of.next_back().unwrap_or_else(|| panic!("no line of {op}"))
}

#[test]
fn every_command_says_who_what_and_how_it_ended() {
    let site = Site::new();
    let study = study_of(&site);
    let (a, b) = (Hospital::start_on(site, A), Hospital::start(B));
    introduce(&a, &b);
    let uid = std::fs::metadata(a.site.data()).unwrap().uid();
    let shared = a.site.object(&["share", &study, "--to", B]);
    let line = last(&a.site, "share");
    assert_eq!((&line["uid"], &line["kind"]), (&json!(uid), &json!("local")));
    assert_eq!(
        (&line["ok"], &line["status"], &line["act"]),
        (&json!(true), &json!("0"), &json!("change"))
    );
    assert_eq!((&line["studies"], &line["target"]), (&json!([study]), &json!(B)));
    assert_eq!(line["ledger_study"], shared["study"]);
    assert!(!line["who"].as_str().unwrap().is_empty());
    b.site.good(&["fetch", &study, "--from", A]);
    assert_eq!(last(&b.site, "fetch")["studies"], json!([study]));
    a.site.good(&["revoke", &study, "--to", B]);
    assert_eq!(last(&a.site, "revoke")["ok"], true);
    // What was refused too.
    assert_eq!(a.site.run(&["share", "1.2.3", "--to", B]).code, 1);
    let line = last(&a.site, "share");
    assert_eq!((&line["ok"], &line["status"]), (&json!(false), &json!("1")));
    // Looking is an access as well.
    a.site.good(&["grants"]);
    assert_eq!(last(&a.site, "grants")["act"], "look");
    let token = a.site.object(&["token", "new", "--name", "scraper", "--role", "monitor"]);
    assert_eq!(last(&a.site, "token_new")["target"], "scraper monitor");
    a.site.good(&["token", "revoke", "scraper"]);
    assert_eq!(last(&a.site, "token_revoke")["target"], "scraper");
    a.site.good(&["ledger", "rotate"]);
    assert_eq!(last(&a.site, "rotate")["ok"], true);
    for op in ["add_peer", "status", "peers"] {
        assert_eq!(last(&a.site, op)["ok"], true, "{op}");
    }
    // No secret is in it, and the chain holds.
    let secret = token["token"].as_str().unwrap();
    let all = a.site.good(&["--json", "audit", "show"]).stdout;
    assert!(!all.contains(secret) && !a.server.log().contains(secret));
    let told = a.site.good(&["audit", "export", "--format", "dicom"]).stdout;
    for code in ["110135", "110129", "110137"] {
        assert!(told.contains(code), "{code}");
    }
    a.site.good(&["audit", "verify"]);
}

#[test]
fn without_a_server_a_command_writes_its_own_line() {
    let site = Site::new();
    study_of(&site);
    site.good(&["ledger", "join", A]);
    site.good(&["token", "new", "--name", "x", "--role", "reader"]);
    assert_eq!(site.run(&["token", "revoke", "y"]).code, 2, "there is none");
    site.good(&["grants"]);
    let ops: Vec<_> = lines(&site)
        .iter()
        .map(|line| (line["op"].as_str().unwrap().to_owned(), line["ok"].as_bool().unwrap()))
        .collect();
    let said = |op: &str, ok| (op.to_owned(), ok);
    // What only looks is not written down: whoever may read the files needs no command for it.
    assert_eq!(ops, [said("join", true), said("token_new", true), said("token_revoke", false)]);
    site.good(&["audit", "verify"]);
    // A server goes on with the same chain, and so does a command after it.
    let mut hospital = Hospital::start_on(site, A);
    hospital.site.good(&["token", "revoke", "x"]);
    assert_eq!(hospital.server.terminate(), 0);
    hospital.site.good(&["token", "new", "--name", "z", "--role", "reader"]);
    assert_eq!(lines(&hospital.site).len(), 5);
    hospital.site.good(&["audit", "verify"]);
    // Where no log is kept there is none.
    let site = Site::new();
    study_of(&site);
    site.put("data/cairn.toml", b"[audit]\nenabled = false\n");
    site.good(&["ledger", "join", B]);
    assert!(!site.data().join("audit").exists());
}
