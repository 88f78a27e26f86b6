//! `cairn-bench giant`: one instance far larger than memory may be, in and out again.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_dicom::phantom::GiantCine;
use clap::Args;
use serde::Serialize;

use crate::figures::{grouped, mb};
use crate::files::{hash, list, size};
use crate::goals::Goal;
use crate::ingest::PEAK_MB_MAX;
use crate::measure::{Bench, Sample};
use crate::report::Report;
use crate::table::Table;

/// Seed of the instance.
const SEED: u64 = 20_261_122;

/// Import, verify and export one multi-frame instance of many GiB
#[derive(Debug, Args)]
pub(crate) struct GiantArgs {
    /// Size of the instance; up to three times as much is written to the scratch folder
    #[arg(long, default_value_t = 5.0, value_name = "GIB", value_parser = positive)]
    gib: f64,
}

fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let is_good = value > 0.0 && value <= 1024.0;
    if is_good { Ok(value) } else { Err("more than 0 and at most 1024".to_owned()) }
}

/// A command on the instance.
#[derive(Debug, Serialize)]
struct Line {
    what: &'static str,
    #[serde(flatten)]
    sample: Sample,
    mb_per_s: f64,
}

/// Measures, and adds the table and goals.
pub(crate) fn run(bench: &Bench<'_>, args: &GiantArgs, report: &mut Report) -> Result<()> {
    let folder = bench.scratch.folder("giant")?;
    let (input, data, out) = (folder.join("giant.dcm"), folder.join("data"), folder.join("out"));
    eprintln!("writing {} GiB", args.gib);
    let (bytes, written) = write(&input, (args.gib * f64::from(1 << 30)) as u64)?;

    let commands: [(&'static str, Vec<PathBuf>); 3] = [
        ("import", vec![input.clone()]),
        ("verify", vec!["--all".into()]),
        ("export", vec!["--all".into(), out.clone()]),
    ];
    let mut lines = Vec::new();
    for (what, arguments) in commands {
        eprintln!("{what}");
        let mut command: Command = bench.cairn(&data);
        command.arg(what).args(arguments);
        let (sample, _) = bench.run(&command)?;
        let mb_per_s = mb(bytes) / sample.usage.wall_s;
        lines.push(Line { what, sample, mb_per_s });
        if what == "import" {
            std::fs::remove_file(&input).context("removing the input")?;
        }
    }
    let exported = list(&out)?;
    ensure!(exported.len() == 1, "{} files were exported, not one", exported.len());
    ensure!(hash(&exported[0])? == written, "what was exported is not what was imported");

    let stored = size(&data)?;
    let title = format!(
        "one instance of {} bytes; stored {} bytes; verified; exported byte for byte",
        grouped(bytes),
        grouped(stored.bytes)
    );
    report.table(&title, &table(&lines));
    report.figures("giant_bytes", &bytes)?;
    report.figures("stored_bytes", &stored.bytes)?;
    report.figures("commands", &lines)?;
    for line in &lines {
        let peak = mb(line.sample.usage.peak_bytes);
        report.goal(Goal::at_most(format!("peak memory, {}", line.what), "MB", peak, PEAK_MB_MAX));
    }
    Ok(())
}

/// Writes the instance; gives its size and hash.
fn write(path: &Path, bytes_min: u64) -> Result<(u64, blake3::Hash)> {
    let mut source = GiantCine::new(SEED, bytes_min);
    let mut file = BufWriter::new(File::create(path)?);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let got = source.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        hasher.update(&buffer[..got]);
        file.write_all(&buffer[..got]).context("writing the instance")?;
        bytes += got as u64;
    }
    file.flush().context("writing the instance")?;
    ensure!(bytes == source.len(), "the phantom has another length than it said");
    Ok((bytes, hasher.finalize()))
}

fn table(lines: &[Line]) -> Table {
    let headings = ["COMMAND", "WALL S", "MB/S", "CPU S", "PEAK MB", "OTHERS, CORES"];
    let mut table = Table::new(headings);
    for Line { what, sample, mb_per_s } in lines {
        table.row([
            (*what).to_owned(),
            format!("{:.2}", sample.usage.wall_s),
            format!("{mb_per_s:.0}"),
            format!("{:.2}", sample.usage.cpu_s),
            format!("{:.0}", mb(sample.usage.peak_bytes)),
            format!("{:.2}", sample.other_cores),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(positive("0.5"), Ok(0.5));
        for bad in ["0", "-1", "nan", "inf", "5GB", "2000"] {
            assert!(positive(bad).is_err(), "{bad}");
        }
    }
}
