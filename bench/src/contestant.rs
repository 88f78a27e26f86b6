//! Who stores the set: `cairn`, its peers, a plain copy as the floor, and a hash of all as another.
//!
//! Every peer runs as its manual has it, in the cheapest way that still compresses, so that the
//! comparison is with its best case:
//! - making its repository is not timed (`cairn` makes its archive within the first import);
//! - borg does not encrypt (`cairn`, restic, rustic and kopia do, always);
//! - caches, which let peers skip files whose size and times did not change, are on, and do not count
//!   as stored;
//! - nobody but `cairn` and the copy is asked to sync. What a peer left for later shows as the time of
//!   a sync afterwards.

use std::process::Command;

use clap::ValueEnum;

use crate::measure::first_line;

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
    /// rustic, its defaults
    Rustic,
    /// kopia, its defaults: no compression
    Kopia,
    /// casync, its usual chunks of about 64 KiB, zstd
    Casync,
    /// desync, its usual chunks of about 64 KiB, zstd
    Desync,
    /// tar and zstd 3, one solid stream: no store
    Zstd,
}

/// Who stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    Cairn,
    /// `cairn` that codes in less time and stores more: `compression = "turbo"`.
    Turbo,
    Peer(Peer),
    /// `cp -r` and a sync: no store, but the least that durable writing of the set takes.
    Copy,
    /// b3sum over the set: the least that reading and hashing it takes.
    Hash,
}

/// What is done, one after the other, with one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The set is stored, into an empty repository.
    First,
    /// The same set is stored.
    Again,
    /// The set is given back into an empty folder.
    Export,
    /// The changed set is stored.
    Changed,
}

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Again => "again",
            Self::Export => "export",
            Self::Changed => "changed",
        }
    }
}

impl Peer {
    /// The program, and what asks for its version.
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Restic => ("restic", "version"),
            Self::Borg | Self::BorgFine => ("borg", "--version"),
            Self::Rustic => ("rustic", "--version"),
            Self::Kopia => ("kopia", "--version"),
            Self::Casync => ("casync", "--version"),
            Self::Desync => ("desync", "--help"),
            Self::Zstd => ("zstd", "--version"),
        }
    }

    /// Settings and durability.
    fn settings(self) -> &'static str {
        match self {
            Self::Restic => "compression auto; encrypted, always; durability: its default",
            Self::Borg => {
                "zstd,3; no encryption, its fastest; durability: its default, fsync at commit"
            }
            Self::BorgFine => "as borg, with --chunker-params 10,18,15,4095",
            Self::Rustic => "its defaults: zstd; encrypted, always; durability: its default",
            Self::Kopia => "its defaults: no compression; encrypted, always",
            Self::Casync | Self::Desync => "its defaults; no encryption; durability: no fsync",
            Self::Zstd => "tar to zstd -3 on all cores: one solid stream; no fsync",
        }
    }

    /// Does its time compare? casync and desync neither scan for changes nor keep an index; zstd is no
    /// store.
    pub(crate) fn is_for_time(self) -> bool {
        !matches!(self, Self::Casync | Self::Desync | Self::Zstd)
    }

    /// Does it give back any file by itself, and store what it has only once?
    pub(crate) fn is_store(self) -> bool {
        self != Self::Zstd
    }
}

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cairn => "cairn",
            Self::Turbo => "cairn, turbo",
            Self::Peer(Peer::Restic) => "restic",
            Self::Peer(Peer::Borg) => "borg",
            Self::Peer(Peer::BorgFine) => "borg-32k",
            Self::Peer(Peer::Rustic) => "rustic",
            Self::Peer(Peer::Kopia) => "kopia",
            Self::Peer(Peer::Casync) => "casync",
            Self::Peer(Peer::Desync) => "desync",
            Self::Peer(Peer::Zstd) => "tar + zstd",
            Self::Copy => "cp + sync",
            Self::Hash => "b3sum",
        }
    }

    /// Version, settings and durability; `None` if it is not installed.
    pub(crate) fn about(self) -> Option<String> {
        match self {
            Self::Cairn => {
                let about = "cairn: its defaults: encrypted, every file acknowledged after fsync";
                Some(about.to_owned())
            }
            Self::Turbo => Some("cairn, turbo: the same with compression = \"turbo\"".to_owned()),
            Self::Copy => Some("cp + sync: cp -r, then syncfs, timed together".to_owned()),
            Self::Hash => {
                let version = first_line(Command::new("b3sum").arg("--version"))?;
                Some(format!("b3sum: {version}; --num-threads 2, over all files"))
            }
            Self::Peer(peer) => {
                let (program, argument) = peer.program();
                let version = first_line(Command::new(program).arg(argument))?;
                Some(format!("{}: {version}; {}", self.name(), peer.settings()))
            }
        }
    }

    /// A copy of a set that is there has nothing to teach, nor has reading what changed.
    pub(crate) fn takes_part(self, step: Step) -> bool {
        match self {
            // What is there already is hashed and left alone, however it was coded.
            Self::Copy | Self::Turbo => matches!(step, Step::First | Step::Export),
            Self::Hash => step == Step::Again,
            Self::Cairn | Self::Peer(_) => true,
        }
    }

    /// Is it `cairn`, however it is set?
    pub(crate) fn is_cairn(self) -> bool {
        matches!(self, Self::Cairn | Self::Turbo)
    }

    /// Is it a store, with stored bytes that compare?
    pub(crate) fn is_peer_store(name: &str) -> bool {
        Self::peer_named(name).is_some_and(Peer::is_store)
    }

    /// Is it a peer whose time compares?
    pub(crate) fn is_peer_for_time(name: &str) -> bool {
        Self::peer_named(name).is_some_and(Peer::is_for_time)
    }

    fn peer_named(name: &str) -> Option<Peer> {
        Peer::value_variants().iter().copied().find(|peer| Self::Peer(*peer).name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_compares() {
        assert!(Contestant::is_peer_store("borg-32k") && Contestant::is_peer_for_time("restic"));
        assert!(Contestant::is_peer_store("casync") && !Contestant::is_peer_for_time("casync"));
        for name in ["cairn", "cairn, turbo", "cp + sync", "b3sum", "tar + zstd", "nobody"] {
            assert!(!Contestant::is_peer_store(name), "{name}");
        }
        assert!(Contestant::Hash.takes_part(Step::Again));
        assert!(!Contestant::Copy.takes_part(Step::Again));
        assert!(Contestant::Turbo.takes_part(Step::First));
    }
}
