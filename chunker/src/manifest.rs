//! How an instance is put together from chunks.
//!
//! The chunks tile the data set from its first byte to its last. The envelope (preamble and group
//! 0002) stands apart: the first one received is kept, and is not part of the content's identity.
//! A manifest is named by a hash over its fields in which the chunk list enters as a Merkle root, so
//! that one chunk can be shown to belong to an instance without the whole list.

use crate::cbor::{Reader, Writer};
use crate::frames::Frames;
use crate::id::{ChunkId, DatasetHash, LeafHash, ManifestHash, PixelDigest, hash_in};
use crate::limits::{
    CHUNK_BYTES_MAX, ENVELOPE_INLINE_BYTES_MAX, MANIFEST_BYTES_MAX, TAIL_BYTES_MAX, UID_BYTES_MAX,
};
use crate::span::SpanKind;
use crate::tree::{self, Leaf};
use crate::{Error, Result};

const WHAT: &str = "manifest";
const VERSION: u64 = 1;
const CONTEXT_MANIFEST: &str = "cairn 2026-11 v1 manifest";
const CONTEXT_CHUNK: &str = "cairn 2026-11 v1 manifest chunk";
const CONTEXT_CHUNK_NODE: &str = "cairn 2026-11 v1 manifest node";
const CONTEXT_PIXELS: &str = "cairn 2026-11 v1 pixel digest";

/// What a chunk holds, as far as readers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Small elements before, between or after the large ones.
    Header = 0,
    /// The value of a large element, or a piece of it.
    Bulk = 1,
    /// Native pixels.
    Pixels = 2,
    /// An encapsulated frame, or a band of one.
    Frame = 3,
    /// What stands between encapsulated frames.
    FrameTable = 4,
    /// Bytes that are not understood.
    Opaque = 5,
}

impl Class {
    /// The class of chunks cut from such a span.
    #[must_use]
    pub fn of(kind: SpanKind) -> Self {
        match kind {
            SpanKind::Envelope | SpanKind::Header => Self::Header,
            SpanKind::Bulk => Self::Bulk,
            SpanKind::Pixels { .. } => Self::Pixels,
            SpanKind::Frame => Self::Frame,
            SpanKind::FrameTable => Self::FrameTable,
            SpanKind::Opaque => Self::Opaque,
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        const ALL: [Class; 6] = [
            Class::Header,
            Class::Bulk,
            Class::Pixels,
            Class::Frame,
            Class::FrameTable,
            Class::Opaque,
        ];
        ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// Does a change here change what the image shows?
    #[must_use]
    pub fn is_pixels(self) -> bool {
        matches!(self, Self::Pixels | Self::Frame | Self::Opaque)
    }
}

/// One chunk of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// Its name.
    pub id: ChunkId,
    /// Its plain length in bytes; at least 1.
    pub bytes: u32,
    /// What it holds.
    pub class: Class,
}

/// The bytes that came before the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// None was received (the object came by DIMSE): an export makes one.
    Absent,
    /// Kept here; empty for a file that begins with its data set.
    Inline(Vec<u8>),
    /// Too long to keep here: kept as chunks.
    Chunked(Vec<ChunkRef>),
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// SOP Class UID; empty if unknown.
    pub sop_class_uid: String,
    /// Transfer syntax UID of the data set.
    pub transfer_syntax_uid: String,
    /// Length of the data set in bytes.
    pub dataset_bytes: u64,
    /// Hash of the data set.
    pub dataset_hash: DatasetHash,
    /// What came before the data set.
    pub envelope: Envelope,
    /// The data set's chunks, in order.
    pub chunks: Vec<ChunkRef>,
    /// Where the frames lie.
    pub frames: Frames,
}

impl Manifest {
    /// The instance as the study tree sees it.
    #[must_use]
    pub fn leaf(&self) -> Leaf {
        Leaf {
            sop_instance_uid: self.sop_instance_uid.clone(),
            sop_class_uid: self.sop_class_uid.clone(),
            transfer_syntax_uid: self.transfer_syntax_uid.clone(),
            dataset_bytes: self.dataset_bytes,
            dataset_hash: self.dataset_hash,
        }
    }

    /// Hash of [`Manifest::leaf`].
    #[must_use]
    pub fn leaf_hash(&self) -> LeafHash {
        self.leaf().hash()
    }

