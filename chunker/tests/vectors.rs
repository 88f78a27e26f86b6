//! `VECTORS.md` against this crate, and against the rules of `FORMAT.md` said again plainly.
//!
//! The document is the source: every row of its tables is read and held to. Hashes of structures are
//! worked out twice, by the crate and by the few lines below, so that the document alone suffices to
//! write another implementation.
#![allow(clippy::unwrap_used)]

use cairn_chunker::cbor::{Reader, Writer};
use cairn_chunker::codec::{self, Codec};
use cairn_chunker::cut::Cutter;
use cairn_chunker::frames::Frames;
use cairn_chunker::gear;
use cairn_chunker::id::{ChunkId, DatasetHash};
use cairn_chunker::manifest::{ChunkRef, Class, Envelope, Manifest};
use cairn_chunker::proof::InstanceProof;
use cairn_chunker::span::{Geometry, SpanKind};
use cairn_chunker::tree::{InstanceNode, Leaf, SeriesTree, StudyTree};

const DOCUMENT: &str = include_str!("../VECTORS.md");
const CONTEXT: &str = "cairn 2026-11 v1 ";

/// The cells of every row of every table under a heading, without heads and rulers.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (mut inside, mut in_body) = (false, false);
    let mut out: Vec<Vec<&str>> = Vec::new();
    for line in DOCUMENT.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            inside = title == heading;
        }
        let Some(row) = line.strip_prefix('|').filter(|_| inside) else {
            in_body = false;
            continue;
        };
        let row = row.trim().strip_suffix('|').unwrap();
        if row.starts_with("---") {
            in_body = true;
        } else if in_body {
            out.push(row.split('|').map(|cell| cell.trim().trim_matches('`')).collect());
        }
    }
    assert!(!out.is_empty(), "VECTORS.md has nothing under {heading}");
    out
}

