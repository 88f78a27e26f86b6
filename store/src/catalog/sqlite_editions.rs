//! The embedded catalog: what is shared with other sites, and what came from them.

use cairn_chunker::id::StudyRoot;
use rusqlite::types::Type;
use rusqlite::{Row, params};

use super::editions::{Edition, Editions, FetchState, Fetched};
use super::seqs::Seqs;
use super::sqlite::SqliteCatalog;
use super::sqlite_read::{collect, one};
use crate::error::Result;

const EDITION_COLUMNS: &str =
    "study, version, uid, salt, root, blinding, seqs, instances, bytes, sequence, created";
const FETCHED_COLUMNS: &str = "owner, study, version, root, uid, purpose, right_site, \
     right_sequence, right_leaf, number, state, outcome, instances, bytes, moved, saved, began, ended";

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn edition(row: &Row<'_>) -> rusqlite::Result<Edition> {
    let seqs: String = row.get(6)?;
    let no_seqs = rusqlite::Error::InvalidColumnType(6, "seqs".into(), Type::Text);
    Ok(Edition {
        study: row.get(0)?,
        version: number(row, 1)?,
        study_uid: row.get(2)?,
        salt: row.get(3)?,
        root: StudyRoot(row.get(4)?),
        blinding: row.get(5)?,
        seqs: Seqs::parse(&seqs).ok_or(no_seqs)?,
        instances: number(row, 7)?,
        bytes: number(row, 8)?,
        sequence: row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned),
        created_ms: number(row, 10)?,
    })
}

fn fetched(row: &Row<'_>) -> rusqlite::Result<Fetched> {
    let state = FetchState::from_code(number(row, 10)?);
    let no_state = rusqlite::Error::InvalidColumnType(10, "state".into(), Type::Integer);
    Ok(Fetched {
        owner: row.get(0)?,
        study: row.get(1)?,
        version: number(row, 2)?,
        root: StudyRoot(row.get(3)?),
        study_uid: row.get(4)?,
        purpose: row.get(5)?,
        right_site: row.get(6)?,
        right_sequence: number(row, 7)?,
        right_leaf: row.get(8)?,
        number: number(row, 9)?,
        state: state.ok_or(no_state)?,
        outcome: row.get(11)?,
        instances: number(row, 12)?,
        bytes: number(row, 13)?,
        bytes_moved: number(row, 14)?,
        bytes_saved: number(row, 15)?,
        began_ms: number(row, 16)?,
        ended_ms: number(row, 17)?,
    })
}

impl SqliteCatalog {
    fn put_edition(&self, how: &str, new: &Edition) -> Result<()> {
        let sql = format!(
            "{how} INTO edition ({EDITION_COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        );
        self.write_durably("note an edition", |transaction| {
            let row = params![
                new.study,
                new.version.cast_signed(),
                new.study_uid,
                new.salt,
                new.root.0,
                new.blinding,
                new.seqs.to_string(),
                new.instances.cast_signed(),
                new.bytes.cast_signed(),
                new.sequence.map(u64::cast_signed),
                new.created_ms.cast_signed(),
            ];
            transaction.execute(&sql, row).map(|_| ())
        })
    }
}

impl Editions for SqliteCatalog {
    fn add_edition(&self, new: &Edition) -> Result<()> {
        self.put_edition("INSERT", new)
    }

    fn replace_edition(&self, new: &Edition) -> Result<()> {
        self.put_edition("INSERT OR REPLACE", new)
    }

    fn edition_logged(&self, study: &[u8; 32], version: u64, sequence: u64) -> Result<()> {
        self.write_durably("note an edition", |transaction| {
            let row = params![study, version.cast_signed(), sequence.cast_signed()];
            let sql = "UPDATE edition SET sequence = ?3 WHERE study = ?1 AND version = ?2";
            transaction.execute(sql, row).map(|_| ())
        })
    }