    /// Tells whether another version shows the same pixels.
    #[must_use]
    pub fn pixel_digest(&self) -> PixelDigest {
        let mut writer = Writer::new();
        for chunk in self.chunks.iter().filter(|chunk| chunk.class.is_pixels()) {
            writer.bytes(chunk.id.as_bytes());
        }
        PixelDigest(hash_in(CONTEXT_PIXELS, &writer.finish()))
    }

    /// Chunks of the envelope and of the data set, in order.
    pub fn all_chunks(&self) -> impl Iterator<Item = &ChunkRef> {
        let envelope: &[ChunkRef] = match &self.envelope {
            Envelope::Chunked(chunks) => chunks,
            Envelope::Absent | Envelope::Inline(_) => &[],
        };
        envelope.iter().chain(&self.chunks)
    }

    /// The manifest's name.
    #[must_use]
    pub fn hash(&self) -> ManifestHash {
        let leaves: Vec<[u8; 32]> = self.chunks.iter().map(chunk_leaf).collect();
        let chunk_root = tree::merkle_root(CONTEXT_CHUNK_NODE, &leaves);
        let mut envelope = Writer::new();
        write_envelope(&mut envelope, &self.envelope);
        let mut frames = Writer::new();
        write_frames(&mut frames, &self.frames);

        let mut writer = Writer::new();
        writer.array(10).uint(VERSION);
        self.write_identity(&mut writer);
        writer
            .bytes(&hash_in(CONTEXT_MANIFEST, &envelope.finish()))
            .uint(self.chunks.len() as u64)
            .bytes(&chunk_root)
            .bytes(&hash_in(CONTEXT_MANIFEST, &frames.finish()));
        ManifestHash(hash_in(CONTEXT_MANIFEST, &writer.finish()))
    }

    fn write_identity(&self, writer: &mut Writer) {
        writer
            .text(&self.sop_instance_uid)
            .text(&self.sop_class_uid)
            .text(&self.transfer_syntax_uid)
            .uint(self.dataset_bytes)
            .bytes(self.dataset_hash.as_bytes());
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(9).uint(VERSION);
        self.write_identity(&mut writer);
        write_envelope(&mut writer, &self.envelope);
        write_chunks(&mut writer, &self.chunks);
        write_frames(&mut writer, &self.frames);
        writer.finish()
    }

    /// Reads the canonical encoding; the chunk lengths must add up to the data set's.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(reader.fault("it is over the bound"));
        }
        reader.array_of(9)?;
        match reader.uint()? {
            VERSION => {}
            version => return Err(Error::Version { what: WHAT, version }),
        }
        let manifest = Self {
            sop_instance_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
            sop_class_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
            transfer_syntax_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
            dataset_bytes: reader.uint()?,
            dataset_hash: DatasetHash(reader.hash()?),
            envelope: read_envelope(&mut reader)?,
            chunks: read_chunks(&mut reader)?,
            frames: read_frames(&mut reader)?,
        };
        reader.end()?;
        let sum: u64 = manifest.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        if sum != manifest.dataset_bytes {
            return Err(reader.fault("its chunks do not add up to the data set"));
        }
        Ok(manifest)
    }
}

fn chunk_leaf(chunk: &ChunkRef) -> [u8; 32] {
    let mut writer = Writer::new();
    write_chunk(&mut writer, chunk);
    hash_in(CONTEXT_CHUNK, &writer.finish())
}

fn write_chunk(writer: &mut Writer, chunk: &ChunkRef) {
    writer.bytes(chunk.id.as_bytes()).uint(u64::from(chunk.bytes)).uint(chunk.class as u64);
}

/// A flat array of three values a chunk.
fn write_chunks(writer: &mut Writer, chunks: &[ChunkRef]) {
    writer.array(chunks.len() * 3);
    for chunk in chunks {
        write_chunk(writer, chunk);
    }
}

fn read_chunks(reader: &mut Reader<'_>) -> Result<Vec<ChunkRef>> {
    let values = reader.array()?;
    if !values.is_multiple_of(3) {
        return Err(reader.fault("its chunk list is uneven"));
    }
    let mut chunks = Vec::new();
    for _ in 0..values / 3 {
        let id = ChunkId(reader.hash()?);
        let bytes = reader.uint()?;
        if bytes == 0 || bytes > (CHUNK_BYTES_MAX + TAIL_BYTES_MAX) as u64 {
            return Err(reader.fault("a chunk length is over its bound"));
        }
        let class = Class::from_code(reader.uint()?)
            .ok_or_else(|| reader.fault("a chunk class is unknown"))?;
        chunks.push(ChunkRef { id, bytes: bytes as u32, class });
    }
    Ok(chunks)
}

