//! Who registered, granted and retrieved how much, counted by three sites from their ledgers.

use crate::support::Site;
use crate::support::sites::{Hospital, introduce, study_of};
use serde_json::{Value, json};

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";
const C: &str = "c.example/cairn";

/// A has a study. B and C know A; they do not know each other.
fn three() -> (Hospital, Hospital, Hospital, String) {
    let site = Site::new();
    let study = study_of(&site);
    let (a, b, c) = (Hospital::start_on(site, A), Hospital::start(B), Hospital::start(C));
    introduce(&a, &b);
    introduce(&a, &c);
    (a, b, c, study)
}

/// The figures of a hospital, over all months there are: a test may run while one ends.
fn sum(rows: &[Value], name: &str, field: &str) -> u64 {
    let of = rows.iter().filter(|row| row["site_name"] == name);
    of.map(|row| row[field].as_u64().unwrap()).sum()
}

fn figures(hospital: &Hospital, name: &str, fields: &[&str]) -> Vec<u64> {
    let ran = hospital.site.run(&["--json", "usage"]);
    let rows = crate::support::lines(&ran.stdout);
    fields.iter().map(|field| sum(&rows, name, field)).collect()
}

const READ: [&str; 5] = ["retrieved", "retrieved_bytes", "bytes_unknown", "failed", "unconfirmed"];
const SERVED: [&str; 5] = ["served", "served_bytes", "bytes_unknown", "failed", "unconfirmed"];

#[test]
fn three_hospitals_count_alike() {
    let (a, b, c, study) = three();
    a.site.good(&["share", &study, "--to", B]);
    let shared = a.site.object(&["share", &study, "--to", C]);
    let bytes = b.site.object(&["fetch", &study, "--from", A])["bytes"].as_u64().unwrap();
    // Another access under the same grant is another one, though nothing had to come.
    b.site.good(&["fetch", &study, "--from", A]);
    c.site.good(&["fetch", &study, "--from", A]);
    a.site.good(&["revoke", &shared["grant"].to_string()]);
    let broken = ["glass", "break", shared["study"].as_str().unwrap(), "--from", A];
    b.site.good(&[&broken[..], &["--reason", "emergency"]].concat());
    crate::support::eventually("everything is cosigned and followed", || {
        figures(&a, A, &SERVED) == [4, 4 * bytes, 0, 0, 0]
    });
    let said = ["studies", "versions", "grants_given", "grants_revoked", "glass_suffered"];
    assert_eq!(figures(&a, A, &said), [1, 1, 2, 1, 1]);
    assert_eq!(figures(&a, B, &READ), [3, 3 * bytes, 0, 0, 0]);
    assert_eq!(figures(&a, C, &READ), [1, bytes, 0, 0, 0]);
    assert_eq!(figures(&a, B, &["glass_broken", "grants_received"]), [1, 1]);
    // B counts the same of itself. Of C, which it does not know, it has A's word alone; it has read that
    // version too, so it knows the length.
    crate::support::eventually("b follows a", || {
        figures(&b, A, &SERVED) == [4, 4 * bytes, 0, 0, 1]
    });
    assert_eq!(figures(&b, B, &READ), [3, 3 * bytes, 0, 0, 0]);
    assert_eq!(figures(&b, &c.id(), &READ), [1, bytes, 0, 0, 1]);
    assert_eq!(figures(&b, A, &said), [1, 1, 2, 1, 1]);
    // Once it knows C's ledger, the same access is on both: confirmed, and still one.
    introduce(&b, &c);
    crate::support::eventually("b follows c", || {
        figures(&b, A, &SERVED) == [4, 4 * bytes, 0, 0, 0]
    });
    let pairs = b.site.list(&["usage", "--between"]);
    let between = |owner: &str, reader: &str| -> u64 {
        let of =
            pairs.iter().filter(|row| row["owner_name"] == owner && row["reader_name"] == reader);
        of.map(|row| row["retrievals"].as_u64().unwrap()).sum()
    };
    assert_eq!((between(A, B), between(A, C), between(B, A)), (3, 1, 0));
    // Nothing of a patient, nor a UID, is in any of it.
    let all = a.site.good(&["--json", "usage"]).stdout + &a.site.good(&["usage"]).stdout;
    assert!(!all.contains(&study) && all.contains("HOSPITAL"), "{all}");
}

#[test]
fn it_is_written_as_a_table_and_as_a_page() {
    let (a, b, _c, study) = three();
    a.site.good(&["share", &study, "--to", B]);
    b.site.good(&["fetch", &study, "--from", A]);
    crate::support::eventually("it is counted", || figures(&a, A, &["served"]) == [1]);
    a.site.good(&["-q", "usage", "--csv", "u.csv", "--plot", "u.html"]);
    let table = std::fs::read_to_string(a.site.path("u.csv")).unwrap();
    assert!(table.starts_with("month,site,site_name,"), "{table}");
    assert!(table.lines().count() >= 3 && table.contains(B), "{table}");
    let page = std::fs::read_to_string(a.site.path("u.html")).unwrap();
    assert!(page.contains(B) && page.contains("<svg") && !page.contains("<script"));
    if let Ok(kept) = std::env::var("CAIRN_TEST_KEEP") {
        std::fs::copy(a.site.path("u.html"), kept).unwrap();
    }
    // Months that are asked for, and none where nothing was.
    assert!(a.site.list(&["usage", "--to", "2020-01"]).is_empty());
    assert!(a.site.list(&["usage", "--from", "9999-01"]).is_empty());
    assert!(!a.site.list(&["usage", "--from", "2020-01", "--to", "9999-12"]).is_empty());
    for wrong in [["--from", "2026-13"], ["--to", "26-1"], ["--from", "november"]] {
        assert_eq!(a.site.run(&[&["usage"], &wrong[..]].concat()).code, 2);
    }
    let turned = a.site.run(&["usage", "--from", "2026-02", "--to", "2026-01"]);
    assert_eq!(turned.code, 2, "{}", turned.stderr);
    let nowhere = a.site.run(&["usage", "--csv", "no/such/folder.csv"]);
    assert_eq!(nowhere.code, 1, "{}", nowhere.stderr);
    let none = Site::new();
    assert_eq!(none.run(&["usage"]).code, 1, "there is no ledger");
}

/// Changes the last byte of each file below.
fn touch(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            touch(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
}

/// What is not as it was signed does not count, and is named.
#[test]
fn a_ledger_that_was_touched_is_left_out() {
    let (mut a, b, _c, study) = three();
    a.site.good(&["share", &study, "--to", B]);
    b.site.good(&["fetch", &study, "--from", A]);
    crate::support::eventually("both ledgers have it", || {
        figures(&a, B, &["retrieved", "unconfirmed"]) == [1, 0]
    });
    a.server.kill();
    let counted = a.site.list(&["usage"]);
    let own_only = |rows: &[Value]| {
        rows.iter().all(|row| row["unconfirmed"] == json!(1) || row["served"] == 0)
    };
    assert!(!own_only(&counted));
    // One byte of what A keeps of B's ledger.
    touch(&a.site.data().join("ledger/mirrors").join(b.id()).join("tile/entries"));
    let ran = a.site.run(&["--json", "usage"]);
    let rows = crate::support::lines(&ran.stdout);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("nothing of b.example/cairn's ledger is counted"),
        "{}",
        ran.stderr
    );
    assert!(own_only(&rows), "only A says so now: {rows:?}");
    assert_eq!(sum(&rows, A, "served"), 1);
    a.restart();
}
