//! The embedded catalog: what is entrusted.

use rusqlite::params;

use super::NewInstance;
use super::entrusted::Entrusted;
use super::sqlite::SqliteCatalog;
use super::sqlite_read::collect;
use super::sqlite_write::BatchWriter;
use crate::commit::Source;
use crate::error::Result;

impl BatchWriter<'_> {
    /// A new version may be entrusted.
    pub(super) fn entrusted(&self, instance: i64, new: &NewInstance<'_>) -> rusqlite::Result<()> {
        if new.entry.source != Source::Entrusted {
            return Ok(());
        }
        let sql = "INSERT OR IGNORE INTO entrusted SELECT ?1, ?2
             WHERE NOT EXISTS (SELECT 1 FROM kept WHERE seq = ?2)";
        let which = params![instance, new.seq.cast_signed()];
        self.transaction.prepare_cached(sql)?.execute(which).map(|_| ())
    }

    /// What is here already came once more: not entrusted, it is this archive's own.
    pub(super) fn not_only_entrusted(
        &self,
        instance: i64,
        new: &NewInstance<'_>,
    ) -> rusqlite::Result<()> {
        if new.entry.source == Source::Entrusted {
            return Ok(());
        }
        let sql = "DELETE FROM entrusted WHERE instance = ?1 AND seq IN
             (SELECT seq FROM version WHERE instance = ?1 AND dataset = ?2)";
        let which = params![instance, new.manifest.dataset_hash.0];
        self.transaction.prepare_cached(sql)?.execute(which).map(|_| ())
    }
}

impl Entrusted for SqliteCatalog {
    fn entrusted_studies(&self) -> Result<Vec<String>> {
        let sql =
            "SELECT DISTINCT study.uid FROM entrusted JOIN instance i ON i.no = entrusted.instance
             JOIN series ON series.no = i.series JOIN study ON study.no = series.study
             ORDER BY study.uid";
        self.read(|connection| {
            collect(connection, "list what is entrusted", sql, [], |row| row.get(0))
        })
    }

    fn keep(&self, seqs: &[u64]) -> Result<()> {
        self.write_durably("keep what was entrusted", |transaction| {
            let mut kept = transaction.prepare_cached("INSERT OR IGNORE INTO kept VALUES (?1)")?;
            for seq in seqs {
                kept.execute([seq.cast_signed()])?;
            }
            let sql = "DELETE FROM entrusted WHERE seq IN (SELECT seq FROM kept)";
            transaction.execute(sql, []).map(|_| ())
        })
    }
}
