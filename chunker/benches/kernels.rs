//! What each step costs by itself, on one thread: cutting, naming, coding, manifests.
//!
//! `cargo bench -p cairn-chunker`, or with `-- --quick` for a first look. The data is made here from a
//! fixed seed; `cairn-bench codec` measures the codecs on real images. Throughput is of plain bytes.

use std::hint::black_box;

use cairn_chunker::codec::{Content, Effort, comes_back, decode, encode};
use cairn_chunker::cut::Cutter;
use cairn_chunker::frames::Frames;
use cairn_chunker::gear::first_cut;
use cairn_chunker::id::{ChunkId, DatasetHash};
use cairn_chunker::manifest::{ChunkRef, Class, Envelope, Manifest};
use cairn_chunker::span::{Geometry, SpanKind};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// The side of a picture in pixels.
const SIDE: u32 = 512;
/// Any seed will do.
const SEED: u64 = 41;

/// SplitMix64: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A bell over about ±`spread`: the sum of four.
    fn noise(&mut self, spread: i64) -> i64 {
        let bits = self.next();
        let parts = [0, 16, 32, 48].map(|shift| i64::from((bits >> shift) as u16));
        (parts.iter().sum::<i64>() - 2 * 65_535) * spread / (2 * 65_535)
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut dice = Dice(SEED);
    (0..bytes.div_ceil(8)).flat_map(|_| dice.next().to_le_bytes()).take(bytes).collect()
}

/// A slice as a CT has it: air around a body of soft shades, 12 bits in 16, with noise.
fn slice() -> Vec<u8> {
    let mut dice = Dice(SEED);
    let half = i64::from(SIDE / 2);
    let mut out = Vec::new();
    for y in -half..half {
        for x in -half..half {
            let inside = x * x * 3 + y * y * 4 < half * half * 2;
            let shade = if inside { 1040 + x / 8 + (y * y) / 900 } else { 24 };
            let value = shade + dice.noise(if inside { 36 } else { 8 });
            out.extend((value.clamp(0, 4095) as u16).to_le_bytes());
        }
    }
    out
}

/// A colour picture, eight bits a sample, as an ultrasound has it: mostly grey, black at the edges.
fn colour() -> Vec<u8> {
    let mut dice = Dice(SEED);
    let mut out = Vec::new();
    for y in 0..i64::from(SIDE) {
        for x in 0..i64::from(SIDE) {
            let inside = (x - 256).abs() < y;
            let grey = if inside { 60 + (x + y) / 12 + dice.noise(14) } else { 0 };
            let grey = grey.clamp(0, 255) as u8;
            out.extend([grey, grey, grey.saturating_add(u8::from(inside) * 6)]);
        }
    }
    out
}

fn cutting(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("cut");
    let bytes = noise(4 << 20);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("gear, 4 MiB", |bench| {
        bench.iter(|| {
            let mut rest = black_box(&*bytes);
            while let Some(length) = first_cut(rest, true).filter(|length| *length > 0) {
                rest = &rest[length..];
            }
            rest.len()
        });
    });
    group.bench_function("frames of 512 KiB, 4 MiB", |bench| {
        bench.iter(|| {
            let kind = SpanKind::Pixels { frame_bytes: 512 << 10, geometry: None };
            let (mut cutter, mut rest) = (Cutter::new(kind), black_box(&*bytes));
            while let Some(length) = cutter.next(rest, true) {
                rest = &rest[length..];
            }
            rest.len()
        });
    });
    group.finish();
}

fn naming(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("name");
    let bytes = noise(1 << 20);
    for (name, length) in
        [("1 KiB", 1 << 10), ("16 KiB", 16 << 10), ("64 KiB", 64 << 10), ("512 KiB", 512 << 10)]
    {
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(name, |bench| bench.iter(|| ChunkId::of(black_box(&bytes[..length]))));
    }
    group.finish();
}

fn coding(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("codec");
    let geometry = |sample_bytes, left| Geometry {
        sample_bytes,
        big_endian: false,
        left,
        above: SIDE * u32::from(left),
    };
    let pictures = [
        ("CT, 16 bits", slice(), Content::Pixels(geometry(2, 1))),
        ("RGB, 8 bits", colour(), Content::Pixels(geometry(1, 3))),
        ("noise", noise(512 << 10), Content::Dense),
    ];
    for (name, plain, content) in pictures {
        let coded = encode(&plain, content, Effort::default());
        let payload = coded.payload(&plain).to_vec();
        assert_eq!(decode(coded.codec, &payload, plain.len()).as_deref(), Ok(&*plain), "{name}");
        group.throughput(Throughput::Bytes(plain.len() as u64));
        group.bench_function(format!("encode, {name}"), |bench| {
            bench.iter(|| encode(black_box(&plain), content, Effort::default()));
        });
        group.bench_function(format!("verify, {name}"), |bench| {
            bench.iter(|| comes_back(black_box(&coded), &plain));
        });
        group.bench_function(format!("decode, {name}"), |bench| {
            bench.iter(|| decode(coded.codec, black_box(&payload), plain.len()));
        });
    }
    group.finish();
}

/// An instance of a header and so many chunks of pixels.
fn manifest(chunks: u32) -> Manifest {
    let mut dice = Dice(SEED);
    let mut chunk = |class, bytes| {
        let id = ChunkId::of(&dice.next().to_le_bytes());
        ChunkRef { id, bytes, class }
    };
    let header = chunk(Class::Header, 2000);
    let pixels = (0..chunks).map(|_| chunk(Class::Pixels, 524_288));
    let chunks_all: Vec<ChunkRef> = std::iter::once(header).chain(pixels).collect();
    Manifest {
        sop_instance_uid: "1.2.826.0.1.3680043.10.1338.1".to_owned(),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
        transfer_syntax_uid: "1.2.840.10008.1.2.1".to_owned(),
        dataset_bytes: chunks_all.iter().map(|chunk| u64::from(chunk.bytes)).sum(),
        dataset_hash: DatasetHash::of(b"data set"),
        envelope: Envelope::Inline(vec![0; 350]),
        chunks: chunks_all,
        frames: Frames::Native { offset: 2000, frame_bytes: 524_288, count: u64::from(chunks) },
    }
}

fn manifests(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("manifest");
    for chunks in [1, 1000] {
        let manifest = manifest(chunks);
        let coded = manifest.encode();
        assert_eq!(Manifest::decode(&coded).as_ref(), Ok(&manifest));
        group.throughput(Throughput::Elements(u64::from(chunks) + 1));
        group.bench_function(format!("encode, {chunks} frames"), |bench| {
            bench.iter(|| black_box(&manifest).encode());
        });
        group.bench_function(format!("decode, {chunks} frames"), |bench| {
            bench.iter(|| Manifest::decode(black_box(&coded)));
        });
        group.bench_function(format!("hash, {chunks} frames"), |bench| {
            bench.iter(|| black_box(&manifest).hash());
        });
    }
    group.finish();
}

criterion_group!(kernels, cutting, naming, coding, manifests);
criterion_main!(kernels);
