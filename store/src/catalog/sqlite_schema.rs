//! The embedded catalog: its tables are made, and those of an older one brought up to date in place.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::names::{self, BUCKET_KEYS, NAMES, NUMBERED_BY, TOLD};
use super::schema::{
    COLLECTION, EDITIONS, ENTRUSTED, OUTBOX, SCHEMA, SCHEMA_VERSION, UNINDEXED,
    WITHOUT_BUCKET_KEYS, WITHOUT_EDITIONS, WITHOUT_ENTRUSTED, WITHOUT_NAMES, WITHOUT_NUMBERED_BY,
    WITHOUT_OUTBOX, WITHOUT_TOLD,
};
use super::sqlite::fault;
use crate::error::{Error, Result};

const ACTION: &str = "make its tables";

/// For whoever must not change it; one that is just being made is made together.
pub(super) fn require_up_to_date(connection: &mut Connection) -> Result<()> {
    let found = version(connection)?;
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    if found == 0 {
        return bring_up_to_date(connection);
    }
    Err(Error::Catalog {
        action: "be opened",
        source: format!(
            "it has schema {found}, this build knows {SCHEMA_VERSION}, and a process of another \
             build is writing to it; end that one first"
        )
        .into(),
    })
}

/// Makes what is missing, in one transaction.
pub(super) fn bring_up_to_date(connection: &mut Connection) -> Result<()> {
    if version(connection)? == SCHEMA_VERSION {
        return Ok(());
    }
    // Two processes may find it so at once; the second waits, and finds it done.
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fault(ACTION))?;
    let found = version(&transaction)?;
    let missing: &[&str] = match found {
        0 => &[SCHEMA, OUTBOX, EDITIONS, ENTRUSTED, NAMES, COLLECTION],
        WITHOUT_OUTBOX => &[OUTBOX, EDITIONS, ENTRUSTED, NAMES, COLLECTION],
        WITHOUT_EDITIONS => &[EDITIONS, ENTRUSTED, NAMES, COLLECTION],
        WITHOUT_ENTRUSTED => &[ENTRUSTED, NAMES, COLLECTION],
        WITHOUT_NAMES => &[NAMES, COLLECTION],
        WITHOUT_BUCKET_KEYS => &[BUCKET_KEYS, NUMBERED_BY, TOLD],
        WITHOUT_NUMBERED_BY => &[NUMBERED_BY, TOLD],
        WITHOUT_TOLD => &[TOLD],
        SCHEMA_VERSION => &[],
        _ => {
            return Err(Error::Catalog {
                action: "be opened",
                source: format!(
                    "it has schema {found}, and this build knows {SCHEMA_VERSION}; run: cairn \
                     rebuild"
                )
                .into(),
            });
        }
    };
    for tables in missing {
        transaction.execute_batch(tables).map_err(fault(ACTION))?;
    }
    if (WITHOUT_OUTBOX..=WITHOUT_NAMES).contains(&found) {
        take_names_from_indexes(&transaction).map_err(fault(ACTION))?;
    }
    transaction
        .pragma_update(None, "user_version", SCHEMA_VERSION)
        .and_then(|()| transaction.commit())
        .map_err(fault(ACTION))
}

fn version(connection: &Connection) -> Result<i64> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(fault("read its version"))
}

