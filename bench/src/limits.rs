//! `cairn-bench limits`: what the machine can do at most, so that every other figure has a line to be
//! held against.
//!
//! In this process, with nothing of Cairn's: copying memory, BLAKE3 alone, writing a file and syncing
//! it, reading it back from memory, and TCP on loopback. Megabytes are 10^6 bytes.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use crate::figures::{Spread, mb};
use crate::latency::Latency;
use crate::measure::Bench;
use crate::report::Report;
use crate::table::Table;

/// Larger than the caches, so that memory is measured.
const MEMORY_BYTES: usize = 256 << 20;
/// What is hashed over and over: as much as a chunk of Cairn's has at most.
const HASHED_BYTES: usize = 1 << 20;
/// What one write gives to the system.
const WRITE_BYTES: usize = 1 << 20;
/// What is written before one sync, as a slice of a CT.
const RECORD_BYTES: usize = 512 << 10;
/// What goes back and forth to time a round trip.
const PING_BYTES: usize = 64;

/// Measure memory, BLAKE3, disk and loopback alone: the lines that nothing can pass
#[derive(Debug, Args)]
pub(crate) struct LimitsArgs {
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How much is written to the scratch folder, and sent over loopback
    #[arg(long, default_value_t = 1000, value_name = "MB")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    mb: u64,
    /// How many small writes are synced one by one
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    syncs: u32,
}

/// What was found; also the JSON.
#[derive(Debug, Serialize)]
struct Limits {
    memcpy_mb_per_s: Spread,
    blake3_mb_per_s: Spread,
    /// One thread on each core.
    blake3_all_mb_per_s: Spread,
    cores: usize,
    /// One file, in order, with one fdatasync at the end.
    write_sync_mb_per_s: Spread,
    /// The same file, out of the page cache.
    read_cached_mb_per_s: Spread,
    /// 512 KiB appended and synced, one after the other.
    record_sync: Latency,
    loopback_mb_per_s: Spread,
    loopback_round_trip: Latency,
}

/// Measures, and adds the table.
pub(crate) fn run(bench: &Bench<'_>, args: &LimitsArgs, report: &mut Report) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let folder = bench.scratch.folder("limits")?;
    let (file, bytes) = (folder.join("file"), args.mb * 1_000_000);
    let repeat = |what: &str, once: &dyn Fn() -> Result<f64>| {
        eprintln!("{what}");
        bench.wait_until_quiet();
        let runs = (0..args.runs).map(|_| once()).collect::<Result<Vec<_>>>()?;
        Spread::of(runs).context("no runs")
    };
    let limits = Limits {
        memcpy_mb_per_s: repeat("memcpy", &|| Ok(memcpy()))?,
        blake3_mb_per_s: repeat("BLAKE3", &|| Ok(hash(1, bytes)))?,
        blake3_all_mb_per_s: repeat("BLAKE3 on all cores", &|| Ok(hash(cores, bytes)))?,
        cores,
        write_sync_mb_per_s: repeat("writing", &|| write(&file, bytes))?,
        read_cached_mb_per_s: repeat("reading", &|| read(&file))?,
        record_sync: records(&folder.join("records"), args.syncs)?,
        loopback_mb_per_s: repeat("loopback", &|| loopback(bytes))?,
        loopback_round_trip: round_trips(args.syncs * 10)?,
    };
    report.table("what the machine can do (median, min-max; 10^6 bytes)", &limits.table());
    report.figures("limits", &limits)
}

impl Limits {
    fn table(&self) -> Table {
        let mut table = Table::new(["WHAT", "MEASURED", "UNIT"]);
        let all = format!("BLAKE3, {} threads", self.cores);
        let rates = [
            ("memcpy, one thread", &self.memcpy_mb_per_s),
            ("BLAKE3, one thread", &self.blake3_mb_per_s),
            (&*all, &self.blake3_all_mb_per_s),
            ("write and fdatasync, one file", &self.write_sync_mb_per_s),
            ("read, page cache", &self.read_cached_mb_per_s),
            ("loopback, one connection", &self.loopback_mb_per_s),
        ];
        for (what, rate) in rates {
            table.row([what.to_owned(), rate.text(0), "MB/s".to_owned()]);
        }
        let record = self.record_sync;
        let text = format!("{:.2} (p99 {:.2})", record.p50_ms, record.p99_ms);
        table.row(["512 KiB and fdatasync".to_owned(), text, "ms".to_owned()]);
        let trip = self.loopback_round_trip;
        let text = format!("{:.3} (p99 {:.3})", trip.p50_ms, trip.p99_ms);
        table.row(["loopback, there and back".to_owned(), text, "ms".to_owned()]);
        table
    }
}

