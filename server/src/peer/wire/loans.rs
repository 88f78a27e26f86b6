//! What an owner lends of its bucket: ranges of packs, and the keys of the records in them that were
//! asked for. Travels sealed to the reader's key.

use std::fmt;
use std::ops::Range;

use cairn_chunker::cbor::{Reader, Writer};
use cairn_store::keys::RecordKey;
use cairn_store::pack::{PackId, RECORD_HEADER_BYTES};
use cairn_store::read::Loan;

const WHAT: &str = "list of what is lent";
const VERSION: u64 = 1;
/// Longest list in bytes, sealed.
pub(crate) const LOANS_BYTES_MAX: usize = 4 << 20;
/// Most ranges in one list.
const RANGES_MAX: usize = 1 << 12;
/// Most records in one list.
const RECORDS_MAX: usize = 1 << 14;
/// Longest URL: a signature and a session token take up to two thousand characters.
const URL_BYTES_MAX: usize = 8 << 10;
/// Records this near to each other are read together: less than a round trip costs.
const GAP_BYTES_MAX: u64 = 64 << 10;
/// A range is no longer than this, unless its only record is.
const RANGE_BYTES: u64 = 8 << 20;
/// Longest record: its header, and a payload a little longer than the longest chunk.
const RECORD_BYTES_MAX: u64 = 66 << 20;

/// A range of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LentRange {
    /// Where it may be read for a while.
    pub(crate) url: LentUrl,
    /// The pack.
    pub(crate) pack: PackId,
    /// Which bytes of it.
    pub(crate) bytes: Range<u64>,
    /// The records in it that were asked for, ascending, none over another.
    pub(crate) records: Vec<LentRecord>,
}

/// A URL that opens something to whoever has it: it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LentUrl(pub(crate) String);

impl fmt::Debug for LentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LentUrl")
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LentRecord {
    /// Place of its chunk among those that were asked for, from 0.
    pub(crate) place: u32,
    /// The record itself.
    pub(crate) loan: Loan,
}

impl LentRecord {
    fn range(&self) -> Range<u64> {
        self.loan.offset..self.loan.offset + u64::from(self.loan.record_bytes)
    }
}

/// Records that lie near to each other, as ranges to be lent; each has to be given its URL.
pub(crate) fn ranges(mut records: Vec<LentRecord>) -> Vec<(PackId, Range<u64>, Vec<LentRecord>)> {
    records.sort_by_key(|record| (record.loan.pack, record.loan.offset));
    // The same chunk may be asked for twice; it is lent once.
    records.dedup_by_key(|record| (record.loan.pack, record.loan.offset));
    let mut ranges: Vec<(PackId, Range<u64>, Vec<LentRecord>)> = Vec::new();
    for record in records {
        let bytes = record.range();
        let near = |(pack, last, _): &&mut (PackId, Range<u64>, Vec<LentRecord>)| {
            *pack == record.loan.pack
                && bytes.start >= last.end
                && bytes.start - last.end <= GAP_BYTES_MAX
                && bytes.end - last.start <= RANGE_BYTES
        };
        match ranges.last_mut().filter(near) {
            Some((_, last, records)) => {
                last.end = bytes.end;
                records.push(record);
            }
            None => ranges.push((record.loan.pack, bytes, vec![record])),
        }
    }
    ranges
}

/// The canonical encoding.
pub(crate) fn encode(ranges: &[LentRange]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(2).uint(VERSION).array(ranges.len());
    for LentRange { url, pack, bytes, records } in ranges {
        writer.array(5).text(&url.0).bytes(&pack.0).uint(bytes.start).uint(bytes.end);
        writer.array(records.len());
        for LentRecord { place, loan: Loan { offset, record_bytes, key, .. } } in records {
            writer.array(4).uint((*place).into()).uint(*offset).uint((*record_bytes).into());
            writer.bytes(&key.0);
        }
    }
    writer.finish()
}

/// Reads a list about so many chunks that were asked for.
pub(crate) fn decode(bytes: &[u8], wanted: usize) -> Result<Vec<LentRange>, cairn_chunker::Error> {
    let mut reader = Reader::new(bytes, WHAT);
    reader.array_of(2)?;
    if reader.uint()? != VERSION {
        return Err(reader.fault("it is of a later version"));
    }
    let count = reader.array()?;
    if count > RANGES_MAX {
        return Err(reader.fault("it has too many ranges"));
    }
    let (mut ranges, mut records) = (Vec::new(), 0);
    for _ in 0..count {
        let range = range(&mut reader, wanted)?;
        records += range.records.len();
        if records > RECORDS_MAX {
            return Err(reader.fault("it has too many records"));
        }
        ranges.push(range);
    }
    reader.end()?;
    Ok(ranges)
}

