//! Prints how the splitter sees files: spans, frames, flags and the tags (not the values) of indexed
//! attributes. `cargo run --release -p cairn-dicom --example scan -- FILE…`; with `--lines` first, one
//! tab-separated line a file, for comparing with other readers.

use std::fs::File;
use std::io::{self, Read, Write};

use cairn_chunker::frames::Frames;
use cairn_chunker::span::Boundary;
use cairn_dicom::{Object, PROBE_BYTES, Splitter, probe};

const READ_BYTES: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut lines = false;
    for path in std::env::args().skip(1) {
        if path == "--lines" {
            lines = true;
            continue;
        }
        let found = File::open(&path).map_err(|error| error.to_string()).and_then(scan);
        match found {
            Err(reason) if lines => writeln!(out, "{path}\terror\t{reason}")?,
            Err(reason) => writeln!(out, "{path}: {reason}")?,
            Ok((object, spans, bytes)) if lines => line(&mut out, &path, &object, &spans, bytes)?,
            Ok((object, spans, bytes)) => page(&mut out, &path, &object, &spans, bytes)?,
        }
    }
    Ok(())
}

/// Reads one file in windows, as the store does.
fn scan(mut file: File) -> Result<(Object, Vec<Boundary>, u64), String> {
    let mut window = Vec::new();
    let mut window_at = 0u64;
    let mut spans = Vec::new();
    let mut splitter: Option<Splitter> = None;
    loop {
        let before = window.len();
        let read = (&mut file).take(READ_BYTES as u64).read_to_end(&mut window);
        read.map_err(|error| error.to_string())?;
        let last = window.len() - before < READ_BYTES;
        let splitter = match &mut splitter {
            Some(splitter) => splitter,
            none => {
                let head = &window[..window.len().min(PROBE_BYTES)];
                let framing = probe(head, last).map_err(|error| error.to_string())?;
                none.insert(Splitter::new(framing))
            }
        };
        splitter
            .advance(&window, window_at, last, &mut spans)
            .map_err(|error| error.to_string())?;
        let settled = splitter.settled();
        window.drain(..(settled - window_at) as usize);
        window_at = settled;
        if last {
            break;
        }
    }
    splitter.map(|splitter| (splitter.finish(), spans, window_at)).ok_or_else(String::new)
}

fn line(
    out: &mut impl Write,
    path: &str,
    object: &Object,
    spans: &[Boundary],
    bytes: u64,
) -> io::Result<()> {
    let identity = object.identity(&[0; 32]);
    let (first, end) = match &object.frames {
        Frames::None => (0, 0),
        Frames::Native { offset, frame_bytes, count } => (*offset, offset + frame_bytes * count),
        Frames::Encapsulated { starts, end } => (starts.first().copied().unwrap_or(0), *end),
    };
    let flags: Vec<_> = object.flags.names().collect();
    writeln!(
        out,
        "{path}\tok\t{}\t{}\t{}\t{}\t{}\t{}\t{first}\t{end}\t{bytes}\t{}\t{}",
        identity.sop_instance_uid,
        identity.study_uid,
        identity.transfer_syntax_uid,
        object.envelope_bytes,
        object.frames.count(),
        spans.len(),
        object.attributes.len(),
        flags.join(","),
    )
}

fn page(
    out: &mut impl Write,
    path: &str,
    object: &Object,
    spans: &[Boundary],
    bytes: u64,
) -> io::Result<()> {
    writeln!(out, "{path}: {bytes} bytes, transfer syntax {}", object.transfer_syntax)?;
    for (i, span) in spans.iter().enumerate() {
        let end = spans.get(i + 1).map_or(bytes, |next| next.at);
        writeln!(out, "  {:>12} {:>12}  {:?}", span.at, end - span.at, span.kind)?;
    }
    writeln!(out, "  frames: {}", object.frames.count())?;
    for sentence in object.flags.describe() {
        writeln!(out, "  ! {sentence}")?;
    }
    writeln!(out, "  indexed: {:?}", object.attributes)
}
