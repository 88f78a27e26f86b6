//! `cairn-bench codec`: the pixel codecs and zstd alone, on one thread, in this process.
//!
//! What is coded is chunks, as the store cuts them: a frame each, several small ones, or bands of a large
//! one. What is timed is the calls of the coder alone, chunk by chunk. What one makes is copied away and its
//! memory given back before the next, as where packs are written: kept until the end, each would lie in
//! memory that the system hands out page by page, which costs as much as a tenth of the coding and varies
//! with the machine. Coders take turns, since machines have slow minutes.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_chunker::codec::{Codec, Content, Effort, decode, encode, encode_filtered};
use cairn_chunker::cut::Cutter;
use cairn_chunker::span::{Boundary, Geometry, SpanKind};
use cairn_dicom::{PROBE_BYTES, Splitter, probe};
use clap::Args;
use serde::Serialize;
use zstd::bulk::{Compressor, Decompressor};

use crate::figures::{Spread, grouped, mb, median};
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
    /// Take chunks until this much is there
    #[arg(long, default_value_t = 256, value_name = "MB")]
    mb_max: u64,
}

/// A chunk of native frames.
struct Chunk {
    /// Of which of the paths it is.
    set: usize,
    geometry: Geometry,
    bytes: Vec<u8>,
}

/// How a chunk is coded.
enum Coder {
    /// As the store codes it.
    Cairn,
    /// By this pixel filter, or stored where it gains nothing.
    Filter(Codec),
    /// With contexts that are kept from chunk to chunk.
    Zstd { level: i32, compressor: Compressor<'static>, decompressor: Decompressor<'static> },
}

/// What a coder made of all chunks, in memory that is used again.
struct Kept {
    bytes: Vec<u8>,
    /// Of each chunk, the codec and the end in `bytes`.
    ends: Vec<(Codec, usize)>,
}

/// A coder's turn: of each chunk, how long it took and how short it became.
struct Turn {
    encoding: Vec<Duration>,
    decoding: Vec<Duration>,
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
    /// Of each path with chunks, in their order.
    sets: Vec<SetLine>,
    /// Means over those, where each counts alike, however large: the geometric one of ratios, the harmonic
    /// one of speeds.
    of_sets: SetLine,
}

/// What a coder came to on one set: medians of its turns.
#[derive(Clone, Copy, Debug, Serialize)]
struct SetLine {
    encode_mb_per_s: f64,
    decode_mb_per_s: f64,
    ratio: f64,
}

/// Measures, and adds the table.
pub(crate) fn run(args: &CodecArgs, report: &mut Report) -> Result<()> {
    let (chunks, files) = collect(&args.paths, args.mb_max * 1_000_000)?;
    ensure!(!chunks.is_empty(), "no native frames of 8 or 16 bits in these files");
    let plain_bytes: u64 = chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum();
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
    let lines = measure(&mut coders, &chunks, args.runs)?;
    let headings = ["CODER", "ENCODE MB/S", "DECODE MB/S", "CODED MB", "RATIO"];
    let mut table = Table::new(headings);
    let mut alike = Table::new(["CODER", "ENCODE MB/S", "DECODE MB/S", "RATIO"]);
    for line in &lines {
        table.row([
            line.coder.clone(),
            line.encode_mb_per_s.text(0),
            line.decode_mb_per_s.text(0),
            format!("{:.2}", mb(line.coded_bytes)),
            format!("{:.3}", line.ratio),
        ]);
        alike.row([
            line.coder.clone(),
            format!("{:.0}", line.of_sets.encode_mb_per_s),
            format!("{:.0}", line.of_sets.decode_mb_per_s),
            format!("{:.3}", line.of_sets.ratio),
        ]);
    }
    let title = format!(
        "{} chunks, {} bytes, of {files} files; one thread, {} runs, median (min-max)",
        chunks.len(),
        grouped(plain_bytes),
        args.runs
    );
    report.table(&title, &table);
    let sets = lines.first().map_or(0, |line| line.sets.len());
    if sets > 1 {
        report.table(&format!("{sets} sets, each counting alike"), &alike);
    }
    let pixel = chunks.iter().filter(|chunk| is_filtered(chunk)).count();
    report.note(format!("cairn took the pixel filter for {pixel} of {} chunks", chunks.len()));
    report.figures("plain_bytes", &plain_bytes)?;
    report.figures("coders", &lines)
}

fn is_filtered(chunk: &Chunk) -> bool {
    let coded = encode(&chunk.bytes, Content::Pixels(chunk.geometry), Effort::default());
    matches!(coded.codec, Codec::PixelClassed | Codec::PixelContext)
}

