//! `cairn-bench codec`: the pixel codecs and zstd alone, on one thread, in this process.
//!
//! What is timed is the calls of the coder alone, frame by frame. What one makes is copied away and its
//! memory given back before the next, as where packs are written: kept until the end, each would lie in
//! memory that the system hands out page by page, which costs as much as a tenth of the coding and varies
//! with the machine. Coders take turns, since machines have slow minutes.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_chunker::codec::{Codec, Content, Effort, decode, encode, encode_filtered};
use cairn_chunker::span::{Boundary, Geometry, SpanKind};
use cairn_dicom::{PROBE_BYTES, Splitter, probe};
use clap::Args;
use serde::Serialize;
use zstd::bulk::{Compressor, Decompressor};

use crate::figures::{Spread, grouped, mb};
use crate::files;
use crate::report::Report;
use crate::table::Table;

/// Levels of zstd to compare with.
const ZSTD_LEVELS: [i32; 3] = [-1, 1, 3];
/// Larger files are left out: they are read whole.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Encode and decode native frames: MB/s and ratio beside zstd; each PATH is a set
#[derive(Debug, Args)]
pub(crate) struct CodecArgs {
    /// DICOM files with native pixel data, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How often each coder codes everything
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Take frames until this much is there
    #[arg(long, default_value_t = 256, value_name = "MB")]
    mb_max: u64,
}

/// A native frame.
struct Frame {
    /// Of which of the paths it is.
    set: usize,
    geometry: Geometry,
    bytes: Vec<u8>,
}

/// How a frame is coded.
enum Coder {
    /// As the store codes it.
    Cairn,
    /// By this pixel filter, or stored where it gains nothing.
    Filter(Codec),
    /// With contexts that are kept from frame to frame.
    Zstd { level: i32, compressor: Compressor<'static>, decompressor: Decompressor<'static> },
}

/// What a coder made of all frames, in memory that is used again.
struct Kept {
    bytes: Vec<u8>,
    /// Of each frame, the codec and the end in `bytes`.
    ends: Vec<(Codec, usize)>,
}

/// A coder's turn: how long it took for all frames, and how short it made each.
struct Turn {
    encoding: Duration,
    decoding: Duration,
    lengths: Vec<usize>,
}

/// What a coder came to.
#[derive(Debug, Serialize)]
struct Line {
    coder: String,
    encode_mb_per_s: Spread,
    decode_mb_per_s: Spread,
    coded_bytes: u64,
    ratio: f64,
    /// Of each path with frames, in their order.
    set_ratios: Vec<f64>,
    /// The geometric mean of those: each set counts alike, however large.
    ratio_of_sets: f64,
}

/// Measures, and adds the table.
pub(crate) fn run(args: &CodecArgs, report: &mut Report) -> Result<()> {
    let (frames, files) = collect(&args.paths, args.mb_max * 1_000_000)?;
    ensure!(!frames.is_empty(), "no native frames of 8 or 16 bits in these files");
    let plain_bytes: u64 = frames.iter().map(|frame| frame.bytes.len() as u64).sum();
    let filters = [
        Codec::PixelAdaptive,
        Codec::PixelContext,
        Codec::PixelClassed,
        Codec::PixelPacked,
        Codec::PixelMed,
    ];
    let mut coders = vec![Coder::Cairn];
    coders.extend(filters.map(Coder::Filter));
    for level in ZSTD_LEVELS {
        coders.push(Coder::zstd(level)?);
    }
    let lines = measure(&mut coders, &frames, args.runs)?;
    let headings = ["CODER", "ENCODE MB/S", "DECODE MB/S", "CODED MB", "RATIO", "RATIO OF SETS"];
    let mut table = Table::new(headings);
    for line in &lines {
        table.row([
            line.coder.clone(),
            line.encode_mb_per_s.text(0),
            line.decode_mb_per_s.text(0),
            format!("{:.2}", mb(line.coded_bytes)),
            format!("{:.3}", line.ratio),
            format!("{:.3}", line.ratio_of_sets),
        ]);
    }
    let title = format!(
        "{} frames, {} bytes, of {files} files; one thread, {} runs, median (min-max)",
        frames.len(),
        grouped(plain_bytes),
        args.runs
    );
    report.table(&title, &table);
    let pixel = frames.iter().filter(|frame| is_filtered(frame)).count();
    report.note(format!("cairn took the pixel filter for {pixel} of {} frames", frames.len()));
    report.figures("plain_bytes", &plain_bytes)?;
    report.figures("coders", &lines)
}

