//! Searching the catalog finds what a plain filter over the same rows finds, in the order of arrival.
#![allow(clippy::unwrap_used)]

use cairn_chunker::id::{ChunkId, DatasetHash};
use cairn_chunker::manifest::{Envelope, Manifest};
use cairn_dicom::attributes::{Attributes, Level, level};
use cairn_dicom::query::Query;
use cairn_store::catalog::search::{computed, level_of};
use cairn_store::catalog::{Batch, Catalog, Found, NewInstance, Search, SqliteCatalog};
use cairn_store::commit::{DeletionEntry, InstanceEntry, Outcome, Source, Target};
use cairn_store::pack::PackId;
use proptest::prelude::*;

/// One instance as it is put in: which study, series and instance, and what it says of itself.
#[derive(Clone, Debug)]
struct Row {
    study: u8,
    series: u8,
    instance: u8,
    attributes: Attributes,
}

fn uids(row: &Row) -> (String, String, String) {
    let study = format!("1.{}", row.study);
    let series = format!("{study}.{}", row.series);
    let sop = format!("{series}.{}", row.instance);
    (study, series, sop)
}

struct Catalogued {
    _dir: tempfile::TempDir,
    catalog: SqliteCatalog,
}

fn catalogued(rows: &[Row], deleted: &[Target]) -> Catalogued {
    let dir = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(&dir.path().join("catalog")).unwrap();
    let pack = catalog.add_pack(PackId([1; 16]), 0).unwrap();
    let made: Vec<_> = rows.iter().enumerate().map(|(i, row)| entry(i, row)).collect();
    let instances: Vec<_> = made
        .iter()
        .zip(1..)
        .map(|((entry, manifest), seq)| NewInstance { seq, entry, manifest })
        .collect();
    let deletions: Vec<_> = deleted
        .iter()
        .zip(1000..)
        .map(|(target, seq)| (seq, DeletionEntry { target: target.clone(), deleted_ms: 0 }))
        .collect();
    catalog
        .commit(&Batch {
            pack,
            pack_bytes: 1,
            locations: &[],
            instances: &instances,
            studies: &[],
            deletions: &deletions,
            all_recorded: false,
            next_seq: 0,
        })
        .unwrap();
    Catalogued { _dir: dir, catalog }
}

fn entry(i: usize, row: &Row) -> (InstanceEntry, Manifest) {
    let (study_uid, series_uid, sop_instance_uid) = uids(row);
    let hash = *blake3_of(i).as_bytes();
    let manifest = Manifest {
        sop_instance_uid,
        sop_class_uid: format!("1.2.840.{}", row.series),
        transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
        dataset_bytes: 100,
        dataset_hash: DatasetHash(hash),
        envelope: Envelope::Inline(Vec::new()),
        chunks: Vec::new(),
        frames: cairn_chunker::frames::Frames::None,
    };
    let entry = InstanceEntry {
        manifest: ChunkId(hash),
        study_uid,
        series_uid,
        flags: 0,
        received_ms: 0,
        source: Source::Import,
        outcome: Outcome::New,
        visible: true,
        attributes: row.attributes.clone(),
    };
    (entry, manifest)
}

fn blake3_of(i: usize) -> ChunkId {
    ChunkId::of(&(i as u64).to_le_bytes())
}

fn find(catalog: &SqliteCatalog, query: &Query, after: u64, skip: u64, take: u64) -> Vec<Found> {
    let mut found = Vec::new();
    catalog
        .search(&Search { query, after, skip, take, rows_max: u64::MAX }, &mut |one| {
            found.push(one);
            Ok(())
        })
        .unwrap();
    found
}

/// All that matches, by searches that may look at so many rows each and go on where the last one ended.
fn find_in_pieces(catalog: &SqliteCatalog, query: &Query, rows_max: u64) -> Vec<Found> {
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let before = found.len();
        let search = Search { query, after, skip: 0, take: 1000, rows_max };
        let reach = catalog.search(&search, &mut |one| {
            found.push(one);
            Ok(())
        });
        let Some(stop) = reach.unwrap().stopped else { return found };
        assert_eq!(stop.matches, (found.len() - before) as u64);
        assert!(stop.number > after, "it goes on");
        after = stop.number;
    }
}

