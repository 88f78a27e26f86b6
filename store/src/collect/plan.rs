//! Which packs are rewritten.

use std::collections::HashMap;

use cairn_chunker::codec::{self, Effort};

use super::mark::Marked;
use super::{CollectConfig, Phase, Watch};
use crate::Store;
use crate::catalog::collection::{ChunkNo, ChunkRow};
use crate::catalog::{Location, PackNo, PackRow, PackState};
use crate::error::{Error, Result};
use crate::footer::footer;
use crate::ingest::Ingest;
use crate::pack::{FooterEntry, RecordKind, open_block};

/// A pack is small if it is shorter than this part of a full one.
const SMALL_PART: u64 = 4;

/// Small packs are put together once there are so many: fewer do not cost enough to be written again.
const SMALL_PACKS: usize = 8;

/// A pack is coded anew if that makes it shorter by this part.
const RECODED_PART: u128 = 40;

/// Records that are tried to find that out.
const RECODED_SAMPLES: usize = 5;

/// A pack, and how it is used.
#[derive(Debug)]
pub(super) struct UsedPack {
    pub(super) row: PackRow,
    /// Length of records that are needed.
    pub(super) live_bytes: u64,
    /// Of those that are not.
    dead_bytes: u64,
    dead_chunks: u64,
    /// Deleted versions that its commits name.
    dead_entries: u64,
    /// Numbers of its chunks lie between these.
    pub(super) first: ChunkNo,
    pub(super) last: ChunkNo,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) packs: Vec<UsedPack>,
    pub(super) dead_chunks: u64,
    pub(super) dead_bytes: u64,
    /// Dead chunks in packs that are not in the bucket yet.
    pub(super) waiting_chunks: u64,
}

/// Looks at `packs`, which were known before anything was marked, as far as they are in the bucket. Those
/// begun before `recoded_ms` were looked at for coding anew.
pub(super) fn plan(
    store: &Store,
    ingest: &Ingest,
    marked: &Marked,
    packs: Vec<PackRow>,
    (config, recoded_ms): (&CollectConfig, u64),
    watch: &Watch<'_>,
) -> Result<Plan> {
    let stored = packs.into_iter().filter(|row| row.state == PackState::Stored);
    let mut used: HashMap<PackNo, UsedPack> =
        stored.map(|row| (row.no, UsedPack::empty(row))).collect();
    let mut waiting_chunks = 0;
    store.catalog().collection().chunks(marked.live.last(), &mut |rows| {
        // Members of a block mostly have numbers that follow each other.
        for record in rows.chunk_by(|a, b| record_of(a) == record_of(b)) {
            match used.get_mut(&record[0].place.pack) {
                Some(pack) => pack.add(record, marked),
                None => waiting_chunks += dead_in(record, marked),
            }
        }
        Ok(())
    })?;
    // A commit says whose an instance was: it goes whatever else is in its pack.
    for (pack, entries) in store.catalog().collection().dead_entries()? {
        if let Some(pack) = used.get_mut(&pack) {
            pack.dead_entries = entries;
        }
    }
    let mut plan = Plan { waiting_chunks, ..Plan::default() };
    let mut small = Vec::new();
    for pack in used.into_values() {
        watch.at(Phase::Marking, marked.versions, 0)?;
        plan.dead_chunks += pack.dead_chunks;
        plan.dead_bytes += pack.dead_bytes;
        let is_dead = pack.dead_entries > 0 || pack.is_mostly_dead(config.dead_percent);
        if is_dead || is_recoded(store, &pack, (config, recoded_ms))? {
            plan.packs.push(pack);
        } else if pack.row.bytes < ingest.pack_bytes() / SMALL_PART {
            small.push(pack);
        }
    }
    if small.len() >= SMALL_PACKS {
        plan.packs.append(&mut small);
    }
    plan.packs.sort_by_key(|pack| pack.row.no);
    Ok(plan)
}

/// Would coding anew make enough of it shorter? Some of its records are coded anew to see: a codec says
/// what may be gained, and the picture whether it is.
fn is_recoded(
    store: &Store,
    pack: &UsedPack,
    (config, recoded_ms): (&CollectConfig, u64),
) -> Result<bool> {
    let due = config.recompress.filter(|how| how.is_due(&pack.row, recoded_ms));
    let Some(effort) = due.map(|how| how.effort) else { return Ok(false) };
    let cipher = match store.reader().cipher(pack.row.no) {
        // It is left alone, and `verify` tells of it.
        Err(Error::Key { .. } | Error::Damaged(_)) => return Ok(false),
        other => other?,
    };
    let entries = footer(store.shared(), &pack.row, &cipher)?.unwrap_or_default();
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
    let gained = u128::from(better_bytes) * (before - after) as u128 / before.max(1) as u128;
    Ok(gained > 0 && gained * RECODED_PART >= u128::from(pack.row.bytes))
}

/// Length of a record's payload, and of the same coded anew. `None`: it cannot be read.
fn recoded_bytes(
    store: &Store,
    pack: &UsedPack,
    entry: &FooterEntry,
    effort: Effort,
) -> Result<Option<(usize, usize)>> {
    let place = Location {
        pack: pack.row.no,
        offset: entry.offset,
        record_bytes: entry.record_bytes() as u32,
        inner: None,
        bytes: entry.plain_bytes,
    };
    let (header, payload) = match store.reader().record(place) {
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

fn dead_in(record: &[ChunkRow], marked: &Marked) -> u64 {
    record.iter().filter(|row| !marked.live.has(row.no)).count() as u64
}

fn record_of(row: &ChunkRow) -> (PackNo, u64) {
    (row.place.pack, row.place.offset)
}

impl UsedPack {
    fn empty(row: PackRow) -> Self {
        Self {
            row,
            live_bytes: 0,
            dead_bytes: 0,
            dead_chunks: 0,
            dead_entries: 0,
            first: ChunkNo(u64::MAX),
            last: ChunkNo(0),
        }
    }

    /// Counts a record by its chunks.
    fn add(&mut self, record: &[ChunkRow], marked: &Marked) {
        let bytes = |rows: &mut dyn Iterator<Item = &ChunkRow>| {
            rows.map(|row| u64::from(row.place.bytes)).sum::<u64>()
        };
        let plain = bytes(&mut record.iter());
        let dead = bytes(&mut record.iter().filter(|row| !marked.live.has(row.no)));
        let record_bytes = u64::from(record[0].place.record_bytes);
        // An empty chunk takes its header all the same.
        let dead_bytes = match plain {
            0 if marked.live.has(record[0].no) => 0,
            0 => record_bytes,
            _ => (u128::from(record_bytes) * u128::from(dead) / u128::from(plain)) as u64,
        };
        self.dead_bytes += dead_bytes;
        self.live_bytes += record_bytes - dead_bytes;
        self.dead_chunks += dead_in(record, marked);
        for row in record {
            self.first = self.first.min(row.no);
            self.last = self.last.max(row.no);
        }
    }

    /// What no chunk speaks for is not counted: commits, and what lies elsewhere as well.
    fn is_mostly_dead(&self, percent: u8) -> bool {
        let all = self.live_bytes + self.dead_bytes;
        let enough = self.dead_bytes * 100 >= all * u64::from(percent);
        self.live_bytes == 0 || (self.dead_bytes > 0 && enough)
    }
}
