//! The page of a document made here: is it well-formed, whole, and by itself?
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::html;
use crate::all::document::{Document, FORMAT, State};
use crate::service::Who;

const ORTHANC: Who = Who::Orthanc { compressed: false };

fn spread(median: f64) -> Value {
    json!({ "median": median, "min": median * 0.9, "max": median * 1.2 })
}

fn latency(ms: f64) -> Value {
    json!({ "count": 9, "p50_ms": ms, "p95_ms": ms * 2.0, "p99_ms": ms * 3.0, "max_ms": ms * 9.0 })
}

fn part(kind: &str, label: &str, measured: &Value) -> Value {
    let mut report = json!({
        "tables": [{ "title": label, "headings": ["WHO", "S"], "rows": [["cairn", "1.2"]] }],
        "notes": ["a note about <this>"],
        "goals": [
            { "what": format!("{label} kept"), "unit": "x", "measured": 0.5, "side": "at_most", "limit": 0.7, "holds": true },
            { "what": format!("{label} not kept"), "unit": "x", "measured": null, "side": "at_least", "limit": 3.0, "holds": false },
        ],
    });
    report.as_object_mut().unwrap().extend(measured.as_object().unwrap().clone());
    json!({
        "kind": kind, "label": label, "command": format!("{kind} --runs 3"), "state": "done",
        "reason": null, "seconds": 12.5, "load_before": "0.1 0.2 0.3", "report": report,
    })
}

fn coder(name: &str, rate: f64, ratio: f64) -> Value {
    json!({ "coder": name, "encode_mb_per_s": spread(rate), "decode_mb_per_s": spread(rate * 2.0),
            "coded_bytes": 1e6 / ratio, "ratio": ratio })
}

fn step(who: &str, step: &str, wall_s: f64, stored: u64) -> Value {
    json!({ "who": who, "step": step, "wall_s": spread(wall_s), "sync_s": spread(0.1),
            "stored_bytes": stored, "peak_bytes": 90_000_000 })
}

fn steps() -> Value {
    let all = [("cairn", 200_000_000), ("restic", 310_000_000), ("borg", 305_000_000)];
    let steps = ["first", "again", "export", "changed"];
    let both = all.iter().flat_map(|who| steps.iter().map(move |step| (who, step)));
    both.map(|((who, stored), name)| step(who, name, 2.0, *stored)).collect()
}

fn web() -> Value {
    let sample = |who: Value, wall_s: f64| {
        let requests: Vec<Value> =
            (1..=20).map(|n| json!(["store 20", f64::from(n) / 1e3])).collect();
        let frames = (1..=20).map(|n| json!(["frame, first time", f64::from(n) / 1e4]));
        let requests: Vec<Value> = requests.into_iter().chain(frames).collect();
        json!({ "who": who, "step": "Store", "wall_s": wall_s, "stored_bytes": 9e7, "requests": requests })
    };
    let line = |who: &str, ms: f64| json!({ "who": who, "request": "frame, first time", "latency": latency(ms) });
    json!({ "dicomweb: synthetic": {
        "bytes": 3.8e8,
        "requests": [line("cairn", 1.9), line("orthanc", 370.0)],
        "samples": [sample(json!(Who::Cairn), 2.0), sample(json!(ORTHANC), 6.0)],
    }})
}

fn dimse() -> Value {
    let sample = |by: Value, wall_s: f64| json!({ "by": by, "clients": "Lean", "step": "Store", "wall_s": wall_s, "answers": latency(wall_s) });
    let orthanc = json!({ "Server": ORTHANC });
    let samples = [
        sample(json!("Nobody"), 0.2),
        sample(json!({ "Server": Who::Cairn }), 3.0),
        sample(orthanc, 10.0),
    ];
    json!({ "dimse: synthetic CT": { "bytes": 5.3e8, "samples": samples } })
}

