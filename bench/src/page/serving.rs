//! DICOMweb and DIMSE, beside Orthanc.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bars::{Bar, Bars, Group, Mark};
use super::figure::Figure;
use super::lines::{Lines, Series};
use super::ranges::{self, Range, RangeGroup};
use super::read::{Known, class, list, number, text};
use super::svg;
use crate::all::document::{Document, Kind};
use crate::figures::Spread;

/// Requests whose whole distribution is drawn, and how the page calls them.
const CURVES: [(&str, &str); 2] =
    [("store 20", "storing 20 instances"), ("frame", "reading one frame")];

/// The figures of every set.
pub(super) fn figures(document: &Document, known: &Known) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (kind, prefix) in [(Kind::Dicomweb, "dicomweb: "), (Kind::Dimse, "dimse: ")] {
        for part in document.done(kind) {
            for (name, measured) in &part.report.measured {
                let Some(set) = name.strip_prefix(prefix) else { continue };
                let found = match kind {
                    Kind::Dicomweb => web(set, measured, known),
                    _ => dimse(set, measured, known),
                };
                figures.extend(found);
            }
        }
    }
    figures
}

fn web(set: &str, measured: &Value, known: &Known) -> Vec<Figure> {
    let mut figures = Vec::new();
    figures.extend(rates(set, measured, known));
    figures.extend(latencies(set, measured, known));
    figures.extend(CURVES.iter().filter_map(|(kind, name)| curve(set, measured, kind, name)));
    figures.extend(stored(set, measured));
    figures
}

/// Who a sample is of, as the tables call them; "nobody" is a peer that throws everything away.
fn who<'a>(sample: &'a Value, name: &str) -> &'a str {
    let who = sample.get(name).unwrap_or(&Value::Null);
    who.get("Server").unwrap_or(who).as_str().filter(|name| *name != "Nobody").unwrap_or("nobody")
}

/// As the plots have it: there is little room for names.
fn short(name: &str) -> String {
    name.replace("orthanc, compressed", "orthanc, zlib")
}

/// Values by who they are of: a bar each, in order of the names below.
fn bars(values: &BTreeMap<&str, Vec<f64>>) -> Vec<Bar> {
    let order = ["cairn", "orthanc", "orthanc, compressed", "nobody"];
    let bar = |name: &str| {
        let spread = Spread::of(values.get(name)?.iter().copied())?;
        let ends = Some((spread.min, spread.max));
        Some(Bar { name: short(name), class: class(name), value: spread.median, ends, more: 0.0 })
    };
    order.into_iter().filter_map(bar).collect()
}

/// Megabytes a second that were stored.
fn rates(set: &str, measured: &Value, known: &Known) -> Option<Figure> {
    let bytes = number(measured, "bytes")?;
    let group = |(step, title): (&str, &str)| {
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for sample in list(measured.get("samples")).filter(|sample| text(sample, "step") == step) {
            let Some(wall) = number(sample, "wall_s").filter(|wall| *wall > 0.0) else { continue };
            values.entry(who(sample, "who")).or_default().push(bytes / 1e6 / wall);
        }
        Group { title: title.to_owned(), bars: bars(&values) }
    };
    let steps = [("Store", "one client"), ("StoreFour", "four clients")];
    let mut groups: Vec<Group> = steps.into_iter().map(group).collect();
    groups.retain(|group| !group.bars.is_empty());
    if groups.is_empty() {
        return None;
    }
    let mark = |name: &str, rate: Option<f64>| Some(Mark { name: name.to_owned(), value: rate? });
    let marks = [
        mark("disk: write and sync", known.write_sync_mb_per_s),
        mark("loopback alone", known.loopback_mb_per_s),
    ];
    let marks: Vec<Mark> = marks.into_iter().flatten().collect();
    let title = format!("Storing over DICOMweb, {set}");
    let axis_name = "MB/s acknowledged, logarithmic; longer is faster";
    let format = svg::number;
    let plot = Bars { groups: &groups, marks: &marks, axis_name, format, is_log: true };
    let sentence = "STOW-RS with 20 instances a request, into an empty archive, until the last answer. Both \
                    servers sync before they answer. Client and server share the cores. The dotted lines are \
                    a socket and a disk with nothing behind them."
        .to_owned();
    let id = format!("stow-{set}");
    Some(Figure { id, drawing: plot.svg(&title), title, sentence })
}

