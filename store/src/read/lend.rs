//! Records that another site reads straight from the bucket.
//!
//! What is lent is one range of one pack for a short time, and the keys of single records in it. A range
//! may run over records between those: without their keys they are noise. Chunks that share a block with
//! others are not lent, since one key opens all of a block; nor is anything of a bucket that is not
//! encrypted, or has not got the pack yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::time::Duration;

use cairn_chunker::manifest::ChunkRef;
use url::Url;

use super::{Coded, Reader};
use crate::catalog::{PackNo, PackState};
use crate::error::Result;
use crate::keys::{PackKey, RecordKey};
use crate::layout::pack_object;
use crate::pack::{Cipher, PackId, RecordKind, open_lent};

/// One record that is lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loan {
    /// The pack that it lies in.
    pub pack: PackId,
    /// Where in it.
    pub offset: u64,
    /// Length of header and payload.
    pub record_bytes: u32,
    /// Opens it.
    pub key: RecordKey,
}

impl Loan {
    /// Decrypts the record, which has to be a chunk of this length. Its bytes are not compared with its
    /// name: whoever decodes them does that.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn open(
        &self,
        record: &[u8],
        chunk: &ChunkRef,
    ) -> std::result::Result<Coded, &'static str> {
        let key = self.key.clone();
        let (header, payload) = open_lent(|_| key, self.pack, self.offset, record)?;
        if header.kind != RecordKind::Chunk || header.plain_bytes != chunk.bytes {
            return Err("the record is not the chunk");
        }
        Ok(Coded { codec: header.codec, payload: payload.into() })
    }
}

impl Reader {
    /// What of these chunks can be lent, in their order.
    pub fn lend(&self, chunks: &[ChunkRef]) -> Result<Vec<Option<Loan>>> {
        let mut packs: HashMap<PackNo, Option<(PackId, PackKey)>> = HashMap::new();
        let mut loans = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let place = self.locate(&chunk.id)?;
            if place.inner.is_some() {
                loans.push(None);
                continue;
            }
            let lendable = match packs.entry(place.pack) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.lendable(place.pack)?),
            };
            let stored = self.shared.site.stored_id(&chunk.id);
            loans.push(lendable.as_ref().map(|(pack, key)| Loan {
                pack: *pack,
                offset: place.offset,
                record_bytes: place.record_bytes,
                key: key.record(&stored),
            }));
        }
        Ok(loans)
    }

    /// Name and key of a pack whose records can be lent.
    fn lendable(&self, no: PackNo) -> Result<Option<(PackId, PackKey)>> {
        let row = self.shared.pack(no)?;
        if row.state != PackState::Stored {
            return Ok(None);
        }
        match self.packs.cipher(no)? {
            Cipher::Gcm(key) => Ok(Some((row.id, key))),
            Cipher::Plain => Ok(None),
        }
    }

    /// A URL to a range of a pack, for so long; see [`crate::bucket::Bucket::presign`].
    pub fn presign(
        &self,
        pack: PackId,
        range: &Range<u64>,
        valid: Duration,
    ) -> Result<Option<Url>> {
        self.shared.bucket.presign(&pack_object(pack), range, valid)
    }
}
