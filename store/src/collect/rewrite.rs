//! Copying what is needed out of packs, and removing them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cairn_chunker::codec::{self, Codec, Effort, Encoded};
use cairn_chunker::id::ChunkId;
use rayon::prelude::*;

use super::join::{Joined, Joining, joins};
use super::mark::Marked;
use super::output::Output;
use super::plan::UsedPack;
use super::{CollectConfig, CollectReport, Phase, Watch};
use crate::Store;
use crate::catalog::collection::{ChunkNo, ChunkRow, Retired};
use crate::catalog::{Location, PackNo, PackRow};
use crate::commit::Entry;
use crate::error::{Damage, Error, Result};
use crate::footer::footer;
use crate::ingest::Ingest;
use crate::pack::{BlockBuilder, FooterEntry, OpenedBlock, RecordHeader, RecordKind, open_block};
use crate::read::Reader;
use crate::store::Shared;

/// Plain length of records that are held to be coded side by side.
const HELD_BYTES: usize = 16 << 20;

/// Records that were read and not appended yet.
#[derive(Default)]
struct Held {
    records: Vec<HeldRecord>,
    bytes: usize,
}

struct HeldRecord {
    place: Location,
    header: RecordHeader,
    payload: Vec<u8>,
    chunks: Vec<ChunkRow>,
}

