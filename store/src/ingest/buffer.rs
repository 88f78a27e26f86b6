//! Memory for received bytes: a fixed amount, whatever is received.
//!
//! Objects are read into buffers drawn from one budget; chunks are slices of them, without copies. A
//! buffer's memory counts until the last chunk in it is written. Large buffers are anonymous maps that
//! are used again, so that the allocator neither fragments nor clears them each time.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use memmap2::MmapMut;

use crate::limits::SLAB_BYTES;

/// Buffers up to this length come from the allocator.
const HEAP_BYTES_MAX: usize = 64 << 10;
/// The middle size of maps: holds most single slices.
const MIDDLE_BYTES: usize = 1 << 20;

/// Who waits for memory is woken once this part of the budget is free, and reads several objects then: to
/// wake a thread for each that is written costs as much as to read one.
const WOKEN_AT: usize = 8;
/// And looks again after this: others may hold nearly all of it for long.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Free {
    in_use: usize,
    /// Threads that wait for memory.
    waiting: usize,
    middle: Vec<MmapMut>,
    slabs: Vec<MmapMut>,
}

/// The budget and the maps that are free.
#[derive(Debug)]
pub(super) struct Pool {
    budget: usize,
    free: Mutex<Free>,
    returned: Condvar,
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    Map(MmapMut),
}

/// Memory outside buffers that counts against the budget while this lives.
///
/// Taking it never waits, since whoever gathers chunks must not: the budget may be passed by what one
/// batch holds, and whoever wants a buffer waits the longer.
#[derive(Debug)]
pub(super) struct Charge {
    bytes: usize,
    pool: Arc<Pool>,
}

impl Charge {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Self { bytes: 0, pool: Arc::clone(pool) }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        super::lock(&self.pool.free).in_use += bytes;
        self.bytes += bytes;
    }

    /// Takes over another charge.
    pub(super) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut free = super::lock(&self.pool.free);
        free.in_use -= self.bytes;
        self.pool.wake(free);
    }
}

/// A writable buffer; counts against the budget until it, and every slice of it, is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Option<Memory>,
    bytes: usize,
    pool: Arc<Pool>,
}

impl Pool {
    pub(super) fn new(budget: usize) -> Arc<Self> {
        // Four slabs at least: a batch may hold a third, and a slab must still be to be had.
        let budget = budget.max(4 * SLAB_BYTES);
        Arc::new(Self { budget, free: Mutex::default(), returned: Condvar::new() })
    }

    /// Bytes that may be in use.
    pub(super) fn budget(&self) -> usize {
        self.budget
    }

    /// Bytes in use at this moment.
    pub(super) fn in_use(&self) -> usize {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).in_use
    }

    /// A buffer of at least `want` bytes (at most [`SLAB_BYTES`]); waits while the budget is spent.
    pub(super) fn acquire(self: &Arc<Self>, want: usize) -> Buffer {
        let bytes = if want <= HEAP_BYTES_MAX {
            want.max(1)
        } else if want <= MIDDLE_BYTES {
            MIDDLE_BYTES
        } else {
            SLAB_BYTES
        };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // One buffer is always to be had: charges alone may exceed the budget for a moment.
        while free.in_use > 0 && free.in_use + bytes > self.budget {
            free.waiting += 1;
            let waited = self.returned.wait_timeout(free, LOOK_AGAIN);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
            free.waiting -= 1;
        }
        free.in_use += bytes;
        let reused = match bytes {
            MIDDLE_BYTES => free.middle.pop(),
            SLAB_BYTES => free.slabs.pop(),
            _ => None,
        };
        drop(free);
        let memory = match reused {
            Some(map) => Memory::Map(map),
            None if bytes <= HEAP_BYTES_MAX => Memory::Heap(vec![0; bytes]),
            // Without a map the allocator serves as well.
            None => {
                MmapMut::map_anon(bytes).map_or_else(|_| Memory::Heap(vec![0; bytes]), Memory::Map)
            }
        };
        Buffer { memory: Some(memory), bytes, pool: Arc::clone(self) }
    }

    /// After memory was given back: wakes who waits for some, if there is enough of it.
    fn wake(&self, free: MutexGuard<'_, Free>) {
        let is_enough = free.in_use <= self.budget - self.budget / WOKEN_AT;
        let is_due = free.waiting > 0 && is_enough;
        drop(free);
        if is_due {
            self.returned.notify_all();
        }
    }
}

impl Buffer {
    /// Ends writing; slices of the result share the memory.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Some(Memory::Heap(heap)) => heap,
            Some(Memory::Map(map)) => map,
            None => &[],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Some(Memory::Heap(heap)) => heap,
            Some(Memory::Map(map)) => map,
            None => &mut [],
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.in_use -= self.bytes;
        if let Some(Memory::Map(map)) = self.memory.take() {
            match self.bytes {
                MIDDLE_BYTES => free.middle.push(map),
                _ => free.slabs.push(map),
            }
            // Free maps count too: both sizes together stay within the budget.
            let kept = |free: &Free| {
                free.middle.len() * MIDDLE_BYTES + free.slabs.len() * SLAB_BYTES + free.in_use
            };
            while kept(&free) > self.pool.budget {
                if free.slabs.pop().is_none() && free.middle.pop().is_none() {
                    break;
                }
            }
        }
        self.pool.wake(free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let pool = Pool::new(0);
        let first: Vec<_> = (0..3).map(|_| pool.acquire(SLAB_BYTES)).collect();
        let mut charge = Charge::new(&pool);
        charge.add(1000);
        let slice = pool.acquire(900_000).freeze().slice(10..20);
        charge.add(SLAB_BYTES - 1000 - MIDDLE_BYTES);
        assert_eq!(pool.in_use(), 4 * SLAB_BYTES);
        let other = Arc::clone(&pool);
        let waits = std::thread::spawn(move || other.acquire(100).len());
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waits.is_finished());
        drop(slice);
        assert_eq!(waits.join().ok(), Some(100));
        drop(charge);
        drop(first);
        assert_eq!(pool.in_use(), 0);
    }
}
