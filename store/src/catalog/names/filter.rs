//! What tells that a name is not in a run: a blocked Bloom filter.
//!
//! Buckets of 512 bits, one cache line each, in the order of the keys, so that it is written from front to
//! back as a run is. A key has five bits in its bucket. With 64 keys to a bucket some 3 % of what is not
//! there is let through.

use rusqlite::{Connection, params};

use super::{Result, run};

/// Words of a bucket.
const WORDS: usize = 8;
/// Keys that a bucket is meant for.
const BUCKET_KEYS: u64 = 64;
/// Buckets of a part, which fits a page of the catalog.
const PART_BUCKETS: u64 = 62;
/// Bytes of a part.
const PART_BYTES: usize = PART_BUCKETS as usize * WORDS * 8;
/// Bits that a key has.
const KEY_BITS: u32 = 5;

/// The filter of a run.
#[derive(Debug)]
pub(super) struct Filter(Vec<[u64; WORDS]>);

/// Buckets for a run of so many keys.
pub(super) fn buckets_for(keys: u64) -> u64 {
    keys.div_ceil(BUCKET_KEYS).max(1)
}

/// The bucket of a key: keys are hashes, and their first bits spread evenly.
fn bucket_of(key: u64, buckets: u64) -> u64 {
    ((u128::from(key) * u128::from(buckets)) >> 64) as u64
}

/// Places of a key's bits in its bucket, from the last bits of the key: the first ones are alike there.
fn bits_of(key: u64) -> impl Iterator<Item = (usize, u64)> {
    (0..KEY_BITS).map(move |bit| {
        let place = key >> (9 * bit);
        (place as usize / 64 % WORDS, 1 << (place % 64))
    })
}

impl Filter {
    pub(super) fn may_hold(&self, key: u64) -> bool {
        let bucket = self.0.get(bucket_of(key, self.0.len() as u64) as usize);
        bucket.is_some_and(|words| bits_of(key).all(|(word, bit)| words[word] & bit != 0))
    }

    /// Reads the filter of a run.
    pub(super) fn load(connection: &Connection, run: i64, buckets: u64) -> Result<Self> {
        let mut filter = vec![[0; WORDS]; buckets as usize];
        let mut statement = connection
            .prepare_cached("SELECT no, bits FROM name_filter WHERE no BETWEEN ?1 AND ?2")?;
        let mut rows = statement.query([run::first_row(run), run::last_row(run)])?;
        while let Some(row) = rows.next()? {
            let part = (row.get::<_, i64>(0)? - run::first_row(run)) as u64;
            let bytes = row.get_ref(1)?.as_blob()?;
            let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            let buckets = filter.iter_mut().skip((part * PART_BUCKETS) as usize);
            for (word, into) in words.zip(buckets.flatten()) {
                *into = word;
            }
        }
        Ok(Self(filter))
    }
}

/// A filter on its way into the catalog, of a run that is written key by key.
#[derive(Debug)]
pub(super) struct FilterWriter {
    run: i64,
    buckets: u64,
    /// The part that is filled.
    part: u64,
    words: Vec<u64>,
}

impl FilterWriter {
    /// Goes on behind `behind`; from the start if there is none.
    pub(super) fn resume(
        connection: &Connection,
        run: i64,
        buckets: u64,
        behind: Option<u64>,
    ) -> Result<Self> {
        let part = behind.map_or(0, |key| bucket_of(key, buckets) / PART_BUCKETS);
        let mut words = vec![0; PART_BYTES / 8];
        if behind.is_some() {
            let bits: Vec<u8> = connection
                .prepare_cached("SELECT bits FROM name_filter WHERE no = ?1")?
                .query_row([run::first_row(run) + part.cast_signed()], |row| row.get(0))?;
            for (word, bytes) in words.iter_mut().zip(bits.as_chunks().0) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
        Ok(Self { run, buckets, part, words })
    }

    /// Keys come in order.
    pub(super) fn add(&mut self, connection: &Connection, key: u64) -> Result<()> {
        let bucket = bucket_of(key, self.buckets);
        if bucket / PART_BUCKETS != self.part {
            self.write(connection)?;
            self.part = bucket / PART_BUCKETS;
            self.words.fill(0);
        }
        let first = (bucket % PART_BUCKETS) as usize * WORDS;
        for (word, bit) in bits_of(key) {
            self.words[first + word] |= bit;
        }
        Ok(())
    }

    /// Writes the part that is filled; more may follow.
    pub(super) fn write(&self, connection: &Connection) -> Result<()> {
        let bits: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let no = run::first_row(self.run) + self.part.cast_signed();
        connection
            .prepare_cached("INSERT OR REPLACE INTO name_filter VALUES (?1, ?2)")?
            .execute(params![no, bits])?;
        Ok(())
    }
}
