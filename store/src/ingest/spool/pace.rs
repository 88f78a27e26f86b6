//! When what is spooled is taken into the archive: while nobody sends, or when it cannot wait.

use std::time::Duration;

/// Senders that were heard of so recently are still sending: a scanner that waits for each answer
/// brings a slice every few milliseconds.
const QUIET: Duration = Duration::from_millis(50);
/// No object waits longer than this for a pause of the senders.
const AGE_MAX: Duration = Duration::from_secs(5);

/// What the decision rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Since an object last arrived.
    pub(super) since_arrival: Duration,
    /// Since the oldest object that waits arrived.
    pub(super) oldest: Duration,
    /// Bytes that wait.
    pub(super) backlog: u64,
    /// Bytes from which on senders are not given way any more.
    pub(super) high_water: u64,
}

impl Load {
    /// How long to give way; `None`: not at all.
    pub(super) fn pause(&self) -> Option<Duration> {
        let must = self.backlog >= self.high_water || self.oldest >= AGE_MAX;
        let left = QUIET.saturating_sub(self.since_arrival);
        (!must && !left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn load() -> Load {
        Load { since_arrival: ms(3), oldest: ms(700), backlog: 10, high_water: 100 }
    }

    #[test]
    fn senders_go_first_until_they_pause() {
        assert_eq!(load().pause(), Some(ms(47)));
        assert_eq!(Load { since_arrival: ms(49), ..load() }.pause(), Some(ms(1)));
        assert_eq!(Load { since_arrival: ms(50), ..load() }.pause(), None);
    }

    #[test]
    fn neither_the_spool_nor_anybody_waits_for_ever() {
        assert_eq!(Load { backlog: 100, ..load() }.pause(), None);
        assert_eq!(Load { oldest: ms(5000), ..load() }.pause(), None);
        // Switched off: what an earlier run left does not wait.
        assert_eq!(Load { backlog: 0, high_water: 0, ..load() }.pause(), None);
    }
}
