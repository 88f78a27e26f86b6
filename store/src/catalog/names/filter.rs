//! What tells that a name is not in a run: a blocked Bloom filter.
//!
//! Buckets of 512 bits, one cache line each, in the order of the keys, so that it is written from front to
//! back as a run is. A key has five bits in its bucket. Of what is not there some 2 % are let through with
//! 56 keys to a bucket, 0.7 % with 44, and 0.2 % with 32. What is let through is looked for in a block of
//! the run, which costs more than all else that a name needs: so runs of the lower levels, which are many
//! and hold few names, have wide filters. In memory it is those of the upper ones that count.

use memmap2::{Advice, MmapMut};
use rusqlite::{Connection, params};

use super::{Result, run};

/// Words of a bucket.
const WORDS: usize = 8;
/// Buckets of a part, which fits a page of the catalog.
const PART_BUCKETS: u64 = 62;
/// Bytes of a part.
const PART_BYTES: usize = PART_BUCKETS as usize * BUCKET_BYTES;
/// Bits that a key has.
const KEY_BITS: u32 = 5;

/// Bytes of a bucket.
const BUCKET_BYTES: usize = WORDS * 8;
/// From this length on pages of 2 MiB are asked for: a key is looked for in one line of each filter, and in
/// small pages the place of that line would have to be looked up as well.
const HUGE_BYTES: usize = 4 << 20;

/// The filter of a run: its buckets one after the other, words of little-endian bytes.
///
/// Memory of its own, which goes back to the system with it: filters come and go with merges, and the
/// allocator would keep the holes that they leave.
#[derive(Debug)]
pub(super) struct Filter(MmapMut);

/// How a filter is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Buckets that there are.
    pub(super) buckets: u64,
    /// Keys that a bucket is meant for.
    pub(super) bucket_keys: u64,
}

impl Layout {
    /// For a run of a level with so many keys.
    pub(super) fn of(level: u32, keys: u64) -> Self {
        let bucket_keys = match level {
            0 | 1 => 32,
            2 => 44,
            _ => 56,
        };
        Self { buckets: keys.div_ceil(bucket_keys).max(1), bucket_keys }
    }
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
        let buckets = self.0.as_chunks::<BUCKET_BYTES>().0;
        let bucket = buckets.get(bucket_of(key, buckets.len() as u64) as usize);
        bucket.is_some_and(|bucket| {
            let words = bucket.as_chunks().0;
            bits_of(key).all(|(word, bit)| u64::from_le_bytes(words[word]) & bit != 0)
        })
    }

    /// Reads the filter of a run.
    pub(super) fn load(connection: &Connection, run: i64, buckets: u64) -> Result<Self> {
        let no_memory = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        let mut filter = MmapMut::map_anon(buckets as usize * BUCKET_BYTES).map_err(no_memory)?;
        if filter.len() >= HUGE_BYTES {
            // Where there are none, small ones do.
            let _ = filter.advise(Advice::HugePage);
        }
        let mut statement = connection
            .prepare_cached("SELECT no, bits FROM name_filter WHERE no BETWEEN ?1 AND ?2")?;
        let mut rows = statement.query([run::first_row(run), run::last_row(run)])?;
        while let Some(row) = rows.next()? {
            let part = (row.get::<_, i64>(0)? - run::first_row(run)) as usize;
            let bits = row.get_ref(1)?.as_blob()?;
            let first = (part * PART_BYTES).min(filter.len());
            let end = (first + bits.len()).min(filter.len());
            filter[first..end].copy_from_slice(&bits[..end - first]);
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