/// A row of exactly so many cells.
fn cells<const N: usize>(row: &[&'static str]) -> [&'static str; N] {
    row.try_into().unwrap_or_else(|_| panic!("{row:?} does not have {N} cells"))
}

fn bytes(cell: &str) -> Vec<u8> {
    hex::decode(cell).unwrap_or_else(|_| panic!("{cell} is not hexadecimal"))
}

fn hash(cell: &str) -> [u8; 32] {
    bytes(cell).try_into().unwrap()
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(cell: &str) -> T {
    cell.parse().unwrap()
}

fn holds(name: &str, is: &str, said: &str) {
    assert_eq!(is, said, "{name}");
}

/// BLAKE3 output of any length for the eight little-endian bytes of a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

// ---- the rules again

fn h(context: &str, bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key(&format!("{CONTEXT}{context}"), bytes)
}

fn merkle(context: &str, leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves.len() {
        0 => h(context, b""),
        1 => leaves[0],
        n => {
            let (left, right) = leaves.split_at(n.next_power_of_two() / 2);
            h(context, &[merkle(context, left), merkle(context, right)].concat())
        }
    }
}

fn gear_table() -> Vec<u64> {
    let mut state = u64::from_le_bytes(*b"CairnGr1");
    (0..256)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
        .collect()
}

fn gear_cut(table: &[u64], bytes: &[u8]) -> usize {
    let end = bytes.len().min(262_144);
    (16_384..end)
        .find(|p| {
            let window = &bytes[p - 64..*p];
            let hash = window.iter().fold(0u64, |h, b| (h << 1).wrapping_add(table[*b as usize]));
            hash & 0xffff_0000_0000_0000 == 0
        })
        .unwrap_or(end)
}

/// What codec 2 predicts for sample `i`, in arithmetic without wrapping.
fn predicted(samples: &[i64], i: usize, left: usize, above: usize) -> i64 {
    let (row, column) = (i / above, i % above);
    match (row > 0, column >= left) {
        (false, false) => 0,
        (false, true) => samples[i - left],
        (true, false) => samples[i - above],
        (true, true) => {
            let (w, n, nw) = (samples[i - left], samples[i - above], samples[i - above - left]);
            match nw {
                _ if nw >= w.max(n) => w.min(n),
                _ if nw <= w.min(n) => w.max(n),
                _ => w + n - nw,
            }
        }
    }
}

/// What stands inside the Zstandard frame of codec 2.
fn codes(plain: &[u8], geometry: Geometry) -> Vec<u8> {
    let sample_bytes = usize::from(geometry.sample_bytes);
    let width = 8 * sample_bytes;
    let mask = (1i64 << width) - 1;
    let sample = |bytes: &[u8]| match (bytes, geometry.big_endian) {
        ([low, high], false) | ([high, low], true) => i64::from(*high) << 8 | i64::from(*low),
        _ => i64::from(bytes[0]),
    };
    let samples: Vec<i64> = plain.chunks_exact(sample_bytes).map(sample).collect();
    let (left, above) = (usize::from(geometry.left), geometry.above as usize);
    let code = |i: usize| {
        let residual = (samples[i] - predicted(&samples, i, left, above)) & mask;
        let sign = if residual >> (width - 1) == 1 { mask } else { 0 };
        ((residual << 1) & mask) ^ sign
    };
    let all: Vec<i64> = (0..samples.len()).map(code).collect();
    let mut out: Vec<u8> = all.iter().map(|code| *code as u8).collect();
    if sample_bytes == 2 {
        out.extend(all.iter().map(|code| (code >> 8) as u8));
    }
    out.extend(plain.chunks_exact(sample_bytes).remainder());
    out
}

fn write_chunk(writer: &mut Writer, chunk: &ChunkRef) {
    writer.bytes(&chunk.id.0).uint(u64::from(chunk.bytes)).uint(chunk.class as u64);
}

fn chunk_leaf(chunk: &ChunkRef) -> [u8; 32] {
    let mut writer = Writer::new();
    write_chunk(&mut writer, chunk);
    h("manifest chunk", &writer.finish())
}

/// The encodings of the envelope's and the frames' fields, from a whole encoding.
fn odd_fields<'a>(manifest: &Manifest, encoded: &'a [u8]) -> (Vec<u8>, &'a [u8], &'a [u8]) {
    let mut identity = Writer::new();
    identity
        .uint(1)
        .text(&manifest.sop_instance_uid)
        .text(&manifest.sop_class_uid)
        .text(&manifest.transfer_syntax_uid)
        .uint(manifest.dataset_bytes)
        .bytes(&manifest.dataset_hash.0);
    let identity = identity.finish();
    let mut chunks = Writer::new();
    chunks.array(manifest.chunks.len() * 3);
    manifest.chunks.iter().for_each(|chunk| write_chunk(&mut chunks, chunk));
    let chunks = chunks.finish();
    assert_eq!(encoded[0], 0x89);
    let rest = encoded[1..].strip_prefix(&identity[..]).unwrap();
    let at = rest.windows(chunks.len()).rposition(|window| window == chunks).unwrap();
    (identity, &rest[..at], &rest[at + chunks.len()..])
}

fn manifest_hash(manifest: &Manifest) -> [u8; 32] {
    let encoded = manifest.encode();
    let (identity, envelope, frames) = odd_fields(manifest, &encoded);
    let leaves: Vec<_> = manifest.chunks.iter().map(chunk_leaf).collect();
    let mut tail = Writer::new();
    tail.bytes(&h("manifest", envelope))
        .uint(leaves.len() as u64)
        .bytes(&merkle("manifest node", &leaves))
        .bytes(&h("manifest", frames));
    h("manifest", &[&[0x8a], &identity[..], &tail.finish()].concat())
}

fn pixel_digest(manifest: &Manifest) -> [u8; 32] {
    let shown = manifest.chunks.iter().filter(|chunk| [2, 3, 5].contains(&(chunk.class as u8)));
    let ids: Vec<u8> = shown.flat_map(|chunk| [&[0x58, 0x20], &chunk.id.0[..]].concat()).collect();
    h("pixel digest", &ids)
}

fn leaf_hash(leaf: &Leaf) -> [u8; 32] {
    let mut writer = Writer::new();
    writer
        .array(5)
        .text(&leaf.sop_instance_uid)
        .text(&leaf.sop_class_uid)
        .text(&leaf.transfer_syntax_uid)
        .uint(leaf.dataset_bytes)
        .bytes(&leaf.dataset_hash.0);
    h("instance leaf", &writer.finish())
}

/// From leaves in any order.
fn series_root(uid: &str) -> [u8; 32] {
    let mut own: Vec<Leaf> =
        instances().into_iter().filter(|(of, _)| *of == uid).map(|(_, leaf)| leaf).collect();
    own.sort_by(|a, b| a.sop_instance_uid.as_bytes().cmp(b.sop_instance_uid.as_bytes()));
    let leaves: Vec<_> = own.iter().map(leaf_hash).collect();
    let mut writer = Writer::new();
    writer
        .array(4)
        .text(uid)
        .uint(own.len() as u64)
        .uint(own.iter().map(|leaf| leaf.dataset_bytes).sum())
        .bytes(&merkle("series node", &leaves));
    h("series root", &writer.finish())
}

fn study_root(study: &StudyTree) -> [u8; 32] {
    let roots: Vec<_> = study.series.iter().map(|series| series_root(&series.series_uid)).collect();
    let mut writer = Writer::new();
    writer
        .array(5)
        .text(&study.study_uid)
        .uint(roots.len() as u64)
        .uint(study.instances())
        .uint(study.bytes())
        .bytes(&merkle("study node", &roots));
    h("study root", &writer.finish())
}

// ---- what the document describes

fn chunk_ref(value: &str) -> ChunkRef {
    use Class::{Bulk, Frame, FrameTable, Header, Opaque, Pixels};
    let words: Vec<&str> = value.split(' ').collect();
    let class = [Header, Bulk, Pixels, Frame, FrameTable, Opaque][number::<usize>(words[0])];
    ChunkRef { class, bytes: number(words[1]), id: ChunkId(hash(words[2])) }
}

fn frames(value: &str) -> Frames {
    let (kind, numbers) = value.split_once(' ').unwrap();
    let numbers: Vec<u64> = numbers.split(' ').map(number).collect();
    if kind == "native" {
        return Frames::Native { offset: numbers[0], frame_bytes: numbers[1], count: numbers[2] };
    }
    let mut end = numbers[0];
    let starts = numbers[1..]
        .iter()
        .map(|length| {
            end += length;
            end - length
        })
        .collect();
    Frames::Encapsulated { starts, end }
}

fn manifest(name: &str) -> Manifest {
    let mut made = Manifest {
        sop_instance_uid: String::new(),
        sop_class_uid: String::new(),
        transfer_syntax_uid: String::new(),
        dataset_bytes: 0,
        dataset_hash: DatasetHash([0; 32]),
        envelope: Envelope::Absent,
        chunks: Vec::new(),
        frames: Frames::None,
    };
    for row in rows("Fields of manifests") {
        let [of, field, value] = cells(&row);
        match field {
            _ if of != name => {}
            "SOP Instance UID" => made.sop_instance_uid = value.into(),
            "SOP Class UID" => made.sop_class_uid = value.into(),
            "transfer syntax UID" => made.transfer_syntax_uid = value.into(),
            "length" => made.dataset_bytes = number(value),
            "data set hash" => made.dataset_hash = DatasetHash(hash(value)),
            "envelope" => made.envelope = Envelope::Inline(bytes(value)),
            "envelope chunk" => made.envelope = Envelope::Chunked(vec![chunk_ref(value)]),
            "chunk" => made.chunks.push(chunk_ref(value)),
            "frames" => made.frames = frames(value),
            _ => panic!("{row:?}"),
        }
    }
    made
}

/// Series UID and leaf of every instance of the study.
fn instances() -> Vec<(&'static str, Leaf)> {
    rows("Instances of the study")
        .iter()
        .map(|row| {
            let [series, sop, class, syntax, length, dataset] = cells(row);
            let leaf = Leaf {
                sop_instance_uid: sop.into(),
                sop_class_uid: class.into(),
                transfer_syntax_uid: syntax.into(),
                dataset_bytes: number(length),
                dataset_hash: DatasetHash(hash(dataset)),
            };
            (series, leaf)
        })
        .collect()
}

fn instance(sop: &str) -> (&'static str, Leaf) {
    instances().into_iter().find(|(_, leaf)| leaf.sop_instance_uid == sop).unwrap()
}

fn study() -> StudyTree {
    let mut series: Vec<(&str, Vec<InstanceNode>)> = Vec::new();
    for (uid, leaf) in instances() {
        let node = InstanceNode {
            leaf: leaf.hash(),
            dataset_bytes: leaf.dataset_bytes,
            sop_instance_uid: leaf.sop_instance_uid,
        };
        match series.iter_mut().find(|(known, _)| *known == uid) {
            Some((_, nodes)) => nodes.push(node),
            None => series.push((uid, vec![node])),
        }
    }
    let trees = series.into_iter().map(|(uid, nodes)| SeriesTree::new(uid.into(), nodes));
    StudyTree::new("2.25.1".into(), trees.collect())
}

// ---- vectors

#[test]
fn canonical_encoding() {
    for row in rows("Canonical encoding") {
        let [kind, value, encoded] = cells(&row);
        if kind == "refused" {
            let encoded = bytes(encoded);
            let mut reader = Reader::new(&encoded, "vector");
            let read = match value {
                "uint" => reader.uint().map(|_| ()),
                "bytes" => reader.bytes(64).map(|_| ()),
                _ => reader.text(64).map(|_| ()),
            };
            assert!(read.and_then(|()| reader.end()).is_err(), "{row:?}");
            continue;
        }
        let mut writer = Writer::new();
        match kind {
            "uint" => writer.uint(number(value)),
            "bytes" => writer.bytes(&bytes(value)),
            "text" => writer.text(value),
            "null" => writer.null(),
            _ => {
                let numbers: Vec<u64> = value.split(' ').map(number).collect();
                numbers.iter().fold(writer.array(numbers.len()), |writer, n| writer.uint(*n))
            }
        };
        holds(value, &hex::encode(writer.finish()), encoded);
    }
}

#[test]
fn chunk_ids() {
    for row in rows("Chunk ids") {
        let [plain, id] = cells(&row);
        holds(plain, &ChunkId::of(&bytes(plain)).to_string(), id);
    }
}

#[test]
fn gear_table_and_cuts() {
    let table = gear_table();
    let all: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    for row in rows("Gear table") {
        let [entry, value] = cells(&row);
        let is = match entry {
            "all" => ChunkId::of(&all).to_string(),
            _ => format!("{:016x}", table[number::<usize>(entry)]),
        };
        holds(entry, &is, value);
    }
    for row in rows("Cuts by content") {
        let [seed, length, said] = cells(&row);
        let length = number(length);
        let bytes = if seed == "zeros" { vec![0; length] } else { noise(number(seed), length) };
        let (mut at, mut ends) = (0, Vec::new());
        while at < bytes.len() {
            let cut = gear::first_cut(&bytes[at..], true).unwrap();
            assert_eq!(cut, gear_cut(&table, &bytes[at..]));
            at += cut;
            ends.push(at.to_string());
        }
        holds(seed, &ends.join(" "), said);
    }
}

#[test]
fn cuts_of_spans() {
    for row in rows("Cuts of spans") {
        let [span, length, said] = cells(&row);
        let kind = match span.split_once(' ') {
            Some((_, bytes)) => SpanKind::Pixels { frame_bytes: number(bytes), geometry: None },
            None if span == "frame" => SpanKind::Frame,
            None if span == "header" => SpanKind::Header,
            None if span == "bulk" => SpanKind::Bulk,
            None => SpanKind::Opaque,
        };
        let bytes = noise(1, number(length));
        let mut cutter = Cutter::new(kind);
        let (mut rest, mut lengths) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let length = cutter.next(rest, true).unwrap();
            lengths.push(length.to_string());
            rest = &rest[length..];
        }
        holds(span, &lengths.join(" "), said);
    }
}

