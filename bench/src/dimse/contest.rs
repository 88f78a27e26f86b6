//! The steps of a run, by every server.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::client::{self, Outbox, Receiver};
use crate::files::size;
use crate::instances::{Instance, Set};
use crate::measure::Bench;
use crate::service::{Service, Who, data};

/// What is done, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Step {
    /// The set over one association, into an empty archive, which the later steps read.
    Store,
    /// The set over eight associations, into another empty archive.
    StoreEight,
    /// The largest study, by C-GET.
    Get,
    /// The same to a receiver, by C-MOVE.
    Move,
}

pub(super) const STEPS: [Step; 4] = [Step::Store, Step::StoreEight, Step::Get, Step::Move];

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Store => "C-STORE, 1 association",
            Self::StoreEight => "C-STORE, 8 associations",
            Self::Get => "C-GET",
            Self::Move => "C-MOVE",
        }
    }

    pub(super) fn is_store(self) -> bool {
        matches!(self, Self::Store | Self::StoreEight)
    }
}

/// Who took part in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum By {
    Server(Who),
    /// `storescp --ignore`: what the clients take at least.
    Nobody,
}

/// A step in one run.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub(super) run: usize,
    pub(super) by: By,
    pub(super) step: Step,
    /// From the start of the client, or of the first of them, to the end of the last.
    pub(super) wall_s: f64,
    pub(super) server_cpu_s: f64,
    pub(super) server_peak_bytes: u64,
    /// Below the archive's folder after a store, the server having ended.
    pub(super) stored_bytes: u64,
}

/// What takes part, and its figures.
pub(super) struct Contest<'a> {
    bench: &'a Bench<'a>,
    study: Vec<&'a Instance>,
    servers: &'a [Who],
    outbox: Outbox,
    pub(super) samples: Vec<Sample>,
}

impl<'a> Contest<'a> {
    pub(super) fn new(bench: &'a Bench<'a>, set: &'a Set, servers: &'a [Who]) -> Result<Self> {
        let outbox = Outbox::new(bench, set).context("writing the files to send")?;
        Ok(Self { bench, study: set.largest_study(), servers, outbox, samples: Vec::new() })
    }

    /// Every step by everybody, with empty archives.
    pub(super) fn run(&mut self, run: usize) -> Result<()> {
        let mut servers = self.servers.to_vec();
        servers.rotate_left(run % self.servers.len());
        for step in STEPS {
            if step.is_store() {
                let floor = self.floor(run, step).context("sending to nobody")?;
                self.samples.push(floor);
            }
            for &who in &servers {
                eprintln!("run {}, {}: {}", run + 1, step.name(), who.name());
                let sample = self.step(run, who, step);
                let sample = sample.with_context(|| format!("{}, {}", who.name(), step.name()))?;
                eprintln!("    {:.2} s", sample.wall_s);
                self.samples.push(sample);
            }
        }
        for who in servers {
            std::fs::remove_dir_all(self.home(who, Step::Store)).context("removing an archive")?;
        }
        Ok(())
    }

    fn home(&self, who: Who, step: Step) -> PathBuf {
        let archive = if step == Step::StoreEight { "of 8" } else { "of 1" };
        self.bench.scratch.path().join(format!("{}, {archive}", who.name()))
    }

    /// What the senders take where nothing is done with what they send.
    fn floor(&self, run: usize, step: Step) -> Result<Sample> {
        nix::unistd::sync();
        self.bench.wait_until_quiet();
        let receiver = Receiver::start()?;
        let begun = Instant::now();
        self.outbox.send(receiver.port, step == Step::StoreEight)?;
        let wall_s = begun.elapsed().as_secs_f64();
        let (server_cpu_s, server_peak_bytes, stored_bytes) = (0.0, 0, 0);
        let by = By::Nobody;
        Ok(Sample { run, by, step, wall_s, server_cpu_s, server_peak_bytes, stored_bytes })
    }

    fn step(&self, run: usize, who: Who, step: Step) -> Result<Sample> {
        let home = self.home(who, step);
        let receiver = (step == Step::Move).then(Receiver::start).transpose()?;
        nix::unistd::sync();
        self.bench.wait_until_quiet();
        let destination = receiver.as_ref().map(|receiver| receiver.port);
        let service = Service::start_knowing(self.bench, who, &home, destination)?;
        let study = &self.study.first().context("there is no study")?.study;
        let before = service.figures()?;
        let begun = Instant::now();
        match step {
            Step::Store | Step::StoreEight => {
                self.outbox.send(service.dimse, step == Step::StoreEight)?;
            }
            Step::Get => client::get(service.dimse, study, None)?,
            Step::Move => client::request_move(service.dimse, study)?,
        }
        let wall_s = begun.elapsed().as_secs_f64();
        let after = service.figures()?;
        if step == Step::Get && run == 0 {
            self.check(&service, study)?;
        }
        service.stop()?;
        let stored_bytes = if step.is_store() { size(&data(&home))?.bytes } else { 0 };
        if step == Step::StoreEight {
            std::fs::remove_dir_all(&home).context("removing an archive")?;
        }
        Ok(Sample {
            run,
            by: By::Server(who),
            step,
            wall_s,
            server_cpu_s: after.cpu_s - before.cpu_s,
            server_peak_bytes: after.peak_bytes,
            stored_bytes,
        })
    }

    /// Gets the study once more and compares each data set with what was sent.
    fn check(&self, service: &Service, study: &str) -> Result<()> {
        let folder = self.bench.scratch.folder("inbox")?;
        client::get(service.dimse, study, Some(&folder))?;
        let equal = client::count_equal(&folder, &self.study)?;
        let all = self.study.len();
        ensure!(equal == all, "of {all} instances, {equal} came back as they were sent");
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
