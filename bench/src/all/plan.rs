//! What is measured, in which order, and how large: each part as the words that a person would type.

use std::path::Path;

use anyhow::Result;

use super::AllArgs;
use super::document::Kind;
use super::sets::Sets;

/// Measured for real, or only to see that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    runs: u32,
    limit_mb: &'static str,
    syncs: &'static str,
    codec_mb: &'static str,
    size_mb: &'static str,
    catalogs: &'static [u64],
    slices: &'static str,
    small: &'static str,
    many: &'static str,
    giant_gib: &'static str,
    web: &'static [&'static str],
    dimse: &'static [&'static str],
}

/// Some hours on two cores.
const FULL: Sizes = Sizes {
    runs: 3,
    limit_mb: "1000",
    syncs: "200",
    codec_mb: "64",
    size_mb: "128",
    catalogs: &[10_000, 100_000, 1_000_000, 10_000_000],
    slices: "1200",
    small: "20000",
    many: "100000",
    giant_gib: "2",
    web: &[],
    dimse: &[],
};

/// A few minutes on two cores.
const QUICK: Sizes = Sizes {
    runs: 1,
    limit_mb: "200",
    syncs: "40",
    codec_mb: "6",
    size_mb: "16",
    catalogs: &[5_000, 20_000, 80_000],
    slices: "20",
    small: "500",
    many: "2000",
    giant_gib: "0.125",
    web: &["--slices", "60", "--cine-frames", "20", "--frames", "50"],
    dimse: &["--slices", "60", "--clients", "lean", "--head-start", "0"],
};

/// One measurement that is to be made.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) kind: Kind,
    pub(super) label: String,
    /// What follows `cairn-bench`.
    pub(super) words: Vec<String>,
}

/// Every part that was asked for, in order: what the others are held against first.
pub(super) fn plan(args: &AllArgs, sets: &Sets) -> Result<Vec<Planned>> {
    let sizes = if args.quick { QUICK } else { FULL };
    let runs = args.runs.unwrap_or(sizes.runs).to_string();
    let mut plan = Plan { parts: Vec::new(), runs: runs.clone() };
    plan.add(Kind::Limits, "", &["--mb", sizes.limit_mb, "--syncs", sizes.syncs], true);
    let python = args.python.display().to_string();
    for images in &sets.images {
        let (name, path) = (name(images), text(images));
        let many = ["--mb-max", sizes.codec_mb];
        plan.add(Kind::Codec, &name, &[&[&*path], &many[..]].concat(), true);
        let words = [&[&*path, "--python", &python], &many[..]].concat();
        plan.add(Kind::Reference, &name, &words, true);
    }
    let (main, changed) = (text(&sets.main), text(&sets.changed));
    plan.add(Kind::Ingest, &name(&sets.main), &["--set", &main, "--changed", &changed], true);
    if let Some(exports) = &sets.exports {
        plan.add(Kind::Ingest, &name(exports), &["--set", &text(exports)], true);
    }
    plan.add(Kind::Cores, "", &["--set", &main], true);
    plan.add(Kind::Sizes, "", &["--mb", sizes.size_mb], true);
    for count in sizes.catalogs {
        let instances = count.to_string();
        let words = ["--instances", &instances, "--rounds", &runs, "--slices", sizes.slices];
        let words = [&words[..], &["--small", sizes.small]].concat();
        plan.add(Kind::Catalog, &crate::figures::grouped(*count), &words, false);
    }
    plan.add(Kind::Many, "", &["--count", sizes.many], false);
    plan.add(Kind::Giant, "", &["--gib", sizes.giant_gib], false);
    let real = sets.origins()?.into_iter().find(|origin| origin.ends_with("fnndsc"));
    let real = real.filter(|_| !args.quick).map(|origin| text(&origin));
    let real: Vec<&str> = real.iter().flat_map(|path| ["--set", path]).collect();
    plan.add(Kind::Dicomweb, "", &[&real[..], sizes.web].concat(), true);
    plan.add(Kind::Dimse, "", sizes.dimse, true);
    let is_asked_for = |part: &Planned| args.only.is_empty() || args.only.contains(&part.kind);
    plan.parts.retain(is_asked_for);
    Ok(plan.parts)
}

struct Plan {
    parts: Vec<Planned>,
    runs: String,
}

impl Plan {
    fn add(&mut self, kind: Kind, of: &str, words: &[&str], has_runs: bool) {
        let command = kind.command();
        let label = if of.is_empty() { command.clone() } else { format!("{command}, {of}") };
        let mut words: Vec<String> =
            std::iter::once(&*command).chain(words.iter().copied()).map(str::to_owned).collect();
        if has_runs {
            words.extend(["--runs".to_owned(), self.runs.clone()]);
        }
        self.parts.push(Planned { kind, label, words });
    }
}

impl Kind {
    /// Does it code frames?
    pub(super) fn codes(self) -> bool {
        matches!(self, Self::Codec | Self::Reference)
    }

    /// The command that measures it.
    fn command(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Cli;
    use clap::Parser;

    #[test]
    fn every_part_is_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("s1");
        let images = ["fnndsc", "other"].map(|origin| main.join(origin)).to_vec();
        for origin in &images {
            std::fs::create_dir_all(origin).unwrap();
        }
        let exports = Some(folder.path().join("cbct4"));
        let changed = folder.path().join("s2");
        let sets = Sets { main, changed, exports, images, about: Vec::new() };
        for (quick, count) in [(&[][..], 17), (&["--quick"], 16)] {
            let words = [&["cairn-bench", "all", "--corpus", "c"], quick].concat();
            let Cli { command: crate::Command::All(args), .. } = Cli::parse_from(words) else {
                panic!("another command");
            };
            let parts = plan(&args, &sets).unwrap();
            assert_eq!(parts.len(), count);
            for part in parts {
                let words = std::iter::once("cairn-bench".to_owned()).chain(part.words.clone());
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{:?}: {}", part.words, parsed.unwrap_err());
            }
        }
    }
}
