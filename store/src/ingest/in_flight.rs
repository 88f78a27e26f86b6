//! Instances that are on their way in, by their UIDs.
//!
//! An object may be acknowledged before it is coded only if nothing by its name is here or on its way:
//! then it is new and will be shown, whatever else happens. So whoever spools an object has its name
//! for itself until the object is in the catalog. Objects that take the ordinary way may share a name,
//! and the writer decides what they are to each other; but they wait for one that is spooled.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cairn_dicom::object::Identity;

use super::lock;
use crate::error::Result;

/// How often whoever waits looks whether the ingest stopped.
const LOOK: Duration = Duration::from_millis(50);

/// Study, series and SOP Instance UID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) study: Arc<str>,
    series: Arc<str>,
    sop: Arc<str>,
}

impl Name {
    pub(super) fn of(identity: &Identity) -> Self {
        Self {
            study: identity.study_uid.as_str().into(),
            series: identity.series_uid.as_str().into(),
            sop: identity.sop_instance_uid.as_str().into(),
        }
    }
}

/// Who has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// One object that is spooled.
    Spooled,
    /// So many that take the ordinary way.
    Ordinary(usize),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct InFlight {
    names: Mutex<HashMap<Name, Holder>>,
    freed: Condvar,
    /// Objects on the ordinary way.
    ordinary: AtomicU64,
}

/// Holds a name until it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    names: Arc<InFlight>,
    name: Name,
    spooled: bool,
}

impl InFlight {
    /// Objects on the ordinary way that are not answered yet.
    pub(super) fn ordinary(&self) -> u64 {
        self.ordinary.load(Ordering::SeqCst)
    }

    /// Takes a name for an object that is to be spooled; `None` if somebody has it.
    pub(super) fn alone(self: &Arc<Self>, name: &Name) -> Option<Reservation> {
        let mut names = lock(&self.names);
        if names.contains_key(name) {
            return None;
        }
        names.insert(name.clone(), Holder::Spooled);
        Some(Reservation { names: Arc::clone(self), name: name.clone(), spooled: true })
    }

    /// Takes a name for an object on the ordinary way; waits while one that is spooled has it.
    /// `awaited` is called before the first wait, and `check` now and then; its error ends the waiting.
    pub(super) fn shared<G>(
        self: &Arc<Self>,
        name: &Name,
        awaited: impl FnOnce() -> Result<G>,
        check: impl Fn() -> Result<()>,
    ) -> Result<Reservation> {
        let mut guard = None;
        let mut awaited = Some(awaited);
        let mut names = lock(&self.names);
        while names.get(name) == Some(&Holder::Spooled) {
            if let Some(awaited) = awaited.take() {
                drop(names);
                guard = Some(awaited()?);
                names = lock(&self.names);
                continue;
            }
            check()?;
            let waited = self.freed.wait_timeout(names, LOOK);
            names = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        drop(guard);
        let holder = names.entry(name.clone()).or_insert(Holder::Ordinary(0));
        if let Holder::Ordinary(count) = holder {
            *count += 1;
        }
        self.ordinary.fetch_add(1, Ordering::SeqCst);
        Ok(Reservation { names: Arc::clone(self), name: name.clone(), spooled: false })
    }
}

impl Reservation {
    /// Keeps the name for the same object, which takes the ordinary way after all.
    pub(super) fn into_shared(mut self) -> Self {
        if self.spooled {
            self.spooled = false;
            self.names.ordinary.fetch_add(1, Ordering::SeqCst);
            lock(&self.names.names).insert(self.name.clone(), Holder::Ordinary(1));
            self.names.freed.notify_all();
        }
        self
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut names = lock(&self.names.names);
        let left = match names.get_mut(&self.name) {
            Some(Holder::Ordinary(count)) => {
                *count -= 1;
                *count
            }
            Some(Holder::Spooled) | None => 0,
        };
        if left == 0 {
            names.remove(&self.name);
        }
        drop(names);
        if self.spooled {
            self.names.freed.notify_all();
        } else {
            self.names.ordinary.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(sop: &str) -> Name {
        Name { study: "1".into(), series: "2".into(), sop: sop.into() }
    }

    fn take(all: &Arc<InFlight>, sop: &str) -> Reservation {
        all.shared(&name(sop), || Ok(()), || Ok(())).unwrap()
    }

    #[test]
    fn who_spools_is_alone_and_the_others_share() {
        let all = Arc::new(InFlight::default());
        let first = take(&all, "3");
        let second = take(&all, "3");
        assert_eq!(all.ordinary(), 2);
        assert!(all.alone(&name("3")).is_none());
        assert!(all.alone(&name("4")).is_some());
        drop(first);
        assert!(all.alone(&name("3")).is_none());
        drop(second);
        assert_eq!(all.ordinary(), 0);
        let spooled = all.alone(&name("3")).unwrap();
        let other = Arc::clone(&all);
        let waits = std::thread::spawn(move || drop(take(&other, "3")));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished());
        drop(spooled);
        waits.join().unwrap();
        assert!(lock(&all.names).is_empty());
    }

    #[test]
    fn one_that_was_to_be_spooled_lets_the_others_in() {
        let all = Arc::new(InFlight::default());
        let ordinary = all.alone(&name("3")).unwrap().into_shared();
        let second = take(&all, "3");
        assert_eq!(all.ordinary(), 2);
        drop((ordinary, second));
        assert!(lock(&all.names).is_empty());
    }

    #[test]
    fn waiting_ends_when_the_ingest_stops() {
        let all = Arc::new(InFlight::default());
        let _spooled = all.alone(&name("3")).unwrap();
        let stopped = || Err(crate::Error::Internal("stopped"));
        assert!(all.shared(&name("3"), || Ok(()), stopped).is_err());
    }
}
