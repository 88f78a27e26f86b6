//! The association over which a commitment was asked for, while it lives: reports go out between its
//! messages, and their answers come in with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::dimse::association::lock;
use crate::dimse::command::Command;
use crate::dimse::negotiate::Context;
use crate::dimse::outbound::Outbound;

/// See the [module](self).
pub(in crate::dimse) struct Line {
    outbound: Arc<Mutex<Outbound>>,
    pub(super) context: Context,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    open: bool,
    next_id: u16,
    /// Statuses by message id.
    answers: BTreeMap<u16, u16>,
}

impl Line {
    pub(super) fn new(outbound: &Arc<Mutex<Outbound>>, context: &Context) -> Arc<Self> {
        Arc::new(Self {
            outbound: Arc::clone(outbound),
            context: context.clone(),
            state: Mutex::new(State { open: true, next_id: 1, answers: BTreeMap::new() }),
            changed: Condvar::new(),
        })
    }

    /// Sends a report and waits for its answer; `None` if there is none in time.
    pub(super) fn send(
        &self,
        command: impl FnOnce(u16) -> Command,
        data: &[u8],
        patience: Duration,
    ) -> Option<u16> {
        let id = {
            let mut state = self.state();
            if !state.open {
                return None;
            }
            state.next_id = state.next_id.wrapping_add(1);
            state.next_id
        };
        lock(&self.outbound).message(self.context.id, &command(id), data).ok()?;
        let until = Instant::now() + patience;
        let mut state = self.state();
        loop {
            if let Some(status) = state.answers.remove(&id) {
                return Some(status);
            }
            let left = until.saturating_duration_since(Instant::now());
            if !state.open || left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The peer answered a report.
    pub(in crate::dimse) fn answered(&self, id: u16, status: u16) {
        let mut state = self.state();
        // Answers to what was never sent are not kept.
        if id <= state.next_id {
            state.answers.insert(id, status);
        }
        self.changed.notify_all();
    }

    /// The association is over.
    pub(in crate::dimse) fn close(&self) {
        self.state().open = false;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
