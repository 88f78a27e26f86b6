//! Buckets written by an earlier build, which every later one must still read.
//!
//! Under `golden/` lie small buckets, plain and encrypted, each with its site key and a list of what is in
//! it. They are read as after the loss of a data directory: rebuilt, verified, exported.
//! `CAIRN_REGENERATE_GOLDEN=NAME` makes one, which is right only for a new version of the format or a new
//! codec: the old ones then stay beside it.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cairn_chunker::codec::{Compression, Effort};
use cairn_chunker::id::ChunkId;
use cairn_dicom::phantom;
use cairn_store::config::IngestConfig;
use cairn_store::ingest::Arrival;
use cairn_store::keys::SiteKey;
use cairn_store::pack::{Cipher, PackHeader, RecordKind, scan};
use cairn_store::rebuild::rebuild;
use cairn_store::verify::{Scope, verify};
use cairn_store::{Access, Store, StoreConfig};
use support::{Answers, as_dataset, hand_in, quick};

/// Nobody's key but this test's.
const SITE_KEY: &str = "\
# The key of golden buckets in tests. It protects nothing.
cairn-site-key-v1 \
000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f
";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn put_key(data: &Path, text: &str) -> PathBuf {
    let path = data.join("keys/site.key");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn config(data: &Path, encrypt: bool) -> StoreConfig {
    StoreConfig { encrypt, ..StoreConfig::new(data) }
}

/// A slice whose pixels are a slope: long enough for a record of its own, and soon compressed.
fn slope(steepness: u16) -> Vec<u8> {
    const SIZE: u16 = 200;
    let mut file = phantom::ct(3, 1, SIZE).next().unwrap().bytes;
    let start = file.len() - usize::from(SIZE) * usize::from(SIZE) * 2;
    let pixels = (0..SIZE).flat_map(|y| (0..SIZE).map(move |x| x * steepness + y * 3));
    for (pair, pixel) in file[start..].as_chunks_mut::<2>().0.iter_mut().zip(pixels) {
        *pair = pixel.to_le_bytes();
    }
    file
}

/// What the golden buckets hold: new instances, then corrections, a conflict and a duplicate.
fn imports() -> [Vec<Vec<u8>>; 2] {
    let report = phantom::structured_report(3).bytes;
    let small: Vec<_> = phantom::many_small(3, 2).map(|file| file.bytes).collect();
    let cut = small[1][..small[1].len() - 100].to_vec();
    let corrected =
        phantom::correct_demographics(&report, "Corrected^Name", "ID-CORRECTED", "ACC-2").unwrap();
    [vec![slope(7), report, small[0].clone(), cut], vec![corrected, slope(9), small[0].clone()]]
}

fn generate(name: &str, encrypt: bool, compression: Compression) {
    let effort = Effort { compression, ..Effort::default() };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    put_key(&data, SITE_KEY);
    let store = Store::open(&config(&data, encrypt), Access::Write).unwrap();
    for objects in imports() {
        let ingest = store.ingest(IngestConfig { effort, ..quick() }).unwrap();
        let answers = Answers::default();
        for (no, object) in objects.iter().enumerate() {
            hand_in(&ingest, no, object, Arrival::File, &answers);
        }
        // One that came over the network, without envelope.
        let (dataset, transfer_syntax) =
            as_dataset(&phantom::many_small(4, 1).next().unwrap().bytes);
        hand_in(&ingest, 99, &dataset, Arrival::Dataset { transfer_syntax }, &answers);
        ingest.finish().unwrap();
        assert!(answers.lock().unwrap().values().all(Result::is_ok));
    }
    let target = folder(name);
    let _ = std::fs::remove_dir_all(&target);
    copy(&data.join("bucket"), &target.join("bucket"));
    std::fs::write(target.join("site.key"), SITE_KEY).unwrap();
    std::fs::write(target.join("content.txt"), content(&store)).unwrap();
}

