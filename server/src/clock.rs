//! What time it is, since 1970. A clock set before that is at 0.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn since() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// In seconds.
pub(crate) fn now() -> u64 {
    since().as_secs()
}

/// In milliseconds.
pub(crate) fn now_ms() -> u64 {
    since().as_millis() as u64
}
