//! The server's memory, sampled while the clients play.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::bound::Bound;
use crate::figures::mb;
use crate::machine::{ProcessFigures, process};
use crate::table::Table;

/// Between samples.
const EVERY: Duration = Duration::from_millis(250);
/// How often the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(25);

/// A thread that looks at a process.
pub(super) struct Watch {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

/// What it saw.
#[derive(Debug, Default, Serialize)]
pub(super) struct Watched {
    /// Seconds since the start, and the resident set.
    samples: Vec<(f64, u64)>,
    threads_max: u64,
}

impl Watch {
    pub(super) fn new(pid: u32) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let (begun, mut watched) = (Instant::now(), Watched::default());
            while !ends.load(Ordering::Relaxed) {
                if let Some(figures) = process(pid) {
                    let at = begun.elapsed().as_secs_f64();
                    watched.samples.push((at, figures.resident_bytes));
                    watched.threads_max = watched.threads_max.max(figures.threads);
                }
                let next = Instant::now() + EVERY;
                while Instant::now() < next && !ends.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                }
            }
            watched
        });
        Self { end, thread }
    }

    pub(super) fn end(self) -> Result<Watched> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("watching the server's memory failed")
    }
}

impl Watched {
    /// Means of the quarters of the time show whether memory grows.
    pub(super) fn table(&self, figures: &ProcessFigures, bound: &Bound) -> Table {
        let mut table =
            Table::new(["", "QUARTER 1", "2", "3", "4", "PEAK", "BOUND", "THREADS", "CPU S"]);
        let quarters = [0, 1, 2, 3].map(|quarter| {
            let of = |index: usize| self.samples.len() * index / 4;
            let samples = &self.samples[of(quarter)..of(quarter + 1)];
            let sum: u64 = samples.iter().map(|(_, bytes)| bytes).sum();
            format!("{:.0}", mb(sum / samples.len().max(1) as u64))
        });
        let [first, second, third, fourth] = quarters;
        table.row([
            "resident".to_owned(),
            first,
            second,
            third,
            fourth,
            format!("{:.0}", mb(figures.peak_bytes)),
            format!("{:.0}", mb(bound.bytes())),
            self.threads_max.to_string(),
            format!("{:.1}", figures.cpu_s),
        ]);
        table
    }
}
