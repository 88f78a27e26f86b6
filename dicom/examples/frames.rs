//! Decodes every frame of files and prints one tab-separated line for each: path, frame, transfer
//! syntax, photometric interpretation before and after, planes, bits, bytes, BLAKE3 of the plain samples;
//! or what went wrong. `cargo run --release -p cairn-dicom --example frames -- FILE…`. With `--write DIR`
//! first, the samples go into files there too; with `--time`, one line for each file with seconds.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_chunker::frames::Frames;
use cairn_dicom::pixels::{Decoded, ImageLayout, PixelError, bit_frame, decode, in_words};
use cairn_dicom::{Object, PROBE_BYTES, Splitter, probe};

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut dir, mut time) = (None, false);
    let mut arguments = std::env::args().skip(1);
    let mut number = 0;
    while let Some(path) = arguments.next() {
        match path.as_str() {
            "--write" => dir = arguments.next().map(PathBuf::from),
            "--time" => time = true,
            _ => {
                let file = Bytes::from(std::fs::read(&path)?);
                match split(&file) {
                    Err(reason) => writeln!(out, "{path}\t-\terror\t{reason}")?,
                    Ok(object) if time => seconds(&mut out, &path, &file, &object)?,
                    Ok(object) => {
                        for index in 0..frame_count(&object) {
                            let frame = frame(&file, &object, index);
                            let file = dir.as_ref().map(|dir| dir.join(format!("{number}")));
                            number += 1;
                            line(&mut out, &path, index, &object, frame, file)?;
                        }
                    }
                }
            }
        }
    }
    out.flush()
}

fn split(file: &Bytes) -> Result<Object, String> {
    let head = &file[..file.len().min(PROBE_BYTES)];
    let framing = probe(head, true).map_err(|error| error.to_string())?;
    let mut splitter = Splitter::new(framing);
    splitter.advance(file, 0, true, &mut Vec::new()).map_err(|error| error.to_string())?;
    Ok(splitter.finish())
}

fn frame_count(object: &Object) -> u64 {
    let count = object.frames.count();
    let layout = ImageLayout::of(&object.attributes).ok().filter(ImageLayout::shares_bytes);
    layout.filter(|_| count == 1).map_or(count, |layout| layout.frames).max(1)
}

/// The bytes of one frame, and how its samples lie.
fn frame(file: &Bytes, object: &Object, index: u64) -> Result<(ImageLayout, Bytes), PixelError> {
    let mut layout = ImageLayout::of(&object.attributes)?;
    let dataset = file.slice(object.envelope_bytes as usize..);
    if let (Frames::Native { offset, .. }, 1) = (&object.frames, layout.bits_allocated) {
        let value = dataset.slice(*offset as usize..);
        return Ok((layout, bit_frame(&layout, &value, index)?));
    }
    let range = object.frames.range(index).ok_or(PixelError::Layout("no frames"))?;
    let (start, mut end) = (range.start as usize, range.end as usize);
    if let Frames::Native { offset, .. } = object.frames {
        let offset = offset as usize;
        layout.in_words = in_words(&dataset[offset.saturating_sub(12)..offset]);
        if layout.in_words {
            end = end.next_multiple_of(2).min(dataset.len());
        }
    }
    Ok((layout, dataset.slice(start..end)))
}

fn line(
    out: &mut impl Write,
    path: &str,
    index: u64,
    object: &Object,
    frame: Result<(ImageLayout, Bytes), PixelError>,
    file: Option<PathBuf>,
) -> io::Result<()> {
    let syntax = &object.transfer_syntax;
    let decoded = frame.and_then(|(layout, frame)| {
        decode(syntax, &layout, &frame).map(|decoded| (layout.photometric, decoded))
    });
    match decoded {
        Err(error) => writeln!(out, "{path}\t{index}\terror\t{syntax}\t{error}"),
        Ok((before, Decoded { bytes, layout })) => {
            if let Some(file) = file {
                std::fs::write(file, &bytes)?;
            }
            writeln!(
                out,
                "{path}\t{index}\tok\t{syntax}\t{}\t{}\t{}\t{}\t{}\t{}",
                before.name(),
                layout.photometric.name(),
                u8::from(layout.planar),
                layout.bits_allocated,
                bytes.len(),
                blake3_hex(&bytes),
            )
        }
    }
}

fn blake3_hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn seconds(out: &mut impl Write, path: &str, file: &Bytes, object: &Object) -> io::Result<()> {
    let (mut took, mut bytes, mut frames) = (Duration::ZERO, 0, 0);
    for index in 0..frame_count(object) {
        let Ok((layout, frame)) = frame(file, object, index) else { continue };
        let start = Instant::now();
        let Ok(decoded) = decode(&object.transfer_syntax, &layout, &frame) else { continue };
        took += start.elapsed();
        bytes += decoded.bytes.len();
        frames += 1;
    }
    let took = took.as_secs_f64();
    writeln!(out, "{path}\t{}\t{frames}\t{bytes}\t{took:.6}", object.transfer_syntax)
}
