//! Room in memory: whoever is about to need much of it says how much, and waits until it is free.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::http::Problem;
use crate::http::limits::PLACE_PATIENCE;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Room {
    bytes: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Room {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { bytes, free: Mutex::new(bytes), freed: Condvar::new() }
    }

    /// Takes `bytes`, or all there is if that is less: what is larger than the room has it alone. Blocks
    /// while others have it. Whoever waits here must not hold room: two such would wait for each other.
    ///
    /// # Errors
    /// 503 if none becomes free in time.
    pub(crate) fn take(&self, bytes: u64) -> Result<Taken<'_>, Problem> {
        let bytes = bytes.min(self.bytes);
        let until = Instant::now() + PLACE_PATIENCE;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Problem::busy("the server has more to do than it may"));
            }
            let waited = self.freed.wait_timeout(free, left);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= bytes;
        Ok(Taken { room: self, bytes })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.room.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_more_is_out_than_there_is() {
        let room = Room::new(10);
        let out = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for n in 0..32_u64 {
                let (room, out) = (&room, &out);
                scope.spawn(move || {
                    let wanted = n % 12; // some more than there is
                    let taken = room.take(wanted).unwrap();
                    assert!(out.fetch_add(taken.bytes, Ordering::SeqCst) + taken.bytes <= 10);
                    std::thread::yield_now();
                    out.fetch_sub(taken.bytes, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(*room.free.lock().unwrap(), 10);
    }
}
