//! The steps of a run, by every server and each kind of client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::client::{self, Nagle, Outbox, Receiver, SENDERS};
use super::lean::{self, Peer, Shelf};
use crate::files::size;
use crate::instances::{Instance, Set};
use crate::latency::Latency;
use crate::measure::Bench;
use crate::service::{Service, Who, data};

/// What is done, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Step {
    /// The set over one association, into an empty archive, which the later steps read.
    Store,
    /// Another set of the same size over one association, into that archive.
    StoreLater,
    /// The set over eight associations, into another empty archive.
    StoreEight,
    /// The largest study, by C-GET.
    Get,
    /// The same to a receiver, by C-MOVE.
    Move,
}

pub(super) const STEPS: [Step; 5] =
    [Step::Store, Step::StoreLater, Step::StoreEight, Step::Get, Step::Move];

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Store => "C-STORE, 1 association",
            Self::StoreLater => "C-STORE, 1, later study",
            Self::StoreEight => "C-STORE, 8 associations",
            Self::Get => "C-GET",
            Self::Move => "C-MOVE",
        }
    }

    pub(super) fn is_store(self) -> bool {
        matches!(self, Self::Store | Self::StoreLater | Self::StoreEight)
    }
}

/// Who took part in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum By {
    Server(Who),
    /// A peer in this process, which throws away what it gets, and sends out of memory: what the clients
    /// take at least.
    Nobody,
}

/// By whom it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
pub(super) enum Clients {
    /// DCMTK's programs as they come.
    Dcmtk,
    /// DCMTK's programs with `TCP_NODELAY=1` in their environment.
    DcmtkNodelay,
    /// Those of [`lean`].
    Lean,
}

pub(super) const EVERY_KIND: [Clients; 3] = [Clients::Dcmtk, Clients::DcmtkNodelay, Clients::Lean];

impl Clients {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dcmtk => "DCMTK",
            Self::DcmtkNodelay => "DCMTK, NODELAY",
            Self::Lean => "lean",
        }
    }

    /// What DCMTK's programs are set to, if it is they.
    fn nagle(self) -> Option<Nagle> {
        match self {
            Self::Dcmtk => Some(Nagle::On),
            Self::DcmtkNodelay => Some(Nagle::Off),
            Self::Lean => None,
        }
    }
}

/// A step in one run.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub(super) run: usize,
    pub(super) by: By,
    pub(super) clients: Clients,
    pub(super) step: Step,
    /// From the start of the client, or of the first of them, to the end of the last.
    pub(super) wall_s: f64,
    /// Of the clients, and of the receiver of a C-MOVE. Where nobody serves the lean peer is counted
    /// with the lean clients.
    pub(super) client_cpu_s: f64,
    pub(super) server_cpu_s: f64,
    pub(super) server_peak_bytes: u64,
    /// Below the archive's folder after a store, the server having ended, without spare files.
    pub(super) stored_bytes: u64,
    /// How long lean senders waited for each answer to a store.
    pub(super) answers: Option<Latency>,
}

/// What a step took of its clients.
struct Took {
    wall_s: f64,
    cpu_s: f64,
    answers: Option<Latency>,
}

/// Who receives what is moved.
enum Destination {
    Dcmtk(Receiver),
    Lean(Peer),
}

impl Destination {
    fn start(clients: Clients) -> Result<Self> {
        Ok(match clients.nagle() {
            Some(nagle) => Self::Dcmtk(Receiver::start(nagle)?),
            None => Self::Lean(Peer::start(None)?),
        })
    }

    fn port(&self) -> u16 {
        match self {
            Self::Dcmtk(receiver) => receiver.port,
            Self::Lean(peer) => peer.port,
        }
    }

    /// CPU seconds so far; those of a lean one are this process's.
    fn cpu_s(&self) -> Result<f64> {
        match self {
            Self::Dcmtk(receiver) => receiver.cpu_s(),
            Self::Lean(_) => Ok(0.0),
        }
    }
}

/// What takes part, and its figures.
pub(super) struct Contest<'a> {
    bench: &'a Bench<'a>,
    set: Arc<Set>,
    later: Option<Set>,
    servers: &'a [Who],
    clients: &'a [Clients],
    outbox: Outbox,
    later_outbox: Option<Outbox>,
    pub(super) samples: Vec<Sample>,
    /// How long a server with an empty archive runs before it is used.
    pub(super) head_start: Duration,
}

