//! Whether a pack becomes shorter by being written anew: some of its records are tried to see.

use std::ops::Range;

use cairn_chunker::codec::{self, Effort};
use cairn_chunker::id::ChunkId;

use super::CollectConfig;
use super::join::{Joining, joins};
use crate::Store;
use crate::catalog::collection::ChunkNo;
use crate::catalog::{Location, PackRow};
use crate::commit::Commit;
use crate::error::{Error, Result};
use crate::footer::footer;
use crate::pack::{FooterEntry, RECORD_HEADER_BYTES, RecordKind, open_block};

/// A pack is coded anew if that makes it shorter by this part.
const RECODED_PART: u128 = 40;

/// Records that are tried to find that out.
const RECODED_SAMPLES: usize = 5;

/// Small blocks and commits that are put together to find it out.
const JOINED_SAMPLES: usize = 64;

/// Would coding anew make enough of it shorter? Some of its records are coded anew to see: a codec says
/// what may be gained, and the picture whether it is.
pub(super) fn is_worth_recoding(
    store: &Store,
    pack: &PackRow,
    (config, recoded_ms): (&CollectConfig, u64),
) -> Result<bool> {
    let due = config.recompress.filter(|how| how.is_due(pack, recoded_ms));
    let Some(effort) = due.map(|how| how.effort) else { return Ok(false) };
    let cipher = match store.reader().cipher(pack.no) {
        // It is left alone, and `verify` tells of it.
        Err(Error::Key { .. } | Error::Damaged(_)) => return Ok(false),
        other => other?,
    };
    let entries = footer(store.shared(), pack, &cipher)?.unwrap_or_default();
    let better: Vec<&FooterEntry> =
        entries.iter().filter(|entry| is_data(entry.kind) && effort.betters(entry.codec)).collect();
    let better_bytes = better.iter().map(|entry| entry.record_bytes()).sum::<u64>();
    let (mut before, mut after) = (0, 0);
    let step = better.len().div_ceil(RECODED_SAMPLES).max(1);
    for entry in better.iter().skip(step / 2).step_by(step) {
        if let Some((was, is)) = recoded_bytes(store, pack, entry, effort)? {
            before += was;
            after += is;
        }
    }
    let gained = part(better_bytes, before - after, before) + joined(store, pack, &entries)?;
    Ok(gained > 0 && gained * RECODED_PART >= u128::from(pack.bytes))
}

/// So many of `bytes` as `of` are of `all`.
fn part(bytes: u64, of: usize, all: usize) -> u128 {
    u128::from(bytes) * of as u128 / all.max(1) as u128
}

/// By how much small blocks and commits become shorter together. Some that follow each other are put
/// together to see.
fn joined(store: &Store, pack: &PackRow, entries: &[FooterEntry]) -> Result<u128> {
    let is_small = |entry: &&FooterEntry| match entry.kind {
        RecordKind::Block => joins(entry.codec, entry.plain_bytes),
        RecordKind::Commit => true,
        RecordKind::Chunk | RecordKind::Footer => false,
    };
    let small: Vec<&FooterEntry> = entries.iter().filter(is_small).collect();
    let small_bytes = small.iter().map(|entry| entry.record_bytes()).sum::<u64>();
    if small_bytes * (RECODED_PART as u64) < pack.bytes {
        return Ok(0);
    }
    let first = small.len().saturating_sub(JOINED_SAMPLES) / 2;
    let (mut joining, mut before, mut after) = (Joining::default(), 0, 0);
    for entry in small.iter().skip(first).take(JOINED_SAMPLES) {
        before += entry.record_bytes() as usize;
        let (header, payload) = match store.reader().record(place(pack, entry)) {
            // It cannot be copied either.
            Err(Error::Damaged(_)) => return Ok(0),
            other => other?,
        };
        if header.kind == RecordKind::Commit {
            let plain = codec::decode(header.codec, &payload, entry.plain_bytes as usize);
            let Some(commit) = plain.ok().and_then(|plain| Commit::decode(&plain).ok()) else {
                return Ok(0);
            };
            joining.commit(commit);
            continue;
        }
        let Ok(block) = open_block(header.codec, &payload, entry.plain_bytes) else {
            return Ok(0);
        };
        let members: Vec<_> = block.members.iter().map(in_memory).collect();
        let first = members.first().map_or(&[][..], |range| &block.plain[range.clone()]);
        for range in members.iter().cloned() {
            let bytes = block.plain.slice(range);
            let from = (pack.no, ChunkNo(0));
            if joining.block_for(first).push(from, ChunkId::of(&bytes), &bytes)
                && let Some(full) = joining.take(first)
            {
                after += RECORD_HEADER_BYTES + full.finish().0.payload.len();
            }
        }
    }
    let (blocks, commits) = joining.take_all();
    after +=
        blocks.map(|block| RECORD_HEADER_BYTES + block.finish().0.payload.len()).sum::<usize>();
    let coded = |commit: &Commit| {
        let (plain, coded) = commit.coded();
        RECORD_HEADER_BYTES + coded.payload(&plain).len()
    };
    after += commits.iter().map(coded).sum::<usize>();
    Ok(part(small_bytes, before.saturating_sub(after), before))
}

fn in_memory(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn place(pack: &PackRow, entry: &FooterEntry) -> Location {
    Location {
        pack: pack.no,
        offset: entry.offset,
        record_bytes: entry.record_bytes() as u32,
        inner: None,
        bytes: entry.plain_bytes,
    }
}

/// Length of a record's payload, and of the same coded anew. `None`: it cannot be read.
fn recoded_bytes(
    store: &Store,
    pack: &PackRow,
    entry: &FooterEntry,
    effort: Effort,
) -> Result<Option<(usize, usize)>> {
    let (header, payload) = match store.reader().record(place(pack, entry)) {
        Err(Error::Damaged(_)) => return Ok(None),
        other => other?,
    };
    let (coded, plain) = if header.kind == RecordKind::Block {
        let Ok(block) = open_block(header.codec, &payload, entry.plain_bytes) else {
            return Ok(None);
        };
        (payload.get(4 + 4 * block.members.len()..).unwrap_or_default(), block.plain.to_vec())
    } else {
        match codec::decode(header.codec, &payload, entry.plain_bytes as usize) {
            Ok(plain) => (&payload[..], plain),
            Err(_) => return Ok(None),
        }
    };
    let made = codec::recode(header.codec, coded, &plain, effort);
    let after = made.map_or(coded.len(), |made| made.payload(&plain).len());
    Ok(Some((coded.len(), after.min(coded.len()))))
}

fn is_data(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Chunk | RecordKind::Block)
}