#[test]
fn codecs() {
    for row in rows("Codecs") {
        let [name, id, coded, plain] = cells(&row);
        let codec = Codec::from_id(number(id)).unwrap();
        let (coded, plain) = (bytes(coded), bytes(plain));
        assert_eq!(codec::decode(codec, &coded, plain.len()).unwrap(), plain, "{name}");
        assert!(codec::decode(codec, &coded, plain.len() + 1).is_err(), "{name}");
    }
}

#[test]
fn residuals() {
    for row in rows("Residuals of codec 2") {
        let [name, geometry, plain, said] = cells(&row);
        let words: Vec<&str> = geometry.split(' ').collect();
        let geometry = Geometry {
            sample_bytes: number::<u8>(words[0]) / 8,
            big_endian: words[1] == "big",
            left: number(words[2]),
            above: number(words[3]),
        };
        let plain = bytes(plain);
        let codes = codes(&plain, geometry);
        holds(name, &hex::encode(&codes), said);
        // The codes in a raw Zstandard block are what the crate decodes, without a compressor.
        let flags = u8::from(geometry.sample_bytes == 2) | u8::from(geometry.big_endian) << 1;
        let mut coded = vec![flags, geometry.left];
        coded.extend(geometry.above.to_le_bytes());
        coded.extend([0x28, 0xb5, 0x2f, 0xfd, 0x20, codes.len() as u8]);
        coded.extend(&((codes.len() as u32) << 3 | 1).to_le_bytes()[..3]);
        coded.extend(&codes);
        assert_eq!(codec::decode(Codec::PixelMed, &coded, plain.len()).unwrap(), plain, "{name}");
    }
}

