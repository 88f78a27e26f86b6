//! Reading packs: by footer where it is sound, record by record where it is not.

use std::ops::Range;

use cairn_chunker::codec::Codec;

use crate::keys::{RecordKey, StoredId, TAG_BYTES, check_tag};
use crate::layout::{RECORD_MAGIC, TRAILER_MAGIC};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::pack::{
    Cipher, PACK_HEADER_BYTES, PackId, RECORD_HEADER_BYTES, RecordHeader, RecordKind, TRAILER_BYTES,
};

/// Bytes of one entry in the footer.
const ENTRY_BYTES: usize = 52;

/// One record as the footer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FooterEntry {
    /// What it holds.
    pub kind: RecordKind,
    /// How its payload is coded.
    pub codec: Codec,
    /// Offset of its header.
    pub offset: u64,
    /// Length of its payload.
    pub payload_bytes: u32,
    /// Length of the payload decoded.
    pub plain_bytes: u32,
    /// Its name.
    pub id: StoredId,
}

impl FooterEntry {
    pub(crate) fn new(header: &RecordHeader, offset: u64) -> Self {
        Self {
            kind: header.kind,
            codec: header.codec,
            offset,
            payload_bytes: header.payload_bytes,
            plain_bytes: header.plain_bytes,
            id: header.id,
        }
    }

    /// Length of header and payload.
    #[must_use]
    pub fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }
}

pub(crate) fn encode_footer(records: &[FooterEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * ENTRY_BYTES);
    for record in records {
        out.extend([record.kind as u8, record.codec.id(), 0, 0]);
        out.extend(record.offset.to_le_bytes());
        out.extend(record.payload_bytes.to_le_bytes());
        out.extend(record.plain_bytes.to_le_bytes());
        out.extend(record.id.0);
    }
    out
}

fn decode_footer(bytes: &[u8]) -> Option<Vec<FooterEntry>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    entries
        .iter()
        .map(|entry| {
            // The same fields as a record header's, so its decoder is not repeated: only the two
            // codes need checking.
            let kind = match entry[0] {
                1 => RecordKind::Chunk,
                2 => RecordKind::Block,
                3 => RecordKind::Commit,
                _ => return None,
            };
            Some(FooterEntry {
                kind,
                codec: Codec::from_id(entry[1]).ok()?,
                offset: u64::from_le_bytes(entry[4..12].try_into().ok()?),
                payload_bytes: u32::from_le_bytes(entry[12..16].try_into().ok()?),
                plain_bytes: u32::from_le_bytes(entry[16..20].try_into().ok()?),
                id: StoredId(entry[20..52].try_into().ok()?),
            })
        })
        .collect()
}

/// Where the trailer says that the footer record lies: offset and length.
pub(crate) fn decode_trailer(bytes: &[u8]) -> Option<(u64, u32)> {
    let bytes: &[u8; TRAILER_BYTES] = bytes.last_chunk()?;
    let check = u32::from_le_bytes(bytes[28..].try_into().ok()?);
    if bytes[..8] != TRAILER_MAGIC || crc32c::crc32c(&bytes[..28]) != check {
        return None;
    }
    let offset = u64::from_le_bytes(bytes[8..16].try_into().ok()?);
    Some((offset, u32::from_le_bytes(bytes[16..20].try_into().ok()?)))
}

/// Checks and decrypts a record that starts at `offset`. `bytes` are header and payload.
///
/// Returns the header and the payload, still coded; or what is wrong.
pub fn open_record(
    cipher: &Cipher,
    pack: PackId,
    offset: u64,
    bytes: &[u8],
) -> Result<(RecordHeader, Vec<u8>), &'static str> {
    match cipher {
        Cipher::Plain => {
            let (header, payload) = parts(bytes)?;
            if check_tag(&header.aad(pack, offset), payload) != header.tag {
                return Err("the record has a flipped bit");
            }
            Ok((header, payload.to_vec()))
        }
        Cipher::Gcm(key) => open_lent(|id| key.record(id), pack, offset, bytes),
    }
}

/// Checks a record as [`open_record`] does, and decrypts it where it stands. Returns the header, and
/// where the payload is.
pub(crate) fn open_in_place(
    cipher: &Cipher,
    pack: PackId,
    offset: u64,
    record: &mut Vec<u8>,
) -> Result<(RecordHeader, Range<usize>), &'static str> {
    let (header, payload) = parts(record)?;
    let payload = RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + payload.len();
    let aad = header.aad(pack, offset);
    match cipher {
        Cipher::Plain => {
            if check_tag(&aad, &record[payload.clone()]) != header.tag {
                return Err("the record has a flipped bit");
            }
        }
        Cipher::Gcm(key) => {
            record.truncate(payload.end);
            record.extend_from_slice(&header.tag);
            key.open(&header.id, header.nonce, &aad, &mut record[payload.start..])
                .ok_or("the record has a flipped bit, or was written under another key")?;
        }
    }
    Ok((header, payload))
}

