//! Memory for what is decoded.
//!
//! Frames come and go by the thousand, all of one length. Asking the system for each, and giving it back,
//! takes a fifth of the time of reading them: pages have to be found, cleared and mapped. So some of it
//! is kept for the next. It holds what was decoded before, but nobody sees that: what is handed out was
//! written by the decoder, and has to have its name.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};

use crate::limits::DECODED_KEPT_BYTES;

/// From this length on memory is asked of the system in one piece, and filled in by it at once, rather
/// than page by page as it is first written to. What is shorter comes from memory that was used before.
const MAPPED_BYTES_MIN: usize = 128 << 10;

/// Memory that nobody uses now, the last used last.
static KEPT: Mutex<Vec<MmapMut>> = Mutex::new(Vec::new());

/// Memory that is given back when it is not needed any more.
struct Lent {
    /// `None` only while it is dropped.
    mapped: Option<MmapMut>,
    bytes: usize,
}

impl Lent {
    /// At least so many bytes, with anything in them.
    fn new(bytes: usize) -> Option<Self> {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        // What is much longer would be wasted on it.
        let fits = |one: &MmapMut| one.len() >= bytes && one.len() - bytes <= bytes / 4;
        let place = kept.iter().rposition(fits);
        let mapped = place.map(|place| kept.remove(place));
        drop(kept);
        let mapped = match mapped {
            Some(mapped) => mapped,
            None => MmapOptions::new().len(bytes).populate().map_anon().ok()?,
        };
        Some(Self { mapped: Some(mapped), bytes })
    }

    fn as_mut(&mut self) -> &mut [u8] {
        self.mapped.as_mut().map_or(&mut [], |mapped| &mut mapped[..self.bytes])
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.mapped.as_ref().map_or(&[], |mapped| &mapped[..self.bytes])
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mapped) = self.mapped.take() else { return };
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = mapped.len();
        if sum > DECODED_KEPT_BYTES {
            return;
        }
        kept.push(mapped);
        // The newest stay: they are still in the processor's caches, and of the length in use.
        let from_end = kept.iter().rev().skip(1);
        let stay = 1 + from_end
            .take_while(|one| {
                sum += one.len();
                sum <= DECODED_KEPT_BYTES
            })
            .count();
        let count = kept.len() - stay;
        let surplus: Vec<MmapMut> = kept.drain(..count).collect();
        drop(kept);
        // Unmapping takes its time, and others wait for the lock.
        drop(surplus);
    }
}

/// `bytes` bytes that `fill` wrote: all of them, if it says that it is done. It finds anything in them.
pub(super) fn filled<E>(
    bytes: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Bytes, E> {
    if bytes >= MAPPED_BYTES_MIN
        && let Some(mut lent) = Lent::new(bytes)
    {
        fill(lent.as_mut())?;
        return Ok(Bytes::from_owner(lent));
    }
    let mut plain = vec![0; bytes];
    fill(&mut plain)?;
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn short_and_long_are_filled_or_fail() {
        for bytes in [0, 1, MAPPED_BYTES_MIN - 1, MAPPED_BYTES_MIN, MAPPED_BYTES_MIN * 3 + 1] {
            let made = filled(bytes, |plain| {
                assert_eq!(plain.len(), bytes);
                plain.fill(7);
                Ok::<_, ()>(())
            });
            assert_eq!(made.unwrap(), vec![7; bytes]);
            assert_eq!(filled(bytes, |_| Err("no")).unwrap_err(), "no");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_two_never_share_it() {
        let fill = |value: u8| {
            move |plain: &mut [u8]| {
                plain.fill(value);
                Ok::<_, ()>(())
            }
        };
        let length = 1 << 20;
        let sum = || {
            let kept = KEPT.lock().unwrap();
            kept.iter().map(|one| one.len()).sum::<usize>()
        };
        for round in 0..3 {
            let all: Vec<Bytes> =
                (0..80).map(|n| filled(length - n, fill(n as u8)).unwrap()).collect();
            for (n, one) in all.iter().enumerate() {
                assert!(one.len() == length - n && one.iter().all(|byte| *byte == n as u8));
            }
            // A part of one keeps all of it from being used again.
            let part = all[5].slice(10..20);
            drop(all);
            let again: Vec<Bytes> = (0..80).map(|_| filled(length, fill(200)).unwrap()).collect();
            assert_eq!(part, vec![5; 10], "{round}");
            drop(again);
            assert!(sum() <= DECODED_KEPT_BYTES, "{}", sum());
        }
        // What is longer than all that may be kept goes at once.
        drop(filled(DECODED_KEPT_BYTES + 1, fill(1)).unwrap());
        assert!(sum() <= DECODED_KEPT_BYTES);
    }
}
