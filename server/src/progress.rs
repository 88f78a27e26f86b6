//! How far a long command is: a bar on a terminal, a line now and then elsewhere with `-v`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, size};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often whoever reports should do so.
pub(crate) const TICK: Duration = Duration::from_millis(200);

const TEMPLATE: &str = "{prefix} {bar:16} {decimal_bytes}/{decimal_total_bytes} \
                        {decimal_bytes_per_sec}, {eta} left  {wide_msg}";

/// See the [module](self). Bytes are the measure.
pub(crate) struct Progress {
    what: &'static str,
    begun: Instant,
    bar: Option<ProgressBar>,
    /// When the last line was written, where lines are.
    line: Option<Mutex<Instant>>,
}

impl Progress {
    pub(crate) fn new(output: &Output, what: &'static str) -> Self {
        let begun = Instant::now();
        let bar = output.shows_progress().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(what);
            bar
        });
        let line =
            (bar.is_none() && output.verbose > 0 && !output.quiet).then(|| Mutex::new(begun));
        Self { what, begun, bar, line }
    }

    /// Does anybody look?
    pub(crate) fn is_shown(&self) -> bool {
        self.bar.is_some() || self.line.is_some()
    }

    /// Shows where things are. `total_bytes` may still grow.
    pub(crate) fn at(&self, done_bytes: u64, total_bytes: u64, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total_bytes.max(done_bytes));
            bar.set_position(done_bytes);
            bar.set_message(message.to_owned());
        }
        let Some(last) = &self.line else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() < LINE_EVERY {
            return;
        }
        *last = Instant::now();
        let rate = done_bytes as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        eprintln!(
            "{}: {} of {}, {}/s; {message}",
            self.what,
            size(done_bytes),
            size(total_bytes.max(done_bytes)),
            size(rate as u64)
        );
    }

    /// All is read, and something is still to be done.
    pub(crate) fn finishing(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
