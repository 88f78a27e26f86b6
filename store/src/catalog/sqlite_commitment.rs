//! The embedded catalog: storage commitments that were asked for.

use rusqlite::params;

use super::CommitmentRow;
use super::sqlite::SqliteCatalog;
use super::sqlite_read::one;
use crate::error::{Error, Result};

impl SqliteCatalog {
    pub(super) fn begin(
        &self,
        uid: &str,
        request: &str,
        now_ms: u64,
        forget_before_ms: u64,
    ) -> Result<bool> {
        let mut begun = false;
        self.write_durably("note a commitment", |transaction| {
            transaction.execute(
                "DELETE FROM commitment WHERE created < ?1",
                [forget_before_ms.cast_signed()],
            )?;
            let added = transaction.execute(
                "INSERT OR IGNORE INTO commitment (uid, request, created) VALUES (?1, ?2, ?3)",
                params![uid, request, now_ms.cast_signed()],
            )?;
            begun = added == 1;
            Ok(())
        })?;
        Ok(begun)
    }

    pub(super) fn settle(&self, uid: &str, result: &str) -> Result<()> {
        self.write_durably("note a commitment", |transaction| {
            transaction
                .execute(
                    "UPDATE commitment SET result = ?2 WHERE uid = ?1 AND result IS NULL",
                    params![uid, result],
                )
                .map(|_| ())
        })
    }

    pub(super) fn unsettled(&self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT uid, request FROM commitment WHERE result IS NULL ORDER BY created, uid";
        self.read(|connection| {
            let fault = |error| Error::Catalog {
                action: "list commitments",
                source: Box::<dyn std::error::Error + Send + Sync>::from(error),
            };
            let mut statement = connection.prepare_cached(sql).map_err(fault)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            rows.map_err(fault)?.collect::<rusqlite::Result<_>>().map_err(fault)
        })
    }

    pub(super) fn find_commitment(&self, uid: &str) -> Result<Option<CommitmentRow>> {
        let sql = "SELECT request, result FROM commitment WHERE uid = ?1";
        self.read(|connection| {
            one(connection, "find a commitment", sql, [uid], |row| {
                Ok(CommitmentRow { request: row.get(0)?, result: row.get(1)? })
            })
        })
    }
}
