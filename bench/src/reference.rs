//! `cairn-bench reference`: coders that the field knows (JPEG-LS, HTJ2K, JPEG 2000, JPEG XL), on the
//! frames of a set, by Python's imagecodecs where that can be imported.
//!
//! One thread, in one process, in memory; what is timed is the call of the coder alone. Figures have
//! the form of those of `cairn-bench codec`, so that both are drawn into one plot.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use cairn_chunker::span::{Boundary, Geometry, SpanKind};
use cairn_dicom::{PROBE_BYTES, Splitter, probe};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::figures::{Spread, grouped, mb};
use crate::files;
use crate::measure::{Bench, first_line};
use crate::report::Report;
use crate::table::Table;

/// What runs in Python.
const SCRIPT: &str = include_str!("reference.py");
/// Larger files are left out: they are read whole.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Code native frames by JPEG-LS, HTJ2K, JPEG 2000 and JPEG XL, through Python's imagecodecs
#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    /// DICOM files with native pixel data, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A Python that can import imagecodecs
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// How often each coder codes everything
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Take frames until this much is there
    #[arg(long, default_value_t = 128, value_name = "MB")]
    mb_max: u64,
}

/// A frame, as the script is told about it.
#[derive(Debug, Serialize)]
struct Frame {
    rows: u64,
    columns: u64,
    samples: u8,
    sample_bytes: u8,
    bytes: u64,
}

/// What the script prints.
#[derive(Debug, Deserialize)]
struct Answer {
    library: String,
    coders: Vec<Answered>,
}

/// What it says of one coder.
#[derive(Debug, Deserialize)]
struct Answered {
    coder: String,
    #[serde(default)]
    encode_s: Vec<f64>,
    #[serde(default)]
    decode_s: Vec<f64>,
    #[serde(default)]
    coded_bytes: u64,
    error: Option<String>,
}

/// What a coder came to; named as in `codec`.
#[derive(Debug, Serialize)]
struct Line {
    coder: String,
    encode_mb_per_s: Spread,
    decode_mb_per_s: Spread,
    coded_bytes: u64,
    ratio: f64,
}

/// Version of imagecodecs, if that Python has it.
pub(crate) fn library(python: &Path) -> Option<String> {
    let script = "import imagecodecs; print('imagecodecs', imagecodecs.__version__)";
    first_line(Command::new(python).args(["-c", script]))
}

/// Measures, and adds the table.
pub(crate) fn run(bench: &Bench<'_>, args: &ReferenceArgs, report: &mut Report) -> Result<()> {
    if library(&args.python).is_none() {
        bail!("{} cannot import imagecodecs", args.python.display());
    }
    let folder = bench.scratch.folder("reference")?;
    let frames = collect(&args.paths, args.mb_max * 1_000_000, &folder)?;
    ensure!(!frames.is_empty(), "no native frames of 8 or 16 bits in these files");
    let plain_bytes = frames.iter().map(|frame| frame.bytes).sum();
    serde_json::to_writer(File::create(folder.join("frames.json"))?, &frames)?;
    bench.wait_until_quiet();
    let mut command = Command::new(&args.python);
    command.args(["-c", SCRIPT]).arg(&folder).arg(args.runs.to_string());
    let (_, stdout) = bench.run(&command)?;
    let answer: Answer = serde_json::from_slice(&stdout).context("the answer of the script")?;
    report.note(format!("{}, one thread", answer.library));
    let mut lines = Vec::new();
    for answered in answer.coders {
        if let Some(error) = &answered.error {
            report.note(format!("{}: not measured: {error}", answered.coder));
            continue;
        }
        lines.push(Line::new(answered, plain_bytes)?);
    }
    ensure!(!lines.is_empty(), "no coder of imagecodecs could be measured");
    let (count, bytes) = (frames.len(), grouped(plain_bytes));
    let title = format!("{count} frames, {bytes} bytes; one thread, {} runs", args.runs);
    report.table(&title, &table(&lines));
    report.figures("plain_bytes", &plain_bytes)?;
    report.figures("coders", &lines)
}