/// Chunks of native frames of the files, in order, until there are `bytes_max`; and of how many files.
fn collect(paths: &[PathBuf], bytes_max: u64) -> Result<(Vec<Chunk>, usize)> {
    let (mut chunks, mut files, mut bytes) = (Vec::new(), 0, 0);
    for (set, root) in paths.iter().enumerate() {
        for path in files::list(root)? {
            let found = chunks_of(&path, set).with_context(|| format!("{}", path.display()))?;
            files += usize::from(!found.is_empty());
            for chunk in found {
                bytes += chunk.bytes.len() as u64;
                chunks.push(chunk);
                if bytes >= bytes_max {
                    return Ok((chunks, files));
                }
            }
        }
    }
    Ok((chunks, files))
}

/// Chunks of native frames of a file of a set; none if it is not DICOM or has none.
fn chunks_of(path: &Path, set: usize) -> Result<Vec<Chunk>> {
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
    let mut chunks = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let SpanKind::Pixels { geometry: Some(geometry), .. } = span.kind else {
            continue;
        };
        let end = spans.get(index + 1).map_or(file.len(), |next| next.at as usize);
        let (mut cutter, mut pixels) = (Cutter::new(span.kind), &file[span.at as usize..end]);
        while let Some(length) = cutter.next(pixels, true) {
            let (chunk, rest) = pixels.split_at(length);
            chunks.push(Chunk { set, geometry, bytes: chunk.to_vec() });
            pixels = rest;
        }
    }
    Ok(chunks)
}

/// Has the coders take `runs` turns, after one that only warms up, and checks that all chunks come back.
fn measure(coders: &mut [Coder], chunks: &[Chunk], runs: u32) -> Result<Vec<Line>> {
    let plain: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
    let mut kept =
        Kept { bytes: Vec::with_capacity(plain), ends: Vec::with_capacity(chunks.len()) };
    let mut turns: Vec<Vec<Turn>> = coders.iter().map(|_| Vec::new()).collect();
    for run in 0..=runs {
        let mut order: Vec<usize> = (0..coders.len()).collect();
        if run % 2 == 1 {
            order.reverse();
        }
        for number in order {
            let turn = Turn::take(&mut coders[number], chunks, &mut kept)?;
            if run > 0 {
                turns[number].push(turn);
            }
        }
    }
    coders.iter().zip(turns).map(|(coder, turns)| Line::of(coder, chunks, &turns)).collect()
}

impl Turn {
    fn take(coder: &mut Coder, chunks: &[Chunk], kept: &mut Kept) -> Result<Self> {
        kept.bytes.clear();
        kept.ends.clear();
        let mut encoding = Vec::with_capacity(chunks.len());
        let mut lengths = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let begun = Instant::now();
            let (codec, coded) = black_box(coder.encode(chunk)?);
            encoding.push(begun.elapsed());
            lengths.push(coded.len());
            kept.bytes.extend(coded);
            kept.ends.push((codec, kept.bytes.len()));
        }
        let mut decoding = Vec::with_capacity(chunks.len());
        for checked in [false, true] {
            let mut start = 0;
            for ((codec, end), chunk) in kept.ends.iter().zip(chunks) {
                let coded = &kept.bytes[start..*end];
                start = *end;
                let begun = Instant::now();
                let plain = black_box(coder.decode(*codec, coded, chunk.bytes.len())?);
                // Comparing goes through as much memory again, so it has a round of its own.
                if checked {
                    ensure!(
                        plain == chunk.bytes,
                        "{}: a chunk comes back as another",
                        coder.name()
                    );
                } else {
                    drop(plain);
                    decoding.push(begun.elapsed());
                }
            }
        }
        Ok(Self { encoding, decoding, lengths })
    }
}

impl Line {
    fn of(coder: &Coder, chunks: &[Chunk], turns: &[Turn]) -> Result<Self> {
        let plain_bytes: u64 = chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum();
        let speeds = |times: fn(&Turn) -> &[Duration]| {
            let speeds = turns
                .iter()
                .map(|turn| mb(plain_bytes) / times(turn).iter().sum::<Duration>().as_secs_f64());
            Spread::of(speeds).context("no runs")
        };
        let lengths = &turns.last().context("no runs")?.lengths;
        let coded_bytes = lengths.iter().map(|length| *length as u64).sum();
        let sets = sets_of(chunks, turns).context("no runs")?;
        Ok(Self {
            coder: coder.name(),
            encode_mb_per_s: speeds(|turn| &turn.encoding)?,
            decode_mb_per_s: speeds(|turn| &turn.decoding)?,
            coded_bytes,
            ratio: plain_bytes as f64 / coded_bytes as f64,
            of_sets: SetLine::mean(&sets),
            sets,
        })
    }
}

