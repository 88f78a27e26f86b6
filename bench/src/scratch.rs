//! The one folder that everything is written to, and its end.
//!
//! A measurement leaves gigabytes if it is interrupted, so SIGINT, SIGTERM and SIGHUP are taken by a
//! thread that ends the children being measured, removes the folder and exits. Only SIGKILL leaves it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Exit code after a signal, as shells have it for SIGINT.
const EXIT_INTERRUPTED: i32 = 130;
/// How often the removal of the folder is tried: a child that is being killed may still write.
const REMOVALS_MAX: u32 = 20;

/// What a signal has to end.
static TO_END: Mutex<ToEnd> =
    Mutex::new(ToEnd { folder: None, groups: Vec::new(), last_words: None });

struct ToEnd {
    folder: Option<PathBuf>,
    /// What is done before this process exits.
    last_words: Option<Box<dyn FnOnce() + Send>>,
    /// The process groups of the children that run now.
    groups: Vec<Pid>,
}

fn to_end() -> MutexGuard<'static, ToEnd> {
    TO_END.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder; removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A new folder in `parent`. To be called before any other thread is started, which would take
    /// the signals.
    pub(crate) fn new(parent: Option<&Path>) -> Result<Self> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        signals.thread_block().context("blocking signals")?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("cairn-bench-");
        let folder = match parent {
            Some(parent) => {
                std::fs::create_dir_all(parent)
                    .with_context(|| format!("making {}", parent.display()))?;
                builder.tempdir_in(parent)
            }
            None => builder.tempdir(),
        };
        let folder = folder.context("the scratch folder cannot be made")?;
        to_end().folder = Some(folder.path().to_owned());
        std::thread::spawn(move || {
            if signals.wait().is_ok() {
                end();
            }
        });
        Ok(Self { folder })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new empty folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }

    /// Removes everything in it but `keep`.
    pub(crate) fn clear(&self, keep: &Path) -> Result<()> {
        for entry in std::fs::read_dir(self.path()).context("listing the scratch folder")? {
            let path = entry?.path();
            if path == keep {
                continue;
            }
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            gone.with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }
}

/// Has `last_words` run where a signal ends this process, before its children are ended.
pub(crate) fn before_the_end(last_words: impl FnOnce() + Send + 'static) {
    to_end().last_words = Some(Box::new(last_words));
}

/// Marks a child as one to end on a signal, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Running {
    group: Pid,
}

impl Running {
    /// `group` is the child's process group.
    pub(crate) fn new(group: u32) -> Self {
        let group = Pid::from_raw(group.cast_signed());
        to_end().groups.push(group);
        Self { group }
    }

    /// Sends a signal to the child and its children. It may have ended by itself.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = killpg(self.group, signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        to_end().groups.retain(|&group| group != self.group);
    }
}

/// Ends the children, removes the folder, ends this process.
fn end() -> ! {
    let mut to_end = to_end();
    // First, so that who waits for a child knows why it ended.
    if let Some(last_words) = to_end.last_words.take() {
        last_words();
    }
    for &group in &to_end.groups {
        // It may have ended by itself.
        let _ = killpg(group, Signal::SIGKILL);
    }
    if let Some(folder) = &to_end.folder {
        for _ in 0..REMOVALS_MAX {
            if std::fs::remove_dir_all(folder).is_ok() || !folder.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    std::process::exit(EXIT_INTERRUPTED)
}