fn is_filtered(frame: &Frame) -> bool {
    let coded = encode(&frame.bytes, Content::Pixels(frame.geometry), Effort::default());
    matches!(coded.codec, Codec::PixelClassed | Codec::PixelContext)
}

/// Native frames of the files, in order, until there are `bytes_max`; and of how many files.
fn collect(paths: &[PathBuf], bytes_max: u64) -> Result<(Vec<Frame>, usize)> {
    let (mut frames, mut files, mut bytes) = (Vec::new(), 0, 0);
    for (set, root) in paths.iter().enumerate() {
        for path in files::list(root)? {
            let found = frames_of(&path, set).with_context(|| format!("{}", path.display()))?;
            files += usize::from(!found.is_empty());
            for frame in found {
                bytes += frame.bytes.len() as u64;
                frames.push(frame);
                if bytes >= bytes_max {
                    return Ok((frames, files));
                }
            }
        }
    }
    Ok((frames, files))
}

/// Native frames of a file of a set; none if it is not DICOM or has none.
fn frames_of(path: &Path, set: usize) -> Result<Vec<Frame>> {
    if path.metadata()?.len() > FILE_BYTES_MAX {
        return Ok(Vec::new());
    }
    let file = std::fs::read(path)?;
    let Ok(framing) = probe(&file[..file.len().min(PROBE_BYTES)], true) else {
        return Ok(Vec::new());
    };
    let mut spans: Vec<Boundary> = Vec::new();
    if Splitter::new(framing).advance(&file, 0, true, &mut spans).is_err() {
        return Ok(Vec::new());
    }
    let mut frames = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let SpanKind::Pixels { frame_bytes, geometry: Some(geometry) } = span.kind else {
            continue;
        };
        let end = spans.get(index + 1).map_or(file.len(), |next| next.at as usize);
        let pixels = file[span.at as usize..end].chunks_exact(frame_bytes as usize);
        frames.extend(pixels.map(|bytes| Frame { set, geometry, bytes: bytes.to_vec() }));
    }
    Ok(frames)
}

/// Has the coders take `runs` turns, after one that only warms up, and checks that all frames come back.
fn measure(coders: &mut [Coder], frames: &[Frame], runs: u32) -> Result<Vec<Line>> {
    let plain: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
    let mut kept =
        Kept { bytes: Vec::with_capacity(plain), ends: Vec::with_capacity(frames.len()) };
    let mut turns: Vec<Vec<Turn>> = coders.iter().map(|_| Vec::new()).collect();
    for run in 0..=runs {
        let mut order: Vec<usize> = (0..coders.len()).collect();
        if run % 2 == 1 {
            order.reverse();
        }
        for number in order {
            let turn = Turn::take(&mut coders[number], frames, &mut kept)?;
            if run > 0 {
                turns[number].push(turn);
            }
        }
    }
    coders.iter().zip(turns).map(|(coder, turns)| Line::of(coder, frames, &turns)).collect()
}

impl Turn {
    fn take(coder: &mut Coder, frames: &[Frame], kept: &mut Kept) -> Result<Self> {
        kept.bytes.clear();
        kept.ends.clear();
        let mut encoding = Duration::ZERO;
        let mut lengths = Vec::with_capacity(frames.len());
        for frame in frames {
            let begun = Instant::now();
            let (codec, coded) = black_box(coder.encode(frame)?);
            encoding += begun.elapsed();
            lengths.push(coded.len());
            kept.bytes.extend(coded);
            kept.ends.push((codec, kept.bytes.len()));
        }
        let mut decoding = Duration::ZERO;
        for checked in [false, true] {
            let mut start = 0;
            for ((codec, end), frame) in kept.ends.iter().zip(frames) {
                let coded = &kept.bytes[start..*end];
                start = *end;
                let begun = Instant::now();
                let plain = black_box(coder.decode(*codec, coded, frame.bytes.len())?);
                // Comparing goes through as much memory again, so it has a round of its own.
                if checked {
                    ensure!(
                        plain == frame.bytes,
                        "{}: a frame comes back as another",
                        coder.name()
                    );
                } else {
                    drop(plain);
                    decoding += begun.elapsed();
                }
            }
        }
        Ok(Self { encoding, decoding, lengths })
    }
}

