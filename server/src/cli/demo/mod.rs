//! `cairn demo`: the whole story in a temporary folder, with the figures that a storage engineer
//! asks for, on synthetic studies or on somebody's own files.
//!
//! Every step says what it claims and whether that held. Nothing outside the folder is written.

mod damage;
mod source;
mod steps;
mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::{Exit, Session};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::output::round;
use steps::Demo;
use table::{Row, heading};

/// Show in a temporary folder what the archive does, from import to rebuild
#[derive(Debug, Args)]
#[command(after_help = "\
Without PATH it makes synthetic studies of one patient: CT, MR, an ultrasound cine, mammography \
and a report. With PATH it takes your files, which are read and never written. Settings and --data \
are not looked at: everything happens in a temporary folder, removed unless --keep names one.

Columns: bytes in are what the step read; new stored is by how much catalog, keys, journal and \
bucket grew together; growth is that in per cent of what the first import took.

Exit codes: 0 every step held; 1 one did not; 2 wrong usage; 130 interrupted.

Examples:
  cairn demo
  cairn demo /mnt/cd --keep /tmp/cairn-demo
  cairn demo --scale 4 --json")]
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
}

#[derive(Debug, Serialize)]
struct Story<'a> {
    held: bool,
    steps: &'a [Row],
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
    let held = rows.iter().all(|row| row.held);
    let seconds = round(begun.elapsed().as_secs_f64());
    if session.output.json {
        let directory = args.keep.as_ref().map(|folder| folder.display().to_string());
        session.output.object(&Story { held, steps: &rows, seconds, directory })?;
    } else if !session.output.quiet {
        let verdict = if held { "Every step held" } else { "NOT every step held" };
        session.output.text(&format!("\n{verdict}; {seconds:.1} s in all.\n"))?;
        if let Some(folder) = &args.keep {
            let data = folder.join(steps::DATA);
            session.output.text(&format!("The archive: cairn --data {} ls\n", data.display()))?;
        }
    }
    Ok(if interrupt::asked() { Exit::Interrupted } else { Exit::good_if(held) })
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