/// Everything measured once, with what could break a page in the names.
fn document() -> Document {
    let limits = json!({ "limits": {
        "memcpy_mb_per_s": spread(5000.0), "blake3_mb_per_s": spread(3900.0),
        "blake3_all_mb_per_s": spread(7000.0), "write_sync_mb_per_s": spread(360.0),
        "loopback_mb_per_s": spread(2500.0), "loopback_round_trip": latency(0.03),
        "record_sync": latency(1.2),
    }});
    let codec = json!({ "plain_bytes": 1e6, "coders": [
        coder("cairn", 410.0, 3.4), coder("codec 3", 410.0, 3.4), coder("zstd 3", 130.0, 2.6),
    ]});
    let reference = json!({ "plain_bytes": 1e6, "coders": [
        coder("JPEG-LS (CharLS)", 120.0, 3.5), coder("JPEG XL 3 (libjxl)", 20.0, 3.7),
    ]});
    let ingest = json!({ "steps": steps(), "set": { "size": { "bytes": 709_000_000 } } });
    let core = |what: &str, cores: u32, rate: f64| json!({ "what": what, "cores": cores, "mb_per_s": spread(rate) });
    let cores = json!({
        "cores": [core("import", 1, 200.0), core("import", 2, 380.0), core("export", 2, 800.0)],
        "blake3_mb_per_s": [[1, 3900.0], [2, 7000.0]],
    });
    let size = |who: &str, bytes: u64| json!({ "who": who, "instance_bytes": bytes, "mb_per_s": spread(100.0) });
    let sizes =
        json!({ "sizes": [size("cairn", 8192), size("cairn", 524_288), size("cp + sync", 8192)] });
    let catalog = |bytes: f64| {
        json!({ "catalog_bytes": bytes, "searches": [{ "p95_ms": 3.0 }, { "p95_ms": 8.0 }],
                "rates": [{ "cpu_us_per_instance": 60.0, "instances_per_s": 9000.0 }] })
    };
    let import = |what: &str| json!({ "what": what, "instances": 10, "wall_us_per_instance": 130.0, "cpu_us_per_instance": 90.0 });
    let many = json!({ "imports": [import("part 1"), import("part 2"), import("all at once")] });
    let giant = json!({ "giant_bytes": 5e9, "commands": [{ "what": "import", "mb_per_s": 500.0, "peak_bytes": 1.5e8 }] });
    let parts = json!([
        part("limits", "limits", &limits),
        part("codec", "codec, fnndsc", &codec),
        part("reference", "reference, fnndsc", &reference),
        part("ingest", "ingest, s1", &ingest),
        part("cores", "cores", &cores),
        part("sizes", "sizes", &sizes),
        part("catalog", "catalog, 10,000", &catalog(9e6)),
        part("catalog", "catalog, 100,000", &catalog(9e7)),
        part("many", "many", &many),
        part("giant", "giant", &giant),
        part("dicomweb", "dicomweb", &web()),
        part("dimse", "dimse", &dimse()),
        part("dimse", "</td><script>alert(1)</script> & \"more\"", &json!({})),
    ]);
    let document = json!({
        "format": FORMAT, "began": "2026-11-26 16:00 UTC", "cairn": "cairn 0.1.0", "quick": true,
        "machine": { "cpu": "A CPU", "cores": 2, "memory_bytes": 24e9 as u64, "kernel": "6", "scratch_filesystem": "ext4", "load_before": "0.1" },
        "interrupted": false, "sets": ["s1: 2040 files"],
        "peers": [
            { "name": "restic", "version": "restic 0.14.0", "purpose": "storing" },
            { "name": "kopia", "version": null, "purpose": "storing" },
        ],
        "parts": parts,
    });
    Document::from_json(&serde_json::to_vec(&document).unwrap()).unwrap()
}

/// Reads the page as XML: every element ends where it should, every entity is known.
fn elements(page: &str) -> Vec<String> {
    let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let mut reader = quick_xml::Reader::from_str(body);
    let mut names = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => return names,
            quick_xml::events::Event::Start(element) | quick_xml::events::Event::Empty(element) => {
                for attribute in element.attributes() {
                    attribute.unwrap();
                }
                names.push(String::from_utf8(element.name().as_ref().to_vec()).unwrap());
            }
            _ => {}
        }
    }
}

#[test]
fn every_figure_is_there() {
    let page = html(&document());
    let ids = [
        "encode",
        "decode",
        "origins",
        "stored-s1",
        "time-s1",
        "memory-s1",
        "cores",
        "sizes",
        "searches",
        "commits",
        "filling",
        "giant",
        "stow-synthetic",
        "latency-synthetic",
        "curve-store-20-synthetic",
        "curve-frame-synthetic",
        "server-bytes-synthetic",
        "dimse-synthetic CT",
        "answers-synthetic CT",
    ];
    for id in ids {
        assert!(page.contains(&format!("<figure id=\"{id}\">")), "{id} is missing");
    }
    let names = elements(&page);
    let count = |name: &str| names.iter().filter(|found| *found == name).count();
    assert_eq!(count("figure"), ids.len());
    assert_eq!(count("svg"), ids.len(), "a drawing for each figure");
    assert_eq!(count("figcaption"), ids.len(), "a sentence for each figure");
    assert!(!page.contains("<figcaption></figcaption>"));
    // Both servers are drawn by their names.
    let figure = |id: &str| {
        let (_, rest) = page.split_once(&format!("<figure id=\"{id}\">")).unwrap();
        rest.split_once("</figure>").unwrap().0
    };
    for id in ["stow-synthetic", "curve-frame-synthetic", "dimse-synthetic CT"] {
        assert!(figure(id).contains(">cairn<") && figure(id).contains(">orthanc<"), "{id}");
        assert_eq!(figure(id).contains(">nobody<"), id.starts_with("dimse"), "{id}");
    }
    // Bars, dots and curves have places: nothing that could not be computed is drawn.
    assert!(!page.contains("NaN") && !page.contains("\"inf\""));
}

#[test]
fn nothing_comes_from_elsewhere() {
    let page = html(&document());
    for word in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(word), "{word} is in the page");
    }
    assert!(!elements(&page).iter().any(|name| name == "script"));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
    assert!(page.contains("name=\"viewport\""));
}

#[test]
fn promises_peers_and_parts_are_named() {
    let mut document = document();
    document.parts[1].state = State::Failed;
    document.parts[1].reason = Some("no such coder".to_owned());
    document.parts[2].state = State::Running;
    document.parts[3].state = State::Waiting;
    document.interrupted = true;
    let page = html(&document);
    elements(&page);
    assert!(page.contains("13 of 26") && page.contains("10 of 13") && page.contains("1 of 2"));
    assert!(page.contains("ingest, s1 not kept") && page.contains("&gt;= 3 x"));
    assert!(page.contains("class=\"text no\">missing"));
    assert!(page.contains("no such coder") && page.contains("not begun"));
    assert!(page.contains("interrupted") && page.contains("A quick run"));
    assert!(!page.contains("id=\"time-s1\""), "what was not measured is not drawn");
}

#[test]
fn an_empty_run_is_a_page_too() {
    let mut document = document();
    document.parts.clear();
    let page = html(&document);
    assert!(!elements(&page).iter().any(|name| name == "figure"));
    assert!(page.contains("kopia"));
}
