//! Waiting for what is spooled to be in the archive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LOOK, Spool, wait};
use crate::ingest::{Pipeline, lock};

impl Spool {
    /// Waits until everything acknowledged so far, of this study or at all, is in the catalog. False if
    /// that takes longer than `patience`, or the ingest stopped.
    pub(in crate::ingest) fn settle(
        &self,
        pipeline: &Pipeline,
        study: Option<&str>,
        patience: Duration,
    ) -> bool {
        if self.is_settled() {
            return true;
        }
        let begun = Instant::now();
        let _wanted = self.want(study);
        let mut state = lock(&self.state);
        let target = state.durable.no;
        loop {
            let first = match study {
                Some(study) => state.by_study.get(study).and_then(|all| all.first().copied()),
                None => state.pending.keys().next().copied(),
            };
            if first.is_none_or(|no| no > target) {
                return true;
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() || pipeline.check().is_err() {
                return false;
            }
            state = wait(&self.changed, state, left.min(LOOK));
        }
    }

    /// Somebody waits for what is spooled of a study, or for everything, while this lives.
    pub(in crate::ingest) fn want(&self, study: Option<&str>) -> Wanted<'_> {
        let study: Option<Arc<str>> = study.map(Into::into);
        let mut state = lock(&self.state);
        match &study {
            Some(study) => *state.wanted_studies.entry(Arc::clone(study)).or_default() += 1,
            None => state.wanted += 1,
        }
        drop(state);
        self.work.notify_one();
        Wanted { spool: self, study }
    }
}

/// See [`Spool::want`].
pub(in crate::ingest) struct Wanted<'a> {
    spool: &'a Spool,
    study: Option<Arc<str>>,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.spool.state);
        let Some(study) = &self.study else {
            state.wanted -= 1;
            return;
        };
        if let Some(count) = state.wanted_studies.get_mut(study) {
            *count -= 1;
            if *count == 0 {
                state.wanted_studies.remove(study);
            }
        }
    }
}