/// Studies with their roots, and every version with the hash of the file that an export gives.
fn content(store: &Store) -> String {
    let mut studies = Vec::new();
    let listed = store.catalog().studies(None, &mut |study| {
        studies.push(study.study_uid);
        Ok(())
    });
    listed.unwrap();
    studies.sort();
    let mut out = String::new();
    for study in studies {
        let root = store.study_tree(&study).unwrap().root();
        let record = store.catalog().study_record(&study).unwrap().unwrap();
        assert_eq!(record.root, root);
        writeln!(out, "study {study} {root} version {}", record.version).unwrap();
        let mut versions = Vec::new();
        let listed = store.catalog().study_versions(&study, true, &mut |version| {
            versions.push(version);
            Ok(())
        });
        listed.unwrap();
        for version in versions {
            let mut file = Vec::new();
            store.reader().write_instance(&version, &mut file).unwrap();
            let (name, outcome) = (&version.sop_instance_uid, version.outcome.name());
            let shown = if version.visible { "shown" } else { "kept" };
            let flags: Vec<_> = cairn_dicom::Flags::from_bits(version.flags).names().collect();
            let (seq, hash, flags) = (version.seq, ChunkId::of(&file), flags.join(","));
            writeln!(out, "  {name} seq {seq} {outcome} {shown} {hash} {flags}").unwrap();
        }
    }
    out
}

/// Reads every record of every pack without catalog, and says which kinds and codecs there are.
fn kinds(bucket: &Path, key: &SiteKey, encrypt: bool) -> BTreeSet<(u8, u8)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(bucket.join("packs")).unwrap() {
        for file in std::fs::read_dir(entry.unwrap().path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(bytes.len() < 20_000, "{} bytes", bytes.len());
            let header = PackHeader::decode(&bytes).unwrap();
            assert_eq!(header.cipher, u8::from(encrypt));
            let name = header.pack.to_string();
            let cipher = if encrypt {
                let wrapped = bucket.join("keys").join(&name[..2]).join(format!("{name}.key"));
                let wrapped = std::fs::read(wrapped).unwrap();
                Cipher::Gcm(key.unwrap(header.pack, &wrapped).unwrap())
            } else {
                Cipher::Plain
            };
            let scanned = scan(&cipher, header.pack, &bytes, |record| {
                found.insert((record.entry.kind as u8, record.entry.codec.id()));
            });
            assert!(scanned.sealed && scanned.damage.is_empty(), "{scanned:?}");
        }
    }
    found
}

fn still_reads(name: &str, encrypt: bool, pixels: (RecordKind, u8)) {
    // Not those of an older encoder: nothing writes these any more.
    let compression = match pixels.1 {
        4 => Some(Compression::Default),
        6 => Some(Compression::Cold),
        _ => None,
    };
    let asked = std::env::var("CAIRN_REGENERATE_GOLDEN").is_ok_and(|asked| asked == name);
    if let (true, Some(compression)) = (asked, compression) {
        generate(name, encrypt, compression);
    }
    let golden = folder(name);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(&golden.join("bucket"), &data.join("bucket"));
    let key = put_key(&data, &std::fs::read_to_string(golden.join("site.key")).unwrap());

    let kinds = kinds(&golden.join("bucket"), &SiteKey::load(&key).unwrap(), encrypt);
    for (kind, codec) in
        [pixels, (RecordKind::Block, 0), (RecordKind::Block, 1), (RecordKind::Commit, 1)]
    {
        assert!(kinds.contains(&(kind as u8, codec)), "{kind:?} with codec {codec}: {kinds:?}");
    }

    let config = config(&data, encrypt);
    let report = rebuild(&config, &|_, _| {}).unwrap();
    assert_eq!(report.damage, []);
    let store = Store::open(&config, Access::Read).unwrap();
    assert_eq!(verify(&store, &Scope::All, 2, &|_| {}).unwrap().findings, []);
    assert_eq!(content(&store), std::fs::read_to_string(golden.join("content.txt")).unwrap());
}

#[test]
fn a_plain_bucket_of_format_1_is_still_read() {
    still_reads("plain-1", false, (RecordKind::Chunk, 2));
}

#[test]
fn an_encrypted_bucket_of_format_1_is_still_read() {
    still_reads("encrypted-1", true, (RecordKind::Chunk, 2));
}

#[test]
fn a_bucket_with_the_second_pixel_filter_is_still_read() {
    still_reads("plain-codec-3", false, (RecordKind::Chunk, 3));
}

#[test]
fn a_bucket_with_pixels_in_contexts_is_still_read() {
    still_reads("plain-codec-4", false, (RecordKind::Block, 4));
}

#[test]
fn a_bucket_with_pixels_for_long_keeping_is_still_read() {
    still_reads("plain-codec-6", false, (RecordKind::Block, 6));
}
