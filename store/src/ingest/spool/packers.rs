//! Threads that pack parts of objects beside the threads that receive them.
//!
//! Who waits for each answer keeps one thread here busy and all other cores idle. That thread offers
//! parts to these as they come, reads on meanwhile, and when nothing is left to be read takes up what
//! none of these has begun: it never waits for more than the part that a packer is at.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use cairn_chunker::codec::{self, Codec, Encoded};
use cairn_chunker::span::Geometry;

use crate::ingest::{Observer, Stage, lock};

/// More threads than this find little to do: a part takes less time than it takes to come.
const THREADS_MAX: usize = 4;
/// Parts that wait for each thread. What is more is packed by whoever has it: offered parts are copies.
const WAITING_MAX: usize = 4;

/// The codec that is quickest.
const CODEC: Codec = Codec::PixelPacked;

/// Packs pixels; `None`: they stay as they are. `verify`: they are decoded and compared.
pub(super) fn pack(plain: &[u8], geometry: Geometry, verify: bool) -> Option<Encoded> {
    codec::encode_filtered(CODEC, plain, geometry)
        .filter(|coded| !verify || codec::comes_back(coded, plain))
}

/// See the [module](self).
pub(in crate::ingest) struct Packers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    offers: Mutex<Offers>,
    /// There is an offer, or there will be none any more.
    changed: Condvar,
}

#[derive(Default)]
struct Offers {
    parts: VecDeque<Arc<Part>>,
    is_ended: bool,
}

impl Packers {
    /// One less than there are cores: on the last one somebody receives.
    pub(super) fn start(observer: &Observer) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let queue = Arc::new(Queue::default());
        let start = |_| {
            let (queue, observer) = (Arc::clone(&queue), observer.clone());
            let thread = std::thread::Builder::new().name("cairn-pack".into());
            // Without such a thread all is packed by those who receive.
            thread.spawn(move || queue.serve(&observer)).ok()
        };
        let threads = (1..cores.min(THREADS_MAX + 1)).filter_map(start).collect();
        Self { queue, threads }
    }

    /// None: whoever receives packs.
    pub(super) fn none() -> Self {
        Self { queue: Arc::default(), threads: Vec::new() }
    }

    /// Offers a part to be packed by another thread; `None`: enough are waiting.
    pub(super) fn offer(
        &self,
        plain: &[u8],
        geometry: Geometry,
        verify: bool,
    ) -> Option<Arc<Part>> {
        let most = WAITING_MAX * self.threads.len();
        if lock(&self.queue.offers).parts.len() >= most {
            return None;
        }
        let work = Work { plain: plain.to_vec(), geometry, verify };
        let part = Arc::new(Part { state: Mutex::new(State::Offered(work)), done: Condvar::new() });
        lock(&self.queue.offers).parts.push_back(Arc::clone(&part));
        self.queue.changed.notify_one();
        Some(part)
    }
}

impl Drop for Packers {
    fn drop(&mut self) {
        lock(&self.queue.offers).is_ended = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A part that could not be packed is no reason to end; nothing else there fails.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn serve(&self, observer: &Observer) {
        while let Some(part) = self.next() {
            part.pack_if_offered(observer);
        }
    }

    /// The next part; `None`: there will be none.
    fn next(&self) -> Option<Arc<Part>> {
        let offers = lock(&self.offers);
        let wait = |offers: &mut Offers| offers.parts.is_empty() && !offers.is_ended;
        let offers = self.changed.wait_while(offers, wait);
        offers.unwrap_or_else(PoisonError::into_inner).parts.pop_front()
    }
}

/// A part that was offered.
pub(super) struct Part {
    state: Mutex<State>,
    /// It is packed.
    done: Condvar,
}

enum State {
    Offered(Work),
    Begun,
    Done(Option<Encoded>),
}

struct Work {
    plain: Vec<u8>,
    geometry: Geometry,
    verify: bool,
}

impl Part {
    /// Packs it, unless somebody has begun.
    pub(super) fn pack_if_offered(&self, observer: &Observer) {
        let Some(Work { plain, geometry, verify }) = self.begin() else { return };
        let pack = || pack(&plain, geometry, verify);
        // Whoever waits for it must hear of an end. Nothing is shared with what failed.
        let packed = observer.time(Stage::Encode, || catch_unwind(AssertUnwindSafe(pack)));
        *lock(&self.state) = State::Done(packed.unwrap_or_default());
        self.done.notify_all();
    }

    /// Nobody needs it any more.
    pub(super) fn withdraw(&self) {
        self.begin();
    }

    /// What it came to, once whoever began is done: `None` if it stays as it is.
    pub(super) fn packed(&self) -> Option<Encoded> {
        let is_at_work = |state: &mut State| matches!(state, State::Begun);
        let state = self.done.wait_while(lock(&self.state), is_at_work);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Done(None)) {
            State::Done(packed) => packed,
            State::Offered(_) | State::Begun => None,
        }
    }

    fn begin(&self) -> Option<Work> {
        let mut state = lock(&self.state);
        match std::mem::replace(&mut *state, State::Begun) {
            State::Offered(work) => Some(work),
            other => {
                *state = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GEOMETRY: Geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 64 };

    fn slope() -> Vec<u8> {
        (0..64 * 64u16).flat_map(|i| (i / 64 + i % 64).to_le_bytes()).collect()
    }

    fn offered() -> Arc<Part> {
        let work = Work { plain: slope(), geometry: GEOMETRY, verify: true };
        Arc::new(Part { state: Mutex::new(State::Offered(work)), done: Condvar::new() })
    }

    #[test]
    fn what_is_offered_is_packed_by_whoever_begins_first() {
        let expected = pack(&slope(), GEOMETRY, true);
        assert!(expected.is_some());
        for _ in 0..200 {
            let part = offered();
            std::thread::scope(|scope| {
                scope.spawn(|| part.pack_if_offered(&Observer::default()));
                part.pack_if_offered(&Observer::default());
                assert_eq!(part.packed(), expected);
            });
        }
    }

    #[test]
    fn what_is_withdrawn_is_not_begun() {
        let part = offered();
        part.withdraw();
        let observer = Observer::new(|_, _| panic!("nobody needs it"));
        part.pack_if_offered(&observer);
    }

    #[test]
    fn offers_are_bounded_and_end_with_their_threads() {
        assert!(Packers::none().offer(&slope(), GEOMETRY, true).is_none());
        // Two threads that have not begun to serve.
        let idle = || std::thread::spawn(|| {});
        let packers = Packers { queue: Arc::default(), threads: vec![idle(), idle()] };
        let parts: Vec<_> =
            (0..20).map_while(|_| packers.offer(&slope(), GEOMETRY, true)).collect();
        assert_eq!(parts.len(), 2 * WAITING_MAX);
        lock(&packers.queue.offers).is_ended = true;
        packers.queue.serve(&Observer::default());
        assert!(parts.iter().all(|part| part.packed().is_some()));
    }
}
