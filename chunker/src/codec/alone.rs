//! Whether parts of a chunk go to other threads of the pool.

use std::cell::Cell;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` so that the calling thread codes and decodes whole chunks by itself.
///
/// Where every thread has a chunk of its own, to part them gains nothing: whoever waits for a part works on
/// another chunk meanwhile, with what it had in its caches gone, and on a deeper stack.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    let _before = Before(ALONE.replace(true));
    work()
}

/// What the thread was told before; also after a panic.
struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        ALONE.set(self.0);
    }
}

/// Is this one of several threads that may have parts of a chunk?
pub(super) fn is_pooled() -> bool {
    !ALONE.get() && rayon::current_thread_index().is_some() && rayon::current_num_threads() > 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_thread_is_alone_for_as_long_as_it_was_told() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        assert!(!is_pooled());
        pool.install(|| {
            assert!(is_pooled());
            alone(|| {
                assert!(!alone(is_pooled));
                assert!(!is_pooled());
            });
            assert!(is_pooled());
            let panicked = std::panic::catch_unwind(|| alone(|| panic!("on purpose")));
            assert!(panicked.is_err() && is_pooled());
        });
    }
}
