//! Ratio against speed, over all frames that were coded.

use super::bars::{Bar, Bars, Group};
use super::figure::Figure;
use super::read::{Known, class, list, number, spread, text};
use super::scatter::{Limit, Point, Scatter};
use super::svg;
use crate::all::document::{Document, Kind, Part};

/// A coder over all sets: bytes and seconds together.
#[derive(Clone, Debug, Default)]
struct Coder {
    name: String,
    /// In how many sets it was measured.
    sets: usize,
    plain_mb: f64,
    coded_mb: f64,
    /// Median, smallest and largest seconds.
    encode_s: [f64; 3],
    decode_s: [f64; 3],
}

impl Coder {
    fn ratio(&self) -> f64 {
        self.plain_mb / self.coded_mb
    }

    fn point(&self, seconds: [f64; 3]) -> Point {
        let [median, least, most] = seconds.map(|seconds| self.plain_mb / seconds);
        Point {
            name: self.name.clone(),
            class: class(&self.name),
            x: median,
            x_ends: (most.min(median), least.max(median)),
            y: self.ratio(),
        }
    }
}

/// The figures.
pub(super) fn figures(document: &Document, known: &Known) -> Vec<Figure> {
    let coders = coders(document);
    if coders.is_empty() {
        return Vec::new();
    }
    let memcpy = known.memcpy_mb_per_s.map(|x| Limit { name: "memcpy".to_owned(), x });
    let hash = known.blake3_mb_per_s.map(|x| Limit { name: "BLAKE3 alone".to_owned(), x });
    let limits: Vec<Limit> = hash.into_iter().chain(memcpy).collect();
    let mut figures = Vec::new();
    for (id, what, is_decoding) in [("encode", "coding", false), ("decode", "decoding", true)] {
        let seconds = |coder: &Coder| if is_decoding { coder.decode_s } else { coder.encode_s };
        let points: Vec<Point> = coders.iter().map(|coder| coder.point(seconds(coder))).collect();
        let x_name = format!("MB/s of pixels on one core, {what}, logarithmic");
        let scatter = Scatter {
            points: &points,
            limits: &limits,
            x_name: &x_name,
            y_name: "ratio: pixels / stored",
            y_low: 1.0,
            x_format: svg::number,
        };
        let title = format!("How small, and how fast: {what}");
        let sentence = format!(
            "Further up is smaller, further right is faster; every coder gives back the same bytes. {} \
             The dotted lines are what copying memory and hashing alone take on this machine: nothing \
             that is hashed can pass the first.",
            best(&points)
        );
        let drawing = scatter.svg(&title);
        figures.push(Figure { id: id.to_owned(), title, drawing, sentence });
    }
    figures.extend(by_origin(document));
    figures
}

/// A sentence that says where cairn stands.
fn best(points: &[Point]) -> String {
    let Some(cairn) = points.iter().find(|point| point.name == "cairn") else {
        return String::new();
    };
    let here = format!("Cairn: {:.2} at {} MB/s.", cairn.y, svg::number(cairn.x));
    let others = points.iter().filter(|point| point.class != "cairn" && !is_own(&point.name));
    let smallest = others.max_by(|a, b| a.y.total_cmp(&b.y));
    smallest.map_or(here.clone(), |other| {
        format!(
            "{here} Smallest of the others: {} with {:.2} at {} MB/s.",
            other.name,
            other.y,
            svg::number(other.x)
        )
    })
}

/// A filter of Cairn's by itself: in the tables, and too near to `cairn` for a plot.
fn is_own(name: &str) -> bool {
    name.starts_with("codec ")
}

/// Parts that code frames, and the origin of these.
fn parts(document: &Document) -> impl Iterator<Item = &Part> {
    document.done(Kind::Codec).chain(document.done(Kind::Reference))
}

/// Coders that were measured on as many sets as any, in the order of their names' first appearance.
fn coders(document: &Document) -> Vec<Coder> {
    let mut coders: Vec<Coder> = Vec::new();
    for part in parts(document) {
        let measured = &part.report.measured;
        let plain = measured.get("plain_bytes").and_then(serde_json::Value::as_f64);
        for line in list(measured.get("coders")) {
            let name = text(line, "coder");
            let plain =
                plain.or_else(|| Some(number(line, "coded_bytes")? * number(line, "ratio")?));
            let rates = [spread(line, "encode_mb_per_s"), spread(line, "decode_mb_per_s")];
            let (Some(plain), Some(coded), [Some(encode), Some(decode)]) =
                (plain, number(line, "coded_bytes"), rates)
            else {
                continue;
            };
            if is_own(name) {
                continue;
            }
            let index = coders.iter().position(|coder| coder.name == name).unwrap_or_else(|| {
                coders.push(Coder { name: name.to_owned(), ..Coder::default() });
                coders.len() - 1
            });
            let (coder, plain_mb) = (&mut coders[index], plain / 1e6);
            coder.sets += 1;
            coder.plain_mb += plain_mb;
            coder.coded_mb += coded / 1e6;
            for (sum, rate) in [(&mut coder.encode_s, encode), (&mut coder.decode_s, decode)] {
                for (seconds, rate) in sum.iter_mut().zip([rate.median, rate.max, rate.min]) {
                    *seconds += plain_mb / rate;
                }
            }
        }
    }
    let most = coders.iter().map(|coder| coder.sets).max().unwrap_or(0);
    coders.retain(|coder| coder.sets == most);
    coders
}

/// What is left of each set, by a few coders that stand for their kinds.
fn by_origin(document: &Document) -> Option<Figure> {
    let shown = ["cairn", "JPEG-LS (CharLS)", "JPEG XL 3 (libjxl)", "zstd 3"];
    let mut groups: Vec<Group> = Vec::new();
    for part in parts(document) {
        let title = part.label.rsplit(", ").next().unwrap_or_default().to_owned();
        let index = groups.iter().position(|group| group.title == title).unwrap_or_else(|| {
            groups.push(Group { title, bars: Vec::new() });
            groups.len() - 1
        });
        for line in list(part.report.measured.get("coders")) {
            let (name, ratio) = (text(line, "coder"), number(line, "ratio"));
            let Some(ratio) = ratio.filter(|_| shown.contains(&name)) else { continue };
            let name = name.split(" (").next().unwrap_or(name).to_owned();
            let value = 100.0 / ratio;
            let class = class(&name);
            groups[index].bars.push(Bar { name, class, value, ends: None, more: 0.0 });
        }
    }
    groups.retain(|group| !group.bars.is_empty());
    if groups.is_empty() {
        return None;
    }
    let title = "What is left of the pixels".to_owned();
    let axis_name = "per cent of the plain pixels; shorter is smaller";
    let format = svg::number;
    let bars = Bars { groups: &groups, marks: &[], axis_name, format, is_log: false };
    let sentence =
        "How much of every hundred bytes of pixels remains, by where the images come from. \
                    Noise cannot be made smaller by anybody: the sets differ more than the coders."
            .to_owned();
    Some(Figure { id: "origins".to_owned(), drawing: bars.svg(&title), title, sentence })
}
