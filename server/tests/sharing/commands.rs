//! The ledger by commands alone, without another site: the real binary on archives in temporary folders.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::Site;
use crate::support::server::Server;
use serde_json::Value;

const NAME: &str = "a.example/cairn";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn joined() -> Site {
    let site = Site::new();
    site.good(&["ledger", "join", NAME]);
    site
}

#[test]
fn a_ledger_is_begun_once_and_is_private() {
    let site = Site::new();
    let none = site.run(&["ledger"]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("ledger join"), "{}", none.stderr);
    assert!(!site.data().join("ledger").exists(), "asking leaves no trace");
    assert_eq!(site.run(&["ledger", "join", "no blanks please"]).code, 2);
    let status = site.object(&["ledger", "join", NAME]);
    assert_eq!((&status["name"], &status["entries"]), (&NAME.into(), &1.into()));
    assert_eq!(status["fingerprint"].as_str().unwrap().len(), 39);
    assert_eq!(site.run(&["ledger", "join", "b.example/cairn"]).code, 1, "it is begun");
    assert_eq!(site.object(&["ledger"])["site"], status["site"]);
    let ledger = site.data().join("ledger");
    assert_eq!(mode(&ledger), 0o700);
    assert_eq!(mode(&ledger.join("site.key")), 0o600);
    assert_eq!(mode(&ledger.join("log/head")), 0o600);
    // The name is for ever, whatever the settings say later.
    site.put("data/cairn.toml", b"[sharing]\nname = \"c.example\"\n");
    assert_eq!(site.object(&["ledger"])["name"], NAME);
    let refused = site.run(&["serve", "--http", "127.0.0.1:0", "--dimse", "none"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}

#[test]
fn entries_are_listed_verified_and_proven() {
    let site = joined();
    site.good(&["ledger", "rotate"]);
    site.good(&["ledger", "rotate"]);
    let entries = site.list(&["ledger", "entries"]);
    let kinds: Vec<_> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["join", "rotate", "rotate"]);
    let one = site.list(&["ledger", "entries", "--from", "1", "--count", "1"]);
    assert_eq!(one, entries[1..2]);
    assert_eq!(site.list(&["ledger", "verify"])[0]["problem"], Value::Null);
    assert!(site.data().join("ledger/retired/0001.key").exists());
    // Each entry is signed with the key before it, and all are proven under the last head.
    for sequence in ["0", "1", "2"] {
        let proof = site.good(&["ledger", "proof", sequence]).stdout;
        assert!(proof.len() < 2048, "{} bytes", proof.len());
        let file = site.put("entry.tlog-proof", proof.as_bytes());
        // Nobody cosigns for a site alone, and by default somebody has to.
        let file = file.to_str().unwrap();
        let checked = site.run(&["--json", "ledger", "check", file]);
        let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
        assert_eq!(checked["valid"], false);
        assert!(checked["why"].as_str().unwrap().contains("cosignatures"), "{checked}");
        let mut command = site.command(&["--json", "ledger", "check", file]);
        let checked = command.env("CAIRN_SHARING__WITNESSES", "0").output().unwrap();
        let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(
            (&checked["valid"], &checked["is_signature_checked"]),
            (&true.into(), &true.into())
        );
        // With keys alone, anywhere.
        let key = site.object(&["ledger"])["log_key"].as_str().unwrap().to_owned();
        let elsewhere = Site::new();
        let copy = elsewhere.put("p", proof.as_bytes());
        let checked = elsewhere.object(&["ledger", "check", copy.to_str().unwrap(), "--log", &key]);
        assert_eq!(checked["entry"]["sequence"].to_string(), sequence);
        let changed = proof.replacen("index ", "index 1", 1);
        let copy = elsewhere.put("p", changed.as_bytes());
        let refused = elsewhere.run(&["ledger", "check", copy.to_str().unwrap(), "--log", &key]);
        assert_eq!(refused.code, 1, "{}", refused.stdout);
    }
    assert_eq!(site.run(&["ledger", "proof", "3"]).code, 1);
}

#[test]
fn a_ledger_that_was_edited_is_noticed() {
    let site = joined();
    site.good(&["ledger", "rotate"]);
    let bundle = site.data().join("ledger/log/tile/entries/000.p/2");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let server = Server::start(&site, &[]);
    assert_eq!(site.list(&["ledger", "verify"])[0]["problem"], Value::Null);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&bundle, &bytes).unwrap();
    // While the server runs, by its socket; and after it, when the log is opened.
    let found = site.run(&["--json", "ledger", "verify"]);
    assert_eq!(found.code, 1, "{}", found.stdout);
    drop(server);
    let found = site.run(&["ledger", "verify"]);
    assert_eq!(found.code, 1);
    assert!(found.stderr.contains("head signed"), "{}", found.stderr);
}

