//! Work done ahead of whoever sends its results: in order, on rayon's threads, and never more than a
//! few results at once, so that a slow client holds a few of them and a fast one waits for nobody.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};

use crate::http::Problem;

/// Something to be made.
pub(crate) type Job<T> = Box<dyn FnOnce() -> Result<T, Problem> + Send>;

/// See the [module](self). Dropped, it lets jobs that were begun end for nothing.
pub(crate) struct Ahead<T, I> {
    jobs: I,
    begun: VecDeque<Receiver<Result<T, Problem>>>,
    /// Results that are made or being made, beside the one that was handed out.
    depth: usize,
}

impl<T: Send + 'static, I: Iterator<Item = Job<T>>> Ahead<T, I> {
    /// Over `jobs`. Every thread has one to do, and one result lies ready.
    pub(crate) fn new(jobs: I) -> Self {
        Self::with_depth(jobs, rayon::current_num_threads() + 1)
    }

    /// The same with another bound: at least one.
    pub(crate) fn with_depth(jobs: I, depth: usize) -> Self {
        Self { jobs, begun: VecDeque::new(), depth: depth.max(1) }
    }

    fn begin(&mut self) {
        while self.begun.len() < self.depth {
            let Some(job) = self.jobs.next() else { return };
            let (sender, receiver) = sync_channel(1);
            rayon::spawn(move || {
                // A panic must not end the process, as it does on rayon's threads.
                let made = catch_unwind(AssertUnwindSafe(job));
                let made = made.unwrap_or_else(|_| Err(Problem::internal("a job panicked")));
                let _ = sender.send(made); // nobody waits any more: the client has gone
            });
            self.begun.push_back(receiver);
        }
    }
}

impl<T: Send + 'static, I: Iterator<Item = Job<T>>> Iterator for Ahead<T, I> {
    type Item = Result<T, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.begin();
        let first = self.begun.pop_front()?;
        let made = first.recv().unwrap_or_else(|_| Err(Problem::internal("a job was lost")));
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_and_few_at_once() {
        let begun = Arc::new(AtomicUsize::new(0));
        let jobs = (0..50_usize).map(|n| {
            let begun = Arc::clone(&begun);
            let job: Job<usize> = Box::new(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros((50 - n as u64) * 20));
                Ok(n)
            });
            job
        });
        for (n, made) in Ahead::with_depth(jobs, 4).enumerate() {
            assert_eq!(made.unwrap(), n);
            assert!(begun.load(Ordering::SeqCst) <= n + 4);
        }
    }

    #[test]
    fn a_panic_is_a_problem() {
        let jobs: Vec<Job<u8>> = vec![Box::new(|| Ok(1)), Box::new(|| panic!("told so"))];
        let mut ahead = Ahead::new(jobs.into_iter());
        assert_eq!(ahead.next().unwrap().unwrap(), 1);
        assert!(ahead.next().unwrap().is_err());
        assert!(ahead.next().is_none());
    }
}
