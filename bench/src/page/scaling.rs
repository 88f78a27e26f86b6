//! How figures change with cores, with the size of an instance, and with what is there already.

use serde_json::Value;

use super::bars::{Bar, Bars, Group, Mark};
use super::figure::Figure;
use super::lines::{Level, Lines, Series};
use super::read::{Known, class, list, number, spread, text};
use super::svg;
use crate::all::document::{Document, Kind};

/// The figures.
pub(super) fn figures(document: &Document, known: &Known) -> Vec<Figure> {
    let found = [
        cores(document, known),
        sizes(document, known),
        searches(document),
        commits(document),
        filling(document),
        giant(document, known),
    ];
    found.into_iter().flatten().collect()
}

/// Adds a point to the series of a name.
fn add(series: &mut Vec<Series>, name: &str, class: &'static str, point: (f64, f64)) {
    match series.iter_mut().find(|one| one.name == name) {
        Some(one) => one.points.push(point),
        None => series.push(Series { name: name.to_owned(), class, points: vec![point] }),
    }
}

fn cores(document: &Document, known: &Known) -> Option<Figure> {
    let part = document.done(Kind::Cores).next()?;
    let mut series = Vec::new();
    for line in list(part.report.measured.get("cores")) {
        let point = (number(line, "cores")?, spread(line, "mb_per_s")?.median);
        let class = match text(line, "what") {
            "import" => "cairn",
            "verify" => "c1",
            _ => "c2",
        };
        add(&mut series, text(line, "what"), class, point);
    }
    let gain = series.first().and_then(|import| {
        let ((_, one), (cores, all)) = (import.points.first()?, import.points.last()?);
        (*cores > 1.0).then(|| {
            format!("With {cores} cores an import is {:.2} times as fast as with one. ", all / one)
        })
    });
    for pair in list(part.report.measured.get("blake3_mb_per_s")) {
        let (Some(cores), Some(rate)) = (pair[0].as_f64(), pair[1].as_f64()) else { continue };
        add(&mut series, "BLAKE3 alone", "floor", (cores, rate));
    }
    let level = known.write_sync_mb_per_s;
    let levels: Vec<Level> =
        level.map(|y| Level { name: "disk: write and sync".to_owned(), y }).into_iter().collect();
    let title = "Scaling with cores".to_owned();
    let plot = Lines {
        series: &series,
        levels: &levels,
        x_name: "cores that Cairn may use (taskset, RAYON_NUM_THREADS)",
        y_name: "MB/s of the set, logarithmic",
        x_is_log: true,
        y_is_log: true,
        x_format: svg::number,
        has_dots: true,
    };
    let sentence = format!(
        "{}The set is imported into an empty archive, checked as a whole, and exported. The grey line is \
         what hashing alone makes of the same cores, the dotted one what the disk takes in order.",
        gain.unwrap_or_default()
    );
    Some(Figure { id: "cores".to_owned(), drawing: plot.svg(&title), title, sentence })
}

fn sizes(document: &Document, known: &Known) -> Option<Figure> {
    let part = document.done(Kind::Sizes).next()?;
    let mut series = Vec::new();
    for line in list(part.report.measured.get("sizes")) {
        let point = (number(line, "instance_bytes")?, spread(line, "mb_per_s")?.median);
        add(&mut series, text(line, "who"), class(text(line, "who")), point);
    }
    let levels = [
        ("BLAKE3 on all cores", known.blake3_all_mb_per_s),
        ("disk: write and sync", known.write_sync_mb_per_s),
    ];
    let levels: Vec<Level> = levels
        .into_iter()
        .filter_map(|(name, y)| Some(Level { name: name.to_owned(), y: y? }))
        .collect();
    let title = "Scaling with the size of an instance".to_owned();
    let plot = Lines {
        series: &series,
        levels: &levels,
        x_name: "bytes of one instance, logarithmic",
        y_name: "MB/s imported, logarithmic",
        x_is_log: true,
        y_is_log: true,
        x_format: svg::bytes,
        has_dots: true,
    };
    let sentence = "The same amount in many small instances (left) or few large ones (right). On the left \
                    each instance costs, on the right each byte: coding pixels. The grey line copies the \
                    same files and syncs them."
        .to_owned();
    Some(Figure { id: "sizes".to_owned(), drawing: plot.svg(&title), title, sentence })
}

/// Searches of each catalog: the slowest kind and the one in the middle.
fn searches(document: &Document) -> Option<Figure> {
    let mut series = Vec::new();
    for (instances, measured) in catalogs(document) {
        let mut p95: Vec<f64> =
            list(measured.get("searches")).filter_map(|line| number(line, "p95_ms")).collect();
        p95.sort_by(f64::total_cmp);
        let (Some(most), Some(middle)) = (p95.last(), p95.get(p95.len() / 2)) else { continue };
        add(&mut series, "slowest kind of search", "cairn", (instances, *most));
        add(&mut series, "the kind in the middle", "c1", (instances, *middle));
    }
    let title = "Searches, by instances in the catalogue".to_owned();
    let plot = Lines {
        series: &series,
        levels: &[Level { name: "promised".to_owned(), y: 50.0 }],
        x_name: "instances in the catalogue, logarithmic",
        y_name: "ms, 95 of 100 searches, logarithmic",
        x_is_log: true,
        y_is_log: true,
        x_format: thousands,
        has_dots: true,
    };
    let sentence =
        "22 kinds of search as viewers send them: by patient, date, modality, UID, part of a \
                    name. A line that stays flat does not look at what it need not."
            .to_owned();
    let drawing = plot.svg(&title);
    (!series.is_empty()).then_some(Figure { id: "searches".to_owned(), drawing, title, sentence })
}

