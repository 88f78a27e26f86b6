//! Tables and goals out of the samples of a set.

use anyhow::{Context, Result};
use serde_json::json;

use super::GOAL_STUDY_INSTANCES;
use super::contest::{By, Clients, EVERY_KIND, STEPS, Sample, Step};
use crate::figures::{Spread, mb};
use crate::goals::Goal;
use crate::instances::Set;
use crate::report::Report;
use crate::service::Who;
use crate::table::Table;

const PEER: Who = Who::Orthanc { compressed: false };

/// How many times as fast as the peer each step has to be.
fn goal(step: Step) -> f64 {
    if step == Step::StoreEight { 5.0 } else { 3.0 }
}

/// Adds everything about a set.
pub(super) fn add(set: &Set, samples: &[Sample], runs: u32, report: &mut Report) -> Result<()> {
    let study = set.largest_study();
    let study_bytes: u64 = study.iter().map(|instance| instance.bytes.len() as u64).sum();
    let about = |step: Step| {
        if step.is_store() {
            (set.instances.len() as u64, set.bytes)
        } else {
            (study.len() as u64, study_bytes)
        }
    };
    let mut table = Table::new([
        "STEP",
        "CLIENTS",
        "WHO",
        "S",
        "INST/S",
        "MB/S",
        "CLIENT CPU S",
        "SERVER CPU S",
        "PEAK MB",
        "STORED MB",
    ]);
    for (step, clients) in all() {
        for by in [By::Nobody, By::Server(Who::Cairn), By::Server(PEER)] {
            let found: Vec<&Sample> = samples
                .iter()
                .filter(|s| s.step == step && s.clients == clients && s.by == by)
                .collect();
            let spread = |value: &dyn Fn(&Sample) -> f64| {
                Spread::of(found.iter().map(|sample| value(sample))).context("no samples")
            };
            if found.is_empty() {
                continue;
            }
            let (instances, bytes) = about(step);
            let (name, is_server) = match by {
                By::Server(who) => (who.name(), true),
                By::Nobody => ("(nobody)", false),
            };
            let shown = |is_shown: bool, text: String| if is_shown { text } else { String::new() };
            table.row([
                step.name().to_owned(),
                clients.name().to_owned(),
                name.to_owned(),
                spread(&|s| s.wall_s)?.text(2),
                spread(&|s| instances as f64 / s.wall_s)?.text(0),
                spread(&|s| mb(bytes) / s.wall_s)?.text(1),
                spread(&|s| s.client_cpu_s)?.text(2),
                shown(is_server, spread(&|s| s.server_cpu_s)?.text(2)),
                shown(is_server, spread(&|s| mb(s.server_peak_bytes))?.text(0)),
                shown(is_server && step.is_store(), spread(&|s| mb(s.stored_bytes))?.text(1)),
            ]);
        }
    }
    let title = format!("{}; {runs} runs; median of runs, min-max; 10^6 bytes", set.about());
    report.table(&title, &table);
    for (step, clients) in all() {
        let Some(ratio) = ratio(samples, runs as usize, step, clients) else { continue };
        let (step_name, by) = (step.name(), clients.name());
        let name = &set.name;
        let what = format!("{name}: {step_name}, {by}, Orthanc / cairn, {}", ratio.text(2));
        let is_goal = step.is_store() || study.len() >= GOAL_STUDY_INSTANCES as usize;
        if is_goal {
            report.goal(Goal::at_least(what, "x", ratio.median, goal(step)));
        } else {
            report.note(what);
        }
    }
    let figures = json!({
        "set": set.about(), "instances": set.instances.len(), "bytes": set.bytes,
        "study_instances": study.len(), "study_bytes": study_bytes, "samples": samples,
    });
    report.figures(&format!("dimse: {}", set.name), &figures)
}

/// Every step by each kind of client.
fn all() -> impl Iterator<Item = (Step, Clients)> {
    STEPS.into_iter().flat_map(|step| EVERY_KIND.map(|by| (step, by)))
}

/// The peer's seconds over those of `cairn`, run by run.
fn ratio(samples: &[Sample], runs: usize, step: Step, clients: Clients) -> Option<Spread> {
    let wall = |who, run| {
        let of = |s: &&Sample| {
            s.by == By::Server(who) && s.step == step && s.clients == clients && s.run == run
        };
        samples.iter().find(of).map(|sample| sample.wall_s)
    };
    Spread::of((0..runs).filter_map(|run| Some(wall(PEER, run)? / wall(Who::Cairn, run)?)))
}