impl<'a> Contest<'a> {
    /// `later`: what is sent to an archive that has `set`.
    pub(super) fn new(
        bench: &'a Bench<'a>,
        set: Arc<Set>,
        later: Option<Set>,
        servers: &'a [Who],
        clients: &'a [Clients],
    ) -> Result<Self> {
        let outbox = Outbox::new(bench, "outbox", &set).context("writing the files to send")?;
        let later_outbox =
            later.as_ref().map(|set| Outbox::new(bench, "outbox of later", set)).transpose()?;
        let samples = Vec::new();
        let head_start = Duration::ZERO;
        Ok(Self { bench, set, later, servers, clients, outbox, later_outbox, samples, head_start })
    }

    /// Every step by everybody, with empty archives.
    pub(super) fn run(&mut self, run: usize) -> Result<()> {
        let mut servers = self.servers.to_vec();
        servers.rotate_left(run % self.servers.len());
        for &clients in self.clients {
            for step in STEPS {
                if step == Step::StoreLater && self.later.is_none() {
                    continue;
                }
                let nobody = std::iter::once(By::Nobody);
                for by in nobody.chain(servers.iter().map(|who| By::Server(*who))) {
                    let about = format!("{}, {} clients, {by:?}", step.name(), clients.name());
                    eprintln!("run {}, {about}", run + 1);
                    let sample = self.sample(run, by, clients, step).context(about)?;
                    eprintln!("    {:.2} s", sample.wall_s);
                    self.samples.push(sample);
                }
            }
            for who in &servers {
                let home = self.home(*who, Step::Store);
                std::fs::remove_dir_all(home).context("removing an archive")?;
            }
        }
        Ok(())
    }

    fn home(&self, who: Who, step: Step) -> PathBuf {
        let archive = if step == Step::StoreEight { "of 8" } else { "of 1" };
        self.bench.scratch.path().join(format!("{}, {archive}", who.name()))
    }

    fn sample(&self, run: usize, by: By, clients: Clients, step: Step) -> Result<Sample> {
        let destination = (step == Step::Move).then(|| Destination::start(clients)).transpose()?;
        nix::unistd::sync();
        self.bench.wait_until_quiet();
        match by {
            By::Nobody => self.floor(run, clients, step, destination.as_ref()),
            By::Server(who) => self.step(run, who, clients, step, destination.as_ref()),
        }
    }

    /// What the clients take where nothing is done with what they send, and nothing has to be read.
    fn floor(
        &self,
        run: usize,
        clients: Clients,
        step: Step,
        destination: Option<&Destination>,
    ) -> Result<Sample> {
        let to = destination.map(Destination::port);
        let peer = Peer::start(Some(Shelf { set: Arc::clone(&self.set), destination: to }))?;
        let took = self.ask(peer.port, clients, step, destination)?;
        let Took { wall_s, cpu_s: client_cpu_s, answers } = took;
        let (server_cpu_s, server_peak_bytes, stored_bytes) = (0.0, 0, 0);
        let by = By::Nobody;
        Ok(Sample {
            run,
            by,
            clients,
            step,
            wall_s,
            client_cpu_s,
            server_cpu_s,
            server_peak_bytes,
            stored_bytes,
            answers,
        })
    }

    fn step(
        &self,
        run: usize,
        who: Who,
        clients: Clients,
        step: Step,
        destination: Option<&Destination>,
    ) -> Result<Sample> {
        let home = self.home(who, step);
        let to = destination.map(Destination::port);
        let service = Service::start_knowing(self.bench, who, &home, to)?;
        if matches!(step, Step::Store | Step::StoreEight) {
            std::thread::sleep(self.head_start);
        }
        let before = service.figures()?;
        let took = self.ask(service.dimse, clients, step, destination)?;
        let after = service.figures()?;
        if let (Step::Get, 0, Some(nagle)) = (step, run, clients.nagle()) {
            self.check(&service, nagle)?;
        }
        service.stop()?;
        let stored_bytes = if step.is_store() {
            // Spare files of the spool are not what was stored.
            size(&data(&home))?.bytes - spare_bytes(&data(&home).join("spool"))
        } else {
            0
        };
        if step == Step::StoreEight {
            std::fs::remove_dir_all(&home).context("removing an archive")?;
        }
        Ok(Sample {
            run,
            by: By::Server(who),
            clients,
            step,
            wall_s: took.wall_s,
            client_cpu_s: took.cpu_s,
            server_cpu_s: after.cpu_s - before.cpu_s,
            server_peak_bytes: after.peak_bytes,
            stored_bytes,
            answers: took.answers,
        })
    }

