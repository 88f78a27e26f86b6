//! `cairn-bench soak`: many clients at once against one `cairn serve`, for minutes, every reply
//! checked; with `--hostile`, beside others that mean harm.
//!
//! Bounded in time by `--minutes`, in what is stored by `--instances-max`. At the end the archive is
//! listed, the server stopped, and `cairn verify --all` reads everything: what is visible has to be
//! what was acknowledged, or what a hostile client sent whole.

mod bound;
mod client;
mod hostile;
mod inventory;
mod raw;
mod tally;
mod watch;

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;

use crate::figures::{grouped, mb};
use crate::goals::Goal;
use crate::latency::Latency;
use crate::measure::{Bench, output};
use crate::report::Report;
use crate::service::{Service, Who, data};
use crate::table::Table;
use client::Client;
use hostile::{Attacker, Attacks};
use tally::Tally;
use watch::Watch;

/// Errors that are shown; all are counted.
const ERRORS_SHOWN: usize = 10;

/// Store and retrieve by many clients at once, for minutes; with --hostile beside bad ones
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// How long
    #[arg(long, default_value_t = 10.0, value_name = "MINUTES", value_parser = minutes)]
    minutes: f64,
    /// Clients at once; with --hostile half of them are hostile
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=512))]
    clients: u32,
    /// Let half of the clients hang, lie, reset and send rubbish
    #[arg(long)]
    hostile: bool,
    /// After so many instances clients only retrieve
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    instances_max: u64,
}

fn minutes(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let is_good = value > 0.0 && value <= 1440.0;
    if is_good { Ok(value) } else { Err("more than 0 and at most 1440".to_owned()) }
}

/// What all clients share.
pub(super) struct Stage {
    /// When they stop.
    pub(super) deadline: Instant,
    /// Instances that may still be stored.
    pub(super) instances_left: AtomicU64,
}

/// Measures, and adds the tables and goals.
pub(crate) fn run(bench: &Bench<'_>, args: &SoakArgs, report: &mut Report) -> Result<()> {
    let home = bench.scratch.folder("soak")?;
    let service = Service::start(bench, Who::Cairn, &home)?;
    let lasts = Duration::from_secs_f64(args.minutes * 60.0);
    let bad = if args.hostile { args.clients / 2 } else { 0 };
    let stage = Stage {
        deadline: Instant::now() + lasts,
        instances_left: AtomicU64::new(args.instances_max),
    };
    eprintln!("{} clients, {bad} of them hostile, for {} minutes", args.clients, args.minutes);
    let watch = Watch::new(service.pid());
    let (tally, attacks) = play(&service, &stage, args.clients - bad, bad)?;
    let watched = watch.end()?;
    ensure!(tally.requests() > 0, "no request was made");

    eprintln!("listing what is visible");
    let inventory = inventory::take(&service.web()?, &tally, &attacks)?;
    let figures = service.figures()?;
    let stop_s = service.stop()?;
    eprintln!("verifying the archive");
    // It fails unless everything is sound.
    let is_sound = output(bench.cairn(&data(&home)).args(["verify", "--all"]));
    if let Err(error) = &is_sound {
        report.note(format!("verify: {error:#}"));
    }

    let title = format!(
        "{} clients, {bad} of them hostile, {} minutes: {} requests, {} instances stored, {} visible",
        args.clients,
        args.minutes,
        grouped(tally.requests()),
        grouped(tally.acknowledged.len() as u64),
        grouped(inventory.visible),
    );
    report.table(&format!("{title}; milliseconds of the good clients' requests"), &tally.table());
    if bad > 0 {
        report.table("hostile clients: what they did, and what they were told", &attacks.table());
    }
    let bound = bound::of(args.clients);
    report.table("memory of the server, 10^6 bytes", &watched.table(&figures, &bound));
    for error in tally.errors.iter().chain(&inventory.faults).take(ERRORS_SHOWN) {
        report.note(format!("ERROR: {error}"));
    }
    report.note(Who::Cairn.about().unwrap_or_default());
    report.note(format!("bound of the memory: {}", bound.text()));
    report.note(format!("the server ended {stop_s:.2} s after it was asked to"));

    let zero = |what: &str, count: u64| Goal::at_most(what, "", count as f64, 0.0);
    report.goal(zero("errors of good clients", tally.error_count));
    report.goal(zero("acknowledged and not visible", inventory.missing));
    report.goal(zero("visible and never sent whole", inventory.unknown));
    report.goal(zero("faults found by verify --all", u64::from(is_sound.is_err())));
    report.goal(Goal::at_most("peak memory", "MB", mb(figures.peak_bytes), mb(bound.bytes())));
    if bad > 0 {
        report.goal(zero("answers 500 to hostile clients", attacks.failures()));
    }
    report.figures(
        "soak",
        &json!({
            "clients": args.clients, "hostile": bad, "minutes": args.minutes,
            "latency": tally.latencies(), "busy": tally.busy, "errors": tally.error_count,
            "stored": tally.acknowledged.len(), "inventory": inventory, "attacks": attacks,
            "memory": watched, "server": figures, "memory_max_bytes": bound.bytes(),
            "sound": is_sound.is_ok(),
        }),
    )
}

/// All clients until the deadline.
fn play(service: &Service, stage: &Stage, good: u32, bad: u32) -> Result<(Tally, Attacks)> {
    let web = service.web()?;
    std::thread::scope(|scope| {
        let good = (0..good).map(|index| {
            let client = Client::new(index, web.clone(), stage);
            scope.spawn(|| client.play())
        });
        let good: Vec<_> = good.collect();
        let bad = (0..bad).map(|index| {
            let attacker = Attacker::new(index, service.url(), stage.deadline);
            scope.spawn(|| attacker.play())
        });
        let bad: Vec<_> = bad.collect();
        let (mut tally, mut attacks) = (Tally::default(), Attacks::default());
        for thread in good {
            match thread.join() {
                Ok(found) => tally.merge(found),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        for thread in bad {
            match thread.join() {
                Ok(found) => attacks.merge(found),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok((tally, attacks))
    })
}

impl Tally {
    fn latencies(&self) -> Vec<(&'static str, Latency)> {
        let kinds = self.times.iter();
        kinds
            .filter_map(|(kind, times)| Some((*kind, Latency::of(times.iter().copied())?)))
            .collect()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(["REQUEST", "COUNT", "P50", "P95", "P99", "MAX", "503"]);
        for (kind, latency) in self.latencies() {
            let [count, p50, p95, p99, max] = latency.cells();
            let busy = self.busy.get(kind).copied().unwrap_or(0);
            table.row([kind.to_owned(), count, p50, p95, p99, max, grouped(busy)]);
        }
        table
    }
}
