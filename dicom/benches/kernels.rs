//! What splitting an object costs: `cargo bench -p cairn-dicom`, or with `-- --quick`.
//!
//! Pixels are skipped, so throughput in bytes says little of itself: it is there to be held against
//! hashing, which reads them.

use std::hint::black_box;

use cairn_dicom::phantom::{ct, structured_report, ultrasound_cine};
use cairn_dicom::{PROBE_BYTES, Splitter, probe};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Any seed will do.
const SEED: u64 = 41;

/// Spans and attributes of a whole object.
fn split(file: &[u8]) -> usize {
    let Ok(framing) = probe(&file[..file.len().min(PROBE_BYTES)], true) else { return 0 };
    let (mut splitter, mut spans) = (Splitter::new(framing), Vec::new());
    let done = splitter.advance(file, 0, true, &mut spans);
    assert!(done.is_ok(), "a phantom is refused");
    black_box(splitter.finish());
    spans.len()
}

fn splitting(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("split");
    let slice = ct(SEED, 1, 512).next().map(|file| file.bytes).unwrap_or_default();
    let objects = [
        ("CT slice", slice),
        ("colour loop of 30 frames", ultrasound_cine(SEED, 30, 256).bytes),
        ("structured report", structured_report(SEED).bytes),
    ];
    for (name, file) in objects {
        assert!(split(&file) > 1, "{name} has one span");
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(name, |bench| bench.iter(|| split(black_box(&file))));
    }
    group.finish();
}

criterion_group!(kernels, splitting);
criterion_main!(kernels);
