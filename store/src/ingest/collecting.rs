//! What is coming in, beside a collection.
//!
//! An object is cut and its chunks are looked up long before a commit names it. A chunk that was found
//! here must still be here then. So while a collection is under way, whoever finds a chunk marks it as
//! needed in the same moment, and what is marked is not removed. Objects that looked chunks up before
//! that belong to an earlier *era*: the collection waits until none of them is left.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::lock;
use crate::catalog::Catalog;
use crate::collect::Live;
use crate::error::{Error, Result};
use crate::keys::StoredId;

/// Held by an object from before its first look at the catalog until it is committed, or gone.
#[derive(Clone, Debug)]
pub(crate) struct Era(Arc<()>);

impl PartialEq for Era {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Era {
    /// Is nobody else of it left?
    pub(crate) fn is_over(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Collecting {
    live: RwLock<Option<Arc<Live>>>,
    era: Mutex<Era>,
}

impl Collecting {
    pub(super) fn new() -> Self {
        Self { live: RwLock::default(), era: Mutex::new(Era(Arc::default())) }
    }

    /// The era of an object that begins now.
    pub(super) fn era(&self) -> Era {
        lock(&self.era).clone()
    }

    /// Does the catalog name this chunk? If so, it will do so until the asker's era is over.
    pub(super) fn is_known(&self, catalog: &dyn Catalog, chunk: &StoredId) -> Result<bool> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        match &*live {
            None => Ok(catalog.locate(chunk)?.is_some()),
            Some(live) => {
                let row = catalog.collection().chunk(chunk)?;
                Ok(row.inspect(|row| live.set(row.no)).is_some())
            }
        }
    }

    /// Marks a chunk as needed, if the catalog names it and a collection is under way.
    pub(super) fn mark(&self, catalog: &dyn Catalog, chunk: &StoredId) -> Result<()> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = &*live
            && let Some(row) = catalog.collection().chunk(chunk)?
        {
            live.set(row.no);
        }
        Ok(())
    }

    /// From now on what is found is marked in `live`. Gives the era that has to be over before what is
    /// not marked can be done without.
    pub(crate) fn begin(&self, live: &Arc<Live>) -> Result<Era> {
        let mut place = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() {
            return Err(Error::Collecting);
        }
        *place = Some(Arc::clone(live));
        Ok(std::mem::replace(&mut *lock(&self.era), Era(Arc::default())))
    }

    pub(crate) fn end(&self) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Does something while nobody looks chunks up.
    pub(crate) fn exclusively<T>(&self, job: impl FnOnce() -> T) -> T {
        let _nobody_looks = self.live.write().unwrap_or_else(PoisonError::into_inner);
        job()
    }
}