    fn drop_edition(&self, study: &[u8; 32], version: u64) -> Result<()> {
        self.write_durably("forget an edition", |transaction| {
            let sql = "DELETE FROM edition WHERE study = ?1 AND version = ?2 AND sequence IS NULL";
            transaction.execute(sql, params![study, version.cast_signed()]).map(|_| ())
        })
    }

    fn edition(&self, study: &[u8; 32], version: u64) -> Result<Option<Edition>> {
        let sql =
            format!("SELECT {EDITION_COLUMNS} FROM edition WHERE study = ?1 AND version = ?2");
        let which = params![study, version.cast_signed()];
        self.read(|connection| one(connection, "find an edition", &sql, which, edition))
    }

    fn editions(&self, study_uid: Option<&str>) -> Result<Vec<Edition>> {
        let sql = format!(
            "SELECT {EDITION_COLUMNS} FROM edition WHERE ?1 IS NULL OR uid = ?1
             ORDER BY created, study, version"
        );
        self.read(|connection| collect(connection, "list editions", &sql, [study_uid], edition))
    }

    fn editions_deleted_from(&self) -> Result<Vec<Edition>> {
        let sql = format!(
            "SELECT {EDITION_COLUMNS} FROM edition
             WHERE EXISTS (SELECT 1 FROM tombstone WHERE tombstone.study = edition.uid)
             ORDER BY created, study, version"
        );
        self.read(|connection| collect(connection, "list editions", &sql, [], edition))
    }

    fn unlogged_editions(&self) -> Result<Vec<Edition>> {
        let sql = format!(
            "SELECT {EDITION_COLUMNS} FROM edition WHERE sequence IS NULL ORDER BY created"
        );
        self.read(|connection| collect(connection, "list editions", &sql, [], edition))
    }

    fn put_fetched(&self, new: &Fetched) -> Result<()> {
        let sql = format!(
            "INSERT OR REPLACE INTO fetched ({FETCHED_COLUMNS}) VALUES
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
        );
        self.write_durably("note what was fetched", |transaction| {
            let row = params![
                new.owner,
                new.study,
                new.version.cast_signed(),
                new.root.0,
                new.study_uid,
                new.purpose,
                new.right_site,
                new.right_sequence.cast_signed(),
                new.right_leaf,
                new.number.cast_signed(),
                new.state as u8,
                new.outcome,
                new.instances.cast_signed(),
                new.bytes.cast_signed(),
                new.bytes_moved.cast_signed(),
                new.bytes_saved.cast_signed(),
                new.began_ms.cast_signed(),
                new.ended_ms.cast_signed(),
            ];
            transaction.execute(&sql, row).map(|_| ())
        })
    }

    fn fetched(&self, owner: &[u8; 32], study: &[u8; 32], version: u64) -> Result<Option<Fetched>> {
        let sql = format!(
            "SELECT {FETCHED_COLUMNS} FROM fetched
             WHERE owner = ?1 AND study = ?2 AND version = ?3"
        );
        let which = params![owner, study, version.cast_signed()];
        self.read(|connection| one(connection, "find what was fetched", &sql, which, fetched))
    }