/// Megabytes a second between a byte count and now.
fn rate(bytes: u64, begun: Instant) -> f64 {
    mb(bytes) / begun.elapsed().as_secs_f64()
}

/// Bytes that are read count once, though each is read and written.
fn memcpy() -> f64 {
    let (from, mut to) = (vec![1u8; MEMORY_BYTES], vec![2u8; MEMORY_BYTES]);
    let begun = Instant::now();
    for _ in 0..4 {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
    rate(4 * MEMORY_BYTES as u64, begun)
}

/// BLAKE3 by so many threads, each over memory of its own.
pub(crate) fn hash(threads: usize, bytes: u64) -> f64 {
    let rounds = (bytes / HASHED_BYTES as u64).max(1);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(move || {
                let chunk = vec![7u8; HASHED_BYTES];
                for _ in 0..rounds {
                    black_box(blake3::hash(black_box(&chunk)));
                }
            });
        }
    });
    rate(rounds * threads as u64 * HASHED_BYTES as u64, begun)
}

fn write(path: &Path, bytes: u64) -> Result<f64> {
    let block = vec![3u8; WRITE_BYTES];
    let begun = Instant::now();
    let mut file = File::create(path).context("the file that is written")?;
    let blocks = bytes.div_ceil(WRITE_BYTES as u64);
    for _ in 0..blocks {
        file.write_all(&block).context("writing")?;
    }
    file.sync_data().context("fdatasync")?;
    Ok(rate(blocks * WRITE_BYTES as u64, begun))
}

fn read(path: &Path) -> Result<f64> {
    let mut block = vec![0u8; WRITE_BYTES];
    let begun = Instant::now();
    let (mut file, mut bytes) = (File::open(path)?, 0);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(rate(bytes, begun)),
            got => bytes += got as u64,
        }
    }
}

/// Appends and syncs one record after the other.
fn records(path: &Path, count: u32) -> Result<Latency> {
    eprintln!("syncing records");
    let record = vec![5u8; RECORD_BYTES];
    let mut file = File::create(path).context("the file of records")?;
    let mut times = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        file.write_all(&record)?;
        file.sync_data().context("fdatasync")?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Latency::of(times).context("no records")
}

/// Two ends of a connection on loopback.
fn connected() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a port on loopback")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// One thread sends, another reads and forgets.
fn loopback(bytes: u64) -> Result<f64> {
    let (mut near, mut far) = connected()?;
    let begun = Instant::now();
    let reader = std::thread::spawn(move || -> std::io::Result<u64> {
        let (mut block, mut bytes) = (vec![0u8; WRITE_BYTES], 0);
        loop {
            match far.read(&mut block)? {
                0 => return Ok(bytes),
                got => bytes += got as u64,
            }
        }
    });
    let block = vec![9u8; WRITE_BYTES];
    for _ in 0..bytes.div_ceil(WRITE_BYTES as u64) {
        near.write_all(&block)?;
    }
    drop(near);
    let Ok(received) = reader.join() else { bail!("the reader panicked") };
    Ok(rate(received?, begun))
}

/// A few bytes there and back, so many times.
fn round_trips(count: u32) -> Result<Latency> {
    let (mut near, mut far) = connected()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let mut ping = [0; PING_BYTES];
        while far.read_exact(&mut ping).is_ok() {
            far.write_all(&ping)?;
        }
        Ok(())
    });
    let (mut ping, mut times) = ([1; PING_BYTES], Vec::new());
    for _ in 0..count {
        let begun = Instant::now();
        near.write_all(&ping)?;
        near.read_exact(&mut ping)?;
        times.push(begun.elapsed().as_secs_f64());
    }
    drop(near);
    let Ok(echoed) = echo.join() else { bail!("the echo panicked") };
    echoed?;
    Latency::of(times).context("no round trips")
}
