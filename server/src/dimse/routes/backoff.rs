//! Pauses between tries: longer each time, up to a bound, and never quite the same, so that what
//! failed together does not come back together.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The pause after a try that failed; `tries` before it failed as well.
pub(super) fn pause(first: Duration, longest: Duration, tries: u32) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(tries.min(31)).unwrap_or(u32::MAX));
    // A hasher with a random key is all the chance that is needed.
    let chance = RandomState::new().build_hasher().finish() % 1000;
    doubled.min(longest).mul_f64(0.75 + chance as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_differ() {
        let (first, longest) = (Duration::from_secs(2), Duration::from_secs(60));
        for tries in [0, 1, 4, 5, 31, 32, u32::MAX] {
            let exact = (2.0 * 2_f64.powi(tries.min(40).cast_signed())).min(60.0);
            for _ in 0..50 {
                let pause = pause(first, longest, tries).as_secs_f64();
                assert!((exact * 0.75 - 1e-6..exact * 1.25 + 1e-6).contains(&pause), "{pause}");
            }
        }
        let some: std::collections::BTreeSet<_> =
            (0..50).map(|_| pause(first, longest, 3)).collect();
        assert!(some.len() > 10);
    }
}
