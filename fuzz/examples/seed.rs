//! Writes seeds for every target: `cargo run --release --example seed -- CORPUS [FOLDER]`.
//!
//! From phantoms, and from the files of at most 64 KiB under FOLDER: each file as it is for the
//! splitter, and what Cairn makes of it (chunks, coded chunks, manifest, proof, commit, pack) for the
//! others. The ledger's seeds are its test vectors.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cairn_chunker::codec::{Codec, Compression, Content, Effort, encode};
use cairn_chunker::cut::Cutter;
use cairn_chunker::id::{ChunkId, DatasetHash, StudyRoot};
use cairn_chunker::manifest::{ChunkRef, Class, Envelope, Manifest};
use cairn_chunker::proof::InstanceProof;
use cairn_chunker::span::{Boundary, SpanKind};
use cairn_chunker::tree::{InstanceNode, SeriesTree, StudyTree};
use cairn_dicom::phantom::{self, PhantomFile};
use cairn_dicom::syntax::EXPLICIT_LE;
use cairn_dicom::{Object, PROBE_BYTES, Splitter, probe};
use cairn_fuzz::packs::pack_of;
use cairn_fuzz::{frames, input};
use cairn_ledger::entry::{Conditions, Purpose};
use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::opening::Blinding;
use cairn_ledger::patient::{
    Consent, Inquiry, PatientSecret, SignedStatement, StatementBody, Withdrawal,
};
use cairn_store::commit::{
    Commit, DeletionEntry, Entry, InstanceEntry, Outcome, Source, StudyEntry, Target,
};
use cairn_store::pack::{BlockBuilder, RecordKind};

/// As long as `run.sh` lets the fuzzer's inputs become.
const SEED_BYTES_MAX: u64 = 64 << 10;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let corpus = arguments.next().unwrap_or_else(|| "corpus".into());
    let mut files: Vec<Vec<u8>> = phantoms().map(|file| file.bytes).collect();
    if let Some(folder) = arguments.next() {
        collect(&folder, &mut files)?;
    }
    let seeds = Seeds { corpus };
    for bytes in &files {
        seeds.object(bytes)?;
    }
    seeds.cutting()?;
    seeds.dimse()?;
    seeds.ledger()?;
    seeds.patients()?;
    println!("seeds from {} files", files.len());
    Ok(())
}

/// One of each kind that fits.
fn phantoms() -> impl Iterator<Item = PhantomFile> {
    let all = phantom::many_small(1, 12)
        .chain(phantom::ct(1, 2, 64))
        .chain(phantom::mr(1, 2, 64))
        .chain(std::iter::once_with(|| phantom::structured_report(1)));
    all.filter(|file| file.bytes.len() as u64 <= SEED_BYTES_MAX)
}

