//! Prints files as DICOM JSON, one object a line. `cargo run --release -p cairn-dicom --example json --
//! FILE…`. With one of these first:
//!
//! * `--time`: how long all of them take instead, and how fast that is by bytes of what is not pixel data;
//! * `--explicit DIR`: writes each as Explicit VR Little Endian to `DIR/<number>.dcm`;
//! * `--back DIR`: writes what its JSON and bulk data are as an object again.
//!
//! For comparing with other readers.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_chunker::span::SpanKind;
use cairn_dicom::{Framing, Object, PROBE_BYTES, Splitter, envelope, json, probe, syntax};

/// How often each file is written to measure. The fastest counts: the others shared the machine.
const ROUNDS: u32 = 50;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let mode = paths.first().filter(|mode| mode.starts_with("--")).cloned().unwrap_or_default();
    let taken = match mode.as_str() {
        "" => 0,
        "--time" => 1,
        _ => 2,
    };
    let folder = PathBuf::from(paths.drain(..taken).next_back().unwrap_or_default());
    if mode == "--time" {
        return time(&paths, &mut out);
    }
    for (i, path) in paths.iter().enumerate() {
        let bytes = Bytes::from(std::fs::read(path)?);
        let Some((object, _)) = object(&bytes) else {
            writeln!(out, "null")?;
            continue;
        };
        let dataset = bytes.slice(object.envelope_bytes as usize..);
        let file = folder.join(format!("{i}.dcm"));
        match mode.as_str() {
            "" => {
                let mut text = Vec::new();
                if print(&object, &dataset, &mut text)?.cut {
                    eprintln!("{path}: cut");
                }
                out.write_all(&text)?;
                writeln!(out)?;
            }
            "--explicit" => std::fs::write(file, explicit(&object, dataset)?)?,
            _ => match back(&object, &dataset)? {
                Ok(bytes) => std::fs::write(file, bytes)?,
                Err(error) => eprintln!("{path}: {error}"),
            },
        }
    }
    Ok(())
}

fn print(object: &Object, dataset: &Bytes, text: &mut Vec<u8>) -> io::Result<json::Written> {
    let uid = object.identity(&[0; 32]).sop_instance_uid;
    json::write(&mut dataset.clone(), &object.transfer_syntax, &uid, text)
}

fn time(paths: &[String], out: &mut impl Write) -> io::Result<()> {
    let mut spent = Duration::ZERO;
    let (mut header_bytes, mut json_bytes) = (0, 0);
    for path in paths {
        let bytes = Bytes::from(std::fs::read(path)?);
        let Some((object, pixels)) = object(&bytes) else { continue };
        let dataset = bytes.slice(object.envelope_bytes as usize..);
        let mut text = Vec::new();
        let mut fastest = Duration::MAX;
        for _ in 0..ROUNDS {
            text.clear();
            let start = Instant::now();
            print(&object, &dataset, &mut text)?;
            fastest = fastest.min(start.elapsed());
        }
        spent += fastest;
        header_bytes += dataset.len() as u64 - pixels;
        json_bytes += text.len();
    }
    let rate = header_bytes as f64 / spent.as_secs_f64() / 1e6;
    writeln!(out, "{header_bytes} header bytes, {json_bytes} of JSON, {spent:?}, {rate:.0} MB/s")
}

fn explicit(object: &Object, dataset: Bytes) -> io::Result<Vec<u8>> {
    let mut identity = object.identity(&[0; 32]);
    if !syntax::is_encapsulated(&object.transfer_syntax) {
        syntax::EXPLICIT_LE.clone_into(&mut identity.transfer_syntax_uid);
    }
    let mut file = envelope::synthesize(&identity);
    let mut source = dataset;
    let rewritten = json::explicit_le(&mut source, &object.transfer_syntax, &[])?;
    for piece in rewritten.into_pieces() {
        file.extend(all(piece, &mut source)?);
    }
    Ok(file)
}

fn back(object: &Object, dataset: &Bytes) -> io::Result<Result<Vec<u8>, json::ReadError>> {
    let mut text = Vec::new();
    print(object, dataset, &mut text)?;
    let value = serde_json::from_slice(&text)?;
    let bulk = |uri: &str| {
        let mut source = dataset.clone();
        let path = uri.rsplit('/').next()?;
        let found = json::find(&mut source, &object.transfer_syntax, path).ok()??;
        let value = all(found.value, &mut source).ok()?;
        // Which fragments make a frame is not asked here.
        let encapsulated = found.encapsulated.then(|| object.transfer_syntax.clone());
        let parts = vec![value.into()];
        Some(json::Bulk { parts, transfer_syntax: encapsulated, media_type: None })
    };
    Ok(json::read(&value, &bulk).map(|composed| composed.pieces.concat()))
}

fn all(mut piece: json::Piece, source: &mut Bytes) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(more) = piece.next(source)? {
        bytes.extend(more);
    }
    Ok(bytes)
}

/// What the splitter makes of a file, and how many bytes are pixels.
fn object(bytes: &Bytes) -> Option<(Object, u64)> {
    let head = &bytes[..bytes.len().min(PROBE_BYTES)];
    let framing = probe(head, bytes.len() <= PROBE_BYTES).unwrap_or(Framing::MetaOnly);
    let mut splitter = Splitter::new(framing);
    let mut spans = Vec::new();
    splitter.advance(bytes, 0, true, &mut spans).ok()?;
    let ends = spans.iter().skip(1).map(|span| span.at).chain([bytes.len() as u64]);
    let pixels = spans
        .iter()
        .zip(ends)
        .filter(|(span, _)| matches!(span.kind, SpanKind::Pixels { .. } | SpanKind::Frame))
        .map(|(span, end)| end - span.at)
        .sum();
    Some((splitter.finish(), pixels))
}