impl Line {
    fn of(coder: &Coder, frames: &[Frame], turns: &[Turn]) -> Result<Self> {
        let plain_bytes: u64 = frames.iter().map(|frame| frame.bytes.len() as u64).sum();
        let speeds = |time: fn(&Turn) -> Duration| {
            let speeds = turns.iter().map(|turn| mb(plain_bytes) / time(turn).as_secs_f64());
            Spread::of(speeds).context("no runs")
        };
        let lengths = &turns.last().context("no runs")?.lengths;
        let coded_bytes = lengths.iter().map(|length| *length as u64).sum();
        let set_ratios = ratios_of_sets(frames, lengths);
        let logarithms = set_ratios.iter().map(|ratio| ratio.ln()).sum::<f64>();
        Ok(Self {
            coder: coder.name(),
            encode_mb_per_s: speeds(|turn| turn.encoding)?,
            decode_mb_per_s: speeds(|turn| turn.decoding)?,
            coded_bytes,
            ratio: plain_bytes as f64 / coded_bytes as f64,
            ratio_of_sets: (logarithms / set_ratios.len() as f64).exp(),
            set_ratios,
        })
    }
}

/// How many times shorter each set became. Frames of a set follow one another.
fn ratios_of_sets(frames: &[Frame], lengths: &[usize]) -> Vec<f64> {
    let mut ratios = Vec::new();
    let mut at = 0;
    for set in frames.chunk_by(|a, b| a.set == b.set) {
        let plain: usize = set.iter().map(|frame| frame.bytes.len()).sum();
        let coded: usize = lengths[at..at + set.len()].iter().sum();
        ratios.push(plain as f64 / coded as f64);
        at += set.len();
    }
    ratios
}

impl Coder {
    fn zstd(level: i32) -> Result<Self> {
        let (compressor, decompressor) = (Compressor::new(level)?, Decompressor::new()?);
        Ok(Self::Zstd { level, compressor, decompressor })
    }

    fn name(&self) -> String {
        match self {
            Self::Cairn => "cairn".to_owned(),
            Self::Filter(codec) => format!("codec {}", codec.id()),
            Self::Zstd { level, .. } => format!("zstd {level}"),
        }
    }

    /// The codec and the coded bytes.
    fn encode(&mut self, frame: &Frame) -> Result<(Codec, Vec<u8>)> {
        match self {
            Self::Cairn => {
                let content = Content::Pixels(frame.geometry);
                let coded = encode(&frame.bytes, content, Effort::default());
                // Copies nothing but what could not be compressed.
                let payload = match coded.codec {
                    Codec::Stored => frame.bytes.clone(),
                    _ => coded.bytes,
                };
                Ok((coded.codec, payload))
            }
            Self::Filter(codec) => {
                let coded = encode_filtered(*codec, &frame.bytes, frame.geometry);
                let stored = || (Codec::Stored, frame.bytes.clone());
                Ok(coded.map_or_else(stored, |coded| (coded.codec, coded.bytes)))
            }
            Self::Zstd { compressor, .. } => Ok((Codec::Zstd, compressor.compress(&frame.bytes)?)),
        }
    }

    fn decode(&mut self, codec: Codec, coded: &[u8], plain_bytes: usize) -> Result<Vec<u8>> {
        match self {
            Self::Cairn | Self::Filter(_) => Ok(decode(codec, coded, plain_bytes)?),
            Self::Zstd { decompressor, .. } => Ok(decompressor.decompress(coded, plain_bytes)?),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cairn_dicom::phantom;

    #[test]
    fn frames_are_found_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        for (index, file) in phantom::ct(3, 2, 64).enumerate() {
            std::fs::write(folder.path().join(format!("{index}.dcm")), file.bytes).unwrap();
        }
        std::fs::write(folder.path().join("note.txt"), "no image").unwrap();
        let (frames, files) = collect(&[folder.path().to_owned()], u64::MAX).unwrap();
        assert_eq!((frames.len(), files), (2, 2));
        assert!(frames.iter().all(|frame| frame.bytes.len() == 64 * 64 * 2));
        let twice = [folder.path().to_owned(), folder.path().to_owned()];
        let (both, _) = collect(&twice, u64::MAX).unwrap();
        let lengths: Vec<_> = both.iter().map(|frame| 512 << frame.set).collect();
        assert_eq!(ratios_of_sets(&both, &lengths), [16.0, 8.0]);
        let (frames_once, _) = collect(&[folder.path().to_owned()], 1).unwrap();
        assert_eq!(frames_once.len(), 1);
        let mut coders = vec![Coder::Cairn, Coder::zstd(1).unwrap()];
        coders.extend(
            [Codec::PixelMed, Codec::PixelContext, Codec::PixelAdaptive].map(Coder::Filter),
        );
        let lines = measure(&mut coders, &frames_once, 1).unwrap();
        assert_eq!(lines.len(), coders.len());
        for line in lines {
            assert!(line.ratio >= 1.0, "{line:?}");
            assert!((line.ratio_of_sets - line.ratio).abs() < 1e-9, "{line:?}");
        }
    }
}
