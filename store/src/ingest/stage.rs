//! Where the time of an ingest goes, for whoever measures.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A step on an object's way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading into a buffer, from a file or a sender; waiting for them included.
    Read,
    /// Finding where spans start.
    Split,
    /// Encrypting one object and appending it to the spool.
    Spool,
    /// `fdatasync` of the spool.
    SpoolSync,
    /// Naming one chunk.
    Hash,
    /// Coding one chunk or block, and decoding it again to compare.
    Encode,
    /// Appending one record to the open pack.
    Append,
    /// `fdatasync` of a batch.
    Sync,
    /// A batch's transaction in the catalog.
    Catalog,
    /// Bringing one pack into the bucket.
    Upload,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Split,
        Self::Spool,
        Self::SpoolSync,
        Self::Hash,
        Self::Encode,
        Self::Append,
        Self::Sync,
        Self::Catalog,
        Self::Upload,
    ];

    /// The word under which it is counted.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Split => "split",
            Self::Spool => "spool",
            Self::SpoolSync => "spool_sync",
            Self::Hash => "hash",
            Self::Encode => "encode",
            Self::Append => "append",
            Self::Sync => "sync",
            Self::Catalog => "catalog",
            Self::Upload => "upload",
        }
    }
}

type See = dyn Fn(Stage, Duration) + Send + Sync;

/// Is told how long each step took, on the thread that made it: it must be quick.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<See>>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}

impl Observer {
    /// One that is told.
    pub fn new(see: impl Fn(Stage, Duration) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(see)))
    }

    /// Does a step and tells how long it took.
    pub(crate) fn time<T>(&self, stage: Stage, step: impl FnOnce() -> T) -> T {
        let Some(see) = &self.0 else { return step() };
        let start = Instant::now();
        let done = step();
        see(stage, start.elapsed());
        done
    }
}
