//! Flipped bits and lost files: found, named, never handed out.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use cairn_dicom::phantom;
use cairn_store::verify::{Finding, Scope, verify};
use cairn_store::{Access, Store};
use support::{Archive, bytes_of, import, packs, quick};

/// A small generator, so that a failing bit can be named and tried again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What an export gives for each instance: its bytes, or why not.
fn read_all(store: &Store) -> BTreeMap<String, Result<Vec<u8>, String>> {
    let mut out = BTreeMap::new();
    for study in support::study_uids(store) {
        store
            .catalog()
            .study_versions(&study, true, &mut |version| {
                let mut bytes = Vec::new();
                let read = store.reader().write_instance(&version, &mut bytes);
                let read = read.map(|_| bytes).map_err(|error| error.to_string());
                out.insert(format!("{}/{}", version.sop_instance_uid, version.seq), read);
                Ok(())
            })
            .unwrap();
    }
    out
}

fn findings(store: &Store) -> Vec<Finding> {
    verify(store, &Scope::All, 1, &|_| {}).unwrap().findings
}

fn filled(encrypt: bool) -> Archive {
    let mut archive = Archive::new();
    archive.config.bucket = None;
    archive.config.encrypt = encrypt;
    let mut objects = bytes_of(phantom::ct(5, 6, 128));
    objects.push(phantom::structured_report(5).bytes);
    objects.extend(bytes_of(phantom::many_small(5, 5)));
    objects.push(phantom::ct(6, 1, 512).next().unwrap().bytes);
    import(&archive.open(), quick(), &objects);
    archive
}