/// What each set came to; none without a turn. Chunks of a set follow one another.
fn sets_of(chunks: &[Chunk], turns: &[Turn]) -> Option<Vec<SetLine>> {
    let lengths = &turns.last()?.lengths;
    let mut at = 0;
    let of_set = |set: &[Chunk]| {
        let range = at..at + set.len();
        at = range.end;
        let plain = set.iter().map(|chunk| chunk.bytes.len() as u64).sum();
        let speed = |times: fn(&Turn) -> &[Duration]| {
            median(turns.iter().map(|turn| {
                let time: Duration = times(turn)[range.clone()].iter().sum();
                mb(plain) / time.as_secs_f64()
            }))
        };
        Some(SetLine {
            encode_mb_per_s: speed(|turn| &turn.encoding)?,
            decode_mb_per_s: speed(|turn| &turn.decoding)?,
            ratio: plain as f64 / lengths[range.clone()].iter().sum::<usize>() as f64,
        })
    };
    chunks.chunk_by(|a, b| a.set == b.set).map(of_set).collect()
}

impl SetLine {
    /// Of at least one set.
    fn mean(sets: &[Self]) -> Self {
        let mean = |of: &dyn Fn(&Self) -> f64| sets.iter().map(of).sum::<f64>() / sets.len() as f64;
        Self {
            encode_mb_per_s: 1.0 / mean(&|set| 1.0 / set.encode_mb_per_s),
            decode_mb_per_s: 1.0 / mean(&|set| 1.0 / set.decode_mb_per_s),
            ratio: mean(&|set| set.ratio.ln()).exp(),
        }
    }
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
    fn encode(&mut self, chunk: &Chunk) -> Result<(Codec, Vec<u8>)> {
        match self {
            Self::Cairn => {
                let content = Content::Pixels(chunk.geometry);
                let coded = encode(&chunk.bytes, content, Effort::default());
                // Copies nothing but what could not be compressed.
                let payload = match coded.codec {
                    Codec::Stored => chunk.bytes.clone(),
                    _ => coded.bytes,
                };
                Ok((coded.codec, payload))
            }
            Self::Filter(codec) => {
                let coded = encode_filtered(*codec, &chunk.bytes, chunk.geometry);
                let stored = || (Codec::Stored, chunk.bytes.clone());
                Ok(coded.map_or_else(stored, |coded| (coded.codec, coded.bytes)))
            }
            Self::Zstd { compressor, .. } => Ok((Codec::Zstd, compressor.compress(&chunk.bytes)?)),
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
        let (chunks, files) = collect(&[folder.path().to_owned()], u64::MAX).unwrap();
        assert_eq!((chunks.len(), files), (2, 2));
        assert!(chunks.iter().all(|chunk| chunk.bytes.len() == 64 * 64 * 2));
        let (first_only, _) = collect(&[folder.path().to_owned()], 1).unwrap();
        assert_eq!(first_only.len(), 1);
        let mut coders = vec![Coder::Cairn, Coder::zstd(1).unwrap()];
        coders.extend(
            [Codec::PixelMed, Codec::PixelContext, Codec::PixelAdaptive].map(Coder::Filter),
        );
        let lines = measure(&mut coders, &first_only, 1).unwrap();
        assert_eq!(lines.len(), coders.len());
        for line in lines {
            assert!(line.ratio >= 1.0, "{line:?}");
            assert!((line.of_sets.ratio - line.ratio).abs() < 1e-9, "{line:?}");
        }
    }

    #[test]
    fn large_frames_are_coded_in_bands_as_the_store_cuts_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = phantom::ct(3, 1, 1024).next().unwrap();
        std::fs::write(folder.path().join("large.dcm"), file.bytes).unwrap();
        let (chunks, _) = collect(&[folder.path().to_owned()], u64::MAX).unwrap();
        let lengths: Vec<_> = chunks.iter().map(|chunk| chunk.bytes.len()).collect();
        assert_eq!(lengths, [1 << 20; 2]);
    }

    #[test]
    fn each_set_counts_alike() {
        let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 500 };
        let chunk = |set| Chunk { set, geometry, bytes: vec![0; 1_000_000] };
        let chunks = [chunk(0), chunk(0), chunk(1)];
        let turn = |slow: u64| Turn {
            encoding: [10, 10, slow].map(Duration::from_millis).to_vec(),
            decoding: vec![Duration::from_millis(5); 3],
            lengths: vec![500_000, 500_000, 125_000],
        };
        let sets = sets_of(&chunks, &[turn(40), turn(50), turn(1000)]).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(sets[0].encode_mb_per_s, 100.0) && near(sets[1].encode_mb_per_s, 20.0));
        let mean = SetLine::mean(&sets);
        assert!(near(mean.encode_mb_per_s, 2.0 / (1.0 / 100.0 + 1.0 / 20.0)), "{mean:?}");
        assert!(near(mean.decode_mb_per_s, 200.0) && near(mean.ratio, 4.0), "{mean:?}");
        assert!(sets_of(&chunks, &[]).is_none());
    }
}
