//! Metadata of series: always of what is visible now, and never needed to be there.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use cairn_dicom::phantom;
use cairn_store::commit::Target;
use cairn_store::metadata::SeriesMetadata;
use cairn_store::{Error, IngestConfig, Store};
use serde_json::Value;
use support::{Archive, bytes_of, import, quick, sample};

fn all_of(metadata: &SeriesMetadata) -> Vec<Value> {
    let runs: Vec<_> = (0..metadata.runs()).map(|run| metadata.run(run).unwrap()).collect();
    let text = [&b"["[..], &runs.join(&b','), &b"]"[..]].concat();
    let values: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert_eq!(values.len(), metadata.instances());
    values
}

fn series_of(store: &Store) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for study in support::study_uids(store) {
        let series = store.catalog().series(&study).unwrap();
        out.extend(series.into_iter().map(|series| (study.clone(), series.series_uid)));
    }
    out
}

fn files(archive: &Archive) -> Vec<PathBuf> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                walk(&entry.path(), out);
            } else {
                out.push(entry.path());
            }
        }
    }
    let mut out = Vec::new();
    walk(&archive.config.data.join("metadata"), &mut out);
    out
}

#[test]
fn every_series_is_described_when_an_import_ends() {
    let archive = Archive::new();
    let objects = sample();
    let store = archive.open();
    import(&store, quick(), &objects);
    let series = series_of(&store);
    assert_eq!(files(&archive).len(), series.len());
    let mut described = 0;
    for (study, uid) in &series {
        let metadata = store.metadata().series(study, uid).unwrap().unwrap();
        let mut last = String::new();
        for object in all_of(&metadata) {
            assert_eq!(object["0020000E"]["Value"][0], **uid);
            let sop = object["00080018"]["Value"][0].as_str().unwrap().to_owned();
            assert!(sop > last, "by SOP Instance UID");
            let version = store.catalog().versions(study, uid, &sop).unwrap().remove(0);
            let alone = store.metadata().instance(&version).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&alone).unwrap(), object);
            last = sop;
            described += 1;
        }
    }
    assert_eq!(described, objects.len());
    assert!(store.metadata().series("1.2", "3").unwrap().is_none());
}

#[test]
fn they_follow_what_is_visible() {
    let archive = Archive::new();
    let before = bytes_of(phantom::ct(1, 12, 128));
    let store = archive.open();
    let config = || IngestConfig { metadata: false, ..quick() };
    import(&store, config(), &before[..6]);
    let (study, series) = series_of(&store).remove(0);
    let get = || store.metadata().series(&study, &series).unwrap();
    let first = get().unwrap();
    assert_eq!((first.instances(), get().unwrap().root()), (6, first.root()));
    import(&store, config(), &before);
    let grown = get().unwrap();
    assert_eq!(grown.instances(), 12);
    assert_ne!(grown.root(), first.root());
    let kept: Vec<_> = all_of(&grown);
    assert!(all_of(&first).iter().all(|object| kept.contains(object)), "what did not change stays");
    let after = phantom::correct_demographics(&before[3], "NEW^NAME", "ID-2", "ACC-2").unwrap();
    import(&store, config(), &[after]);
    let names: Vec<_> = all_of(&get().unwrap())
        .iter()
        .map(|object| object["00100020"]["Value"][0].clone())
        .collect();
    assert_eq!(names.iter().filter(|id| **id == "ID-2").count(), 1);
    let ingest = store.ingest(config()).unwrap();
    let sop = kept[0]["00080018"]["Value"][0].as_str().unwrap().to_owned();
    let mut target = Target {
        study_uid: study.clone(),
        series_uid: Some(series.clone()),
        sop_instance_uid: Some(sop),
    };
    ingest.delete(&target).unwrap();
    assert_eq!(get().unwrap().instances(), 11);
    target.sop_instance_uid = None;
    ingest.delete(&target).unwrap();
    assert!(get().is_none());
}

/// Nothing depends on the files: gone, cut, flipped or of another series, they are made again or refused.
#[test]
fn a_damaged_file_is_never_believed() {
    let archive = Archive::new();
    let store = archive.open();
    import(&store, quick(), &bytes_of(phantom::ct(1, 5, 128)));
    let (study, series) = series_of(&store).remove(0);
    let get = || store.metadata().series(&study, &series).unwrap().unwrap();
    let good = all_of(&get());
    let path = files(&archive).remove(0);
    let bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(!text.contains(good[0]["00100020"]["Value"][0].as_str().unwrap()));
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        let metadata = get();
        match (0..metadata.runs()).try_for_each(|run| metadata.run(run).map(drop)) {
            Ok(()) => assert_eq!(all_of(&metadata), good),
            Err(Error::Derived { .. }) => store.metadata().forget(&study, &series),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(all_of(&get()), good);
    }
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(all_of(&get()), good);
    std::fs::remove_dir_all(archive.config.data.join("metadata")).unwrap();
    assert_eq!(all_of(&get()), good);
    // Where nothing can be kept, they are made for each who asks.
    std::fs::remove_dir_all(archive.config.data.join("metadata")).unwrap();
    std::fs::write(archive.config.data.join("metadata"), b"in the way").unwrap();
    assert_eq!(all_of(&get()), good);
}
