//! The pack that what is needed is copied into.

use std::sync::Arc;

use cairn_chunker::codec::Codec;
use cairn_chunker::id::ChunkId;

use crate::catalog::{Location, PackNo};
use crate::commit::Commit;
use crate::error::{Error, Result};
use crate::ingest::patiently;
use crate::keys::StoredId;
use crate::pack::{Block, OpenPack, RecordKind};
use crate::store::Shared;

/// A pack in the journal that nothing names yet. Dropped unfinished, it goes as if it had never been.
pub(super) struct Output {
    shared: Arc<Shared>,
    no: PackNo,
    pack: Option<OpenPack>,
}

impl Output {
    pub(super) fn begin(shared: &Arc<Shared>) -> Result<Self> {
        let (no, pack) = shared.begin_pack()?;
        Ok(Self { shared: Arc::clone(shared), no, pack: Some(pack) })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.pack.as_ref().map_or(0, OpenPack::bytes)
    }

    /// Appends a record; where it lies.
    pub(super) fn append(
        &mut self,
        kind: RecordKind,
        codec: Codec,
        id: StoredId,
        payload: &[u8],
        plain_bytes: u32,
    ) -> Result<Location> {
        let pack = self.pack.as_mut().ok_or(Error::Internal("the pack has ended"))?;
        let placed = pack.append(kind, codec, id, payload, plain_bytes)?;
        Ok(Location {
            pack: self.no,
            offset: placed.offset,
            record_bytes: placed.bytes,
            inner: None,
            bytes: plain_bytes,
        })
    }

    pub(super) fn append_block(&mut self, block: &Block) -> Result<Location> {
        let id = self.shared.site.stored_id(&block.id);
        self.append(RecordKind::Block, block.codec, id, &block.payload, block.plain_bytes)
    }

    pub(super) fn append_commit(&mut self, commit: &Commit) -> Result<()> {
        let (plain, coded) = commit.coded();
        let id = self.shared.site.stored_id(&ChunkId::of(&plain));
        let payload = coded.payload(&plain);
        self.append(RecordKind::Commit, coded.codec, id, payload, plain.len() as u32).map(|_| ())
    }

    /// Ends the pack and brings it into the bucket; its length.
    pub(super) fn store(mut self) -> Result<u64> {
        let pack = self.pack.as_mut().ok_or(Error::Internal("the pack has ended"))?;
        let path = pack.path().to_owned();
        let (bytes, checksum) = pack.finish()?;
        pack.syncer()?.sync().map_err(Error::io("sync", &path))?;
        self.shared.catalog.seal_pack(self.no, bytes, checksum)?;
        // From here on it is an ordinary pack, whatever becomes of this.
        self.pack = None;
        let row = self.shared.catalog.pack(self.no)?;
        patiently(&self.shared, || self.shared.store_sealed(&row))?;
        Ok(bytes)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let Some(pack) = self.pack.take() else { return };
        // What cannot be removed now is an ordinary pack for the next opening, and the next collection
        // finds that nothing in it is needed.
        let removed = self.shared.catalog.drop_pack(self.no).and_then(|()| {
            for path in [pack.path().to_owned(), self.shared.layout.journal_key(pack.pack())] {
                self.shared.disk.remove(&path).map_err(Error::io("remove", &path))?;
            }
            Ok(())
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "a pack that a collection began is left in the journal");
        }
    }
}