/// What is found is named by the last of its UIDs.
fn names(found: &[Found]) -> Vec<String> {
    let name = |one: &Found| {
        let lowest = one.sop_instance_uid.as_ref().or(one.series_uid.as_ref());
        lowest.unwrap_or(&one.study_uid).clone()
    };
    found.iter().map(name).collect()
}

/// The same by filtering: no index, no order of evaluation.
fn naive(rows: &[Row], deleted: &[Target], query: &Query) -> Vec<String> {
    let shown: Vec<&Row> = rows.iter().filter(|row| !is_deleted(row, deleted)).collect();
    // The newest version of an instance says what study, series and instance are like.
    let all = |row: &Row| {
        let mut all = Attributes::default();
        let (study, series, sop) = uids(row);
        let newest = |tag: u32| {
            let of = |other: &&Row| match level(tag) {
                Some(Level::Series) => uids(other).1 == series,
                Some(Level::Instance) => uids(other).2 == sop,
                _ => uids(other).0 == study,
            };
            let newest = rows.iter().rev().find(of)?;
            newest.attributes.get(tag).map(str::to_owned)
        };
        for entry in cairn_dicom::attributes::TABLE {
            if let Some(value) = newest(entry.tag) {
                all.set(entry.tag, value);
            }
        }
        for (tag, value) in [(0x0020_000D, study), (0x0020_000E, series), (0x0008_0018, sop)] {
            all.set(tag, value);
        }
        all
    };
    let modalities = |row: &Row| {
        let same_study = shown.iter().filter(|other| other.study == row.study);
        let mut all: Vec<_> = same_study
            .map(|row| all(row).get(0x0008_0060).unwrap_or_default().to_owned())
            .collect();
        all.dedup();
        all.join("\\")
    };
    let matches = |row: &Row| {
        let mut attributes = all(row);
        attributes.set(computed::MODALITIES_IN_STUDY, modalities(row));
        let value = |tag: u32| attributes.get(tag).unwrap_or_default();
        let (study, series, _) = uids(row);
        query.study.as_ref().is_none_or(|wanted| *wanted == study)
            && query.series.as_ref().is_none_or(|wanted| *wanted == series)
            && query.keys.iter().all(|key| key.matches(value(key.path.last())))
            && query
                .pairs
                .iter()
                .all(|pair| pair.matches(value(pair.date.last()), value(pair.time.last())))
    };
    let name = |row: &Row| match query.level {
        Level::Series => uids(row).1,
        Level::Instance => uids(row).2,
        _ => uids(row).0,
    };
    // In the order in which the name first arrived, whether what came first matches or not.
    let mut order: Vec<String> = Vec::new();
    for row in rows {
        if !order.contains(&name(row)) {
            order.push(name(row));
        }
    }
    let matching: Vec<String> =
        shown.iter().filter(|row| matches(row)).map(|row| name(row)).collect();
    order.into_iter().filter(|name| matching.contains(name)).collect()
}

fn is_deleted(row: &Row, deleted: &[Target]) -> bool {
    let (study, series, sop) = uids(row);
    deleted.iter().any(|target| {
        target.study_uid == study
            && target.series_uid.as_ref().is_none_or(|uid| *uid == series)
            && target.sop_instance_uid.as_ref().is_none_or(|uid| *uid == sop)
    })
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let attributes = (
        prop::sample::select(vec!["", "Müller^Jörg", "MULLER^Anna", "Yamada=山田^太郎", "Sato"]),
        prop::sample::select(vec!["", "A1", "A12", "B1"]),
        prop::sample::select(vec!["", "20240101", "20250630", "2025.07.01", "bad"]),
        prop::sample::select(vec!["", "0930", "180000"]),
        prop::sample::select(vec!["CT", "MR", "SR"]),
        prop::sample::select(vec!["1", "2", "03"]),
    );
    let row = (0u8..4, 0u8..3, 0u8..4, attributes).prop_map(|(study, series, instance, a)| {
        let (name, id, date, time, modality, number) = a;
        let attributes = Attributes::from_iter(
            [
                (0x0010_0010, name),
                (0x0010_0020, id),
                (0x0008_0020, date),
                (0x0008_0030, time),
                (0x0008_0060, modality),
                (0x0020_0013, number),
            ]
            .map(|(tag, value)| (tag, value.to_owned())),
        );
        Row { study, series, instance, attributes }
    });
    prop::collection::vec(row, 1..24)
}

