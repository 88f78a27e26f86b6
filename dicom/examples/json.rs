//! Prints files as DICOM JSON, one object a line. `cargo run --release -p cairn-dicom --example json --
//! FILE…`; with `--time` first, the time that all of them take instead, and how fast that is by bytes of
//! what is not pixel data.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_dicom::{Framing, Object, Splitter, json, probe};

/// How often each file is written to measure.
const ROUNDS: u32 = 50;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut timed = false;
    let mut spent = Duration::ZERO;
    let (mut header_bytes, mut json_bytes) = (0, 0);
    for path in std::env::args().skip(1) {
        if path == "--time" {
            timed = true;
            continue;
        }
        let bytes = Bytes::from(std::fs::read(&path)?);
        let Some((object, pixels)) = object(&bytes) else {
            writeln!(out, "null")?;
            continue;
        };
        let mut dataset = bytes.slice(object.envelope_bytes as usize..);
        let uid = object.identity(&[0; 32]).sop_instance_uid;
        let mut text = Vec::new();
        let rounds = if timed { ROUNDS } else { 1 };
        let start = Instant::now();
        for _ in 0..rounds {
            text.clear();
            let written = json::write(&mut dataset, &object.transfer_syntax, &uid, &mut text)?;
            if written.cut {
                eprintln!("{path}: cut");
            }
        }
        spent += start.elapsed() / rounds;
        header_bytes += dataset.len() as u64 - pixels;
        json_bytes += text.len();
        if !timed {
            out.write_all(&text)?;
            writeln!(out)?;
        }
    }
    if timed {
        let rate = header_bytes as f64 / spent.as_secs_f64() / 1e6;
        writeln!(
            out,
            "{header_bytes} header bytes, {json_bytes} of JSON, {spent:?}, {rate:.0} MB/s"
        )?;
    }
    Ok(())
}

/// What the splitter makes of a file, and how many bytes are pixels.
fn object(bytes: &[u8]) -> Option<(Object, u64)> {
    let framing = match probe(&bytes[..bytes.len().min(cairn_dicom::PROBE_BYTES)], true) {
        Ok(framing) => framing,
        Err(_) => Framing::MetaOnly,
    };
    let mut splitter = Splitter::new(framing);
    let mut spans = Vec::new();
    splitter.advance(bytes, 0, true, &mut spans).ok()?;
    use cairn_chunker::span::SpanKind;
    let ends = spans.iter().skip(1).map(|span| span.at).chain([bytes.len() as u64]);
    let pixels = spans
        .iter()
        .zip(ends)
        .filter(|(span, _)| matches!(span.kind, SpanKind::Pixels { .. } | SpanKind::Frame))
        .map(|(span, end)| end - span.at)
        .sum();
    Some((splitter.finish(), pixels))
}