fn write_envelope(writer: &mut Writer, envelope: &Envelope) {
    match envelope {
        Envelope::Absent => writer.null(),
        Envelope::Inline(bytes) => writer.bytes(bytes),
        Envelope::Chunked(chunks) => {
            write_chunks(writer, chunks);
            writer
        }
    };
}

fn read_envelope(reader: &mut Reader<'_>) -> Result<Envelope> {
    if reader.null() {
        return Ok(Envelope::Absent);
    }
    if reader.at_array() {
        return Ok(Envelope::Chunked(read_chunks(reader)?));
    }
    Ok(Envelope::Inline(reader.bytes(ENVELOPE_INLINE_BYTES_MAX)?.to_vec()))
}

/// Native: `[offset, bytes, count]`; encapsulated: `[offset, [length of each frame]]`.
fn write_frames(writer: &mut Writer, frames: &Frames) {
    match frames {
        Frames::None => {
            writer.null();
        }
        Frames::Native { offset, frame_bytes, count } => {
            writer.array(3).uint(*offset).uint(*frame_bytes).uint(*count);
        }
        Frames::Encapsulated { starts, end } => {
            writer.array(2).uint(starts.first().copied().unwrap_or(*end)).array(starts.len());
            let ends = starts.iter().skip(1).chain(std::iter::once(end));
            for (start, next) in starts.iter().zip(ends) {
                writer.uint(next.saturating_sub(*start));
            }
        }
    }
}

fn read_frames(reader: &mut Reader<'_>) -> Result<Frames> {
    if reader.null() {
        return Ok(Frames::None);
    }
    match reader.array()? {
        3 => {
            let (offset, frame_bytes, count) = (reader.uint()?, reader.uint()?, reader.uint()?);
            let end = frame_bytes.checked_mul(count).and_then(|all| all.checked_add(offset));
            if frame_bytes == 0 || end.is_none() {
                return Err(reader.fault("its frames are impossible"));
            }
            Ok(Frames::Native { offset, frame_bytes, count })
        }
        2 => {
            let mut end = reader.uint()?;
            let count = reader.array()?;
            let mut starts = Vec::new();
            for _ in 0..count {
                starts.push(end);
                end = end
                    .checked_add(reader.uint()?)
                    .ok_or_else(|| reader.fault("its frames are impossible"))?;
            }
            Ok(Frames::Encapsulated { starts, end })
        }
        _ => Err(reader.fault("its frames have another shape")),
    }
}

/// Shows that one chunk stands at a place of an instance whose manifest has a given name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkProof {
    /// The manifest's fields with chunks and frames left out.
    head: Vec<u8>,
    /// The head after the chunk root.
    tail: [u8; 32],
    /// The chunk in question.
    pub chunk: ChunkRef,
    /// Its position among the chunks.
    pub index: u64,
    /// How many chunks the instance has.
    pub count: u64,
    path: Vec<[u8; 32]>,
}

impl ChunkProof {
    /// Proves chunk `index` of `manifest`; `None` if there is no such chunk.
    #[must_use]
    pub fn new(manifest: &Manifest, index: usize) -> Option<Self> {
        let chunk = *manifest.chunks.get(index)?;
        let leaves: Vec<[u8; 32]> = manifest.chunks.iter().map(chunk_leaf).collect();
        let mut envelope = Writer::new();
        write_envelope(&mut envelope, &manifest.envelope);
        let mut frames = Writer::new();
        write_frames(&mut frames, &manifest.frames);
        let mut head = Writer::new();
        head.array(10).uint(VERSION);
        manifest.write_identity(&mut head);
        head.bytes(&hash_in(CONTEXT_MANIFEST, &envelope.finish()));
        Some(Self {
            head: head.finish(),
            tail: hash_in(CONTEXT_MANIFEST, &frames.finish()),
            chunk,
            index: index as u64,
            count: leaves.len() as u64,
            path: tree::inclusion_path(CONTEXT_CHUNK_NODE, &leaves, index),
        })
    }

    /// Does it lead to the manifest named `expected`?
    #[must_use]
    pub fn leads_to(&self, expected: ManifestHash) -> bool {
        let leaf = chunk_leaf(&self.chunk);
        let root =
            tree::root_from_path(CONTEXT_CHUNK_NODE, leaf, self.index, self.count, &self.path);
        let Some(root) = root else { return false };
        let mut writer = Writer::new();
        writer.uint(self.count).bytes(&root).bytes(&self.tail);
        let bytes = [&self.head[..], &writer.finish()].concat();
        ManifestHash(hash_in(CONTEXT_MANIFEST, &bytes)) == expected
    }