/// Percentiles of every kind of request.
fn latencies(set: &str, measured: &Value, known: &Known) -> Option<Figure> {
    let mut groups: Vec<RangeGroup> = Vec::new();
    for line in list(measured.get("requests")) {
        let (who, title) = (text(line, "who"), text(line, "request"));
        let latency = line.get("latency").unwrap_or(&Value::Null);
        let at = |name| number(latency, name);
        let (Some(p50), Some(p95)) = (at("p50_ms"), at("p95_ms")) else { continue };
        let (Some(p99), Some(max)) = (at("p99_ms"), at("max_ms")) else { continue };
        let range = Range { name: short(who), class: class(who), p50, p95, p99, max };
        match groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.ranges.push(range),
            None => groups.push(RangeGroup { title: title.to_owned(), ranges: vec![range] }),
        }
    }
    if groups.is_empty() {
        return None;
    }
    let title = format!("How long requests take, {set}");
    let limit = known.round_trip_ms.map(|ms| ("loopback, there and back", ms));
    let drawing = ranges::svg(&groups, limit, &title);
    let sentence = "The dot is the request in the middle: half took less. The marks to its right are 95 of \
                    100, 99 of 100 and the slowest. Further left is faster; each step of the axis is ten \
                    times. Zlib: Orthanc with StorageCompression."
        .to_owned();
    Some(Figure { id: format!("latency-{set}"), drawing, title, sentence })
}

/// Every single request of a kind, as a curve.
fn curve(set: &str, measured: &Value, kind: &str, name: &str) -> Option<Figure> {
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for sample in list(measured.get("samples")) {
        for request in list(sample.get("requests")) {
            let is_it = request[0].as_str().is_some_and(|found| found.starts_with(kind));
            let seconds = request[1].as_f64().filter(|_| is_it);
            times.entry(who(sample, "who")).or_default().extend(seconds.map(|s| s * 1e3));
        }
    }
    let mut series = Vec::new();
    for (who, mut times) in times {
        times.sort_by(f64::total_cmp);
        let count = times.len() as f64;
        let points: Vec<(f64, f64)> =
            (1..).zip(&times).map(|(n, ms)| (*ms, f64::from(n) / count * 100.0)).collect();
        // More points than units across show nothing more.
        let every = (points.len() / 200).max(1);
        let points: Vec<_> = points.iter().step_by(every).chain(points.last()).copied().collect();
        if points.len() > 2 {
            series.push(Series { name: short(who), class: class(who), points });
        }
    }
    if series.is_empty() {
        return None;
    }
    let title = format!("Distribution of {name}, {set}");
    let plot = Lines {
        series: &series,
        levels: &[],
        x_name: "milliseconds, logarithmic",
        y_name: "per cent of requests that took at most so long",
        x_is_log: true,
        y_is_log: false,
        x_format: svg::number,
        has_dots: false,
    };
    let sentence = "Every request that was timed, of one client and of several. A steep line means that all \
                    take the same; a long foot to the right is what a person waits for now and then."
        .to_owned();
    let id = format!("curve-{}-{set}", kind.replace(' ', "-"));
    Some(Figure { id, drawing: plot.svg(&title), title, sentence })
}

/// Bytes of the archive after the set came over DICOMweb.
fn stored(set: &str, measured: &Value) -> Option<Figure> {
    let bytes = number(measured, "bytes")?;
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for sample in list(measured.get("samples")).filter(|sample| text(sample, "step") == "Store") {
        if let Some(stored) = number(sample, "stored_bytes").filter(|stored| *stored > 0.0) {
            values.entry(who(sample, "who")).or_default().push(stored / 1e6);
        }
    }
    let groups = [Group { title: String::new(), bars: bars(&values) }];
    if groups[0].bars.is_empty() {
        return None;
    }
    let marks = [Mark { name: "the files as they are".to_owned(), value: bytes / 1e6 }];
    let title = format!("Stored bytes of a server, {set}");
    let axis_name = "MB stored (10^6 bytes); shorter is smaller";
    let format = svg::number;
    let plot = Bars { groups: &groups, marks: &marks, axis_name, format, is_log: false };
    let sentence =
        "Everything below the server's folder once it has ended: images, index, metadata, and \
                    what it keeps for itself."
            .to_owned();
    let id = format!("server-bytes-{set}");
    Some(Figure { id, drawing: plot.svg(&title), title, sentence })
}