/// Checks and decrypts a record with its own key, which `key` gives for the record's id.
pub(crate) fn open_lent(
    key: impl FnOnce(&StoredId) -> RecordKey,
    pack: PackId,
    offset: u64,
    bytes: &[u8],
) -> Result<(RecordHeader, Vec<u8>), &'static str> {
    let (header, payload) = parts(bytes)?;
    let mut body = Vec::with_capacity(payload.len() + TAG_BYTES);
    body.extend_from_slice(payload);
    body.extend_from_slice(&header.tag);
    let length = key(&header.id)
        .open(header.nonce, &header.aad(pack, offset), &mut body)
        .ok_or("the record has a flipped bit, or was written under another key")?;
    body.truncate(length);
    Ok((header, body))
}

/// Header and payload of a record.
fn parts(bytes: &[u8]) -> Result<(RecordHeader, &[u8]), &'static str> {
    let header = RecordHeader::decode(bytes)?;
    let payload = bytes
        .get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + header.payload_bytes as usize)
        .ok_or("the record is cut short")?;
    Ok((header, payload))
}

/// Reads the footer record (header and payload in `bytes`).
pub fn read_footer(
    cipher: &Cipher,
    pack: PackId,
    offset: u64,
    bytes: &[u8],
) -> Result<Vec<FooterEntry>, &'static str> {
    let (header, payload) = open_record(cipher, pack, offset, bytes)?;
    if header.kind != RecordKind::Footer {
        return Err("the trailer does not point at a footer");
    }
    decode_footer(&payload).ok_or("the footer cannot be read")
}

/// A record found by scanning.
#[derive(Debug)]
pub struct ScannedRecord {
    /// Its entry, as a footer would list it.
    pub entry: FooterEntry,
    /// Its payload, decrypted and still coded.
    pub payload: Vec<u8>,
}

/// What a scan of a whole pack found.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Places where no sound record stands, with the reason.
    pub damage: Vec<(u64, &'static str)>,
    /// End of the last sound record before the first damage.
    pub sound_bytes: u64,
    /// The trailer that ends the pack is sound: where it says that the footer lies. From there to the
    /// trailer no sound record stands but a footer.
    pub trailer: Option<u64>,
    /// The pack is whole: no damage, and a trailer that points at the footer before it.
    pub sealed: bool,
}

