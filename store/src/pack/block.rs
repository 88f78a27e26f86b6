//! Solid blocks: small chunks of one study, coded together.
//!
//! The payload is a directory (count, then a length for each member, all `u32` little-endian) and the
//! members' bytes coded as one. Members' names are not stored: they are the hashes of their bytes.
//! Without blocks the headers of a CT study take some 25 times the space.

use std::ops::Range;

use bytes::Bytes;
use cairn_chunker::codec::{self, Codec, Content, Effort};
use cairn_chunker::id::ChunkId;

use crate::limits::{PIXEL_BLOCK_BYTES, SMALL_BYTES_MAX, TEXT_BLOCK_BYTES};

/// Longest plain block: full but for one byte, then one more member.
const BLOCK_BYTES_MAX: usize = TEXT_BLOCK_BYTES + SMALL_BYTES_MAX;

/// Collects members.
#[derive(Debug)]
pub struct BlockBuilder {
    content: Content,
    members: Vec<(ChunkId, u32)>,
    plain: Vec<u8>,
}

/// A block ready to be appended.
#[derive(Debug)]
pub struct Block {
    /// How the members are coded.
    pub codec: Codec,
    /// Directory and coded members.
    pub payload: Vec<u8>,
    /// Length of the members together.
    pub plain_bytes: u32,
    /// Name of the whole: the hash of the members' bytes.
    pub id: ChunkId,
    /// Each member with its place in the plain block.
    pub members: Vec<(ChunkId, Range<u32>)>,
}

impl BlockBuilder {
    /// An empty block of chunks that are coded alike.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self { content, members: Vec::new(), plain: Vec::new() }
    }

    /// Adds a chunk of at most [`SMALL_BYTES_MAX`] bytes.
    pub fn push(&mut self, id: ChunkId, bytes: &Bytes) {
        self.members.push((id, bytes.len() as u32));
        self.plain.extend_from_slice(bytes);
    }

    /// Takes over all members of another block of the same content.
    pub fn append(&mut self, other: &Self) {
        self.members.extend_from_slice(&other.members);
        self.plain.extend_from_slice(&other.plain);
    }

    /// Length of the members together.
    #[must_use]
    pub fn plain_bytes(&self) -> usize {
        self.plain.len()
    }

    /// Nothing more should go in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let bound = match self.content {
            Content::Text => TEXT_BLOCK_BYTES,
            Content::Pixels(_) | Content::Dense => PIXEL_BLOCK_BYTES,
        };
        self.plain.len() >= bound
    }

    /// Codes the block; with `verify`, decodes it again and falls back to stored bytes on a mismatch.
    #[must_use]
    pub fn finish(self, effort: Effort, verify: bool) -> Block {
        let coded = codec::encode(&self.plain, self.content, effort);
        let sound =
            !verify || coded.codec == Codec::Stored || codec::comes_back(&coded, &self.plain);
        let (codec, body) = if sound {
            (coded.codec, coded.payload(&self.plain))
        } else {
            (Codec::Stored, &self.plain[..])
        };
        let mut payload = Vec::with_capacity(4 + self.members.len() * 4 + body.len());
        payload.extend((self.members.len() as u32).to_le_bytes());
        for (_, bytes) in &self.members {
            payload.extend(bytes.to_le_bytes());
        }
        payload.extend_from_slice(body);
        let mut at = 0;
        let members = self
            .members
            .iter()
            .map(|(id, bytes)| {
                at += bytes;
                (*id, at - bytes..at)
            })
            .collect();
        Block {
            codec,
            payload,
            plain_bytes: self.plain.len() as u32,
            id: ChunkId::of(&self.plain),
            members,
        }
    }
}

/// A block read back.
#[derive(Debug)]
pub struct OpenedBlock {
    /// The members' bytes.
    pub plain: Bytes,
    /// Where each stands.
    pub members: Vec<Range<u32>>,
}

/// Reads a block's payload.
pub(crate) fn open_block(
    codec: Codec,
    payload: &[u8],
    plain_bytes: u32,
) -> Result<OpenedBlock, &'static str> {
    const DAMAGED: &str = "the block's directory is damaged";
    if plain_bytes as usize > BLOCK_BYTES_MAX {
        return Err("the block is over its bound");
    }
    let (count, rest) = payload.split_first_chunk::<4>().ok_or(DAMAGED)?;
    let count = u32::from_le_bytes(*count) as usize;
    let directory_bytes = count.checked_mul(4).ok_or(DAMAGED)?;
    let (directory, body) = rest.split_at_checked(directory_bytes).ok_or(DAMAGED)?;
    let mut members = Vec::with_capacity(count);
    let mut at = 0u32;
    for length in directory.as_chunks::<4>().0 {
        let end = at.checked_add(u32::from_le_bytes(*length)).ok_or(DAMAGED)?;
        members.push(at..end);
        at = end;
    }
    if at != plain_bytes {
        return Err(DAMAGED);
    }
    let plain = codec::decode(codec, body, plain_bytes as usize)
        .map_err(|_| "the block cannot be decoded")?;
    Ok(OpenedBlock { plain: plain.into(), members })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn members_come_back(members in prop::collection::vec(any::<Vec<u8>>(), 0..30)) {
            let mut builder = BlockBuilder::new(Content::Text);
            for member in &members {
                builder.push(ChunkId::of(member), &Bytes::from(member.clone()));
            }
            let block = builder.finish(Effort::default(), true);
            let opened = open_block(block.codec, &block.payload, block.plain_bytes).unwrap();
            prop_assert_eq!(opened.members.len(), members.len());
            for ((range, member), (id, place)) in
                opened.members.iter().zip(&members).zip(&block.members)
            {
                let bytes = &opened.plain[range.start as usize..range.end as usize];
                prop_assert_eq!(bytes, &member[..]);
                prop_assert_eq!(ChunkId::of(bytes), *id);
                prop_assert_eq!(range, place);
            }
        }

        #[test]
        fn hostile_blocks_never_panic(payload: Vec<u8>, codec in 0u8..4, plain in 0u32..3_000_000) {
            let _ = open_block(Codec::from_id(codec).unwrap(), &payload, plain);
        }
    }
}