#[test]
fn commands_reach_the_server_and_only_its_owner_does() {
    let site = joined();
    let socket = site.data().join("cairn.sock");
    let mut server = Server::start(&site, &[]);
    assert_eq!(mode(&socket), 0o600);
    // The server has the log; a command that opened it itself would find it locked.
    assert_eq!(site.object(&["ledger"])["name"], NAME);
    site.good(&["ledger", "rotate"]);
    assert_eq!(site.list(&["ledger", "entries"]).len(), 2);
    assert!(
        server.has_metric("cairn_ledger_entries 2") || server.metric("cairn_ledger_entries ") > 0
    );
    // Nonsense is answered, and an endless line is not kept.
    for nonsense in ["", "{}\n", "[1]\n", &format!("{{\"request\":\"{}\"}}\n", "x".repeat(1 << 20))]
    {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(nonsense.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.contains("\"error\""), "{answer}");
    }
    assert_eq!(server.terminate(), 0);
    assert!(!socket.exists());
    // One that was killed leaves it behind, and nobody minds.
    let mut server = Server::start(&site, &[]);
    server.kill();
    assert!(socket.exists());
    assert_eq!(site.object(&["ledger"])["entries"], 2);
    drop(Server::start(&site, &[]));
}

#[test]
fn a_running_server_begins_a_ledger() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    assert_eq!(site.run(&["grants"]).code, 1);
    site.good(&["ledger", "join", NAME]);
    assert_eq!(site.run(&["ledger", "join", NAME]).code, 1);
    assert!(site.list(&["grants"]).is_empty());
    drop(server);
    // Or at its start, by its settings.
    let site = Site::new();
    let server = Server::start(&site, &[("SHARING__NAME", "b.example/cairn")]);
    assert_eq!(site.object(&["ledger"])["name"], "b.example/cairn");
    drop(server);
}

#[test]
fn a_long_path_is_no_trouble() {
    let site = joined();
    let long = site.path(&"d".repeat(150));
    std::fs::rename(site.data(), &long).unwrap();
    let data = long.to_str().unwrap();
    let mut command = site.command(&[]);
    command.args(["--data", data, "serve", "--http", "127.0.0.1:0", "--dimse", "none"]);
    // The flag twice would be refused, so it is built anew.
    let mut command = std::process::Command::new(command.get_program());
    command.args(["--data", data, "serve", "--http", "127.0.0.1:0", "--dimse", "none"]);
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let socket = long.join("cairn.sock");
    crate::support::eventually("it listens to commands", || socket.exists());
    let ledger = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(["--data", data, "--json", "ledger"]).output().unwrap()
    };
    let told = ledger();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_cannot_be_shared_is_refused_in_plain_words() {
    let site = Site::new();
    site.put_studies();
    site.good(&["import", "in"]);
    let study = site.list(&["ls"])[0]["study_uid"].as_str().unwrap().to_owned();
    let share = |to: &str| site.run(&["share", &study, "--to", to]);
    assert!(share("b.example/cairn").stderr.contains("ledger join"));
    site.good(&["ledger", "join", NAME]);
    let unknown = share("b.example/cairn");
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.stderr.contains("no site here is called b.example/cairn"),
        "{}",
        unknown.stderr
    );
    assert_eq!(site.run(&["share", &study, "--to", "b", "--purpose", "FUN"]).code, 2);
    assert_eq!(site.run(&["share", &study, "--to", "b", "--days", "0"]).code, 2);
    assert_eq!(site.run(&["revoke", "7"]).code, 1);
    assert_eq!(site.run(&["revoke", &study]).code, 1);
    assert_eq!(site.run(&["revoke", "7", "--reason", "because"]).code, 2);
    assert_eq!(site.run(&["revoke", "7", "--to", "b"]).code, 2);
    assert_eq!(site.run(&["grants", "accept", "7", "--from", "b"]).code, 1);
    assert_eq!(site.run(&["peers", "remove", "b"]).code, 1);
    assert_eq!(site.run(&["peers", "add", "nonsense", "--fingerprint", "12"]).code, 2);
    // Nothing of all that is on the ledger.
    assert_eq!(site.list(&["ledger", "entries"]).len(), 1);
    assert!(site.list(&["peers"]).is_empty());
}

#[test]
fn a_rotation_that_a_crash_cut_short_is_finished_or_undone() {
    let site = joined();
    let ledger = site.data().join("ledger");
    // Before its entry: the new key is nobody's.
    std::fs::copy(ledger.join("site.key"), ledger.join("old.key")).unwrap();
    let other = joined();
    std::fs::copy(other.data().join("ledger/site.key"), ledger.join("site.next.key")).unwrap();
    assert_eq!(site.object(&["ledger"])["entries"], 1);
    assert!(!ledger.join("site.next.key").exists());
    // After it, at each step of putting it in its place.
    site.good(&["ledger", "rotate"]);
    let print = site.object(&["ledger"])["fingerprint"].clone();
    std::fs::rename(ledger.join("site.key"), ledger.join("site.next.key")).unwrap();
    assert_eq!(site.object(&["ledger"])["fingerprint"], print, "the last step was missing");
    std::fs::rename(ledger.join("site.key"), ledger.join("site.next.key")).unwrap();
    std::fs::rename(ledger.join("retired/0000.key"), ledger.join("site.key")).unwrap();
    assert_eq!(site.object(&["ledger"])["fingerprint"], print, "both were missing");
    assert!(ledger.join("retired/0000.key").exists());
    assert_eq!(site.list(&["ledger", "verify"])[0]["problem"], Value::Null);
}