    /// The clients' part of a step.
    fn ask(
        &self,
        port: u16,
        clients: Clients,
        step: Step,
        destination: Option<&Destination>,
    ) -> Result<Took> {
        let cpu_s = || match clients.nagle() {
            Some(_) => client::children_cpu_s(),
            None => client::own_cpu_s(),
        };
        let received_s =
            |destination: Option<&Destination>| destination.map_or(Ok(0.0), Destination::cpu_s);
        let received_before_s = received_s(destination)?;
        let before_s = cpu_s()?;
        let begun = Instant::now();
        let answers_s = match clients.nagle() {
            Some(nagle) => self.by_dcmtk(port, step, nagle).map(|()| Vec::new())?,
            None => self.by_lean(port, step)?,
        };
        let wall_s = begun.elapsed().as_secs_f64();
        let own_s = cpu_s()? - before_s;
        let cpu_s = own_s + received_s(destination)? - received_before_s;
        Ok(Took { wall_s, cpu_s, answers: Latency::of(answers_s) })
    }

    fn by_dcmtk(&self, port: u16, step: Step, nagle: Nagle) -> Result<()> {
        let study = || self.set.largest_study().first().map(|one| one.study.clone());
        match step {
            Step::Store | Step::StoreEight => {
                self.outbox.send(port, step == Step::StoreEight, nagle)
            }
            Step::StoreLater => match &self.later_outbox {
                Some(outbox) => outbox.send(port, false, nagle),
                None => bail!("there is no later set"),
            },
            Step::Get => client::get(port, &study().context("there is no study")?, None, nagle),
            Step::Move => client::request_move(port, &study().context("there is no study")?, nagle),
        }
    }

    /// Gives the seconds of each answer to a store.
    fn by_lean(&self, port: u16, step: Step) -> Result<Vec<f64>> {
        match step {
            Step::Store => lean::send(port, &self.set.instances.iter().collect::<Vec<_>>()),
            Step::StoreLater => {
                let later = self.later.as_ref().context("there is no later set")?;
                lean::send(port, &later.instances.iter().collect::<Vec<_>>())
            }
            Step::StoreEight => {
                let mut parts: Vec<Vec<&Instance>> = vec![Vec::new(); SENDERS];
                for (n, instance) in self.set.instances.iter().enumerate() {
                    parts[n % SENDERS].push(instance);
                }
                std::thread::scope(|scope| {
                    let senders: Vec<_> = parts
                        .iter()
                        .map(|part| scope.spawn(move || lean::send(port, part)))
                        .collect();
                    let sent = senders.into_iter().map(|sender| match sender.join() {
                        Ok(sent) => sent,
                        Err(_) => bail!("a sender panicked"),
                    });
                    Ok(sent.collect::<Result<Vec<_>>>()?.concat())
                })
            }
            Step::Get => lean::get(port, &self.set.largest_study()).map(|()| Vec::new()),
            Step::Move => lean::request_move(port, &self.set.largest_study()).map(|()| Vec::new()),
        }
    }

    /// Gets the study once more and compares each data set with what was sent.
    fn check(&self, service: &Service, nagle: Nagle) -> Result<()> {
        let study = self.set.largest_study();
        let uid = &study.first().context("there is no study")?.study;
        let folder = self.bench.scratch.folder("inbox")?;
        client::get(service.dimse, uid, Some(&folder), nagle)?;
        let equal = client::count_equal(&folder, &study)?;
        let all = study.len();
        ensure!(equal == all, "of {all} instances, {equal} came back as they were sent");
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}

/// Length of the files that wait to be written over in a spool, if there is one.
fn spare_bytes(spool: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(spool).into_iter().flatten().flatten();
    let spares = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "spare"));
    spares.map(|file| file.metadata().map_or(0, |found| found.len())).sum()
}