fn range(reader: &mut Reader<'_>, wanted: usize) -> Result<LentRange, cairn_chunker::Error> {
    reader.array_of(5)?;
    let url = LentUrl(reader.text(URL_BYTES_MAX)?.to_owned());
    let pack = <[u8; 16]>::try_from(reader.bytes(16)?).map(PackId);
    let pack = pack.map_err(|_| reader.fault("a pack's name has another length"))?;
    let bytes = reader.uint()?..reader.uint()?;
    let count = reader.array()?;
    if count == 0 || count > RECORDS_MAX {
        return Err(reader.fault("a range has no records, or too many"));
    }
    let (mut records, mut at) = (Vec::new(), bytes.start);
    for _ in 0..count {
        let record = record(reader, pack, wanted)?;
        let offset = record.loan.offset;
        let end = offset.checked_add(record.loan.record_bytes.into());
        let Some(end) = end.filter(|end| offset >= at && *end <= bytes.end) else {
            return Err(reader.fault("a record lies over another or outside of its range"));
        };
        at = end;
        records.push(record);
    }
    if bytes.end - bytes.start > RANGE_BYTES.max(RECORD_BYTES_MAX) {
        return Err(reader.fault("a range is too long"));
    }
    Ok(LentRange { url, pack, bytes, records })
}

fn record(
    reader: &mut Reader<'_>,
    pack: PackId,
    wanted: usize,
) -> Result<LentRecord, cairn_chunker::Error> {
    reader.array_of(4)?;
    let place = reader.uint()?;
    let place = u32::try_from(place).ok().filter(|place| (*place as usize) < wanted);
    let place = place.ok_or_else(|| reader.fault("a record was not asked for"))?;
    let offset = reader.uint()?;
    let length = reader.uint()?;
    let record_bytes = (RECORD_HEADER_BYTES as u64..=RECORD_BYTES_MAX).contains(&length);
    let record_bytes = record_bytes.then_some(length as u32);
    let record_bytes = record_bytes.ok_or_else(|| reader.fault("a record has no such length"))?;
    let key = RecordKey(reader.hash()?);
    Ok(LentRecord { place, loan: Loan { pack, offset, record_bytes, key } })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn lent(place: u32, pack: u8, offset: u64, record_bytes: u32) -> LentRecord {
        let key = RecordKey([place as u8; 32]);
        LentRecord { place, loan: Loan { pack: PackId([pack; 16]), offset, record_bytes, key } }
    }

    fn with_urls(records: Vec<LentRecord>) -> Vec<LentRange> {
        let url = || LentUrl("https://bucket.example/packs/07.pack?signature".into());
        let ranges = ranges(records).into_iter();
        let lend = |(pack, bytes, records)| LentRange { url: url(), pack, bytes, records };
        ranges.map(lend).collect()
    }

    #[test]
    fn neighbours_are_lent_together_and_come_back() {
        let mib = 1 << 20;
        let records = vec![
            lent(0, 1, 64, 1000),
            lent(1, 1, 70_000 + 1064, 500),
            lent(2, 1, 1064, 2000),
            lent(3, 2, 64, 9 * mib),
            lent(4, 2, 64 + 9 * u64::from(mib), 100),
            lent(5, 1, 64, 1000),
        ];
        let ranges = with_urls(records);
        let places: Vec<Vec<u32>> =
            ranges.iter().map(|range| range.records.iter().map(|r| r.place).collect()).collect();
        assert_eq!(places, [vec![0, 2], vec![1], vec![3], vec![4]], "a gap, a long one, a pack");
        assert_eq!(ranges[0].bytes, 64..3064);
        assert_eq!(decode(&encode(&ranges), 6).unwrap(), ranges);
        assert!(decode(&encode(&ranges), 4).is_err(), "what was not asked for");
        assert!(!format!("{ranges:?}").contains("signature"));
    }

    #[test]
    fn what_lies_about_its_place_is_refused() {
        let range = |bytes, records| {
            let (url, pack) = (LentUrl(String::new()), PackId([1; 16]));
            vec![LentRange { url, pack, bytes, records }]
        };
        let good = range(0..200, vec![lent(0, 1, 0, 100), lent(1, 1, 100, 100)]);
        assert!(decode(&encode(&good), 2).is_ok());
        for bad in [
            range(0..200, vec![]),
            range(0..200, vec![lent(0, 1, 0, 101), lent(1, 1, 100, 100)]),
            range(0..199, vec![lent(0, 1, 0, 100), lent(1, 1, 100, 100)]),
            range(1..200, vec![lent(0, 1, 0, 100)]),
            range(0..200, vec![lent(0, 1, 0, 79)]),
            range(0..u64::MAX, vec![lent(0, 1, u64::MAX - 80, 100)]),
            range(0..u64::MAX, vec![lent(0, 1, 0, 100)]),
        ] {
            assert!(decode(&encode(&bad), 2).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_lists_never_panic(bytes: Vec<u8>) {
            if let Ok(ranges) = decode(&bytes, 10) {
                prop_assert_eq!(encode(&ranges), bytes);
            }
        }
    }
}
