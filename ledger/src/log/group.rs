//! The one thread that writes: takes what waits, checks and signs it, makes it durable in one commit.
//!
//! Entries of a group are checked against the state before the group. That is right as long as none
//! depends on another, so a group ends before the first entry that touches what an earlier one of it
//! touches ([`Touch`]); that one begins the next group. The state changes only once the group is
//! durable, so nobody ever reads what a crash could take back.

use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, PoisonError};

use ed25519_dalek::SigningKey;

use super::{Clock, Shared};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::entry::{Body, Entry, Header, Rotate, SignedEntry};
use crate::keys::SiteSecret;
use crate::limits::GROUP_ENTRIES_MAX;
use crate::order::Logged;
use crate::state::{SiteState, Touch};
use crate::tiles::TileWriter;
use crate::{Error, Result};

/// What the log is asked to do.
pub(super) enum Job {
    /// Log a body.
    Append { body: Box<Body>, reply: SyncSender<Result<Logged>> },
    /// Replace the keys.
    Rotate { secret: Box<SiteSecret>, reply: SyncSender<Result<Logged>> },
    /// Publish a head.
    Publish { checkpoint: Box<SignedCheckpoint>, reply: SyncSender<Result<()>> },
}

/// An entry on its way, and who waits for it.
type Due = (SignedEntry, SyncSender<Result<Logged>>);

pub(super) struct Committer {
    shared: Arc<Shared>,
    files: TileWriter,
    secret: SiteSecret,
    entry_key: SigningKey,
    /// Keys that sign heads: the one in force, and the last one while witnesses may not know it.
    head_keys: Vec<SigningKey>,
    clock: Clock,
}

impl Committer {
    pub(super) fn new(
        shared: Arc<Shared>,
        files: TileWriter,
        secret: SiteSecret,
        previous: Option<SigningKey>,
        clock: Clock,
    ) -> Self {
        let entry_key = secret.entry_key();
        let mut head_keys = vec![secret.log_key()];
        head_keys.extend(previous);
        Self { shared, files, secret, entry_key, head_keys, clock }
    }

    /// Works until nobody can hand anything in any more.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Ok(job) = jobs.recv() else { return };
                waiting.push_back(job);
            }
            while waiting.len() < GROUP_ENTRIES_MAX {
                let Ok(job) = jobs.try_recv() else { break };
                waiting.push_back(job);
            }
            self.step(&mut waiting);
        }
    }

    fn step(&mut self, waiting: &mut VecDeque<Job>) {
        if let Some(why) = self.failure() {
            // Dropping a job drops its reply channel, and who waits is told why.
            waiting.clear();
            drop(why);
            return;
        }
        match waiting.pop_front() {
            Some(Job::Publish { checkpoint, reply }) => {
                let published = self.files.publish(&checkpoint);
                let _ = reply.send(self.stop_on_error(published));
            }
            Some(Job::Rotate { secret, reply }) => {
                let rotated = self.rotate(*secret);
                let _ = reply.send(rotated);
            }
            Some(append) => {
                waiting.push_front(append);
                let due = self.gather(waiting);
                self.settle(due);
            }
            None => {}
        }
    }

    fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first failure of the disk is final: what is on it is not known any more.
    fn stop_on_error<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error @ (Error::Io { .. } | Error::Damaged { .. })) = &outcome {
            let mut failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| error.to_string());
        }
        outcome
    }

    /// Takes appends that do not depend on each other, in order, and signs those that the rules allow.
    fn gather(&self, waiting: &mut VecDeque<Job>) -> Vec<Due> {
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        let (mut due, mut touched) = (Vec::new(), HashSet::new());
        while let Some(Job::Append { body, .. }) = waiting.front() {
            let touch = state.touches(body);
            let alone = touch == Touch::Site;
            let depends = touch != Touch::Nothing && !touched.insert(touch);
            if !due.is_empty() && (alone || depends || touched.contains(&Touch::Site)) {
                break;
            }
            let Some(Job::Append { body, reply }) = waiting.pop_front() else { break };
            match self.sign(&state, due.len() as u64, *body) {
                Ok(signed) => due.push((signed, reply)),
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            }
        }
        due
    }

    fn sign(&self, state: &SiteState, ahead: u64, body: Body) -> Result<SignedEntry> {
        let site = state.site().ok_or(Error::OutOfRange)?;
        // A clock that was set back must not stop the log.
        let time = (self.clock)().max(state.time());
        let header = Header { site, sequence: state.next() + ahead, time };
        let entry = Entry { header, body };
        state.check(&entry)?;
        SignedEntry::sign(entry, &self.entry_key)
    }

    fn settle(&mut self, due: Vec<Due>) {
        if due.is_empty() {
            return;
        }
        let (entries, replies): (Vec<_>, Vec<_>) = due.into_iter().unzip();
        let head_keys = self.head_keys.clone();
        match self.commit(&entries, &head_keys) {
            Ok(logged) => {
                for (reply, logged) in replies.iter().zip(logged) {
                    let _ = reply.send(Ok(logged));
                }
            }
            Err(error) => {
                let why = error.to_string();
                for reply in replies {
                    let _ = reply.send(Err(Error::Stopped(why.clone())));
                }
            }
        }
    }

    /// Makes entries durable, then visible.
    fn commit(&mut self, entries: &[SignedEntry], keys: &[SigningKey]) -> Result<Vec<Logged>> {
        let made = self.write(entries, keys);
        let head = self.stop_on_error(made)?;
        let head_size = head.checkpoint().size;
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut logged = Vec::with_capacity(entries.len());
        for entry in entries {
            // Each was checked against the state before the group, and none touches another's.
            if let Err(reject) = state.apply_known(entry) {
                let mut failure =
                    self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| format!("entries of one commit disagree: {reject}"));
                return Err(reject.into());
            }
            let time = entry.entry().header.time;
            logged.push(Logged { link: entry.link(), time, head_size });
        }
        drop(state);
        *self.shared.head.write().unwrap_or_else(PoisonError::into_inner) = head;
        Ok(logged)
    }

    fn write(&mut self, entries: &[SignedEntry], keys: &[SigningKey]) -> Result<SignedCheckpoint> {
        for entry in entries {
            self.files.push(entry.bytes())?;
        }
        let origin = {
            let head = self.shared.head.read().unwrap_or_else(PoisonError::into_inner);
            head.checkpoint().origin.clone()
        };
        let head = Checkpoint { origin, size: self.files.size(), root: self.files.root() };
        let head = head.sign(keys)?;
        self.files.commit(head.clone())?;
        Ok(head)
    }

    fn rotate(&mut self, secret: SiteSecret) -> Result<Logged> {
        let signed = {
            let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
            let site = state.site().ok_or(Error::OutOfRange)?;
            let possession = secret.possession(&site, state.next());
            let rotate = Rotate { keys: secret.public(), possession };
            self.sign(&state, 0, Body::Rotate(Box::new(rotate)))?
        };
        let head_keys = vec![secret.log_key(), self.secret.log_key()];
        let logged = self.commit(std::slice::from_ref(&signed), &head_keys)?;
        (self.entry_key, self.head_keys) = (secret.entry_key(), head_keys);
        self.secret = secret;
        logged.into_iter().next().ok_or(Error::OutOfRange)
    }
}