/// Takes a while for millions of rows, once.
fn take_names_from_indexes(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    tracing::info!(
        "the catalog is brought up to date, which takes seconds for each million images"
    );
    names::adopt(transaction)?;
    transaction.execute_batch(UNINDEXED)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::sqlite::{chunk_key, uid_key};
    use crate::catalog::{Batch, Catalog, Location, PackNo, SqliteCatalog};
    use crate::keys::StoredId;
    use crate::pack::PackId;

    /// Makes a catalog of an older version of this one: its indexes, and not its runs.
    pub(in crate::catalog) fn age(connection: &Connection, version: i64) {
        connection
            .execute_batch(
                "ALTER TABLE chunk ADD COLUMN key INTEGER NOT NULL DEFAULT 0;
                 ALTER TABLE instance ADD COLUMN key INTEGER NOT NULL DEFAULT 0;",
            )
            .unwrap();
        let ids = "SELECT no, id FROM chunk";
        each(connection, ids, "chunk", |row| chunk_key(&StoredId(row.get(1).unwrap())));
        let uids = "SELECT no, uid FROM instance";
        each(connection, uids, "instance", |row| {
            uid_key(row.get_ref(1).unwrap().as_str().unwrap())
        });
        for table in [
            "recent_chunk",
            "recent_instance",
            "name_state",
            "name_run",
            "name_block",
            "name_filter",
        ] {
            connection.execute_batch(&format!("DROP TABLE {table}")).unwrap();
        }
        connection
            .execute_batch(
                "CREATE INDEX chunk_by_key ON chunk (key);
                 CREATE INDEX instance_by_key ON instance (key);",
            )
            .unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
    }

    fn each(
        connection: &Connection,
        sql: &str,
        table: &str,
        key: impl Fn(&rusqlite::Row<'_>) -> i64,
    ) {
        let mut statement = connection.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let no: i64 = row.get(0).unwrap();
            let sql = format!("UPDATE {table} SET key = ?2 WHERE no = ?1");
            connection.execute(&sql, [no, key(row)]).unwrap();
        }
    }

    fn with_a_pack() -> (tempfile::TempDir, std::path::PathBuf, SqliteCatalog) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = SqliteCatalog::open(&path).unwrap();
        catalog.add_pack(PackId([1; 16]), 0).unwrap();
        (folder, path, catalog)
    }

    fn chunks(range: std::ops::Range<u64>) -> Vec<(StoredId, Location)> {
        range
            .map(|i| {
                let id = StoredId(*blake3::hash(&i.to_le_bytes()).as_bytes());
                let place =
                    Location { pack: PackNo(1), offset: i, record_bytes: 1, inner: None, bytes: 1 };
                (id, place)
            })
            .collect()
    }

    fn commit(catalog: &SqliteCatalog, locations: &[(StoredId, Location)]) {
        let batch = Batch {
            pack: PackNo(1),
            pack_bytes: 0,
            locations,
            instances: &[],
            studies: &[],
            deletions: &[],
            all_recorded: false,
            next_seq: 0,
        };
        catalog.commit(&batch).unwrap();
    }

    #[test]
    fn a_catalog_with_indexes_of_names_gets_runs_in_their_place() {
        for count in [0, 1, 30_000] {
            let (_folder, path, catalog) = with_a_pack();
            commit(&catalog, &chunks(0..count));
            age(&catalog.write(), WITHOUT_NAMES);
            drop(catalog);
            let catalog = SqliteCatalog::open(&path).unwrap();
            // Known ones are not taken twice; new ones are.
            commit(&catalog, &chunks(count / 2..count + 9_000));
            for (id, place) in chunks(0..count + 9_000) {
                assert_eq!(catalog.locate(&id).unwrap(), Some(place));
            }
            for (id, _) in chunks(count + 9_000..count + 10_000) {
                assert_eq!(catalog.locate(&id).unwrap(), None);
            }
            assert_eq!(catalog.totals().unwrap().chunks, count + 9_000);
            let columns = "SELECT count(*) FROM pragma_table_info('chunk') WHERE name = 'key'";
            let columns: i64 = catalog.write().query_row(columns, [], |row| row.get(0)).unwrap();
            assert_eq!(columns, 0);
        }
    }

    /// Makes a catalog of the version before filters were of equations.
    fn tell_by_bits(connection: &Connection) {
        names::tests::tell_by_bits(connection);
        connection.pragma_update(None, "user_version", WITHOUT_TOLD).unwrap();
    }

    /// Makes a catalog of the version before blocks were numbered by their last keys.
    fn number_by_first_keys(connection: &Connection) {
        tell_by_bits(connection);
        let blocks: Vec<(i64, Vec<u8>)> = connection
            .prepare("SELECT no, entries FROM name_block")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        connection.execute_batch("DELETE FROM name_block").unwrap();
        for (no, entries) in blocks {
            let key = u64::from_be_bytes(*entries.first_chunk().unwrap());
            let no = no >> 39 << 39 | (key >> 25).cast_signed();
            connection.execute("INSERT INTO name_block VALUES (?1, ?2)", (no, entries)).unwrap();
        }
        connection.execute_batch("ALTER TABLE name_run DROP COLUMN numbered_by").unwrap();
        connection.pragma_update(None, "user_version", WITHOUT_NUMBERED_BY).unwrap();
    }

    /// Makes a catalog of the version before filters of several widths.
    fn narrow(connection: &Connection) {
        number_by_first_keys(connection);
        connection.execute_batch("ALTER TABLE name_run DROP COLUMN bucket_keys").unwrap();
        connection.pragma_update(None, "user_version", WITHOUT_BUCKET_KEYS).unwrap();
    }

    /// Runs of an older version, whole ones and one that is being made, are read and merged with new ones.
    fn goes_on_with_runs(of: impl Fn(&Connection)) {
        let (_folder, path, catalog) = with_a_pack();
        for from in (0..76_000).step_by(1000) {
            commit(&catalog, &chunks(from..from + 1000));
        }
        {
            let connection = catalog.write();
            let runs = |state: i64| -> i64 {
                let sql = "SELECT count(*) FROM name_run WHERE kind = 0 AND state = ?1";
                connection.query_row(sql, [state], |row| row.get(0)).unwrap()
            };
            assert!(runs(0) > 3 && runs(1) > 0, "{} {}", runs(0), runs(1));
            of(&connection);
        }
        drop(catalog);
        let catalog = SqliteCatalog::open(&path).unwrap();
        for (id, place) in chunks(0..76_000) {
            assert_eq!(catalog.locate(&id).unwrap(), Some(place));
        }
        for from in (76_000..200_000).step_by(1000) {
            commit(&catalog, &chunks(from..from + 1000));
        }
        for (id, place) in chunks(0..200_000) {
            assert_eq!(catalog.locate(&id).unwrap(), Some(place));
        }
        for (id, _) in chunks(200_000..201_000) {
            assert_eq!(catalog.locate(&id).unwrap(), None);
        }
        assert_eq!(version(&catalog.write()).unwrap(), SCHEMA_VERSION);
    }

    #[test]
    fn filters_of_a_catalog_that_has_one_width_are_read_and_merged_with_wider_ones() {
        goes_on_with_runs(narrow);
    }

    #[test]
    fn filters_of_bits_are_read_and_merged_with_those_of_equations() {
        goes_on_with_runs(tell_by_bits);
    }

    #[test]
    fn blocks_that_are_numbered_by_their_first_keys_are_read_and_merged_with_others() {
        goes_on_with_runs(number_by_first_keys);
    }

    #[test]
    fn who_replayed_and_lets_others_commit_finds_what_they_commit() {
        let (_folder, path, replayer) = with_a_pack();
        commit(&replayer, &chunks(0..1000));
        let writer = SqliteCatalog::open(&path).unwrap().kept_alone();
        commit(&writer, &chunks(1000..30_000));
        for (id, place) in chunks(0..30_000) {
            assert_eq!(replayer.locate(&id).unwrap(), Some(place));
            assert_eq!(writer.locate(&id).unwrap(), Some(place));
        }
        for (id, _) in chunks(30_000..31_000) {
            assert_eq!(writer.locate(&id).unwrap(), None);
        }
    }

    #[test]
    fn beside_a_writer_nothing_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = SqliteCatalog::open(&path).unwrap();
        drop(SqliteCatalog::open_beside(&path).unwrap());
        age(&catalog.write(), WITHOUT_NAMES);
        drop(catalog);
        let error = SqliteCatalog::open_beside(&path).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("end that one"));
        let connection = Connection::open(&path).unwrap();
        assert_eq!(version(&connection).unwrap(), WITHOUT_NAMES);
        drop(connection);
        drop(SqliteCatalog::open(&path).unwrap());
        SqliteCatalog::open_beside(&path).unwrap();
    }

    #[test]
    fn a_catalog_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = SqliteCatalog::open(&path).unwrap();
        catalog.write().pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        drop(catalog);
        let error = SqliteCatalog::open(&path).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("cairn rebuild"));
    }
}
