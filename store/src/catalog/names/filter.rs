//! What tells that a name is not in a run.
//!
//! Buckets of 512 bits, one cache line each, in the order of the keys, so that a filter is written from front to
//! back as a run is. What is let through is looked for in a block of the run, which costs more than all else
//! that a name needs. Runs of the lower levels are many and hold few names: they have wide filters of bits, which
//! are told in little time. In memory it is the upper levels that count, and there equations let least through.

use memmap2::{Advice, MmapMut};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, params};

use super::equations::{self, Hashed, KEYS_MAX};
use super::{Result, bits, run};

/// Bytes of a bucket.
pub(super) const BUCKET_BYTES: usize = 64;
/// Buckets of a part, which fits a page of the catalog.
const PART_BUCKETS: u64 = 62;
/// Bytes of a part.
const PART_BYTES: usize = PART_BUCKETS as usize * BUCKET_BYTES;
/// From this length on pages of 2 MiB are asked for: a key is looked for in one line of each filter, and in
/// small pages the place of that line would have to be looked up as well.
const HUGE_BYTES: usize = 4 << 20;

/// How a bucket tells which keys it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// By [`bits`].
    ByBits = 0,
    /// By [`equations`].
    ByEquations = 1,
}

impl FromSql for Told {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::ByBits),
            1 => Ok(Self::ByEquations),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

/// The filter of a run: its buckets one after the other.
///
/// Memory of its own, which goes back to the system with it: filters come and go with merges, and the
/// allocator would keep the holes that they leave.
#[derive(Debug)]
pub(super) struct Filter {
    told: Told,
    bytes: MmapMut,
}

/// How a filter is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Buckets that there are.
    pub(super) buckets: u64,
    /// Keys that a bucket is meant for.
    pub(super) bucket_keys: u64,
    pub(super) told: Told,
}

impl Layout {
    /// For a run of a level with so many keys.
    pub(super) fn of(level: u32, keys: u64) -> Self {
        let (bucket_keys, told) = match level {
            0 | 1 => (16, Told::ByBits),
            2 => (32, Told::ByBits),
            _ => (56, Told::ByEquations),
        };
        Self { buckets: keys.div_ceil(bucket_keys).max(1), bucket_keys, told }
    }
}

/// The bucket of a key: keys are hashes, and their first bits spread evenly.
fn bucket_of(key: u64, buckets: u64) -> u64 {
    ((u128::from(key) * u128::from(buckets)) >> 64) as u64
}

/// The least key of the bucket that a key is in.
pub(super) fn first_beside(key: u64, buckets: u64) -> u64 {
    let bucket = u128::from(bucket_of(key, buckets));
    (bucket << 64).div_ceil(u128::from(buckets)) as u64
}

/// A key that filters are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    key: u64,
    hashed: Hashed,
}

impl Asked {
    pub(super) fn of(key: u64) -> Self {
        Self { key, hashed: Hashed::of(key) }
    }
}

impl Filter {
    pub(super) fn may_hold(&self, asked: Asked) -> bool {
        let buckets = self.bytes.as_chunks::<BUCKET_BYTES>().0;
        let bucket = buckets.get(bucket_of(asked.key, buckets.len() as u64) as usize);
        bucket.is_some_and(|bucket| match self.told {
            Told::ByBits => bits::may_hold(bucket, asked.key),
            Told::ByEquations => equations::may_hold(bucket, asked.hashed),
        })
    }

    /// Reads the filter of a run.
    pub(super) fn load(
        connection: &Connection,
        run: i64,
        buckets: u64,
        told: Told,
    ) -> Result<Self> {
        let no_memory = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        let mut bytes = MmapMut::map_anon(buckets as usize * BUCKET_BYTES).map_err(no_memory)?;
        if bytes.len() >= HUGE_BYTES {
            // Where there are none, small ones do.
            let _ = bytes.advise(Advice::HugePage);
        }
        let mut statement = connection
            .prepare_cached("SELECT no, bits FROM name_filter WHERE no BETWEEN ?1 AND ?2")?;
        let mut rows = statement.query([run::first_row(run), run::last_row(run)])?;
        while let Some(row) = rows.next()? {
            let part = (row.get::<_, i64>(0)? - run::first_row(run)) as usize;
            let bits = row.get_ref(1)?.as_blob()?;
            let first = (part * PART_BYTES).min(bytes.len());
            let end = (first + bits.len()).min(bytes.len());
            bytes[first..end].copy_from_slice(&bits[..end - first]);
        }
        Ok(Self { told, bytes })
    }
}

/// A filter on its way into the catalog, of a run that is written key by key.
#[derive(Debug)]
pub(super) struct FilterWriter {
    run: i64,
    buckets: u64,
    told: Told,
    /// The bucket that is filled, in the part that is written next.
    bucket: u64,
    part: Box<[[u8; BUCKET_BYTES]; PART_BUCKETS as usize]>,
    /// Keys of the bucket, if they are told by equations; one too many, and it is full.
    keys: Vec<u64>,
}

impl FilterWriter {
    /// Goes on with the bucket of `behind`, of which all keys come again if they are told by equations; from
    /// the start if there is none.
    pub(super) fn resume(
        connection: &Connection,
        run: i64,
        (buckets, told): (u64, Told),
        behind: Option<u64>,
    ) -> Result<Self> {
        let mut writer = Self {
            run,
            buckets,
            told,
            bucket: behind.map_or(0, |key| bucket_of(key, buckets)),
            part: Box::new([[0; BUCKET_BYTES]; PART_BUCKETS as usize]),
            keys: Vec::new(),
        };
        if behind.is_some() {
            connection.prepare_cached("SELECT bits FROM name_filter WHERE no = ?1")?.query_row(
                [writer.row()],
                |row| {
                    let bits = row.get_ref(0)?.as_blob()?.as_chunks().0;
                    writer.part.iter_mut().zip(bits).for_each(|(to, from)| *to = *from);
                    Ok(())
                },
            )?;
        }
        Ok(writer)
    }

    /// The row of the part that is filled.
    fn row(&self) -> i64 {
        run::first_row(self.run) + (self.bucket / PART_BUCKETS).cast_signed()
    }

    /// Keys come in order.
    pub(super) fn add(&mut self, connection: &Connection, key: u64) -> Result<()> {
        let bucket = bucket_of(key, self.buckets);
        if bucket != self.bucket {
            if bucket / PART_BUCKETS == self.bucket / PART_BUCKETS {
                self.solve();
            } else {
                self.write(connection)?;
                self.part.fill([0; BUCKET_BYTES]);
            }
            self.bucket = bucket;
            self.keys.clear();
        }
        match self.told {
            Told::ByBits => bits::add(self.filled(), key),
            Told::ByEquations => {
                if self.keys.len() <= KEYS_MAX && self.keys.last() != Some(&key) {
                    self.keys.push(key);
                }
            }
        }
        Ok(())
    }

    fn filled(&mut self) -> &mut [u8; BUCKET_BYTES] {
        &mut self.part[(self.bucket % PART_BUCKETS) as usize]
    }

    fn solve(&mut self) {
        if self.told == Told::ByEquations {
            *self.filled() = equations::solve(&self.keys);
        }
    }

    /// Writes the part that is filled; more may follow.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<()> {
        self.solve();
        connection
            .prepare_cached("INSERT OR REPLACE INTO name_filter VALUES (?1, ?2)")?
            .execute(params![self.row(), self.part.as_flattened()])?;
        Ok(())
    }
}
