//! The steps of a run, by every server.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use super::request::{self, Times};
use crate::files::size;
use crate::instances::Set;
use crate::machine::{busy_s, process};
use crate::measure::Bench;
use crate::service::{Service, Who, data};

/// What a server does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Step {
    /// The set by one client, into an empty archive, which the later steps read.
    Store,
    /// The set by four clients, into another empty archive.
    StoreFour,
    Metadata,
    Frames,
    Listing,
    Study,
}

const STEPS: [Step; 6] =
    [Step::Store, Step::StoreFour, Step::Metadata, Step::Frames, Step::Listing, Step::Study];

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Store => "store, 1 client",
            Self::StoreFour => "store, 4 clients",
            Self::Metadata => "metadata",
            Self::Frames => "frames",
            Self::Listing => "search",
            Self::Study => "study",
        }
    }

    /// Of Orthanc with compression one slow store tells the stored bytes, and one study how quickly
    /// such are read.
    fn is_for(self, who: Who, set: &Set, run: usize) -> bool {
        let is_compressed = who == Who::Orthanc { compressed: true };
        match self {
            Self::Store | Self::Study => run == 0 || !is_compressed,
            Self::Frames if set.cine().is_none() => false,
            _ => !is_compressed,
        }
    }
}

/// A server's step in one run.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub(super) run: usize,
    pub(super) who: Who,
    pub(super) step: Step,
    /// Of the requests alone, for stores: from the first to the last acknowledgement.
    pub(super) wall_s: f64,
    pub(super) server_cpu_s: f64,
    pub(super) server_peak_bytes: u64,
    /// How long the server took to end when asked: what it had left for later.
    pub(super) stop_s: f64,
    /// Cores that neither the server nor the client kept busy.
    pub(super) other_cores: f64,
    /// Below the archive's folder after a store, the server having ended.
    pub(super) stored_bytes: u64,
    /// Seconds of each request, by its kind.
    pub(super) requests: Times,
}

/// What takes part, and its figures.
pub(super) struct Contest<'a> {
    bench: &'a Bench<'a>,
    set: &'a Set,
    servers: &'a [Who],
    frames: u32,
    pub(super) samples: Vec<Sample>,
}

impl<'a> Contest<'a> {
    pub(super) fn new(bench: &'a Bench<'a>, set: &'a Set, servers: &'a [Who], frames: u32) -> Self {
        Self { bench, set, servers, frames, samples: Vec::new() }
    }

    /// Every step by everybody, with empty archives.
    pub(super) fn run(&mut self, run: usize) -> Result<()> {
        let mut servers = self.servers.to_vec();
        servers.rotate_left(run % self.servers.len());
        for step in STEPS {
            for &who in servers.iter().filter(|who| step.is_for(**who, self.set, run)) {
                eprintln!("run {}, {}: {}", run + 1, step.name(), who.name());
                let sample = self.step(run, who, step);
                let sample = sample.with_context(|| format!("{}, {}", who.name(), step.name()))?;
                self.samples.push(sample);
            }
        }
        for who in servers.into_iter().filter(|who| Step::Store.is_for(*who, self.set, run)) {
            std::fs::remove_dir_all(self.home(who, Step::Store)).context("removing an archive")?;
        }
        Ok(())
    }

    fn home(&self, who: Who, step: Step) -> PathBuf {
        let archive = if step == Step::StoreFour { "of 4 clients" } else { "of 1 client" };
        self.bench.scratch.path().join(format!("{}, {archive}", who.name()))
    }

    fn step(&self, run: usize, who: Who, step: Step) -> Result<Sample> {
        let home = self.home(who, step);
        let is_store = matches!(step, Step::Store | Step::StoreFour);
        // Made before the clock starts.
        let bodies = if is_store { request::bodies(self.set) } else { Vec::new() };
        nix::unistd::sync();
        self.bench.wait_until_quiet();

        let service = Service::start(self.bench, who, &home)?;
        let (before, own_before, busy_before) = (service.figures()?, own_cpu_s(), busy_s());
        let begun = Instant::now();
        let mut requests = Times::new();
        let mut wall_s = 0.0;
        match step {
            Step::Store => wall_s = request::store(&service, bodies, 1, &mut requests)?,
            Step::StoreFour => wall_s = request::store(&service, bodies, 4, &mut requests)?,
            Step::Metadata => request::metadata(&service, self.set, &mut requests)?,
            Step::Frames => {
                let cine = self.set.cine().context("no multi-frame instance")?;
                request::frames(&service, cine, run, self.frames, &mut requests)?;
            }
            Step::Listing => request::listing(&service, self.set, &mut requests)?,
            Step::Study => request::study(&service, self.set, run == 0, &mut requests)?,
        }
        let lasted = begun.elapsed().as_secs_f64();
        if wall_s == 0.0 {
            wall_s = requests.iter().map(|(_, seconds)| seconds).sum();
        }
        let (after, own, busy) = (service.figures()?, own_cpu_s(), busy_s());
        let server_cpu_s = after.cpu_s - before.cpu_s;
        let ours = server_cpu_s + own - own_before;
        let stop_s = service.stop()?;
        let stored_bytes = if is_store { size(&data(&home))?.bytes } else { 0 };
        if step == Step::StoreFour {
            std::fs::remove_dir_all(&home).context("removing an archive")?;
        }
        Ok(Sample {
            run,
            who,
            step,
            wall_s,
            server_cpu_s,
            server_peak_bytes: after.peak_bytes,
            stop_s,
            other_cores: ((busy - busy_before - ours) / lasted).max(0.0),
            stored_bytes,
            requests,
        })
    }
}

/// CPU seconds of this process.
fn own_cpu_s() -> f64 {
    process(std::process::id()).map_or(0.0, |figures| figures.cpu_s)
}