/// What an instance costs the catalog, and how many bytes of it.
fn commits(document: &Document) -> Option<Figure> {
    let mut series = Vec::new();
    let mut bytes = Vec::new();
    for (instances, measured) in catalogs(document) {
        let last = list(measured.get("rates")).last();
        if let Some(cpu) = last.and_then(|rate| number(rate, "cpu_us_per_instance")) {
            add(&mut series, "CPU time", "cairn", (instances, cpu));
        }
        if let Some(rate) = last.and_then(|rate| number(rate, "instances_per_s")) {
            add(&mut series, "time, disk included", "c1", (instances, 1e6 / rate));
        }
        if let Some(size) = measured.get("catalog_bytes").and_then(Value::as_f64) {
            bytes.push(size / instances);
        }
    }
    let title = "Commits, by instances in the catalogue".to_owned();
    let plot = Lines {
        series: &series,
        levels: &[],
        x_name: "instances in the catalogue, logarithmic",
        y_name: "µs for each further instance",
        x_is_log: true,
        y_is_log: false,
        x_format: thousands,
        has_dots: true,
    };
    let each = bytes.last().map_or_else(String::new, |bytes| {
        format!(" The catalogue takes {} bytes for an instance of two chunks.", svg::number(*bytes))
    });
    let sentence = format!(
        "What one more instance costs the catalogue when it is that full, in commits of 500: rows, \
         indexes and the sync.{each}"
    );
    let drawing = plot.svg(&title);
    (!series.is_empty()).then_some(Figure { id: "commits".to_owned(), drawing, title, sentence })
}

/// Instances and figures of each catalog, smallest first.
fn catalogs(document: &Document) -> Vec<(f64, &serde_json::Map<String, Value>)> {
    let count = |label: &str| {
        let (_, number) = label.split_once(", ")?;
        number.replace(',', "").parse::<f64>().ok()
    };
    let parts = document.done(Kind::Catalog);
    let mut found: Vec<_> =
        parts.filter_map(|part| Some((count(&part.label)?, &part.report.measured))).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found
}

fn thousands(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", svg::number(value / 1e6)),
        1e3.. => format!("{} k", svg::number(value / 1e3)),
        _ => svg::number(value),
    }
}

/// What an instance costs as the archive fills.
fn filling(document: &Document) -> Option<Figure> {
    let part = document.done(Kind::Many).next()?;
    let mut series = Vec::new();
    let mut total = 0.0;
    for line in list(part.report.measured.get("imports")) {
        if !text(line, "what").starts_with("part") {
            continue;
        }
        total += number(line, "instances")?;
        add(&mut series, "time", "cairn", (total, number(line, "wall_us_per_instance")?));
        add(&mut series, "CPU time", "c1", (total, number(line, "cpu_us_per_instance")?));
    }
    let title = "Imports into an archive that fills".to_owned();
    let plot = Lines {
        series: &series,
        levels: &[],
        x_name: "small instances in the archive afterwards",
        y_name: "µs for each instance",
        x_is_log: false,
        y_is_log: false,
        x_format: thousands,
        has_dots: true,
    };
    let sentence = "Ten imports of as many small instances each into one archive. A flat line means that an \
                    instance costs the same in a full archive as in an empty one; the start of the program \
                    is in each point."
        .to_owned();
    Some(Figure { id: "filling".to_owned(), drawing: plot.svg(&title), title, sentence })
}

/// One instance larger than memory may be.
fn giant(document: &Document, known: &Known) -> Option<Figure> {
    let part = document.done(Kind::Giant).next()?;
    let measured = &part.report.measured;
    let size = measured.get("giant_bytes")?.as_f64()?;
    let mut bars = Vec::new();
    let mut peak: f64 = 0.0;
    for line in list(measured.get("commands")) {
        let (name, value) = (text(line, "what").to_owned(), number(line, "mb_per_s")?);
        peak = peak.max(number(line, "peak_bytes").unwrap_or(0.0));
        bars.push(Bar { name, class: "cairn", value, ends: None, more: 0.0 });
    }
    let mark = |name: &str, value: Option<f64>| Some(Mark { name: name.to_owned(), value: value? });
    let marks = [
        mark("disk: write and sync", known.write_sync_mb_per_s),
        mark("BLAKE3, one core", known.blake3_mb_per_s),
    ];
    let marks: Vec<Mark> = marks.into_iter().flatten().collect();
    let groups = [Group { title: String::new(), bars }];
    let title = "One very large instance".to_owned();
    let axis_name = "MB/s, logarithmic; longer is faster";
    let format = svg::number;
    let plot = Bars { groups: &groups, marks: &marks, axis_name, format, is_log: true };
    let sentence = format!(
        "One multi-frame instance of {} goes in, is checked, and comes out byte for byte. No process held \
         more than {} at a time.",
        svg::bytes(size),
        svg::bytes(peak)
    );
    Some(Figure { id: "giant".to_owned(), drawing: plot.svg(&title), title, sentence })
}
