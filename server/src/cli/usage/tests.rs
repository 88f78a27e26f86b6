#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

/// A row of the figures in which everything is some number.
fn site(month: &str, name: &str, retrieved: u64) -> SiteRow {
    let mut row = json!({
        "month": month, "site": "07", "site_name": name, "is_own": true,
        "retrieved": retrieved, "retrieved_bytes": retrieved * 1_000_000,
    });
    for name in csv::OF_SITES {
        if row[*name].is_null() {
            row[*name] = json!(1);
        }
    }
    serde_json::from_value(row).unwrap()
}

fn pair(month: &str, owner: &str, reader: &str) -> PairRow {
    let mut row = json!({
        "month": month, "owner": "07", "owner_name": owner, "reader": "08",
        "reader_name": reader, "retrievals": 3, "bytes": 7, "unconfirmed": 1, "bytes_unknown": 0,
    });
    for name in csv::OF_PAIRS {
        if row[*name].is_null() {
            row[*name] = json!(1);
        }
    }
    serde_json::from_value(row).unwrap()
}

fn names(row: &impl serde::Serialize) -> Vec<String> {
    let Value::Object(row) = serde_json::to_value(row).unwrap() else { panic!() };
    let mut names: Vec<_> = row.keys().cloned().collect();
    names.sort();
    names
}

#[test]
fn every_field_has_its_column() {
    let sorted = |columns: &[&str]| {
        let mut columns: Vec<_> = columns.iter().map(|name| (*name).to_owned()).collect();
        columns.sort();
        columns
    };
    assert_eq!(names(&site("2026-11", "a", 1)), sorted(csv::OF_SITES));
    assert_eq!(names(&pair("2026-11", "a", "b")), sorted(csv::OF_PAIRS));
}

#[test]
fn cells_are_quoted_and_run_nothing() {
    let rows = [site("2026-11", "a.example/cairn", 7), site("2026-12", "=X(\"y\"),z", 0)];
    let text = csv::write(csv::OF_SITES, &rows).unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("month,site,site_name,is_own,studies,"), "{text}");
    assert!(lines[1].starts_with("2026-11,07,a.example/cairn,true,1,"), "{text}");
    assert!(lines[2].starts_with("2026-12,07,\"'=X(\"\"y\"\"),z\",true,1,"), "{text}");
    assert_eq!(csv::write::<SiteRow>(&["month"], &[]).unwrap(), "month\r\n");
}

#[test]
fn lengths_that_are_not_known_say_so() {
    assert_eq!(bytes(0, 0, 0), "-");
    assert_eq!(bytes(0, 2, 2), "?");
    assert_eq!(bytes(1000, 1, 0), "1.0 kB");
    assert_eq!(bytes(1000, 2, 1), "1.0 kB+");
}

#[test]
fn a_page_loads_and_runs_nothing_whatever_a_name_says() {
    let evil = "<script src=//x>\"'&";
    let usage = Usage {
        sites: vec![site("2026-09", evil, 3), site("2026-11", evil, 3)],
        pairs: vec![pair("2026-11", evil, evil)],
        ledgers: vec![LedgerRow {
            site: "07".into(),
            site_name: evil.into(),
            is_own: true,
            entries: 7,
            entries_uncounted: 1,
            seen_at: Some(0),
            receipts_refused: 1,
            left_out: Some(evil.into()),
        }],
    };
    let page = page::page(&usage, Period::default());
    for loads in ["<script", "src=", "href=", "http://", "https://", "@import", "url(//"] {
        assert!(!page.replace("&lt;script src=", "").contains(loads), "{loads}");
    }
    assert!(page.contains("2026-10"), "a month without a figure is in the charts");
    assert!(page.contains("class=\"hatch\""), "one of three is on one ledger only");
    let empty = page::page(&Usage::default(), Period::default());
    assert!(empty.contains("Nothing was registered"));
    assert_eq!(usage.ledgers.iter().flat_map(remarks).count(), 3);
}