fn parameters() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let one = prop::sample::select(vec![
        ("PatientName", "muller*"),
        ("PatientName", "*jorg"),
        ("PatientName", "山田*"),
        ("PatientName", "sato"),
        ("PatientName", "yamada*=*太郎"),
        ("PatientID", "A1"),
        ("PatientID", "A*"),
        ("PatientID", "?1"),
        ("StudyDate", "20240101-20250630"),
        ("StudyDate", "-20250101"),
        ("StudyDate", "20250701"),
        ("StudyTime", "0900-1700"),
        ("Modality", "CT"),
        ("ModalitiesInStudy", "MR"),
        ("ModalitiesInStudy", "MR\\SR"),
        ("StudyInstanceUID", "1.0,1.2"),
        ("SeriesInstanceUID", "1.1.0\\1.2.1"),
        ("SOPInstanceUID", "1.1.0.1,1.2.1.2,1.0.0.0"),
        ("InstanceNumber", "3"),
    ]);
    prop::collection::vec(one, 0..3).prop_map(|mut list| {
        list.sort_by_key(|(name, _)| *name);
        list.dedup_by_key(|(name, _)| *name);
        list
    })
}

fn targets() -> impl Strategy<Value = Vec<Target>> {
    let target =
        (0u8..4, prop::option::of(0u8..3), 0u8..8).prop_map(|(study, series, instance)| {
            let study_uid = format!("1.{study}");
            let series_uid = series.map(|series| format!("{study_uid}.{series}"));
            let sop_instance_uid = series_uid
                .as_ref()
                .filter(|_| instance < 4)
                .map(|series| format!("{series}.{instance}"));
            Target { study_uid, series_uid, sop_instance_uid }
        });
    prop::collection::vec(target, 0..2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_search_finds_what_a_plain_filter_finds(
        rows in rows(),
        deleted in targets(),
        parameters in parameters(),
        level in prop::sample::select(vec![Level::Study, Level::Series, Level::Instance]),
        fuzzy in any::<bool>(),
        scope in (prop::option::of(0u8..4), prop::option::of(0u8..3)),
    ) {
        let mut query = Query::all(level);
        if let (Some(study), _) = scope && level > Level::Study {
            query = query.in_study(&format!("1.{study}"));
        }
        if let (Some(study), Some(series)) = scope && level == Level::Instance {
            query = query.in_series(&format!("1.{study}.{series}"));
        }
        query.modes.fuzzy = fuzzy;
        let query = query.with_parameters(&parameters).unwrap();
        let made = catalogued(&rows, &deleted);
        let found = find(&made.catalog, &query, 0, 0, 1000);
        let expected = naive(&rows, &deleted, &query);
        prop_assert_eq!(names(&found), expected.clone());
        for one in &found {
            for (tag, _) in one.attributes.iter() {
                prop_assert!(level_of(tag).is_some_and(|of| of <= level), "{tag:08X}");
            }
        }
        // Pages are pieces of the whole, by offset and by the number before.
        for skip in 0..4 {
            for take in 0..4 {
                let page = names(&find(&made.catalog, &query, 0, skip, take));
                let whole = expected.iter().skip(skip as usize).take(take as usize);
                prop_assert_eq!(page, whole.cloned().collect::<Vec<_>>());
            }
        }
        for rows_max in [1, 3, 7] {
            let pieces = find_in_pieces(&made.catalog, &query, rows_max);
            prop_assert_eq!(names(&pieces), expected.clone());
        }
        let rest = found.first().map_or(Vec::new(), |first| find(&made.catalog, &query, first.number, 0, 1000));
        prop_assert_eq!(names(&rest), expected.get(1..).unwrap_or_default());
    }
}

/// A search by something that no index has looked at all of an archive before it answered.
#[test]
fn a_search_for_instances_looks_at_so_many_rows_and_says_so() {
    let row = |instance: u8, number: &str| Row {
        study: instance / 10,
        series: 1,
        instance,
        attributes: Attributes::from_iter([
            (0x0008_0060, "CT".to_owned()),
            (0x0020_0013, number.to_owned()),
        ]),
    };
    let rows: Vec<Row> = (0..50).map(|i| row(i, if i == 45 { "7" } else { "1" })).collect();
    let made = catalogued(&rows, &[]);
    let reach = |query: &Query, after| {
        let mut found = 0;
        let search = Search { query, after, skip: 0, take: 10, rows_max: 20 };
        let reach = made.catalog.search(&search, &mut |_| {
            found += 1;
            Ok(())
        });
        (found, reach.unwrap())
    };
    for keys in [&[("InstanceNumber", "7")][..], &[("InstanceNumber", "7"), ("Modality", "CT")]] {
        let query = Query::all(Level::Instance).with_parameters(keys).unwrap();
        let (found, first) = reach(&query, 0);
        let stop = first.stopped.unwrap();
        assert_eq!((found, stop.matches, stop.number), (0, 0, 20), "{keys:?}");
        // At most twice, once by series and once in order, and what is looked at of parents.
        assert!(first.rows <= 50, "{keys:?}: {first:?}");
        assert_eq!(reach(&query, 40).0, 1);
        assert_eq!(reach(&query, 40).1.stopped, None);
        // In a study all of it is looked at.
        let (found, whole) = reach(&query.in_study("1.4"), 0);
        assert_eq!((found, whole.stopped), (1, None));
    }
    // What needs no look at rows has no bound.
    let all = Query::all(Level::Instance);
    assert_eq!((reach(&all, 0).0, reach(&all, 0).1.stopped), (10, None));
}

#[test]
fn sums_are_those_of_what_is_shown() {
    let row = |series, instance, modality: &str| Row {
        study: 1,
        series,
        instance,
        attributes: Attributes::from_iter([(0x0008_0060, modality.to_owned())]),
    };
    let rows =
        [row(1, 1, "CT"), row(1, 2, "CT"), row(2, 1, "SR"), row(3, 1, "CT"), row(4, 1, "PR")];
    let gone = Target {
        study_uid: "1.1".into(),
        series_uid: Some("1.1.4".into()),
        sop_instance_uid: None,
    };
    let made = catalogued(&rows, &[gone]);
    let query = Query::all(Level::Study)
        .with_parameters(&[
            ("includefield", "SOPClassesInStudy"),
            ("NumberOfStudyRelatedSeries", "3"),
        ])
        .unwrap();
    let found = find(&made.catalog, &query, 0, 0, 10);
    let value = |tag| found[0].attributes.get(tag).unwrap();
    assert_eq!(value(computed::MODALITIES_IN_STUDY), "CT\\SR");
    assert_eq!(value(computed::NUMBER_OF_STUDY_RELATED_SERIES), "3");
    assert_eq!(value(computed::NUMBER_OF_STUDY_RELATED_INSTANCES), "4");
    assert_eq!(value(computed::SOP_CLASSES_IN_STUDY), "1.2.840.1\\1.2.840.2\\1.2.840.3");
    assert_eq!(value(computed::INSTANCE_AVAILABILITY), "ONLINE");
    let series = find(&made.catalog, &Query::all(Level::Series), 0, 0, 10);
    let counts: Vec<_> = series
        .iter()
        .map(|one| one.attributes.get(computed::NUMBER_OF_SERIES_RELATED_INSTANCES).unwrap())
        .collect();
    assert_eq!(counts, ["2", "1", "1"]);
}