fn collect(folder: &Path, files: &mut Vec<Vec<u8>>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() && (1..=SEED_BYTES_MAX).contains(&entry.metadata()?.len()) {
            files.push(std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

struct Seeds {
    corpus: PathBuf,
}

impl Seeds {
    /// Conversations: each service once, ended in order; and their parts alone.
    fn dimse(&self) -> io::Result<()> {
        let find = b"\x08\0\x52\0\x06\0\0\0STUDY \x20\0\x0D\0\0\0\0\0";
        let object = b"\x08\0\x16\0\x1A\0\0\x001.2.840.10008.5.1.4.1.1.7\0\x08\0\x18\0\x08\0\0\0\
            1.2.3.4\0\x20\0\x0D\0\x06\0\0\x001.2.3\0\x20\0\x0E\0\x08\0\0\x001.2.3.5\0";
        let (stored, release): (&[u8], &[u8]) = (&[0x17, object.len() as u8, 0], &[5, 0, 0]);
        let asked = |place: u8| [place << 4 | 7, find.len() as u8, 0];
        self.put("dimse_association", &[&[1], &[12, 0, 0], release])?;
        for place in 2..6 {
            let parts: [&[u8]; 6] = [&[1], stored, object, &asked(place), find, release];
            self.put("dimse_association", &parts)?;
        }
        self.put("dimse_message", &[&[0], b"\0\0\0\x01\x02\0\0\0\x30\0"])?;
        self.put("dimse_message", &[&[2], find])?;
        self.put("dimse_message", &[&[2], object])
    }

    /// Named by content, as libFuzzer does, so that the same seed is there once.
    fn put(&self, target: &str, parts: &[&[u8]]) -> io::Result<()> {
        let bytes = parts.concat();
        let folder = self.corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(ChunkId::of(&bytes).to_string()), bytes)
    }

    /// Entries, payloads and notes: all that is in hexadecimal in the document.
    fn ledger(&self) -> io::Result<()> {
        let document = include_str!("../../ledger/VECTORS.md");
        for cell in document.split('`').filter(|cell| cell.len() > 64 && cell.is_ascii()) {
            let digits = cell.as_bytes().chunks(2);
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            let Some(bytes) = digits.map(byte).collect::<Option<Vec<_>>>() else { continue };
            self.put("ledger_entry", &[&bytes])?;
            self.put("ledger_checkpoint", &[&bytes])?;
        }
        Ok(())
    }

    /// A statement of each kind, in bytes and as text, and the card of who signed them.
    fn patients(&self) -> io::Result<()> {
        let secret = PatientSecret::from_seed([7; 32]);
        let (owner, study) = (SiteId([1; 32]), StudyId([2; 32]));
        let consent = Consent {
            study,
            blinding: Blinding([3; 32]),
            grantee: SiteId([4; 32]),
            purpose: Purpose::PatientRequest,
            not_before: 1_800_000_000,
            expires: 1_800_086_400,
            conditions: Conditions::default(),
        };
        for body in [
            StatementBody::Consent(consent),
            StatementBody::Withdrawal(Withdrawal { study, grant: Some(300) }),
            StatementBody::Withdrawal(Withdrawal { study, grant: None }),
            StatementBody::Inquiry(Inquiry { nonce: [5; 32] }),
        ] {
            let signed = SignedStatement::sign(&secret, owner, 1_800_000_000, body);
            let signed = signed.map_err(io::Error::other)?;
            self.put("patient_statement", &[signed.bytes()])?;
            self.put("patient_statement", &[signed.to_text().as_bytes()])?;
        }
        self.put("patient_statement", &[secret.card().to_string().as_bytes()])
    }

    fn object(&self, bytes: &[u8]) -> io::Result<()> {
        let windows = ChunkId::of(bytes).0[0];
        self.put("splitter", &[&[0, windows], bytes])?;
        let head = &bytes[..bytes.len().min(PROBE_BYTES)];
        let Ok(framing) = probe(head, head.len() == bytes.len()) else { return Ok(()) };
        let mut splitter = Splitter::new(framing);
        let mut spans = Vec::new();
        if splitter.advance(bytes, 0, true, &mut spans).is_err() {
            return Ok(());
        }
        let object = splitter.finish();
        let dataset = &bytes[object.envelope_bytes as usize..];
        self.as_sent(&object, dataset, windows)?;
        let chunks = self.chunks(bytes, &spans)?;
        self.manifest(&object, &bytes[..bytes.len() - dataset.len()], dataset, chunks)
    }

    /// The data set alone, as DIMSE brings it; and deflated.
    fn as_sent(&self, object: &Object, dataset: &[u8], windows: u8) -> io::Result<()> {
        let told = |syntax: &&str| *syntax == object.transfer_syntax;
        if let Some(index) = input::SYNTAXES.iter().position(|syntax| told(&syntax)) {
            self.put("splitter", &[&[input::dataset_control(index), windows], dataset])?;
        }
        let syntax = input::SYNTAXES.iter().position(|syntax| told(&syntax)).unwrap_or(1) as u8;
        self.put("dataset", &[&[syntax, windows], dataset])?;
        if let Some(control) = frames::write(&object.transfer_syntax, &object.attributes) {
            for frame in (0..object.frames.count().min(2)).filter_map(|i| object.frames.range(i)) {
                let frame = dataset.get(frame.start as usize..frame.end as usize);
                self.put("frame", &[&control, frame.unwrap_or_default()])?;
            }
        }
        if object.transfer_syntax == EXPLICIT_LE {
            let level = flate2::Compression::default();
            let mut stream = flate2::write::DeflateEncoder::new(Vec::new(), level);
            stream.write_all(dataset)?;
            self.put("splitter", &[&[input::dataset_control(3), windows], &stream.finish()?])?;
        }
        Ok(())
    }

    /// Cuts the object; each chunk is a seed for the codecs.
    fn chunks(&self, bytes: &[u8], spans: &[Boundary]) -> io::Result<Vec<ChunkRef>> {
        let mut chunks = Vec::new();
        let ends = spans.iter().skip(1).map(|span| span.at as usize).chain([bytes.len()]);
        for (span, end) in spans.iter().zip(ends) {
            let mut cutter = Cutter::new(span.kind);
            let mut rest = &bytes[span.at as usize..end];
            while let Some(length) = cutter.next(rest, true) {
                let (chunk, after) = rest.split_at(length);
                rest = after;
                self.codec(span.kind, chunk)?;
                if span.kind != SpanKind::Envelope {
                    let class = Class::of(span.kind);
                    let bytes = chunk.len() as u32;
                    chunks.push(ChunkRef { id: ChunkId::of(chunk), bytes, class });
                }
            }
        }
        Ok(chunks)
    }

    fn codec(&self, kind: SpanKind, chunk: &[u8]) -> io::Result<()> {
        let content = match kind {
            SpanKind::Pixels { geometry: Some(geometry), .. } => Content::Pixels(geometry),
            _ => Content::Text,
        };
        let [a, b, c, _] = (chunk.len() as u32).to_le_bytes();
        let turbo = Effort { compression: Compression::Turbo, ..Effort::default() };
        let coded = encode(chunk, content, turbo);
        self.put("codec_decode", &[&[coded.codec.id(), a, b, c], coded.payload(chunk)])?;
        let coded = encode(chunk, content, Effort::default());
        self.put("codec_decode", &[&[coded.codec.id(), a, b, c], coded.payload(chunk)])?;
        if coded.codec == Codec::Stored {
            return Ok(());
        }
        let control = match content {
            Content::Pixels(geometry) => {
                let [a, b, c, d] = geometry.above.to_le_bytes();
                let shape = geometry.sample_bytes | u8::from(geometry.big_endian) << 2;
                [2, shape, geometry.left, a, b, c, d, 0b1100]
            }
            Content::Text | Content::Dense => [0, 0, 0, 0, 0, 0, 0, 0b100],
        };
        self.put("codec_roundtrip", &[&control, chunk])
    }

    fn manifest(
        &self,
        object: &Object,
        envelope: &[u8],
        dataset: &[u8],
        chunks: Vec<ChunkRef>,
    ) -> io::Result<()> {
        let dataset_hash = DatasetHash::of(dataset);
        let identity = object.identity(&dataset_hash.0);
        let manifest = Manifest {
            sop_instance_uid: identity.sop_instance_uid,
            sop_class_uid: identity.sop_class_uid,
            transfer_syntax_uid: identity.transfer_syntax_uid,
            dataset_bytes: dataset.len() as u64,
            dataset_hash,
            envelope: Envelope::Inline(envelope.to_vec()),
            chunks,
            frames: object.frames.clone(),
        };
        let encoded = manifest.encode();
        self.put("manifest", &[&encoded])?;
        self.recorded(&manifest, &encoded, &identity.study_uid, &identity.series_uid, object)?;
        let node = |extra: usize| InstanceNode {
            sop_instance_uid: format!("{}{}", manifest.sop_instance_uid, ".1".repeat(extra)),
            leaf: manifest.leaf_hash(),
            dataset_bytes: manifest.dataset_bytes,
        };
        let instances = 1 + dataset.len() % 9;
        let series = SeriesTree::new(identity.series_uid, (0..instances).map(node).collect());
        let name = series.series_uid.clone();
        let others =
            (0..dataset.len() % 3).map(|i| SeriesTree::new(format!("1.{i}"), vec![node(0)]));
        let study = StudyTree::new(identity.study_uid, others.chain([series]).collect());
        match InstanceProof::new(&study, &name, &manifest.leaf()) {
            Some(proof) => self.put("manifest", &[&proof.encode()]),
            None => Ok(()),
        }
    }

    /// The commit that names it, and a pack of both.
    fn recorded(
        &self,
        manifest: &Manifest,
        encoded: &[u8],
        study_uid: &str,
        series_uid: &str,
        object: &Object,
    ) -> io::Result<()> {
        let instance = InstanceEntry {
            manifest: ChunkId::of(encoded),
            study_uid: study_uid.to_owned(),
            series_uid: series_uid.to_owned(),
            flags: object.flags.bits(),
            received_ms: 1_700_000_000_000,
            source: Source::Import,
            outcome: Outcome::New,
            visible: true,
            attributes: object.attributes.clone(),
        };
        let study = StudyEntry {
            study_uid: study_uid.to_owned(),
            version: 1,
            root: StudyRoot(manifest.leaf_hash().0),
            previous: None,
            instances: 1,
            bytes: manifest.dataset_bytes,
            created_ms: 1_700_000_000_000,
        };
        let deletion = DeletionEntry {
            target: Target {
                study_uid: study_uid.to_owned(),
                series_uid: Some(series_uid.to_owned()),
                sop_instance_uid: None,
            },
            deleted_ms: 1_700_000_000_000,
        };
        let entries = vec![
            Entry::Instance(Box::new(instance)),
            Entry::Study(study),
            Entry::Deletion(deletion),
        ];
        let commit = Commit { first_seq: 1, entries }.encode();
        self.put("commit", &[&commit])?;
        let mut block = BlockBuilder::new(Content::Text);
        for member in [encoded, &commit] {
            block.push(ChunkId::of(member), &Bytes::copy_from_slice(member));
        }
        let plain_bytes = block.plain_bytes();
        let block = block.finish(Effort::default(), false);
        let pack = pack_of(&[
            (RecordKind::Chunk, Codec::Stored, encoded, encoded.len()),
            (RecordKind::Block, block.codec, &block.payload, plain_bytes),
            (RecordKind::Commit, Codec::Stored, &commit, commit.len()),
        ]);
        // As they are; and with check values that are made right after every change.
        self.put("pack_scan", &[&[0], &pack])?;
        self.put("pack_scan", &[&[2], &pack])
    }

    /// Each kind of span with a length on each side of every bound.
    fn cutting(&self) -> io::Result<()> {
        for kind in 0..9u8 {
            for (frame, span) in [
                (1000u32, 70_000u32),
                (300_000, 1 << 20),
                (1 << 21, (2 << 20) + 64),
                (7, 3_000_000),
            ] {
                let [a, b, c, d] = frame.to_le_bytes();
                let [l, m, n, _] = span.to_le_bytes();
                let control = [kind, a, b, c, d, l, m, n, kind * 8, 1];
                self.put("cutter", &[&control, b"\0\x01some words that are stretched"])?;
            }
        }
        Ok(())
    }
}
