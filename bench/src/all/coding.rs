//! What is promised of the pixel codecs over all sets of a run, each of which counts alike.

use serde_json::Value;

use super::document::{Document, Kind};
use crate::figures::Spread;
use crate::goals::Goal;

/// A coder over sets: ratio as geometric mean, MB/s as harmonic mean of medians.
#[derive(Clone, Copy, Debug)]
struct Coder {
    sets: usize,
    ratio: f64,
    encode: f64,
    decode: f64,
}

/// What the default codec has to do beside zstd 3 and JPEG-LS, and the quick and the small one beside
/// zstd 3. What was not measured is not among them.
pub(super) fn goals(document: &Document) -> Vec<Goal> {
    let Some(zstd) = Coder::named(document, "zstd 3") else { return Vec::new() };
    let mut goals = Vec::new();
    let mut add = |what: &str, unit: &str, measured: f64, limit: f64| {
        let what = format!("{what}, over {} sets", zstd.sets);
        goals.push(Goal::at_least(what, unit, measured, limit));
    };
    if let Some(codec) = Coder::named(document, "codec 4") {
        add("codec 4, smaller than zstd 3", "x", codec.ratio / zstd.ratio, 1.65);
        if let Some(other) = Coder::named(document, "JPEG-LS (CharLS)") {
            add("codec 4, smaller than JPEG-LS", "x", codec.ratio / other.ratio, 1.0);
        }
        add("codec 4, coding", "MB/s", codec.encode, 450.0);
        add("codec 4, coding / zstd 3", "x", codec.encode / zstd.encode, 4.0);
        add("codec 4, decoding", "MB/s", codec.decode, 700.0);
        add("codec 4, decoding / zstd 3", "x", codec.decode / zstd.decode, 1.2);
    }
    for (name, smaller, encode, decode) in
        [("codec 5", 1.24, 2000.0, 2500.0), ("codec 6", 1.75, 100.0, 100.0)]
    {
        if let Some(codec) = Coder::named(document, name) {
            add(&format!("{name}, smaller than zstd 3"), "x", codec.ratio / zstd.ratio, smaller);
            add(&format!("{name}, coding"), "MB/s", codec.encode, encode);
            add(&format!("{name}, decoding"), "MB/s", codec.decode, decode);
        }
    }
    goals
}

impl Coder {
    /// `None` if some set was not coded by it.
    fn named(document: &Document, name: &str) -> Option<Self> {
        let sets = document.done(Kind::Codec).count();
        let kind = if name.starts_with("JPEG") { Kind::Reference } else { Kind::Codec };
        let (mut logarithms, mut seconds) = (0.0, [0.0; 2]);
        let mut count = 0;
        for part in document.done(kind) {
            let line = part.report.measured.get("coders")?.as_array()?.iter();
            let line = line.into_iter().find(|line| line["coder"] == name)?;
            let rate = |of: &str| -> Option<f64> {
                let spread: Spread = serde_json::from_value(line[of].clone()).ok()?;
                Some(spread.median)
            };
            logarithms += line.get("ratio").and_then(Value::as_f64)?.ln();
            seconds[0] += 1.0 / rate("encode_mb_per_s")?;
            seconds[1] += 1.0 / rate("decode_mb_per_s")?;
            count += 1;
        }
        let of = |sum: f64| count as f64 / sum;
        let ratio = (logarithms / count as f64).exp();
        let coder = Self { sets: count, ratio, encode: of(seconds[0]), decode: of(seconds[1]) };
        (count == sets && count > 0).then_some(coder)
    }
}