/// Walks over every record in `bytes` (the whole pack), handing each sound one to `visit`.
///
/// After damage it looks for the next record start, so one flipped bit loses one record.
pub fn scan(
    cipher: &Cipher,
    pack: PackId,
    bytes: &[u8],
    mut visit: impl FnMut(ScannedRecord),
) -> Scanned {
    let mut found = Scanned { sound_bytes: PACK_HEADER_BYTES as u64, ..Scanned::default() };
    let mut at = PACK_HEADER_BYTES;
    // End of the last sound record that is no footer; place and length of a footer that ends at `at`.
    let mut last = at as u64;
    let mut footer = None;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.len() == TRAILER_BYTES
            && let Some((place, length)) = decode_trailer(rest)
        {
            // The trailer is not authenticated: what it says has to agree with what stands there.
            let ends_here = place.checked_add(u64::from(length)) == Some(at as u64);
            found.trailer = (ends_here && place >= last && place < at as u64).then_some(place);
            found.sealed = footer == Some((place, length)) && found.damage.is_empty();
            break;
        }
        match open_record(cipher, pack, at as u64, rest) {
            Ok((header, payload)) => {
                let next = at + header.record_bytes() as usize;
                let is_footer =
                    header.kind == RecordKind::Footer && decode_footer(&payload).is_some();
                footer = is_footer.then_some((at as u64, header.record_bytes() as u32));
                if header.kind != RecordKind::Footer {
                    last = next as u64;
                }
                if found.damage.is_empty() && header.kind != RecordKind::Footer {
                    found.sound_bytes = next as u64;
                }
                if header.kind != RecordKind::Footer {
                    let entry = FooterEntry::new(&header, at as u64);
                    visit(ScannedRecord { entry, payload });
                }
                at = next;
            }
            Err(why) => {
                found.damage.push((at as u64, why));
                match resume_after(bytes, at) {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
    }
    found
}

/// The next place behind a damaged record where a record may start.
fn resume_after(bytes: &[u8], damaged: usize) -> Option<usize> {
    // If the header is sound, the next record starts where it says; else look for the magic.
    if let Ok(header) = RecordHeader::decode(&bytes[damaged..])
        && header.payload_bytes as usize <= PAYLOAD_BYTES_MAX
    {
        let next = damaged + header.record_bytes() as usize;
        return (next < bytes.len()).then_some(next);
    }
    let mut at = damaged + 1;
    while let Some(rest) = bytes.get(at..) {
        if rest.len() == TRAILER_BYTES && decode_trailer(rest).is_some() {
            return Some(at);
        }
        if rest.len() < RECORD_HEADER_BYTES.min(TRAILER_BYTES) {
            return None;
        }
        if rest.starts_with(&RECORD_MAGIC) && RecordHeader::decode(rest).is_ok() {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::disk::OsDisk;
    use crate::keys::PackKey;
    use crate::pack::{OpenPack, PackHeader};

    fn sample(cipher: &Cipher) -> (PackId, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.pack");
        let pack = PackId::generate().unwrap();
        let header = PackHeader { pack, cipher: 0, created_ms: 1 };
        let mut open = OpenPack::create(&OsDisk, &path, header, cipher.clone()).unwrap();
        for i in 0..5u8 {
            let payload = vec![i; 100 + usize::from(i)];
            let id = StoredId([i; 32]);
            open.append(RecordKind::Chunk, Codec::Stored, id, &payload, payload.len() as u32)
                .unwrap();
        }
        open.finish().unwrap();
        (pack, std::fs::read(&path).unwrap())
    }

    fn ciphers() -> [Cipher; 2] {
        [Cipher::Plain, Cipher::Gcm(PackKey::generate().unwrap())]
    }

    #[test]
    fn footer_and_scan_agree() {
        for cipher in ciphers() {
            let (pack, bytes) = sample(&cipher);
            let (offset, length) = decode_trailer(&bytes).unwrap();
            let footer = &bytes[offset as usize..][..length as usize];
            let entries = read_footer(&cipher, pack, offset, footer).unwrap();
            let mut scanned = Vec::new();
            let found = scan(&cipher, pack, &bytes, |record| scanned.push(record.entry));
            assert!(found.sealed && found.damage.is_empty());
            assert_eq!(scanned, entries);
            assert_eq!(entries.len(), 5);
        }
    }

    #[test]
    fn every_flipped_bit_is_found_and_loses_one_record() {
        for cipher in ciphers() {
            let (pack, good) = sample(&cipher);
            for bit in (PACK_HEADER_BYTES * 8..good.len() * 8).step_by(3) {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut count = 0;
                let found = scan(&cipher, pack, &bytes, |_| count += 1);
                assert!(!found.damage.is_empty() || !found.sealed, "bit {bit}");
                assert!(count >= 4, "bit {bit}: {count} records left");
            }
        }
    }

    #[test]
    fn a_record_cannot_be_moved_or_copied_into_another_pack() {
        for cipher in ciphers() {
            let (pack, bytes) = sample(&cipher);
            let record = &bytes[PACK_HEADER_BYTES..];
            assert!(open_record(&cipher, pack, PACK_HEADER_BYTES as u64, record).is_ok());
            assert!(open_record(&cipher, pack, 65, record).is_err());
            let (header, payload) =
                open_record(&cipher, pack, PACK_HEADER_BYTES as u64, record).unwrap();
            for more in [0, 5] {
                let mut copy = record.to_vec();
                copy.resize(record.len() + more, 1);
                let opened = open_in_place(&cipher, pack, PACK_HEADER_BYTES as u64, &mut copy);
                let (again, range) = opened.unwrap();
                assert_eq!((again, &copy[range]), (header, payload.as_slice()));
                let mut moved = record.to_vec();
                assert!(open_in_place(&cipher, pack, 65, &mut moved).is_err());
            }
            let other = PackId::generate().unwrap();
            assert!(open_record(&cipher, other, PACK_HEADER_BYTES as u64, record).is_err());
        }
    }

    #[test]
    fn any_cut_leaves_whole_records() {
        for cipher in ciphers() {
            let (pack, bytes) = sample(&cipher);
            for length in PACK_HEADER_BYTES..bytes.len() {
                let mut last = PACK_HEADER_BYTES as u64;
                let found = scan(&cipher, pack, &bytes[..length], |record| {
                    last = record.entry.offset + record.entry.record_bytes();
                });
                assert!(!found.sealed);
                assert_eq!(found.sound_bytes, last);
                assert!(found.sound_bytes <= length as u64);
            }
        }
    }
}
