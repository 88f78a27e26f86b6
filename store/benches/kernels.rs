//! What packs cost: encrypting and appending records, and reading all of a pack.
//!
//! `cargo bench -p cairn-store`, or with `-- --quick`. Files lie in a temporary folder and are not
//! synced: the disk's part is `cairn-bench limits`.

use std::hint::black_box;
use std::path::Path;

use cairn_chunker::codec::Codec;
use cairn_store::disk::OsDisk;
use cairn_store::keys::{PackKey, StoredId};
use cairn_store::pack::{Cipher, OpenPack, PackHeader, PackId, RecordKind, scan};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Records of one turn: 16 MiB of 256 KiB each, as large chunks of a CT are when coded.
const RECORDS: usize = 64;
const PAYLOAD_BYTES: usize = 256 << 10;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// A new pack at `path`.
fn begin(path: &Path, cipher: Cipher) -> Fallible<OpenPack> {
    // A file of an earlier turn may be there.
    let _ = std::fs::remove_file(path);
    let header = PackHeader { pack: PackId([7; 16]), cipher: 0, created_ms: 1 };
    Ok(OpenPack::create(&OsDisk, path, header, cipher)?)
}

/// Appends all records of a turn.
fn fill(pack: &mut OpenPack, payload: &[u8]) -> Fallible<()> {
    for record in 0..RECORDS as u64 {
        let id = StoredId(*blake3::hash(&record.to_le_bytes()).as_bytes());
        let length = payload.len() as u32;
        pack.append(RecordKind::Chunk, Codec::Stored, id, payload, length)?;
    }
    Ok(())
}

fn packs(bench: &mut Criterion) -> Fallible<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pack");
    let mut payload = vec![0; PAYLOAD_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut payload);
    let mut group = bench.benchmark_group("pack");
    group.throughput(Throughput::Bytes((RECORDS * PAYLOAD_BYTES) as u64));
    for (name, cipher) in
        [("plain", Cipher::Plain), ("AES-256-GCM", Cipher::Gcm(PackKey::generate()?))]
    {
        begin(&path, cipher.clone())?;
        group.bench_function(format!("append, {name}"), |bench| {
            bench.iter_batched(
                || begin(&path, cipher.clone()).ok(),
                |pack| pack.map(|mut pack| fill(&mut pack, &payload).is_ok()),
                BatchSize::PerIteration,
            );
        });
        let mut pack = begin(&path, cipher.clone())?;
        fill(&mut pack, &payload)?;
        pack.finish()?;
        let bytes = std::fs::read(&path)?;
        let whole = scan(&cipher, pack.pack(), &bytes, |_| {});
        assert!(whole.sealed && whole.damage.is_empty(), "the pack is not whole");
        group.bench_function(format!("scan, {name}"), |bench| {
            bench.iter(|| scan(&cipher, pack.pack(), black_box(&bytes), |_| {}).sound_bytes);
        });
    }
    group.finish();
    Ok(())
}

fn kernels_of_packs(bench: &mut Criterion) {
    if let Err(error) = packs(bench) {
        eprintln!("packs could not be measured: {error}");
        std::process::exit(1);
    }
}

criterion_group!(kernels, kernels_of_packs);
criterion_main!(kernels);
