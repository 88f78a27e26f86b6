//! Who stores the set: `cairn`, its peers, and a plain copy as the floor.
//!
//! Every peer runs as its manual has it, in the cheapest way that still compresses, so that the
//! comparison is with its best case:
//! - making its repository is not timed (`cairn` makes its archive within the first import);
//! - borg does not encrypt (`cairn` and restic do, always);
//! - caches, which let restic and borg skip files whose size and times did not change, are on, and
//!   do not count as stored;
//! - nobody but `cairn` and the copy is asked to sync. What a peer left for later shows as the time of
//!   a sync afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::measure::{Bench, first_line, output};

/// Another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// restic, compression auto
    Restic,
    /// borg, zstd 3, its usual chunks of about 2 MiB
    Borg,
    /// borg, zstd 3, chunks of about 32 KiB
    #[value(name = "borg-32k")]
    BorgFine,
    /// casync, its usual chunks of about 64 KiB, zstd
    Casync,
}

/// Who stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    Cairn,
    Peer(Peer),
    /// `cp -r` and a sync: no store, but the least that durable writing of the set takes.
    Copy,
}

/// What is stored, one after the other, into one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The set, into an empty repository.
    First,
    /// The same set.
    Again,
    /// The changed set.
    Changed,
}

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Again => "again",
            Self::Changed => "changed",
        }
    }
}

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cairn => "cairn",
            Self::Peer(Peer::Restic) => "restic",
            Self::Peer(Peer::Borg) => "borg",
            Self::Peer(Peer::BorgFine) => "borg-32k",
            Self::Peer(Peer::Casync) => "casync",
            Self::Copy => "cp + sync",
        }
    }

    /// Version, settings and durability; `None` if it is not installed.
    pub(crate) fn about(self) -> Option<String> {
        let (program, argument, settings) = match self {
            Self::Cairn => {
                return Some(
                    "cairn: its defaults: encrypted, every file acknowledged after fsync"
                        .to_owned(),
                );
            }
            Self::Copy => return Some("cp + sync: cp -r, then syncfs, timed together".to_owned()),
            Self::Peer(Peer::Restic) => (
                "restic",
                "version",
                "compression auto; encrypted, always; durability: its default",
            ),
            Self::Peer(Peer::Borg) => (
                "borg",
                "--version",
                "zstd,3; no encryption, its fastest; durability: its default, fsync at commit",
            ),
            Self::Peer(Peer::BorgFine) => {
                ("borg", "--version", "as borg, with --chunker-params 10,18,15,4095")
            }
            Self::Peer(Peer::Casync) => {
                ("casync", "--version", "its defaults; no encryption; durability: no fsync")
            }
        };
        let version = first_line(Command::new(program).arg(argument))?;
        Some(format!("{}: {version}; {settings}", self.name()))
    }

    /// A copy of a set that is there has nothing to teach: it takes part in the first step only.
    pub(crate) fn takes_part(self, step: Step) -> bool {
        self != Self::Copy || step == Step::First
    }
}

/// The repository of one contestant, and its caches beside it.
#[derive(Debug)]
pub(crate) struct Home {
    who: Contestant,
    folder: PathBuf,
}

impl Home {
    /// An empty repository in `folder`, which is empty.
    pub(crate) fn new(who: Contestant, folder: PathBuf) -> Result<Self> {
        let home = Self { who, folder };
        let repository = home.repository();
        match who {
            Contestant::Peer(Peer::Restic) => {
                output(home.command("restic").arg("-r").arg(&repository).arg("init"))?;
            }
            Contestant::Peer(Peer::Borg | Peer::BorgFine) => {
                output(home.command("borg").args(["init", "-e", "none"]).arg(&repository))?;
            }
            Contestant::Peer(Peer::Casync) | Contestant::Copy => {
                std::fs::create_dir(&repository)?;
            }
            Contestant::Cairn => {}
        }
        Ok(home)
    }

    /// Everything below it is what was stored.
    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    /// Where `cairn` keeps packs; not there for others.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.repository().join("bucket")
    }

    /// The command that stores `set`.
    pub(crate) fn store(&self, bench: &Bench<'_>, set: &Path, step: Step) -> Command {
        let repository = self.repository();
        let name = step.name();
        match self.who {
            Contestant::Cairn => {
                let mut command = bench.cairn(&repository);
                command.arg("import").arg(set);
                command
            }
            Contestant::Peer(Peer::Restic) => {
                let mut command = self.command("restic");
                command.args(["--quiet", "--compression", "auto", "-r"]).arg(repository);
                command.arg("backup").arg(set);
                command
            }
            Contestant::Peer(peer @ (Peer::Borg | Peer::BorgFine)) => {
                let mut command = self.command("borg");
                command.args(["create", "-C", "zstd,3"]);
                if peer == Peer::BorgFine {
                    command.args(["--chunker-params", "10,18,15,4095"]);
                }
                let mut archive = repository.into_os_string();
                archive.push(format!("::{name}"));
                command.arg(archive).arg(set);
                command
            }
            Contestant::Peer(Peer::Casync) => {
                let mut store = std::ffi::OsString::from("--store=");
                store.push(repository.join("default.castr"));
                let mut command = self.command("casync");
                command.arg("make").arg(store);
                command.arg(repository.join(format!("{name}.caidx"))).arg(set);
                command
            }
            Contestant::Copy => {
                let mut command = Command::new("sh");
                command.args(["-c", "cp -r \"$1\" \"$2\" && sync -f \"$2\"", "sh"]);
                command.arg(set).arg(repository);
                command
            }
        }
    }

    /// A peer's program, with its caches and settings in this home.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("RESTIC_PASSWORD", "not a secret")
            .env("RESTIC_CACHE_DIR", self.folder.join("cache"))
            .env("BORG_BASE_DIR", self.folder.join("base"))
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command
    }
}
