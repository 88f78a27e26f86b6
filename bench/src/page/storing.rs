//! Stored bytes and times of the stores.

use serde_json::Value;

use super::bars::{Bar, Bars, Group, Mark};
use super::figure::Figure;
use super::read::{Known, class, list, number, spread, text};
use super::svg;
use crate::all::document::{Document, Kind, Part};
use crate::contestant::Contestant;

/// The steps, and what they are called in the page.
const STEPS: [(&str, &str); 4] = [
    ("first", "import into an empty archive"),
    ("again", "import the same again"),
    ("changed", "import with corrected headers"),
    ("export", "give everything back"),
];

/// The figures of every set.
pub(super) fn figures(document: &Document, known: &Known) -> Vec<Figure> {
    document.done(Kind::Ingest).flat_map(|part| of_set(part, known)).collect()
}

/// The figures of one.
fn of_set(part: &Part, known: &Known) -> Vec<Figure> {
    let lines: Vec<&Value> = list(part.report.measured.get("steps")).collect();
    let set = part.label.rsplit(", ").next().unwrap_or_default();
    let size = part.report.measured.get("set").and_then(|set| set.get("size"));
    let set_bytes = size.and_then(|size| number(size, "bytes"));
    let found = [stored(&lines, set, set_bytes), times(&lines, set, set_bytes, known)];
    found.into_iter().chain([memory(&lines, set)]).flatten().collect()
}

/// A contestant's figure in a step.
fn find<'a>(lines: &[&'a Value], who: &str, step: &str) -> Option<&'a Value> {
    lines.iter().copied().find(|line| text(line, "who") == who && text(line, "step") == step)
}

fn stored(lines: &[&Value], set: &str, set_bytes: Option<f64>) -> Option<Figure> {
    let first = lines.iter().filter(|line| text(line, "step") == "first");
    let bar = |line: &&Value| {
        let who = text(line, "who");
        let value = number(line, "stored_bytes")? / 1e6;
        let changed = find(lines, who, "changed").and_then(|line| number(line, "stored_bytes"));
        let more = changed.map_or(0.0, |bytes| (bytes / 1e6 - value).max(0.0));
        Some(Bar { name: who.to_owned(), class: class(who), value, ends: None, more })
    };
    let mut bars: Vec<Bar> = first.filter_map(bar).filter(|bar| bar.class != "floor").collect();
    bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    let has_changed = lines.iter().any(|line| text(line, "step") == "changed");
    let marks: Vec<Mark> = set_bytes
        .map(|bytes| Mark { name: "the files as they are".to_owned(), value: bytes / 1e6 })
        .into_iter()
        .collect();
    let cairn = bars.iter().find(|bar| bar.class == "cairn")?.clone();
    let next = bars.iter().find(|bar| Contestant::is_peer_store(&bar.name)).cloned();
    let title = format!("Stored bytes, {set}");
    let groups = [Group { title: String::new(), bars }];
    let axis_name = "MB stored (10^6 bytes); shorter is smaller";
    let format = svg::number;
    let plot = Bars { groups: &groups, marks: &marks, axis_name, format, is_log: false };
    let beside = next.map_or_else(String::new, |next| {
        let part = cairn.value / next.value * 100.0;
        format!(
            " Cairn takes {part:.0} per cent of what {}, the next of the stores, takes.",
            next.name
        )
    });
    let changed = if has_changed {
        " The pale part is what came on top when the same images came in once more with another \
         patient's name, ID and accession number in every file."
    } else {
        ""
    };
    let sentence = format!(
        "What is on the disk after the set was imported once, everything counted.{beside}{changed}"
    );
    let id = format!("stored-{set}");
    Some(Figure { id, drawing: plot.svg(&title), title, sentence })
}

fn times(lines: &[&Value], set: &str, set_bytes: Option<f64>, known: &Known) -> Option<Figure> {
    let bar = |line: &&Value| {
        let who = text(line, "who");
        let wall = spread(line, "wall_s")?;
        let more = spread(line, "sync_s").map_or(0.0, |sync| sync.median);
        let ends = Some((wall.min, wall.max));
        Some(Bar { name: who.to_owned(), class: class(who), value: wall.median, ends, more })
    };
    let group = |(step, title): (&str, &str)| {
        let of = lines.iter().filter(|line| text(line, "step") == step);
        let mut bars: Vec<Bar> = of.filter_map(bar).collect();
        bars.sort_by(|a, b| (a.value + a.more).total_cmp(&(b.value + b.more)));
        Group { title: title.to_owned(), bars }
    };
    let mut groups: Vec<Group> = STEPS.into_iter().map(group).collect();
    groups.retain(|group| !group.bars.is_empty());
    if groups.is_empty() {
        return None;
    }
    let mark = |name: &str, rate: Option<f64>| {
        Some(Mark { name: name.to_owned(), value: set_bytes? / 1e6 / rate? })
    };
    let marks = [
        mark("BLAKE3 alone", known.blake3_all_mb_per_s),
        mark("writing as it is, synced", known.write_sync_mb_per_s),
    ];
    let marks: Vec<Mark> = marks.into_iter().flatten().collect();
    let title = format!("Time, {set}");
    let axis_name = "seconds, logarithmic; shorter is faster";
    let format = svg::number;
    let plot = Bars { groups: &groups, marks: &marks, axis_name, format, is_log: true };
    let sentence = "From the start of the program to its end; pale: how long a sync took afterwards, which \
         is what a program left for later. Thin lines go from the quickest run to the slowest. Cairn \
         reads and hashes every byte of a set that it has; restic, borg, rustic and kopia skip files by \
         size and time. Turbo is Cairn with the setting that codes in less time and stores more. The \
         dotted lines are what hashing all of it on all cores, and writing it once \
         as it is, take at least."
        .to_owned();
    let id = format!("time-{set}");
    Some(Figure { id, drawing: plot.svg(&title), title, sentence })
}

fn memory(lines: &[&Value], set: &str) -> Option<Figure> {
    let mut bars: Vec<Bar> = Vec::new();
    for line in lines {
        let (who, peak) = (text(line, "who"), number(line, "peak_bytes")? / 1e6);
        match bars.iter_mut().find(|bar| bar.name == who) {
            Some(bar) => bar.value = bar.value.max(peak),
            None if class(who) != "floor" => {
                let name = who.to_owned();
                bars.push(Bar { name, class: class(who), value: peak, ends: None, more: 0.0 });
            }
            None => {}
        }
    }
    bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    let title = format!("Peak memory, {set}");
    let value = crate::ingest::PEAK_MB_MAX;
    let marks = [Mark { name: "promised at most".to_owned(), value }];
    let groups = [Group { title: String::new(), bars }];
    let axis_name = "MB, largest process, any step";
    let format = svg::number;
    let plot = Bars { groups: &groups, marks: &marks, axis_name, format, is_log: false };
    let sentence =
        "The most memory that any one process of the program held at a time, in all steps. \
                    Cairn's does not grow with the size of a study."
            .to_owned();
    let id = format!("memory-{set}");
    Some(Figure { id, drawing: plot.svg(&title), title, sentence })
}
