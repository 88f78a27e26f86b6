//! Holds of any bytes that are taken for a pack, and of a sound pack that was changed anywhere, with
//! its check values made right again or not:
//! - scanning neither panics nor finds a record that is not there: records ascend, do not overlap, lie
//!   inside the pack, and can be opened by themselves with the same payload;
//! - what is called sound is: cut there, the pack holds the same records and no damage;
//! - headers are read as they are written; what is called sealed ends with a footer that can be read;
//! - blocks give members that tile what they decode to, within their bound.
#![no_main]

use std::cell::OnceCell;

use bytes::Bytes;
use cairn_chunker::codec::{Codec, Content, Effort, encode};
use cairn_chunker::id::ChunkId;
use cairn_fuzz::packs::{PACK, heal, pack_of};
use cairn_store::commit::Commit;
use cairn_store::fuzzing::{open_block, trailer};
use cairn_store::limits::{SMALL_BYTES_MAX, TEXT_BLOCK_BYTES};
use cairn_store::pack::{
    BlockBuilder, Cipher, FooterEntry, PACK_HEADER_BYTES, PackHeader, PackId, RECORD_HEADER_BYTES,
    RecordHeader, RecordKind, ScannedRecord, TRAILER_BYTES, open_record, read_footer, scan,
};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static SOUND: OnceCell<Vec<u8>> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| {
    let Some((control, rest)) = data.split_first() else { return };
    let mut bytes = if control & 1 == 0 { rest.to_vec() } else { changed(rest) };
    if control & 2 != 0 {
        heal(&mut bytes);
    }
    let header = PackHeader::decode(&bytes);
    if let Some(header) = header {
        assert_eq!(PackHeader::decode(&header.encode()), Some(header));
    }
    check(header.map_or(PACK, |header| header.pack), &bytes);
});

/// A sound pack with the bytes of `edits` put over its own: offset (16 bit) and value, three bytes
/// each; a single byte at the end cuts so many bytes off.
fn changed(edits: &[u8]) -> Vec<u8> {
    let mut bytes = SOUND.with(|sound| sound.get_or_init(sound_pack).clone());
    let (edits, rest) = edits.as_chunks::<3>();
    for [low, high, value] in edits {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
        bytes[at] = *value;
    }
    if let [cut] = rest {
        bytes.truncate(bytes.len().saturating_sub(usize::from(*cut)));
    }
    bytes
}

/// One record of each kind and codec.
fn sound_pack() -> Vec<u8> {
    let text = b"some words ".repeat(30);
    let coded = encode(&text, Content::Text, Effort::default());
    let mut block = BlockBuilder::new(Content::Text);
    for member in text.chunks(100) {
        block.push(ChunkId::of(member), &Bytes::copy_from_slice(member));
    }
    let block = block.finish(Effort::default(), true);
    let commit = Commit { first_seq: 1, entries: Vec::new() }.encode();
    pack_of(&[
        (RecordKind::Chunk, Codec::Stored, &text, text.len()),
        (RecordKind::Chunk, coded.codec, coded.payload(&text), text.len()),
        (RecordKind::Block, block.codec, &block.payload, text.len()),
        (RecordKind::Commit, Codec::Stored, &commit, commit.len()),
    ])
}

fn check(pack: PackId, bytes: &[u8]) {
    let mut records: Vec<ScannedRecord> = Vec::new();
    let found = scan(&Cipher::Plain, pack, bytes, |record| records.push(record));
    let mut end = PACK_HEADER_BYTES as u64;
    for record in &records {
        assert!(record.entry.offset >= end, "records overlap");
        end = record.entry.offset + record.entry.record_bytes();
        assert!(end <= bytes.len() as u64, "a record ends behind the pack");
        check_record(pack, bytes, record);
    }
    assert!(found.damage.is_sorted_by(|a, b| a.0 < b.0), "damage does not ascend");
    assert!(found.damage.iter().all(|(at, _)| *at < bytes.len() as u64));
    assert!(!found.sealed || found.damage.is_empty(), "sealed and damaged");
    if let Some(footer) = found.trailer {
        // Replay cuts a pack there: no record may be lost to a trailer that lies.
        assert!(
            footer >= end && footer < bytes.len() as u64,
            "the trailer counts records as footer"
        );
    }
    check_prefix(pack, bytes, found.sound_bytes, &records);
    if found.sealed {
        check_footer(pack, bytes);
    }
}

fn check_record(pack: PackId, bytes: &[u8], record: &ScannedRecord) {
    let FooterEntry { kind, codec, offset, payload_bytes, plain_bytes, .. } = record.entry;
    let at = &bytes[offset as usize..];
    let (header, payload) = open_record(&Cipher::Plain, pack, offset, at).expect("it was found");
    assert_eq!(payload, record.payload, "another payload");
    assert_eq!(header.encode(), at[..RECORD_HEADER_BYTES], "another header");
    assert_eq!(RecordHeader::decode(at), Ok(header));
    assert_eq!(payload.len(), payload_bytes as usize);
    assert!(open_record(&Cipher::Plain, pack, offset + 1, at).is_err(), "a record can be moved");
    if kind != RecordKind::Block {
        return;
    }
    let Ok(block) = open_block(codec, &payload, plain_bytes) else { return };
    assert_eq!(block.plain.len(), plain_bytes as usize);
    assert!(block.plain.len() <= TEXT_BLOCK_BYTES + SMALL_BYTES_MAX, "over the bound");
    let tiled = block.members.iter().try_fold(0, |end, member| {
        (member.start == end && member.end >= end).then_some(member.end)
    });
    assert_eq!(tiled, Some(plain_bytes), "members do not tile the block");
}

fn check_prefix(pack: PackId, bytes: &[u8], sound_bytes: u64, records: &[ScannedRecord]) {
    let Some(prefix) = bytes.get(..sound_bytes as usize) else {
        assert!(bytes.len() < PACK_HEADER_BYTES, "more is sound than there is");
        return;
    };
    let mut again = Vec::new();
    let found = scan(&Cipher::Plain, pack, prefix, |record| again.push(record.entry));
    assert!(found.damage.is_empty(), "what is sound has damage: {:?}", found.damage);
    assert_eq!(found.sound_bytes, sound_bytes);
    let expected: Vec<_> = records.iter().map(|record| record.entry).collect();
    assert_eq!(again, expected[..again.len()], "the same records");
    assert!(expected[again.len()..].iter().all(|entry| entry.offset >= sound_bytes));
}

/// What is called sealed ends with a sound footer, which the trailer points at.
fn check_footer(pack: PackId, bytes: &[u8]) {
    let Some((offset, length)) = trailer(bytes) else { panic!("sealed without a trailer") };
    let end = offset.saturating_add(u64::from(length)) as usize;
    assert_eq!(end + TRAILER_BYTES, bytes.len(), "the trailer points elsewhere");
    let footer = read_footer(&Cipher::Plain, pack, offset, &bytes[offset as usize..end]);
    assert!(footer.is_ok(), "the trailer points at no footer");
}
