//! `cairn demo`: the whole story in a temporary folder, with the figures that a storage engineer
//! asks for, on synthetic studies or on somebody's own files.
//!
//! The first half is about one archive, the second about three hospitals on loopback.
//!
//! Every step says what it claims and whether that held. Nothing outside the folder is written.

mod damage;
mod files;
mod forgery;
mod hospital;
mod referral;
mod source;
mod steps;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::{Exit, Session};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::output::round;
use referral::Referral;
use steps::Demo;
use table::{Passage, Row, heading, passage_heading};

/// Show in a temporary folder what archives do: one alone, then hospitals among each other
#[derive(Debug, Args)]
#[command(after_help = "\
Without PATH it makes synthetic studies of one patient: CT, MR, an ultrasound cine, mammography \
and a report. With PATH it takes your files, which are read and never written. Settings and --data \
are not looked at: everything happens in a temporary folder, removed unless --keep names one.

The second half is a referral: hospital A scans, grants B the study and later corrects it; B fetches \
and shows it; C, without a grant, gets nothing; A revokes; somebody edits A's ledger, and everybody \
notices. Each hospital is a process of its own, on ports of loopback that are free.

Columns: bytes in are what the step read; new stored is by how much catalog, keys, journal and \
bucket grew together; growth is that in per cent of what the first import took. Between hospitals, moved are the bytes that \
came over the network, and saved those that did not have to.

Exit codes: 0 every step held; 1 one did not; 2 wrong usage; 130 interrupted.

Examples:
  cairn demo
  cairn demo /mnt/cd --keep /tmp/cairn-demo
  cairn demo --scale 4 --json
  cairn demo --stay")]
pub(crate) struct DemoArgs {
    /// Files, folders or .zip files to take instead of synthetic studies
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Work in this folder, which must be new or empty, and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// How many times the usual number of synthetic slices and frames
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "paths")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    scale: u32,
    /// At the end leave the servers of A and B up, until Ctrl-C
    #[arg(long)]
    stay: bool,
}

#[derive(Debug, Serialize)]
struct Story<'a> {
    held: bool,
    steps: &'a [Row],
    referral: &'a [Passage],
    seconds: f64,
    /// With `--keep`.
    directory: Option<String>,
}

pub(super) fn run(session: &Session, args: &DemoArgs) -> Result<Exit> {
    interrupt::listen();
    let begun = Instant::now();
    let temporary;
    let folder = if let Some(folder) = &args.keep {
        prepare(folder)?;
        folder.as_path()
    } else {
        temporary = tempfile::Builder::new()
            .prefix("cairn-demo-")
            .tempdir()
            .map_err(Error::io("create a folder in", &std::env::temp_dir()))?;
        temporary.path()
    };
    let rows = tell(session, args, folder)?;
    let mut held = rows.iter().all(|row| row.held);
    let mut referral = Vec::new();
    let mut hospitals = None;
    if held && !interrupt::asked() {
        let mut told = Referral::new(session, folder, originals(args, folder))?;
        referral = refer(session, &mut told)?;
        held = referral.iter().all(|passage| passage.held);
        hospitals = Some(told);
    }
    let seconds = round(begun.elapsed().as_secs_f64());
    if session.output.json {
        let directory = args.keep.as_ref().map(|folder| folder.display().to_string());
        session.output.object(&Story {
            held,
            steps: &rows,
            referral: &referral,
            seconds,
            directory,
        })?;
    } else if !session.output.quiet {
        let verdict = if held { "Every step held" } else { "NOT every step held" };
        session.output.text(&format!("\n{verdict}; {seconds:.1} s in all.\n"))?;
        if let Some(folder) = &args.keep {
            let data = folder.join(steps::DATA);
            session.output.text(&format!("The archive: cairn --data {} ls\n", data.display()))?;
        }
    }
    if let Some(hospitals) = hospitals.as_mut().filter(|_| args.stay && held) {
        stay(session, hospitals)?;
    }
    Ok(if interrupt::asked() && !args.stay { Exit::Interrupted } else { Exit::good_if(held) })
}

/// What the demo works on.
fn originals(args: &DemoArgs, folder: &Path) -> Vec<PathBuf> {
    if args.paths.is_empty() { vec![folder.join(steps::ORIGINALS)] } else { args.paths.clone() }
}

/// Tells of the referral, until a step does not hold.
fn refer<'a>(session: &Session, referral: &mut Referral<'a>) -> Result<Vec<Passage>> {
    let steps: [fn(&mut Referral<'a>) -> Result<Passage>; 13] = [
        Referral::scan,
        Referral::meet,
        Referral::grant,
        Referral::prove,
        Referral::fetch,
        Referral::view,
        Referral::open_at_once,
        Referral::correct,
        Referral::ask_without_a_grant,
        Referral::search_ledgers,
        Referral::revoke,
        Referral::edit,
        Referral::forge,
    ];
    let speaks = !session.output.json && !session.output.quiet;
    if speaks {
        session.output.text("\nA patient is referred from hospital A to hospital B:\n\n")?;
        session.output.text(&passage_heading())?;
    }
    let mut told = Vec::new();
    for step in steps {
        let passage = step(referral)?;
        if speaks {
            session.output.text(&passage.text())?;
            session.output.flush()?;
        }
        let held = passage.held;
        told.push(passage);
        if !held || interrupt::asked() {
            break;
        }
    }
    Ok(told)
}

/// Leaves the servers up until somebody asks to end.
fn stay(session: &Session, hospitals: &mut Referral<'_>) -> Result<()> {
    hospitals.start_again()?;
    let [a, b] = hospitals.urls();
    session.output.note(&format!("A: {a}/dicom-web\nB: {b}/dicom-web\nCtrl-C ends it."));
    while !interrupt::asked() {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Runs the steps in order, until one cannot be tried.
fn tell<'a>(session: &'a Session, args: &DemoArgs, folder: &'a Path) -> Result<Vec<Row>> {
    let mut demo = Demo::new(session, folder, args.paths.clone());
    let steps: [fn(&mut Demo<'a>) -> Result<Row>; 9] = [
        Demo::import,
        Demo::import_again,
        Demo::make_corrections,
        Demo::import_corrections,
        Demo::export_and_compare,
        Demo::verify,
        Demo::rebuild,
        Demo::prove,
        Demo::flip_a_bit,
    ];
    let speaks = !session.output.json && !session.output.quiet;
    let mut rows = Vec::new();
    let mut told = |row: Row| {
        if speaks {
            session.output.text(&row.text())?;
            session.output.flush()?;
        }
        rows.push(row);
        Ok::<(), Error>(())
    };
    if speaks {
        session.output.text(&heading())?;
    }
    if args.paths.is_empty() {
        told(demo.make_studies(args.scale)?)?;
    }
    for step in steps {
        let row = step(&mut demo)?;
        let held = row.held;
        told(row)?;
        // What follows would fail for the same reason, and hide it.
        if !held || interrupt::asked() {
            break;
        }
    }
    Ok(rows)
}

fn prepare(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::Usage("the folder of --keep is not empty")),
    }
}