/// Writes native frames of the files, in order, until there are `bytes_max`.
fn collect(paths: &[PathBuf], bytes_max: u64, folder: &Path) -> Result<Vec<Frame>> {
    let mut out = BufWriter::new(File::create(folder.join("frames.bin"))?);
    let (mut frames, mut bytes) = (Vec::new(), 0);
    for root in paths {
        for path in files::list(root)? {
            let file = match path.metadata()?.len() {
                0..FILE_BYTES_MAX => std::fs::read(&path)?,
                _ => continue,
            };
            for (frame, pixels) in native(&file) {
                out.write_all(pixels)?;
                bytes += frame.bytes;
                frames.push(frame);
            }
            if bytes >= bytes_max {
                out.flush()?;
                return Ok(frames);
            }
        }
    }
    out.flush()?;
    Ok(frames)
}

/// Native frames of a file; none if it is not DICOM or has none.
fn native(file: &[u8]) -> Vec<(Frame, &[u8])> {
    let Ok(framing) = probe(&file[..file.len().min(PROBE_BYTES)], true) else {
        return Vec::new();
    };
    let mut spans: Vec<Boundary> = Vec::new();
    if Splitter::new(framing).advance(file, 0, true, &mut spans).is_err() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let SpanKind::Pixels { frame_bytes, geometry: Some(geometry) } = span.kind else {
            continue;
        };
        let end = spans.get(index + 1).map_or(file.len(), |next| next.at as usize);
        for pixels in file[span.at as usize..end].chunks_exact(frame_bytes as usize) {
            found.extend(Frame::of(geometry, frame_bytes).map(|frame| (frame, pixels)));
        }
    }
    found
}

impl Frame {
    /// `None` for what the coders do not take: planes, big-endian samples, an odd rest.
    fn of(geometry: Geometry, bytes: u64) -> Option<Self> {
        let Geometry { sample_bytes, big_endian, left: samples, above } = geometry;
        let row_bytes = u64::from(above) * u64::from(sample_bytes);
        let is_plain = !big_endian && matches!(samples, 1 | 3) && matches!(sample_bytes, 1 | 2);
        let is_whole = row_bytes > 0 && bytes.is_multiple_of(row_bytes);
        let columns = u64::from(above) / u64::from(samples.max(1));
        let rows = bytes.checked_div(row_bytes)?;
        (is_plain && is_whole).then_some(Self { rows, columns, samples, sample_bytes, bytes })
    }
}

impl Line {
    fn new(answered: Answered, plain_bytes: u64) -> Result<Self> {
        let rate = |seconds: Vec<f64>| {
            Spread::of(seconds.into_iter().map(|s| mb(plain_bytes) / s)).context("no runs")
        };
        Ok(Self {
            coder: answered.coder,
            encode_mb_per_s: rate(answered.encode_s)?,
            decode_mb_per_s: rate(answered.decode_s)?,
            coded_bytes: answered.coded_bytes,
            ratio: plain_bytes as f64 / answered.coded_bytes as f64,
        })
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(["CODER", "ENCODE MB/S", "DECODE MB/S", "CODED MB", "RATIO"]);
    for line in lines {
        table.row([
            line.coder.clone(),
            line.encode_mb_per_s.text(0),
            line.decode_mb_per_s.text(0),
            format!("{:.2}", mb(line.coded_bytes)),
            format!("{:.3}", line.ratio),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cairn_dicom::phantom;

    #[test]
    fn frames_have_shapes() {
        let slice = phantom::ct(3, 1, 64).next().unwrap().bytes;
        let frames = native(&slice);
        assert_eq!(frames.len(), 1);
        let (frame, pixels) = &frames[0];
        assert_eq!((frame.rows, frame.columns, frame.samples), (64, 64, 1));
        assert_eq!((frame.sample_bytes, pixels.len()), (2, 64 * 64 * 2));
        let cine = phantom::ultrasound_cine(3, 2, 32).bytes;
        let frames = native(&cine);
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[1].0.rows, frames[1].0.columns, frames[1].0.samples), (32, 32, 3));
        assert!(native(b"no image").is_empty());
    }
}
