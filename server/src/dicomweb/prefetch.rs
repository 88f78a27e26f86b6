//! Frames that are about to be asked for: whoever takes frames in order finds the next ones decoded in
//! the store's cache.
//!
//! Only a second frame in a row shows an order, so a look at one frame costs nothing more. Few are read
//! at once, and none while the threads are busy with that: it must not take time from who is waiting.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_chunker::id::DatasetHash;

use super::image::Image;

/// Instances whose last frame is remembered.
const REMEMBERED_MAX: usize = 64;
/// Frames that are read ahead.
const FRAMES_AHEAD: u64 = 2;
/// Longer frames are not: they would push others out of the cache.
const FRAME_BYTES_MAX: u64 = 4 << 20;
/// Reads at once.
const READS_MAX: usize = 2;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Prefetch {
    last: Mutex<VecDeque<(DatasetHash, u64)>>,
    reads: Arc<AtomicUsize>,
}

impl Prefetch {
    /// Frame `index` was asked for. Is it the one behind the frame that was asked for before?
    fn in_order(&self, dataset: DatasetHash, index: u64) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let place = last.iter().position(|(known, _)| *known == dataset);
        let before = place.and_then(|place| last.remove(place)).map(|(_, index)| index);
        if last.len() >= REMEMBERED_MAX {
            last.pop_front();
        }
        last.push_back((dataset, index));
        before.is_some_and(|before| before + 1 == index)
    }

    /// Frame `index` of an image is being sent: begins to read what will be wanted next.
    pub(crate) fn after(&self, image: &Image, index: u64) {
        let frames = &image.manifest.frames;
        let length = frames.range(index).map_or(u64::MAX, |range| range.end - range.start);
        if !self.in_order(image.version.dataset_hash, index) || length > FRAME_BYTES_MAX {
            return;
        }
        if self.reads.fetch_add(1, Ordering::Relaxed) >= READS_MAX {
            self.reads.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (image, reads) = (image.clone(), Arc::clone(&self.reads));
        rayon::spawn(move || {
            let ahead = index + 1..image.manifest.frames.count().min(index + 1 + FRAMES_AHEAD);
            // What is damaged is told when it is asked for; a panic here must not end the process.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                ahead.map(|next| image.raw(next)).take_while(Result::is_ok).count()
            }));
            reads.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_shows_with_the_second_frame() {
        let prefetch = Prefetch::default();
        let (one, two) = (DatasetHash([1; 32]), DatasetHash([2; 32]));
        assert!(!prefetch.in_order(one, 4));
        assert!(!prefetch.in_order(two, 5));
        assert!(prefetch.in_order(one, 5) && prefetch.in_order(two, 6));
        assert!(!prefetch.in_order(one, 7) && !prefetch.in_order(one, 6));
        for n in 3..=REMEMBERED_MAX as u8 + 3 {
            prefetch.in_order(DatasetHash([n; 32]), 0);
        }
        assert!(!prefetch.in_order(one, 7));
        assert_eq!(prefetch.last.lock().map(|last| last.len()).ok(), Some(REMEMBERED_MAX));
    }
}
