//! Which packs are rewritten.

use std::collections::HashMap;

use super::mark::Marked;
use super::sample::is_worth_recoding;
use super::{CollectConfig, Phase, Watch};
use crate::Store;
use crate::catalog::collection::{ChunkNo, ChunkRow};
use crate::catalog::{PackNo, PackRow, PackState};
use crate::error::Result;
use crate::ingest::Ingest;

/// A pack is small if it is shorter than this part of a full one.
const SMALL_PART: u64 = 4;

/// Small packs are put together once there are so many: fewer do not cost enough to be written again.
const SMALL_PACKS: usize = 8;

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
    let collected_seq = store.catalog().collection().collected_seq()?;
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
    for manifest in store.catalog().collection().moved_dead_entries(collected_seq)? {
        let stored = store.shared().site.stored_id(&manifest);
        let place = store.catalog().locate(&stored)?;
        if let Some(pack) = place.and_then(|place| used.get_mut(&place.pack)) {
            pack.dead_entries += 1;
        }
    }
    let mut plan = Plan { waiting_chunks, ..Plan::default() };
    let mut small = Vec::new();
    for pack in used.into_values() {
        watch.at(Phase::Marking, marked.versions, 0)?;
        plan.dead_chunks += pack.dead_chunks;
        plan.dead_bytes += pack.dead_bytes;
        let is_dead = pack.dead_entries > 0 || pack.is_mostly_dead(config.dead_percent);
        if is_dead || is_worth_recoding(store, &pack.row, (config, recoded_ms))? {
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