#[test]
fn manifests() {
    for row in rows("Manifests") {
        let [name, what, said] = cells(&row);
        let manifest = manifest(name);
        let leaves: Vec<_> = manifest.chunks.iter().map(chunk_leaf).collect();
        let is = match what {
            "encoding" => hex::encode(manifest.encode()),
            "stored as" => ChunkId::of(&manifest.encode()).to_string(),
            "leaf of chunk 0" => hex::encode(leaves[0]),
            "chunk root" => hex::encode(merkle("manifest node", &leaves)),
            "manifest hash" => hex::encode(manifest_hash(&manifest)),
            "pixel digest" => hex::encode(pixel_digest(&manifest)),
            _ => hex::encode(leaf_hash(&manifest.leaf())),
        };
        holds(&format!("{what} of manifest {name}"), &is, said);
        assert_eq!(manifest.hash().0, manifest_hash(&manifest));
        assert_eq!(manifest.pixel_digest().0, pixel_digest(&manifest));
        assert_eq!(manifest.leaf_hash().0, leaf_hash(&manifest.leaf()));
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
    }
}

#[test]
fn the_study() {
    let study = study();
    for row in rows("The study") {
        let [what, of, said] = cells(&row);
        let (by_the_rules, by_the_crate) = match what {
            "leaf" => (leaf_hash(&instance(of).1), instance(of).1.hash().0),
            "series root" => {
                let tree = study.series.iter().find(|tree| tree.series_uid == of).unwrap();
                (series_root(of), tree.root().0)
            }
            "study root" => (study_root(&study), study.root().0),
            _ => {
                assert_eq!(what, "root of no series");
                (study_root(&StudyTree::new(of.into(), vec![])), {
                    StudyTree::new(of.into(), vec![]).root().0
                })
            }
        };
        assert_eq!(by_the_rules, by_the_crate, "{what} {of}");
        holds(what, &hex::encode(by_the_rules), said);
    }
}

#[test]
fn proofs() {
    let study = study();
    for row in rows("Proofs") {
        let [of, verdict, said] = cells(&row);
        if verdict != "holds" {
            let read = InstanceProof::decode(&bytes(said));
            assert!(read.and_then(|proof| proof.verify()).is_err(), "{of}");
            continue;
        }
        let (series, leaf) = instance(of);
        let proof = InstanceProof::new(&study, series, &leaf).unwrap();
        holds(of, &hex::encode(proof.encode()), said);
        let read = InstanceProof::decode(&bytes(said)).unwrap();
        assert_eq!(read, proof);
        read.verify().unwrap();
        assert_eq!((read.root, read.leaf), (study.root(), leaf));
    }
}
