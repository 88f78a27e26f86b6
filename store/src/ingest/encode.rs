//! Work on chunks, on rayon: name, look whether it is new, encode, decode and compare.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cairn_chunker::codec::{self, Codec, Content, Encoded};
use cairn_chunker::id::ChunkId;
use cairn_chunker::span::SpanKind;

use super::assembly::{Assembly, Place};
use super::message::{Form, ReadyChunk};
use super::{Counters, Pipeline, Stage};
use crate::error::{Error, Result};
use crate::limits::SMALL_BYTES_MAX;

/// A chunk cut off and not named yet.
pub(super) struct Cut {
    pub(super) place: Place,
    pub(super) bytes: Bytes,
    pub(super) kind: SpanKind,
}

/// Hands chunks of one instance to the pool.
pub(super) fn dispatch(assembly: &Arc<Assembly>, cuts: Vec<Cut>) {
    if cuts.is_empty() {
        return;
    }
    let assembly = Arc::clone(assembly);
    assembly.pipeline.coding.fetch_add(1, Ordering::Relaxed);
    rayon::spawn(move || {
        // A panic on the pool would end the process; a stopped ingest keeps what was acknowledged.
        let worked = catch_unwind(AssertUnwindSafe(|| work(&assembly, cuts)));
        assembly.pipeline.coding.fetch_sub(1, Ordering::Relaxed);
        match worked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => drop(assembly.pipeline.fail(error)),
            Err(_) => drop(assembly.pipeline.fail(Error::Internal("a chunk could not be coded"))),
        }
    });
}

fn work(assembly: &Assembly, cuts: Vec<Cut>) -> Result<()> {
    let pipeline = &*assembly.pipeline;
    let mut named = Vec::with_capacity(cuts.len());
    let mut depends = Vec::new();
    let mut ready = Vec::new();
    for cut in cuts {
        let id = pipeline.time(Stage::Hash, || ChunkId::of(&cut.bytes));
        named.push((cut.place, id));
        let bytes = cut.bytes.len() as u64;
        let met = meet(pipeline, id)?;
        if met == Met::New {
            Counters::add(&pipeline.counters.new_bytes, bytes);
            ready.push(encode(pipeline, id, cut));
        } else {
            Counters::add(&pipeline.counters.duplicate_bytes, bytes);
        }
        match met {
            Met::New | Met::UnderWay => depends.push(id),
            Met::Known => ready.push(ReadyChunk { id, plain: Bytes::new(), form: Form::Known }),
        }
    }
    assembly.named(&named, &depends, ready);
    Ok(())
}

/// What is known of a chunk at the moment when an instance needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Nobody has it: the caller claimed it and has to store it.
    New,
    /// Somebody is storing it.
    UnderWay,
    /// The catalog names it. The caller claimed it to be sure, and has to give the claim back.
    Known,
}

/// Looked up after claiming: a claim ends only when the catalog names the chunk, so it cannot be
/// missed between the two. The claim on a known chunk is given back by the writer, not here: in the
/// meantime an instance that needs the chunk may have begun to wait for it, and the writer knows.
pub(super) fn meet(pipeline: &Pipeline, id: ChunkId) -> Result<Met> {
    let stored = pipeline.shared.site.stored_id(&id);
    let catalog = &*pipeline.shared.catalog;
    if !pipeline.claims.claim(id) {
        // It may be in the catalog already, and its claimant broken off.
        pipeline.collecting.mark(catalog, &stored)?;
        return Ok(Met::UnderWay);
    }
    let known = pipeline.collecting.is_known(catalog, &stored)?;
    Ok(if known { Met::Known } else { Met::New })
}

fn encode(pipeline: &Pipeline, id: ChunkId, cut: Cut) -> ReadyChunk {
    let content = content_of(cut.kind);
    let plain = cut.bytes;
    let form = if plain.len() <= SMALL_BYTES_MAX {
        Form::Member(content)
    } else {
        Form::Record(encode_checked(pipeline, &plain, content))
    };
    ReadyChunk { id, plain, form }
}

/// Encodes, and decodes again: what does not come back the same is stored as it is.
pub(super) fn encode_checked(pipeline: &Pipeline, plain: &[u8], content: Content) -> Encoded {
    pipeline.time(Stage::Encode, || {
        if pipeline.has_enough_for_all() {
            codec::alone(|| encode_and_compare(pipeline, plain, content))
        } else {
            encode_and_compare(pipeline, plain, content)
        }
    })
}

fn encode_and_compare(pipeline: &Pipeline, plain: &[u8], content: Content) -> Encoded {
    let coded = codec::encode(plain, content, pipeline.config.effort);
    if coded.codec == Codec::Stored || !pipeline.config.verify_encoding {
        return coded;
    }
    if codec::comes_back(&coded, plain) {
        return coded;
    }
    Counters::add(&pipeline.counters.encoding_faults, 1);
    tracing::error!(codec = coded.codec.id(), "a chunk did not decode to itself");
    Encoded { codec: Codec::Stored, bytes: Vec::new() }
}

fn content_of(kind: SpanKind) -> Content {
    match kind {
        SpanKind::Envelope | SpanKind::Header | SpanKind::Bulk | SpanKind::FrameTable => {
            Content::Text
        }
        SpanKind::Pixels { geometry: Some(geometry), .. } => Content::Pixels(geometry),
        // Thirty-two bit samples and bit planes gain from plain compression.
        SpanKind::Pixels { geometry: None, .. } => Content::Text,
        SpanKind::Frame | SpanKind::Opaque => Content::Dense,
    }
}
