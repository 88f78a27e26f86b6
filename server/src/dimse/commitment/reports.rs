//! Reports that are owed, and the thread that brings them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};

use super::line::Line;
use super::report;
use crate::dicomweb::commitment::verdict::{Reported, Verdict};
use crate::dimse::command::field;
use crate::dimse::pdu::Role;
use crate::dimse::scu::{Scu, Wanted};
use crate::dimse::service::STORAGE_COMMITMENT;
use crate::dimse::{Dimse, identifier, status};
use crate::http::Problem;

/// Reports under way at once; each holds the references of its request.
const REPORTS_MAX: usize = 10_000;
/// How long one attempt waits for the bucket.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the peer of an open association may take to answer a report, before it is called anew.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Between the first attempts; twice as long after each,
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// and never longer than this.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// After this a report is left: the request stays in the catalog, and a restart tries again.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
/// How often the thread looks whether the server ends.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One that is owed.
pub(super) struct Report {
    transaction: String,
    reported: Reported,
    line: Option<Arc<Line>>,
    begun: Instant,
    due: Instant,
    tries: u32,
}

impl Report {
    pub(super) fn new(transaction: String, reported: Reported, line: Option<&Arc<Line>>) -> Self {
        let now = Instant::now();
        let line = line.map(Arc::clone);
        Self { transaction, reported, line, begun: now, due: now, tries: 0 }
    }
}

/// See the [module](self).
#[derive(Default)]
pub(in crate::dimse) struct Reports {
    owed: Mutex<VecDeque<Report>>,
    changed: Condvar,
}

/// What became of an attempt.
enum Attempt {
    Delivered,
    /// Not yet: try again.
    Later(&'static str),
    /// There is nobody to tell.
    Nobody,
}

impl Reports {
    /// Are there so many that no more are taken?
    pub(super) fn is_full(&self) -> bool {
        self.owed().len() >= REPORTS_MAX
    }

    /// Owes one more.
    pub(super) fn add(&self, report: Report) {
        self.owed().push_back(report);
        self.changed.notify_all();
    }

    fn owed(&self) -> MutexGuard<'_, VecDeque<Report>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings reports until the server ends. Those of an earlier run come first.
    pub(in crate::dimse) fn run(&self, dimse: &Dimse) {
        match dimse.app.store.catalog().open_commitments() {
            Ok(open) => {
                for (transaction, request) in open {
                    if let Some(reported) = Reported::decode(&request) {
                        self.add(Report::new(transaction, reported, None));
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "open commitments could not be listed"),
        }
        while !dimse.is_stopping() {
            let Some(report) = self.next_due() else { continue };
            self.attempt(dimse, report);
        }
    }

    /// The next report that is due, waited for a moment.
    fn next_due(&self) -> Option<Report> {
        let mut owed = self.owed();
        let place = |owed: &VecDeque<Report>| {
            let now = Instant::now();
            owed.iter().position(|report| report.due <= now)
        };
        if place(&owed).is_none() {
            let waited = self.changed.wait_timeout(owed, LOOK_EVERY);
            owed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let place = place(&owed)?;
        owed.remove(place)
    }

    fn attempt(&self, dimse: &Dimse, mut report: Report) {
        let why = match deliver(dimse, &report) {
            Ok(Attempt::Delivered) => return dimse.app.metrics.dimse.report("delivered"),
            Ok(Attempt::Nobody) => {
                tracing::warn!("a storage commitment cannot be reported: the peer is not known");
                return dimse.app.metrics.dimse.report("nobody");
            }
            Ok(Attempt::Later(why)) => why,
            Err(problem) => {
                let detail = problem.detail.as_deref().unwrap_or("");
                tracing::warn!(detail, "a storage commitment could not be looked up");
                "the archive does not answer"
            }
        };
        dimse.app.metrics.dimse.report("retried");
        tracing::debug!(why, tries = report.tries, "a report of storage commitment is tried again");
        if report.begun.elapsed() > GIVE_UP {
            tracing::warn!("a storage commitment could not be reported for a day");
            return dimse.app.metrics.dimse.report("left");
        }
        let pause = RETRY_FIRST.saturating_mul(1 << report.tries.min(16)).min(RETRY_MAX);
        report.tries += 1;
        report.due = Instant::now() + pause;
        self.owed().push_back(report);
    }
}

/// Looks up what can be said, and says it.
fn deliver(dimse: &Dimse, report: &Report) -> Result<Attempt, Problem> {
    let app = &dimse.app;
    let asked = &report.reported.asked;
    let mut verdict = Verdict::of(app, asked)?;
    if verdict.is_open() && app.ingest()?.archive(ARCHIVE_PATIENCE)? {
        verdict = Verdict::of(app, asked)?;
    }
    if verdict.is_open() {
        return Ok(Attempt::Later("not everything is in the bucket yet"));
    }
    let attempt = tell(dimse, report, &verdict);
    if matches!(attempt, Attempt::Delivered) {
        app.store.catalog().settle_commitment(&report.transaction, &verdict.encode())?;
    }
    Ok(attempt)
}

/// Over the association that is open, else over a new one.
fn tell(dimse: &Dimse, report: &Report, verdict: &Verdict) -> Attempt {
    let encoded = |syntax: &str| {
        let title = &dimse.settings.title;
        identifier::encode(report::attributes(verdict, &report.transaction, title), syntax)
    };
    if let Some(line) = &report.line
        && let Ok(data) = encoded(&line.context.transfer_syntax)
    {
        let answer = line.send(|id| report::command(verdict, id), &data, ANSWER_PATIENCE);
        if answer.is_some_and(|status| status::class(status) != "failure") {
            return Attempt::Delivered;
        }
    }
    let Some(peer) = dimse.settings.peer(&report.reported.report_to) else {
        return Attempt::Nobody;
    };
    let wanted = [EXPLICIT_LE, IMPLICIT_LE]
        .map(|syntax| Wanted { class: STORAGE_COMMITMENT.into(), transfer_syntax: syntax.into() });
    // This side asks for the association and is the SCP in it (PS3.4 §J.3.3).
    let roles = vec![Role { class: STORAGE_COMMITMENT.into(), scu: false, scp: true }];
    let mut scu = match Scu::open(&dimse.settings, peer, &wanted, roles) {
        Ok(scu) => scu,
        Err(why) => {
            tracing::warn!(to = peer.title, %why, "a storage commitment could not be reported");
            return Attempt::Later("the peer is out of reach");
        }
    };
    let Some(context) = scu.contexts.first().cloned() else {
        scu.release();
        return Attempt::Later("the peer takes no reports");
    };
    let Ok(data) = encoded(&context.transfer_syntax) else {
        scu.abort();
        return Attempt::Later("the report could not be encoded");
    };
    let sent = scu.outbound.message(context.id, &report::command(verdict, 1), &data);
    let Ok(answer) = sent.and_then(|()| scu.answer()) else {
        scu.abort();
        return Attempt::Later("the peer broke off");
    };
    scu.release();
    match answer.get(field::STATUS).map(status::class) {
        Some("failure") | None => Attempt::Later("the peer refuses the report"),
        Some(_) => Attempt::Delivered,
    }
}