    fn all_fetched(&self, study_uid: Option<&str>) -> Result<Vec<Fetched>> {
        let sql = format!(
            "SELECT {FETCHED_COLUMNS} FROM fetched WHERE ?1 IS NULL OR uid = ?1
             ORDER BY began, owner, study, version"
        );
        self.read(|connection| {
            collect(connection, "list what was fetched", &sql, [study_uid], fetched)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::schema::EDITION_TABLES;
    use super::super::sqlite_schema;
    use super::*;

    fn some_edition(study: u8, version: u64) -> Edition {
        Edition {
            study: [study; 32],
            version,
            study_uid: "1.2.3".into(),
            salt: (version == 1).then_some([3; 32]),
            root: StudyRoot([4; 32]),
            blinding: [5; 32],
            seqs: [1, 2, 3, 9].into_iter().collect(),
            instances: 4,
            bytes: 1 << 40,
            sequence: None,
            created_ms: version,
        }
    }

    fn some_fetched() -> Fetched {
        Fetched {
            owner: [1; 32],
            study: [2; 32],
            version: 1,
            root: StudyRoot([3; 32]),
            study_uid: String::new(),
            purpose: 0,
            right_site: [1; 32],
            right_sequence: 7,
            right_leaf: [8; 32],
            number: 1,
            state: FetchState::UnderWay,
            outcome: 0,
            instances: 0,
            bytes: 0,
            bytes_moved: 0,
            bytes_saved: 0,
            began_ms: 5,
            ended_ms: 0,
        }
    }

    #[test]
    fn editions_are_kept_until_they_are_logged_or_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(&folder.path().join("catalog.sqlite")).unwrap();
        let (first, second) = (some_edition(1, 1), some_edition(1, 2));
        catalog.add_edition(&first).unwrap();
        catalog.add_edition(&second).unwrap();
        assert!(catalog.add_edition(&second).is_err(), "it is there");
        assert_eq!(catalog.unlogged_editions().unwrap(), [first.clone(), second.clone()]);
        catalog.edition_logged(&[1; 32], 1, 12).unwrap();
        catalog.drop_edition(&[1; 32], 1).unwrap();
        catalog.drop_edition(&[1; 32], 2).unwrap();
        let logged = Edition { sequence: Some(12), ..first };
        assert_eq!(catalog.editions(Some("1.2.3")).unwrap(), std::slice::from_ref(&logged));
        assert_eq!(catalog.editions(None).unwrap().len(), 1);
        assert!(catalog.editions(Some("1.2")).unwrap().is_empty());
        assert_eq!(catalog.edition(&[1; 32], 1).unwrap(), Some(logged));
        assert_eq!(catalog.edition(&[1; 32], 2).unwrap(), None);
    }

    #[test]
    fn what_is_fetched_is_one_row_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(&folder.path().join("catalog.sqlite")).unwrap();
        let begun = some_fetched();
        catalog.put_fetched(&begun).unwrap();
        let state = FetchState::ReceiptDue;
        let there = Fetched { state, study_uid: "1.2".into(), bytes_moved: 9, ..begun };
        catalog.put_fetched(&there).unwrap();
        assert_eq!(catalog.fetched(&[1; 32], &[2; 32], 1).unwrap(), Some(there.clone()));
        assert_eq!(catalog.fetched(&[1; 32], &[2; 32], 2).unwrap(), None);
        assert_eq!(catalog.all_fetched(Some("1.2")).unwrap(), [there]);
        assert!(catalog.all_fetched(Some("")).unwrap().is_empty());
    }

    #[test]
    fn a_catalog_without_editions_gets_them_and_a_rebuilt_one_takes_them_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = SqliteCatalog::open(&path).unwrap();
        for table in EDITION_TABLES {
            catalog.write().execute_batch(&format!("DROP TABLE {table}")).unwrap();
        }
        sqlite_schema::tests::age(&catalog.write(), 3);
        drop(catalog);
        // A rebuild from a catalog of before takes what there is.
        let rebuilt = SqliteCatalog::open(&folder.path().join("rebuilt.sqlite")).unwrap();
        rebuilt.take_over(&path).unwrap();
        assert!(rebuilt.editions(None).unwrap().is_empty());
        let catalog = SqliteCatalog::open(&path).unwrap();
        catalog.add_edition(&some_edition(1, 1)).unwrap();
        catalog.put_fetched(&some_fetched()).unwrap();
        rebuilt.take_over(&path).unwrap();
        assert_eq!(rebuilt.editions(None).unwrap(), catalog.editions(None).unwrap());
        assert_eq!(rebuilt.all_fetched(None).unwrap(), [some_fetched()]);
    }
}