#[test]
fn every_flipped_bit_is_found_named_and_never_handed_out() {
    for encrypt in [true, false] {
        let archive = filled(encrypt);
        let sound = read_all(&Store::open(&archive.config, Access::Read).unwrap());
        let mut dice = Dice(42);
        let mut harmed = 0;
        for path in packs(&archive) {
            let good = std::fs::read(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            for _ in 0..150 {
                let bit = dice.below(good.len() as u64 * 8);
                let mut bad = good.clone();
                bad[bit as usize / 8] ^= 1 << (bit % 8);
                std::fs::write(&path, &bad).unwrap();
                let store = Store::open(&archive.config, Access::Read).unwrap();
                let found = findings(&store);
                let pack = |finding: &&Finding| finding.pack.map(|id| id.to_string());
                let at = found.iter().find(|finding| pack(finding).as_ref() == Some(&name));
                let at = at.unwrap_or_else(|| panic!("bit {bit} was not found: {found:?}"));
                let offset = at.offset.unwrap();
                assert!(offset * 8 <= bit, "bit {bit} was placed at byte {offset}");
                for (uid, read) in read_all(&store) {
                    if let Ok(bytes) = read {
                        assert!(Ok(&bytes) == sound[&uid].as_ref(), "bit {bit}");
                        continue;
                    }
                    harmed += 1;
                    let sop = uid.split('/').next().map(str::to_owned);
                    assert!(
                        found.iter().any(|finding| finding.sop_instance_uid == sop),
                        "bit {bit} harms an instance that is not named"
                    );
                }
            }
            std::fs::write(&path, &good).unwrap();
        }
        assert!(harmed > 100, "{harmed} instances harmed: the bits hit nothing");
        assert_eq!(findings(&Store::open(&archive.config, Access::Read).unwrap()), []);
    }
}

#[test]
fn a_pack_cut_short_or_lost_is_found() {
    let archive = filled(true);
    let path = packs(&archive).remove(0);
    let good = std::fs::read(&path).unwrap();
    for length in [0, 10, 64, 100, good.len() / 2, good.len() - 1] {
        std::fs::write(&path, &good[..length]).unwrap();
        let store = Store::open(&archive.config, Access::Read).unwrap();
        assert!(!findings(&store).is_empty(), "cut at {length}");
    }
    std::fs::remove_file(&path).unwrap();
    let store = Store::open(&archive.config, Access::Read).unwrap();
    let found = findings(&store);
    assert!(found.iter().all(|finding| finding.why.contains("missing")), "{found:?}");
    assert!(found.iter().any(|finding| finding.sop_instance_uid.is_some()));
}

#[test]
fn a_shredded_pack_cannot_be_read_by_anybody() {
    let archive = filled(true);
    let keys = archive.dir.path().join("data/bucket/keys");
    std::fs::remove_dir_all(keys).unwrap();
    let store = Store::open(&archive.config, Access::Read).unwrap();
    assert!(read_all(&store).values().all(Result::is_err));
    assert!(findings(&store).iter().any(|finding| finding.why.contains("shredded")));
}

#[test]
fn a_rebuild_passes_over_damage_and_says_so() {
    let mut archive = Archive::new();
    archive.config.bucket = None;
    let objects = bytes_of(phantom::ct(5, 5, 256));
    for object in &objects {
        // One import, one pack.
        import(&archive.open(), quick(), std::slice::from_ref(object));
    }
    let packs = archive.open().catalog().packs().unwrap();
    assert_eq!(packs.len(), objects.len());
    // One pack with a damaged header loses nothing; one without its key is lost, and named. The last:
    // earlier ones hold chunks that all slices have in common.
    let damaged =
        archive.config.data.join(format!("bucket/packs/{0:.2}/{0}.pack", packs[0].id.to_string()));
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let shredded = packs[packs.len() - 1].id.to_string();
    let key =
        archive.dir.path().join(format!("data/bucket/keys/{}/{shredded}.key", &shredded[..2]));
    std::fs::remove_file(key).unwrap();

    let report = cairn_store::rebuild::rebuild(&archive.config, &|_, _| {}).unwrap();
    let whys: Vec<_> = report.damage.iter().map(|damage| damage.why.as_str()).collect();
    assert!(whys.iter().any(|why| why.contains("header is damaged")), "{whys:?}");
    assert!(report.damage.iter().any(|damage| damage.pack.to_string() == shredded));
    let store = Store::open(&archive.config, Access::Read).unwrap();
    let read = read_all(&store);
    assert_eq!(read.len(), objects.len() - 1);
    assert!(read.values().all(Result::is_ok));
    assert!(read.values().flatten().all(|bytes| objects.contains(bytes)));
}

/// An archive whose process died before its pack was sealed, with one bit of that pack flipped.
fn with_damaged_journal(objects: &[Vec<u8>], at: usize) -> Archive {
    let mut archive = Archive::new();
    archive.config.bucket = None;
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    let answers = support::Answers::default();
    for (no, object) in objects.iter().enumerate() {
        support::hand_in(&ingest, no, object, cairn_store::ingest::Arrival::File, &answers);
        ingest.drain().unwrap();
    }
    drop(ingest);
    drop(store);
    assert!(answers.lock().unwrap().values().all(Result::is_ok));
    let journal = archive.dir.path().join("data/journal");
    let mut files = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    let pack = files.find(|path| path.extension().unwrap() == "pack").unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    archive
}

/// The open pack goes bad after its content was acknowledged, and then the process dies: replay must
/// not take the damage for the torn end of a crash and cut off what follows.
#[test]
fn damage_in_the_journal_harms_one_instance_and_is_named() {
    let objects = bytes_of(phantom::ct(5, 6, 512));
    let archive = with_damaged_journal(&objects, 5000); // in the first slice's pixels
    let store = archive.open();
    let read = read_all(&store);
    assert_eq!(read.len(), objects.len());
    assert_eq!(read.values().filter(|read| read.is_err()).count(), 1);
    let found = findings(&store);
    assert_eq!(found.iter().filter(|finding| finding.sop_instance_uid.is_some()).count(), 1);
}

/// The same, and the catalog is gone as well: nobody knows how much of the pack was acknowledged.
/// Once, everything behind the damage was cut off, or the whole pack removed, without a word.
#[test]
fn a_damaged_journal_without_a_catalog_keeps_what_is_sound() {
    let objects = bytes_of(phantom::ct(5, 6, 512));
    // In the header, in the first record, in the middle.
    for at in [20, 70, 5000, 700_000] {
        let archive = with_damaged_journal(&objects, at);
        cairn_store::rebuild::rebuild(&archive.config, &|_, _| {}).unwrap();
        let store = Store::open(&archive.config, Access::Read).unwrap();
        let whole = read_all(&store).values().filter(|read| read.is_ok()).count();
        let lost = usize::from(at >= 64);
        assert_eq!(whole, objects.len() - lost, "flipped at {at}");
        assert!(!findings(&store).is_empty());
    }
}
