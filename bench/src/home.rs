//! The repository of one contestant: how its programs are called to make it, to store and to give back.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::contestant::{Contestant, Peer, Step};
use crate::measure::{Bench, output};

/// Copies $1 to $2, durably.
const COPY: &str = "cp -r \"$1\" \"$2\" && sync -f \"$2\"";
/// Packs $1 into the file $2.
const PACK: &str = "tar -C \"$1\" -cf - . | zstd -q -3 -T0 -o \"$2\"";
/// Unpacks the file $1 into $2.
const UNPACK: &str = "zstd -q -dc \"$1\" | tar -C \"$2\" -xf -";
/// Hashes every file below $1.
const HASH: &str = "find \"$1\" -type f -print0 | xargs -0 b3sum --num-threads 2";

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
        let init: Option<Command> = match who {
            Contestant::Peer(peer @ (Peer::Restic | Peer::Rustic)) => {
                let program = if peer == Peer::Restic { "restic" } else { "rustic" };
                Some(
                    home.command(program, ["-r".as_ref(), repository.as_os_str(), "init".as_ref()]),
                )
            }
            Contestant::Peer(Peer::Borg | Peer::BorgFine) => {
                let words =
                    ["init".as_ref(), "-e".as_ref(), "none".as_ref(), repository.as_os_str()];
                Some(home.command("borg", words))
            }
            Contestant::Peer(Peer::Kopia) => {
                std::fs::create_dir(&repository)?;
                let mut command = home.command("kopia", ["repository", "create", "filesystem"]);
                command.arg("--path").arg(&repository);
                Some(command)
            }
            Contestant::Peer(Peer::Desync) => {
                std::fs::create_dir_all(home.chunks())?;
                None
            }
            Contestant::Peer(Peer::Casync | Peer::Zstd) | Contestant::Copy | Contestant::Hash => {
                std::fs::create_dir(&repository)?;
                None
            }
            Contestant::Cairn | Contestant::Turbo => None,
        };
        if let Some(mut command) = init {
            output(&mut command)?;
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

    /// Where an export goes.
    pub(crate) fn exported(&self) -> PathBuf {
        self.folder.join("exported")
    }

    /// Chunks of casync and desync.
    fn chunks(&self) -> PathBuf {
        self.repository().join("default.castr")
    }

    /// The command of a step on `set`. The export is of what was stored last.
    pub(crate) fn step(&self, bench: &Bench<'_>, set: &Path, step: Step) -> Result<Command> {
        if step != Step::Export {
            return Ok(self.store(bench, set, step));
        }
        let out = self.exported();
        // The copy and casync make it themselves.
        if !matches!(self.who, Contestant::Copy) {
            std::fs::create_dir(&out).context("the folder of an export")?;
        }
        self.export(bench, set, &out)
    }

    /// The command that stores `set`.
    fn store(&self, bench: &Bench<'_>, set: &Path, step: Step) -> Command {
        let (repository, name) = (self.repository(), step.name());
        let (at, set) = (repository.as_os_str(), set.as_os_str());
        match self.who {
            Contestant::Cairn | Contestant::Turbo => {
                let mut command = bench.cairn(&repository);
                if self.who == Contestant::Turbo {
                    command.env("CAIRN_INGEST__COMPRESSION", "turbo");
                }
                command.arg("import").arg(set);
                command
            }
            Contestant::Peer(Peer::Restic) => {
                let mut command =
                    self.command("restic", ["--quiet", "--compression", "auto", "-r"]);
                command.args([at, "backup".as_ref(), set]);
                command
            }
            Contestant::Peer(Peer::Rustic) => {
                let mut command = self.command("rustic", ["--no-progress", "-r"]);
                command.args([at, "backup".as_ref(), set]);
                command
            }
            Contestant::Peer(peer @ (Peer::Borg | Peer::BorgFine)) => {
                let mut command = self.command("borg", ["create", "-C", "zstd,3"]);
                if peer == Peer::BorgFine {
                    command.args(["--chunker-params", "10,18,15,4095"]);
                }
                command.arg(self.archive(name)).arg(set);
                command
            }
            Contestant::Peer(Peer::Kopia) => {
                let mut command = self.command("kopia", ["snapshot", "create", "--no-progress"]);
                command.arg(set);
                command
            }
            Contestant::Peer(Peer::Casync) => {
                let mut command = self.command("casync", ["make"]);
                command.arg(self.casync_store()).arg(self.index(name)).arg(set);
                command
            }
            Contestant::Peer(Peer::Desync) => {
                let mut command = self.command("desync", ["tar", "-i", "-s"]);
                command.arg(self.chunks()).arg(self.index(name)).arg(set);
                command
            }
            Contestant::Peer(Peer::Zstd) => shell(PACK, set, &self.packed(name)),
            Contestant::Copy => shell(COPY, set, &repository),
            Contestant::Hash => shell(HASH, set, &repository),
        }
    }

    /// The command that gives everything back into `out`, which is empty.
    fn export(&self, bench: &Bench<'_>, set: &Path, out: &Path) -> Result<Command> {
        let repository = self.repository();
        let at = repository.as_os_str();
        let last = Step::Again.name();
        Ok(match self.who {
            Contestant::Cairn | Contestant::Turbo => {
                let mut command = bench.cairn(&repository);
                command.args(["export", "--all"]).arg(out);
                command
            }
            Contestant::Peer(Peer::Restic) => {
                let mut command = self.command("restic", ["--quiet", "-r"]);
                command.args([at, "restore".as_ref(), "latest".as_ref(), "--target".as_ref()]);
                command.arg(out);
                command
            }
            Contestant::Peer(Peer::Rustic) => {
                let mut command = self.command("rustic", ["--no-progress", "-r"]);
                command.args([at, "restore".as_ref(), "latest".as_ref(), out.as_os_str()]);
                command
            }
            Contestant::Peer(Peer::Borg | Peer::BorgFine) => {
                let mut command = self.command("borg", ["extract"]);
                command.arg(self.archive(last)).current_dir(out);
                command
            }
            Contestant::Peer(Peer::Kopia) => {
                let mut command = self.command("kopia", ["snapshot", "restore", "--no-progress"]);
                command.arg(set).arg(out).arg("--snapshot-time=latest");
                command
            }
            Contestant::Peer(Peer::Casync) => {
                let mut command = self.command("casync", ["extract"]);
                command.arg(self.casync_store()).arg(self.index(last)).arg(out);
                command
            }
            Contestant::Peer(Peer::Desync) => {
                let mut command = self.command("desync", ["untar", "-i", "-s"]);
                command.arg(self.chunks()).arg(self.index(last)).arg(out);
                command
            }
            Contestant::Peer(Peer::Zstd) => shell(UNPACK, self.packed(last).as_os_str(), out),
            Contestant::Copy => shell(COPY, at, out),
            Contestant::Hash => anyhow::bail!("a hash gives nothing back"),
        })
    }

    /// borg's name of what a step stored.
    fn archive(&self, step: &str) -> OsString {
        let mut archive = self.repository().into_os_string();
        archive.push(format!("::{step}"));
        archive
    }

    fn index(&self, step: &str) -> PathBuf {
        self.repository().join(format!("{step}.caidx"))
    }

    fn packed(&self, step: &str) -> PathBuf {
        self.repository().join(format!("{step}.tar.zst"))
    }

    fn casync_store(&self) -> OsString {
        let mut store = OsString::from("--store=");
        store.push(self.chunks());
        store
    }

    /// A peer's program, with its caches and settings in this home.
    fn command<S: AsRef<OsStr>>(
        &self,
        program: &str,
        words: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .env("RESTIC_PASSWORD", "not a secret")
            .env("RESTIC_CACHE_DIR", self.folder.join("cache"))
            .env("RUSTIC_PASSWORD", "not a secret")
            .env("RUSTIC_CACHE_DIR", self.folder.join("cache"))
            .env("BORG_BASE_DIR", self.folder.join("base"))
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
            .env("KOPIA_PASSWORD", "not a secret")
            .env("KOPIA_CONFIG_PATH", self.folder.join("kopia.config"))
            .env("KOPIA_CACHE_DIRECTORY", self.folder.join("cache"))
            .env("KOPIA_LOG_DIR", self.folder.join("log"))
            .env("KOPIA_CHECK_FOR_UPDATES", "false");
        command
    }
}

/// A script with two arguments.
fn shell(script: &str, first: &OsStr, second: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(first).arg(second);
    command
}
