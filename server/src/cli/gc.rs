//! `cairn gc`: takes back the place of what was deleted.

use std::cell::RefCell;
use std::fmt::Write as _;

use clap::Args;

use super::{Exit, Session};
use crate::collection::{Collected, Step, Wish};
use crate::error::Result;
use crate::output::{clean, count, counted, pairs, size};
use crate::progress::Progress;
use crate::sharing::control::Request;

/// Take back the place of what was deleted
#[derive(Debug, Args)]
#[command(after_help = "\
What is deleted is given to nobody from that moment on, and its bytes stay in their packs. This finds \
what no instance needs any more, copies what is needed out of packs with much of the other kind, and \
removes those packs and their keys. Small packs are put together where there are many. What others \
need is never touched, whoever stores it and whenever; a crash at any moment loses nothing.

A server does this by itself once a day; it goes on storing and serving meanwhile, and so it does \
beside this command, which asks it by its socket in the data directory.

With --recompress, pixels are coded anew for size alone: those of 16 bits become some 4 % shorter, more if \
they came in with `compression = \"turbo\"` in [ingest]. Reading them takes several times as long then, \
so that --older leaves alone what is still read often. What was looked at once is not looked at again, \
but with --all. Names and roots stay what they are.

Nothing is left of what was deleted then, patients' names in commits and catalog included. With --dead, \
packs stay of which little is dead; commits that name what was deleted are written anew all the same.

Packs in which something needed cannot be read are left alone and named: `cairn verify --all` tells whom \
that harms.

Settings in [gc] of cairn.toml, or as CAIRN_GC__KEY:
  every_hours      hours between two collections of a server; 0: never by itself [24]
  dead_percent     as --dead [0]
  recompress       as --recompress [false]
  recompress_days  as --older [90]

Exit codes: 0 done, or nothing to do; 1 something is damaged or failed; 2 wrong usage; 130 interrupted.

Examples:
  cairn gc
  cairn gc --dead 30
  cairn gc --all --dry-run --json")]
pub(crate) struct GcArgs {
    /// Write packs anew of which so many percent are dead; 0: any that hold something dead, so that nothing \
    /// is left of what was deleted [default: as it is set]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    dead: Option<u8>,
    /// Look through everything, even if nothing was deleted since the last time
    #[arg(long)]
    all: bool,
    /// Code pixels anew for size alone
    #[arg(long)]
    recompress: bool,
    /// With --recompress: only what was stored so many days ago
    #[arg(long, value_name = "DAYS", default_value_t = 0, requires = "recompress")]
    older: u32,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(session: &Session, args: &GcArgs) -> Result<Exit> {
    let section = session.config()?.gc;
    let wish = Wish {
        dead_percent: args.dead.unwrap_or(section.dead_percent),
        // Who says how much may stay wants it done, whatever was done before.
        all: args.all || args.dead.is_some() || args.dry_run,
        dry_run: args.dry_run,
        recompress: args.recompress,
        recompress_days: args.older,
    };
    crate::interrupt::listen();
    let progress = RefCell::new(None);
    let done: Collected = session.ask_told(Request::Collect(wish), &mut |step| {
        let step: Step = step;
        if step.total > 0 {
            let mut shown = progress.borrow_mut();
            let shown = shown.get_or_insert_with(|| Progress::new(&session.output, "rewriting"));
            shown.at(step.done, step.total, "");
        } else if session.output.verbose > 0 {
            session.output.note(&format!("{}: {}", step.phase, counted(step.done, "version")));
        }
        Ok(())
    })?;
    drop(progress);
    if session.output.json {
        session.output.object(&done)?;
    } else if !session.output.quiet || !done.damage.is_empty() {
        session.output.text(&text(&done))?;
    }
    Ok(Exit::good_if(done.damage.is_empty()))
}

fn text(done: &Collected) -> String {
    if done.idle {
        return "Nothing was deleted since the last collection.\n".into();
    }
    let mut rows = vec![
        ("looked at", counted(done.versions, "version")),
        ("dead", format!("{}, {}", counted(done.dead_chunks, "chunk"), size(done.dead_bytes))),
        ("removed", packs(done.packs_removed, done.removed_bytes)),
    ];
    if done.dry_run {
        rows.push(("would write", size(done.written_bytes)));
        rows.push(("would free", size(done.freed_bytes)));
    } else {
        rows.push(("written", packs(done.packs_written, done.written_bytes)));
        rows.push(("freed", size(done.freed_bytes)));
    }
    if done.recoded_chunks > 0 {
        let shorter = size(done.recoded_bytes);
        rows.push((
            "coded anew",
            format!("{}, {shorter} less", counted(done.recoded_chunks, "chunk")),
        ));
    }
    if done.joined_blocks > 0 {
        let fewer = counted(done.joined_blocks, "block");
        rows.push(("put together", format!("{fewer} of headers less")));
    }
    if done.packs_spared > 0 {
        rows.push(("spared", format!("{}: needed again", count(done.packs_spared))));
    }
    rows.push(("seconds", format!("{:.2}", done.seconds)));
    let mut text = pairs(&rows);
    for damage in &done.damage {
        let _ = writeln!(text, "left alone: {}", clean(damage));
    }
    text
}

fn packs(packs: u64, bytes: u64) -> String {
    format!("{}, {}", counted(packs, "pack"), size(bytes))
}