/// See the [module](self).
pub(super) struct Rewriter<'a> {
    shared: Arc<Shared>,
    reader: &'a Reader,
    ingest: &'a Ingest,
    marked: &'a Marked,
    config: &'a CollectConfig,
    report: &'a mut CollectReport,
    output: Option<Output>,
    /// How the pack in work is coded anew.
    effort: Option<Effort>,
    /// Packs that were copied, as far as they are needed, into the output, and what is not.
    copied: Vec<(PackRow, Vec<ChunkNo>)>,
    /// Where chunks of each pack lie in the output.
    moved: HashMap<PackNo, Vec<(ChunkNo, Location)>>,
    held: Held,
    joining: Joining,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(
        store: &'a Store,
        ingest: &'a Ingest,
        marked: &'a Marked,
        config: &'a CollectConfig,
        report: &'a mut CollectReport,
    ) -> Self {
        Self {
            shared: Arc::clone(store.shared()),
            reader: store.reader(),
            ingest,
            marked,
            config,
            report,
            output: None,
            effort: None,
            copied: Vec::new(),
            moved: HashMap::new(),
            held: Held::default(),
            joining: Joining::default(),
        }
    }

    pub(super) fn run(mut self, packs: &[UsedPack], watch: &Watch<'_>) -> Result<()> {
        let total = packs.iter().map(|pack| pack.row.bytes).sum();
        let mut done = 0;
        for pack in packs {
            watch.at(Phase::Rewriting, done, total)?;
            let written = self.output.as_ref().map_or(0, Output::bytes);
            if written > 0 && written + pack.live_bytes > self.ingest.pack_bytes() / 4 * 5 {
                self.retire()?;
            }
            match self.copy(pack) {
                Ok(dead) => self.copied.push((pack.row.clone(), dead)),
                // What was copied of it so far is there twice, and collected the next time.
                Err(Error::Damaged(damage)) => self.report.damage.push(damage),
                Err(error @ Error::Format(_)) => {
                    let why = error.to_string();
                    self.report.damage.push(Damage { pack: pack.row.id, offset: 0, why });
                }
                Err(error) => return Err(error),
            }
            self.held = Held::default();
            done += pack.row.bytes;
        }
        self.retire()?;
        watch.at(Phase::Rewriting, total, total)
    }

    fn output(&mut self) -> Result<&mut Output> {
        if self.output.is_none() {
            self.output = Some(Output::begin(&self.shared)?);
        }
        self.output.as_mut().ok_or(Error::Internal("no pack is open"))
    }

    /// Copies what is needed of a pack; the chunks that are not.
    fn copy(&mut self, pack: &UsedPack) -> Result<Vec<ChunkNo>> {
        let row = &pack.row;
        self.effort = self.config.recompress.and_then(|how| how.effort(row));
        let damaged = |offset, why: &str| Damage { pack: row.id, offset, why: why.to_owned() };
        let cipher = match self.reader.cipher(row.no) {
            Err(error @ Error::Key { .. }) => return Err(damaged(0, &error.to_string()).into()),
            other => other?,
        };
        let entries = footer(&self.shared, row, &cipher)?
            .ok_or_else(|| damaged(row.bytes, "the pack's footer is not sound"))?;
        let mut chunks: HashMap<u64, Vec<ChunkRow>> = HashMap::new();
        let rows = self.shared.catalog.collection().chunks_in(row.no, pack.first, pack.last)?;
        for chunk in rows {
            chunks.entry(chunk.place.offset).or_default().push(chunk);
        }
        let mut dead = Vec::new();
        for entry in &entries {
            let found = chunks.remove(&entry.offset).unwrap_or_default();
            self.record(row, entry, &found, &mut dead)?;
        }
        self.append_held()?;
        match chunks.keys().min() {
            Some(offset) => Err(damaged(*offset, "the footer does not name this record").into()),
            None => Ok(dead),
        }
    }

    fn record(
        &mut self,
        row: &PackRow,
        entry: &FooterEntry,
        chunks: &[ChunkRow],
        all_dead: &mut Vec<ChunkNo>,
    ) -> Result<()> {
        let place = Location {
            pack: row.no,
            offset: entry.offset,
            record_bytes: entry.record_bytes() as u32,
            inner: None,
            bytes: entry.plain_bytes,
        };
        if entry.kind == RecordKind::Commit {
            return self.commit(place);
        }
        let (live, dead): (Vec<&ChunkRow>, Vec<&ChunkRow>) =
            chunks.iter().partition(|chunk| self.marked.live.has(chunk.no));
        all_dead.extend(dead.iter().map(|chunk| chunk.no));
        if live.is_empty() {
            return Ok(());
        }
        let (header, payload) = self.reader.record(place)?;
        if header.kind != entry.kind {
            return Err(self.reader.damaged(place, "the record is of another kind"));
        }
        let betters = self.effort.is_some_and(|effort| effort.betters(header.codec));
        if entry.kind == RecordKind::Block {
            if joins(header.codec, header.plain_bytes) {
                return self.join(place, (header.codec, &payload), &live);
            }
            if betters || !dead.is_empty() {
                return self.part_of_block(place, (header.codec, &payload), &live);
            }
        }
        self.held.bytes += header.plain_bytes as usize;
        let chunks = live.into_iter().copied().collect();
        self.held.records.push(HeldRecord { place, header, payload, chunks });
        if self.held.bytes >= HELD_BYTES {
            self.append_held()?;
        }
        Ok(())
    }

    /// Appends records that were read, in their order; first those that are to be are coded anew, side by
    /// side.
    fn append_held(&mut self) -> Result<()> {
        let Held { records, .. } = std::mem::take(&mut self.held);
        let (effort, shared, reader) = (self.effort, &*self.shared, self.reader);
        let recoded: Vec<Option<Encoded>> = match effort {
            Some(effort) => {
                let each = records.par_iter();
                each.map(|record| recoded(record, effort, shared, reader)).collect::<Result<_>>()?
            }
            None => records.iter().map(|_| None).collect(),
        };
        for (record, recoded) in records.iter().zip(recoded) {
            let HeldRecord { place, header, payload, chunks } = record;
            let (codec, bytes) = match &recoded {
                Some(made) => (made.codec, &made.bytes),
                None => (header.codec, payload),
            };
            if recoded.is_some() {
                self.report.recoded_chunks += 1;
                self.report.recoded_bytes += (payload.len() - bytes.len()) as u64;
            }
            let output = self.output()?;
            let copy = output.append(header.kind, codec, header.id, bytes, header.plain_bytes)?;
            self.moved.entry(place.pack).or_default().extend(chunks.iter().map(|chunk| {
                (chunk.no, Location { inner: chunk.place.inner, bytes: chunk.place.bytes, ..copy })
            }));
        }
        Ok(())
    }

    /// Those members of a block that are needed, each of which has its name.
    fn members(
        &self,
        place: Location,
        block: &OpenedBlock,
        live: &[&ChunkRow],
    ) -> Result<Vec<(ChunkNo, ChunkId, Bytes)>> {
        let member = |chunk: &&ChunkRow| {
            let start = chunk.place.inner.unwrap_or_default() as usize;
            let range = start..start + chunk.place.bytes as usize;
            let is_inside = range.end <= block.plain.len();
            let bytes = if is_inside { block.plain.slice(range) } else { Bytes::new() };
            let id = ChunkId::of(&bytes);
            if self.shared.site.stored_id(&id) != chunk.id {
                return Err(self.reader.damaged(place, "a member does not have its name"));
            }
            Ok((chunk.no, id, bytes))
        };
        live.iter().map(member).collect()
    }

    fn opened(&self, place: Location, codec: Codec, payload: &[u8]) -> Result<OpenedBlock> {
        open_block(codec, payload, place.bytes).map_err(|why| self.reader.damaged(place, why))
    }

    /// Puts those members of a small block that are needed to others of their kind.
    fn join(
        &mut self,
        place: Location,
        (codec, payload): (Codec, &[u8]),
        live: &[&ChunkRow],
    ) -> Result<()> {
        let members = self.members(place, &self.opened(place, codec, payload)?, live)?;
        let Some((_, _, first)) = members.first().cloned() else { return Ok(()) };
        self.joining.block_for(&first).blocks += 1;
        for (no, id, bytes) in &members {
            if self.joining.block_for(&first).push((place.pack, *no), *id, bytes)
                && let Some(full) = self.joining.take(&first)
            {
                self.append_joined(full)?;
            }
        }
        Ok(())
    }

    fn append_joined(&mut self, joined: Joined) -> Result<()> {
        self.report.joined_blocks += joined.blocks.saturating_sub(1);
        let (made, members) = joined.finish();
        let copy = self.output()?.append_block(&made)?;
        for ((pack, chunk), (_, range)) in members.iter().zip(&made.members) {
            let bytes = range.end - range.start;
            let place = Location { inner: Some(range.start), bytes, ..copy };
            self.moved.entry(*pack).or_default().push((*chunk, place));
        }
        Ok(())
    }

    /// Appends whatever waits: data, then the commits that name it.
    fn append_all(&mut self) -> Result<()> {
        self.append_held()?;
        let (blocks, commits) = self.joining.take_all();
        for joined in blocks {
            self.append_joined(joined)?;
        }
        for commit in &commits {
            self.output()?.append_commit(commit)?;
        }
        Ok(())
    }

    /// Makes a block anew of those members that are needed, maybe all of them.
    fn part_of_block(
        &mut self,
        place: Location,
        (codec, payload): (Codec, &[u8]),
        live: &[&ChunkRow],
    ) -> Result<()> {
        let block = self.opened(place, codec, payload)?;
        let body = payload.get(4 + 4 * block.members.len()..).unwrap_or_default();
        let mut builder = BlockBuilder::new(codec::content_of(codec, body));
        for (_, id, bytes) in self.members(place, &block, live)? {
            builder.push(id, &bytes);
        }
        let effort = self.effort.unwrap_or_else(|| Effort::keeping(codec));
        let made = builder.finish(effort, true);
        if made.members.len() == block.members.len() {
            let shorter = payload.len().saturating_sub(made.payload.len());
            self.report.recoded_chunks += live.len() as u64;
            self.report.recoded_bytes += shorter as u64;
        }
        let copy = self.output()?.append_block(&made)?;
        let moved = self.moved.entry(place.pack).or_default();
        moved.extend(live.iter().zip(&made.members).map(|(chunk, (_, range))| {
            let bytes = range.end - range.start;
            (chunk.no, Location { inner: Some(range.start), bytes, ..copy })
        }));
        Ok(())
    }

    /// Takes up a commit without what was deleted, to be appended behind what it names.
    fn commit(&mut self, place: Location) -> Result<()> {
        let commit = self.reader.commit(place.pack, place.offset, place.record_bytes)?;
        let marked = self.marked;
        let is_left = |seq, entry: &Entry| match entry {
            Entry::Instance(_) => marked.has_version(seq),
            Entry::Study(_) | Entry::Deletion(_) => true,
        };
        let mut is_enough = false;
        for part in commit.without(is_left) {
            is_enough |= self.joining.commit(part);
        }
        if is_enough { self.append_all() } else { Ok(()) }
    }

    /// Brings the output into the bucket, and removes what was copied into it.
    fn retire(&mut self) -> Result<()> {
        self.append_all()?;
        if let Some(output) = self.output.take() {
            self.report.written_bytes += output.store()?;
            self.report.packs_written += 1;
        }
        let mut all_moved = std::mem::take(&mut self.moved);
        for (row, dead) in std::mem::take(&mut self.copied) {
            let moved = all_moved.remove(&row.no).unwrap_or_default();
            let retired = Retired { moved, dead };
            if !self.condemn(&row, &retired)? {
                self.report.packs_spared += 1;
                continue;
            }
            self.reader.release(row.no);
            self.shared.remove_condemned(&row)?;
            self.report.packs_removed += 1;
            self.report.removed_bytes += row.bytes;
        }
        Ok(())
    }

    /// From here on the copies are what is read; false if something is needed that was not copied.
    fn condemn(&self, row: &PackRow, retired: &Retired) -> Result<bool> {
        self.ingest.collecting().exclusively(|| {
            if retired.dead.iter().any(|no| self.marked.live.has(*no)) {
                return Ok(false);
            }
            self.shared.catalog.collection().retire(row.no, retired).map(|()| true)
        })
    }
}

/// A chunk coded anew, if that makes it shorter.
fn recoded(
    record: &HeldRecord,
    effort: Effort,
    shared: &Shared,
    reader: &Reader,
) -> Result<Option<Encoded>> {
    let HeldRecord { place, header, payload, .. } = record;
    if header.kind != RecordKind::Chunk || !effort.betters(header.codec) {
        return Ok(None);
    }
    let plain = codec::decode(header.codec, payload, header.plain_bytes as usize)
        .map_err(|_| reader.damaged(*place, "the chunk cannot be decoded"))?;
    if shared.site.stored_id(&ChunkId::of(&plain)) != header.id {
        return Err(reader.damaged(*place, "the bytes do not have the chunk's name"));
    }
    // Stored plain it would stand in `plain`, and be longer than it is.
    let made = codec::recode(header.codec, payload, &plain, effort);
    Ok(made.filter(|made| made.codec != Codec::Stored))
}