    /// Bytes that the proof takes: its fields as they would be sent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.head.len() + (self.path.len() + 2) * 32 + 32
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn any_chunk() -> impl Strategy<Value = ChunkRef> {
        (any::<[u8; 32]>(), 1u32..1_000_000, 0u64..6).prop_map(|(id, bytes, class)| ChunkRef {
            id: ChunkId(id),
            bytes,
            class: Class::from_code(class).unwrap(),
        })
    }

    fn any_frames() -> impl Strategy<Value = Frames> {
        prop_oneof![
            Just(Frames::None),
            (0u64..1 << 40, 1u64..1 << 20, 0u64..1000).prop_map(|(offset, frame_bytes, count)| {
                Frames::Native { offset, frame_bytes, count }
            }),
            (0u64..1 << 30, prop::collection::vec(0u64..1 << 30, 0..20)).prop_map(|(first, l)| {
                let mut end = first;
                let starts = l
                    .iter()
                    .map(|length| {
                        end += length;
                        end - length
                    })
                    .collect();
                Frames::Encapsulated { starts, end }
            }),
        ]
    }

    pub(crate) fn any_manifest() -> impl Strategy<Value = Manifest> {
        (
            "[0-9.]{1,64}",
            any::<[u8; 32]>(),
            prop::collection::vec(any_chunk(), 0..40),
            any_frames(),
            prop_oneof![
                Just(Envelope::Absent),
                prop::collection::vec(any::<u8>(), 0..400).prop_map(Envelope::Inline),
                prop::collection::vec(any_chunk(), 0..4).prop_map(Envelope::Chunked),
            ],
        )
            .prop_map(|(uid, hash, chunks, frames, envelope)| Manifest {
                sop_instance_uid: uid,
                sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
                transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
                dataset_bytes: chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum(),
                dataset_hash: DatasetHash(hash),
                envelope,
                chunks,
                frames,
            })
    }

    proptest! {
        #[test]
        fn encoding_goes_both_ways_and_is_canonical(manifest in any_manifest()) {
            let encoded = manifest.encode();
            let decoded = Manifest::decode(&encoded).unwrap();
            prop_assert_eq!(&decoded, &manifest);
            prop_assert_eq!(decoded.hash(), manifest.hash());
        }

        #[test]
        fn hostile_bytes_are_refused_or_canonical(mut bytes: Vec<u8>, manifest in any_manifest(),
            at: prop::sample::Index, with: u8) {
            let _ = Manifest::decode(&bytes);
            bytes = manifest.encode();
            let at = at.index(bytes.len());
            bytes[at] = with;
            if let Ok(decoded) = Manifest::decode(&bytes) {
                prop_assert_eq!(decoded.encode(), bytes);
            }
        }

        #[test]
        fn every_chunk_can_be_proven(manifest in any_manifest(), other in any_manifest()) {
            for index in 0..manifest.chunks.len() {
                let proof = ChunkProof::new(&manifest, index).unwrap();
                prop_assert!(proof.leads_to(manifest.hash()));
                prop_assert!(other == manifest || !proof.leads_to(other.hash()));
                let mut forged = proof.clone();
                forged.chunk.id.0[0] ^= 1;
                prop_assert!(!forged.leads_to(manifest.hash()));
            }
            prop_assert!(ChunkProof::new(&manifest, manifest.chunks.len()).is_none());
        }
    }

    #[test]
    fn a_chunk_proof_of_a_long_instance_is_short() {
        let chunk = |i: u32| ChunkRef {
            id: ChunkId::of(&i.to_le_bytes()),
            bytes: 524_288,
            class: Class::Pixels,
        };
        let chunks: Vec<_> = (0..3000).map(chunk).collect();
        let manifest = Manifest {
            sop_instance_uid: "1".repeat(64),
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2.1".into(),
            transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
            dataset_bytes: 3000 * 524_288,
            dataset_hash: DatasetHash([7; 32]),
            envelope: Envelope::Absent,
            chunks,
            frames: Frames::None,
        };
        let proof = ChunkProof::new(&manifest, 1234).unwrap();
        assert!(proof.leads_to(manifest.hash()));
        assert!(proof.bytes() < 1024, "{}", proof.bytes());
    }
}