/// Seconds of each step, by either kind of client; and answers to single objects.
fn dimse(set: &str, measured: &Value, known: &Known) -> Vec<Figure> {
    let steps = [
        ("Store", "C-STORE, one association"),
        ("StoreLater", "C-STORE, one, a later study"),
        ("StoreEight", "C-STORE, eight associations"),
        ("Get", "C-GET"),
        ("Move", "C-MOVE"),
    ];
    let mut groups = Vec::new();
    for (step, title) in steps {
        for (clients, by) in [("Dcmtk", "DCMTK"), ("Lean", "lean clients")] {
            let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for sample in list(measured.get("samples")) {
                let is_it = text(sample, "step") == step && text(sample, "clients") == clients;
                let wall = number(sample, "wall_s").filter(|_| is_it);
                values.entry(who(sample, "by")).or_default().extend(wall);
            }
            let bars = bars(&values);
            if !bars.is_empty() {
                groups.push(Group { title: format!("{title}, {by}"), bars });
            }
        }
    }
    if groups.is_empty() {
        return Vec::new();
    }
    let marks: Vec<Mark> = known
        .loopback_mb_per_s
        .zip(number(measured, "bytes"))
        .map(|(rate, bytes)| Mark { name: "loopback alone".to_owned(), value: bytes / 1e6 / rate })
        .into_iter()
        .collect();
    let title = format!("DIMSE, {set}");
    let axis_name = "seconds, logarithmic; shorter is faster";
    let format = svg::number;
    let plot = Bars { groups: &groups, marks: &marks, axis_name, format, is_log: true };
    let sentence = "A study sent and fetched by DCMTK's programs, and by clients that cost next to nothing. \
                    \"Nobody\" throws away what it gets: what the clients take by themselves, so nobody can \
                    be faster. Every object is acknowledged before the next is sent."
        .to_owned();
    let figure = Figure { id: format!("dimse-{set}"), drawing: plot.svg(&title), title, sentence };
    std::iter::once(figure).chain(answers(set, measured, known)).collect()
}

/// How long single objects wait for their answers, where that was measured.
fn answers(set: &str, measured: &Value, known: &Known) -> Option<Figure> {
    let steps = [("Store", "one association"), ("StoreEight", "eight associations")];
    let mut groups = Vec::new();
    for (step, title) in steps {
        let mut ranges: Vec<Range> = Vec::new();
        for sample in list(measured.get("samples")).filter(|sample| text(sample, "step") == step) {
            let answers = sample.get("answers").filter(|answers| answers.is_object());
            let Some(answers) = answers else { continue };
            let at = |name| number(answers, name).unwrap_or(f64::NAN);
            let name = who(sample, "by");
            // One run is drawn: percentiles of several do not add up.
            if ranges.iter().all(|range| range.name != name) {
                let (p50, p95, p99, max) = (at("p50_ms"), at("p95_ms"), at("p99_ms"), at("max_ms"));
                let class = class(name);
                ranges.push(Range { name: name.to_owned(), class, p50, p95, p99, max });
            }
        }
        if !ranges.is_empty() {
            groups.push(RangeGroup { title: format!("C-STORE, {title}, lean client"), ranges });
        }
    }
    if groups.is_empty() {
        return None;
    }
    let title = format!("How long a sender waits for each answer, {set}");
    let limit = known.record_sync_ms.map(|ms| ("512 KiB and one sync", ms));
    let drawing = ranges::svg(&groups, limit, &title);
    let sentence = "From the first byte of an object to its answer, in the first run. Both servers answer when \
                    the object is durable; the dotted line is what the disk alone takes for that."
        .to_owned();
    Some(Figure { id: format!("answers-{set}"), drawing, title, sentence })
}
