//! A study of another site, fetched under a grant and proven against the root that its owner registered.
//!
//! record → manifests → what is missing → chunks → instances → receipt
//!
//! Nothing is believed: the record's leaves have to make the registered root; a manifest has to have the
//! hash that the owner signed, and be of its leaf; a chunk has to have its name before it is written; a
//! data set has to have its registered hash, or it never becomes an instance. Several lanes ask at once,
//! so that a long line is full. What came and is not part of an instance yet is kept on disk, so a
//! fetch that broke goes on where it was.

mod assemble;
mod borrow;
mod choose;
mod demand;
mod emergency;
mod error;
mod granted;
mod lane;
mod lineage;
mod plan;
mod prefetch;
mod receipt;
mod retention;
mod stage;
mod takeover;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_chunker::id::LeafHash;
use cairn_ledger::entry::Purpose;
use cairn_ledger::id::{Link, SiteId};
use cairn_ledger::opening::Opening;
use cairn_store::catalog::editions::{FetchState, Fetched as FetchedRow};
use cairn_store::commit::Source;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use self::borrow::Borrower;
pub(crate) use self::choose::{Consented, Wish};
pub(crate) use self::demand::{Demands, by_consent, keep_receipts, on_demand, on_wish};
pub(crate) use self::emergency::{in_an_emergency, open_glass};
pub(crate) use self::error::Error;
pub(crate) use self::granted::Granted;
use self::plan::Plan;
pub(crate) use self::prefetch::prefetch;
pub(crate) use self::retention::{give_back, next_end};
use self::stage::Stage;
pub(crate) use self::takeover::{TakeOver, TakenOver, take_over};
use crate::clock::now_ms;
use crate::http::App;
use crate::peer::wire::record::{Expected, InstanceRecord, StudyRecord};
use crate::peer::{Client, Subject};
use crate::sharing::Site;

/// How soon a wait notices that somebody asked to stop.
const INTERRUPT_EVERY: Duration = Duration::from_millis(50);
/// Pauses between tries to get the record of a study.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// What is to be fetched.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Whose study.
    pub(crate) owner: SiteId,
    /// Which version of it, and what for.
    pub(crate) subject: Subject,
    /// The grant, or what stands for one.
    pub(crate) right: Link,
    /// What the owner committed to.
    pub(crate) opening: Opening,
    /// For how long what comes may be kept.
    pub(crate) tenure: Tenure,
    /// May bytes come straight from the owner's bucket?
    pub(crate) from_bucket: bool,
}

/// For how long what comes under a right may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// For good; what was only entrusted before may be kept as well.
    Kept,
    /// As long as the grant lasts.
    Entrusted,
    /// For good: it is this site's from now on. What it says then is the receipt.
    Handed,
    /// For good, but what was entrusted before stays so: an emergency is no way around a grant.
    Emergency,
}

/// How.
#[derive(Clone)]
pub(crate) struct Options {
    /// Connections at once.
    pub(crate) lanes: usize,
    /// It ends if nothing came for so long.
    pub(crate) patience: Duration,
    /// Where the same is being fetched already: is it waited for, and then looked at again?
    pub(crate) in_turn: bool,
    /// Has somebody asked to stop?
    pub(crate) interrupted: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        let interrupted = Arc::new(|| false);
        Self { lanes: 6, patience: Duration::from_secs(60), in_turn: true, interrupted }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Instances of the study.
    pub(crate) instances: u64,
    /// Of which are here.
    pub(crate) instances_here: u64,
    /// Length of the study's data sets.
    pub(crate) bytes: u64,
    /// Of those that are here.
    pub(crate) bytes_here: u64,
    /// Bytes that came over the network.
    pub(crate) bytes_moved: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// Study Instance UID.
    pub(crate) study_uid: String,
    /// The root that everything was proven against.
    pub(crate) root: String,
    /// Instances of the study.
    pub(crate) instances: u64,
    /// Of which were here before.
    pub(crate) instances_held: u64,
    /// Length of the study's data sets.
    pub(crate) bytes: u64,
    /// Bytes that came over the network.
    pub(crate) bytes_moved: u64,
    /// Of which came straight from the owner's bucket.
    pub(crate) bytes_from_bucket: u64,
    /// Plain bytes of manifests and chunks that came.
    pub(crate) bytes_fetched: u64,
    /// Bytes of the data sets that did not have to come, since they were here.
    pub(crate) bytes_saved: u64,
    /// From the first question to the last instance.
    pub(crate) seconds: f64,
    /// To the first instance.
    pub(crate) first_seconds: f64,
    /// Is the receipt on both ledgers?
    pub(crate) receipt: bool,
    /// What its owner attests of the checks on that version, in a word, if that is known.
    pub(crate) verdict: Option<String>,
}

/// A fetch under way, shared by its lanes.
struct Fetching {
    app: Arc<App>,
    runtime: Handle,
    subject: Subject,
    source: Source,
    record: StudyRecord,
    /// Places in the record, to find an instance by.
    places: Vec<(usize, usize)>,
    plan: Plan,
    borrower: Option<Borrower>,
    interrupted: Arc<dyn Fn() -> bool + Send + Sync>,
    patience: Duration,
    begun: Instant,
    moved: AtomicU64,
    fetched: AtomicU64,
    answers: Mutex<Answers>,
    changed: Condvar,
}

/// What the archive said.
#[derive(Debug)]
struct Answers {
    waiting: u64,
    taken: u64,
    taken_bytes: u64,
    refused: Option<(u64, String)>,
    first: Option<Duration>,
    alive: Instant,
}

impl Fetching {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance(&self, place: u32) -> Result<&InstanceRecord, Error> {
        let place = self.places.get(place as usize).copied();
        place
            .and_then(|(series, at)| self.record.series.get(series)?.instances.get(at))
            .ok_or(Error::Lie("it sent more instances than the study has"))
    }

    /// Something came.
    fn alive(&self) {
        self.answers().alive = Instant::now();
    }

    /// Has nothing come for too long?
    fn is_hopeless(&self) -> bool {
        self.answers().alive.elapsed() > self.patience
    }

    fn handed_in(&self) {
        self.answers().waiting += 1;
    }

    /// About an instance with a data set so long.
    fn answered(&self, bytes: u64) {
        let mut answers = self.answers();
        answers.waiting -= 1;
        answers.taken += 1;
        answers.taken_bytes += bytes;
        answers.first.get_or_insert(self.begun.elapsed());
        drop(answers);
        self.changed.notify_all();
    }

    fn not_taken(&self, why: &str) {
        let mut answers = self.answers();
        let refused = answers.refused.get_or_insert_with(|| (0, why.to_owned()));
        refused.0 += 1;
    }

    /// Waits until the archive has answered for everything.
    fn wait_for_answers(&self) {
        let mut answers = self.answers();
        while answers.waiting > 0 {
            if let Ok(ingest) = self.app.ingest() {
                ingest.hurry();
            }
            let waited = self.changed.wait_timeout(answers, INTERRUPT_EVERY);
            answers = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Fetches a version of a study. Blocks; called with a runtime at hand, not on a thread of it.
pub(crate) fn run(
    app: &Arc<App>,
    site: &Arc<Site>,
    order: &Order,
    options: &Options,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Finished, Error> {
    let begun = Instant::now();
    let Subject { study, version, .. } = order.subject;
    let (demanded, demands) = ((order.owner, study, version), &app.demands);
    let _claim = if options.in_turn {
        let claim = demands.claim_in_turn(demanded, &*options.interrupted);
        claim.ok_or(Error::Interrupted)?
    } else {
        demands.claim(demanded).ok_or(Error::UnderWay)?
    };
    let client = site.client(&order.owner).map_err(|error| Error::NoGrant(error.to_string()))?;
    // Lanes connect while the record comes: a handshake takes three round trips.
    let lanes: Vec<Client> = (0..options.lanes.max(1)).map(|_| client.fork()).collect();
    for lane in lanes.clone() {
        Handle::current().spawn(async move { lane.warm().await });
    }
    let record = record(site, &client, order, options)?;
    let held_instances = held_instances(app, &record)?;
    let mut row = row(app, site, order, &record)?;
    app.store.catalog().editions().put_fetched(&row)?;

    let todo: Vec<u32> =
        (0..).zip(&held_instances).filter(|(_, held)| !**held).map(|(at, _)| at).collect();
    let from_owner = app.store.catalog().editions().all_fetched(None)?;
    let mut others: Vec<String> = from_owner
        .into_iter()
        .filter(|row| row.owner == order.owner.0 && row.state != FetchState::UnderWay)
        .map(|row| row.study_uid)
        .collect();
    others.reverse();
    let held = lineage::held(&app.store, &record.study_uid, &others)?;
    let directory = site.stage(&order.subject.study, order.subject.version);
    let plan = Plan::new(&todo, held, Stage::open(&directory).map_err(Error::Stage)?);

    let places = record.series.iter().enumerate();
    let places = places.flat_map(|(at, series)| (0..series.instances.len()).map(move |n| (at, n)));
    let instances = held_instances.len() as u64;
    let bytes = record.instances().map(|(_, instance)| instance.leaf.dataset_bytes).sum();
    let instances_held = instances - todo.len() as u64;
    let lengths = record.instances().map(|(_, instance)| instance.leaf.dataset_bytes);
    let held_lengths = lengths.zip(&held_instances).filter(|(_, held)| **held);
    let bytes_held: u64 = held_lengths.map(|(bytes, _)| bytes).sum();
    let fetching = Arc::new(Fetching {
        app: Arc::clone(app),
        runtime: Handle::current(),
        subject: order.subject,
        source: if order.tenure == Tenure::Entrusted { Source::Entrusted } else { Source::Peer },
        places: places.collect(),
        record,
        plan,
        borrower: Borrower::new(site, order),
        interrupted: Arc::clone(&options.interrupted),
        patience: options.patience,
        begun,
        moved: AtomicU64::new(0),
        fetched: AtomicU64::new(0),
        answers: Mutex::new(Answers {
            waiting: 0,
            taken: 0,
            taken_bytes: 0,
            refused: None,
            first: None,
            alive: Instant::now(),
        }),
        changed: Condvar::new(),
    });
    let progress = |fetching: &Fetching| {
        let answers = fetching.answers();
        Progress {
            instances,
            instances_here: instances_held + answers.taken,
            bytes,
            bytes_here: bytes_held + answers.taken_bytes,
            bytes_moved: fetching.moved.load(Ordering::Relaxed),
        }
    };
    run_lanes(&fetching, lanes, &|fetching| tell(progress(fetching)));
    fetching.wait_for_answers();
    tell(progress(&fetching));

    let bytes_from_bucket = fetching.borrower.as_ref().map_or(0, Borrower::moved);
    let failure = fetching.plan.failure();
    let (moved, came) =
        (fetching.moved.load(Ordering::Relaxed), fetching.fetched.load(Ordering::Relaxed));
    row.bytes_moved += moved;
    if let Some(error) = failure {
        app.store.catalog().editions().put_fetched(&row)?;
        if error.is_lie() {
            receipt::mismatch(app, site, &client, &row)?;
        }
        return Err(error);
    }
    let (refused, first) = {
        let mut answers = fetching.answers();
        (answers.refused.take(), answers.first)
    };
    if let Some((count, why)) = refused {
        return Err(Error::NotTaken(count, why));
    }
    if let Some(missing) = held_instances_missing(app, &fetching.record)? {
        return Err(Error::NotTaken(
            missing,
            "the archive shows other content under its UID".into(),
        ));
    }
    if matches!(order.tenure, Tenure::Kept | Tenure::Handed) {
        retention::keep(app, &fetching.record)?;
    }
    row.state = FetchState::ReceiptDue;
    row.ended_ms = now_ms();
    row.bytes_saved = bytes_saved(bytes, came);
    app.store.catalog().editions().put_fetched(&row)?;
    let seconds = begun.elapsed().as_secs_f64();
    fetching.plan.clear();
    let receipt = if order.tenure == Tenure::Handed {
        row.state = FetchState::Receipted;
        app.store.catalog().editions().put_fetched(&row)?;
        false
    } else {
        receipt::exchange(app, site, &client, &mut row)?
    };
    Ok(Finished {
        study_uid: row.study_uid,
        root: row.root.to_string(),
        instances,
        instances_held,
        bytes,
        bytes_moved: moved,
        bytes_from_bucket,
        bytes_fetched: came,
        bytes_saved: row.bytes_saved,
        seconds,
        first_seconds: first.map_or(seconds, |first| first.as_secs_f64()),
        receipt,
        verdict: site.attested(&order.owner, &study, version).map(str::to_owned),
    })
}

/// What did not have to come. Manifests come beside the data sets, so it is never more than those.
fn bytes_saved(bytes: u64, came: u64) -> u64 {
    bytes.saturating_sub(came)
}

/// Runs the lanes, and tells how far they are.
fn run_lanes(fetching: &Arc<Fetching>, lanes: Vec<Client>, tell: &dyn Fn(&Fetching)) {
    const TELL_EVERY: Duration = Duration::from_millis(200);
    std::thread::scope(|scope| {
        let running: Vec<_> = lanes
            .into_iter()
            .map(|client| {
                scope.spawn(move || {
                    let _entered = fetching.runtime.enter();
                    lane::run(fetching, &client);
                })
            })
            .collect();
        let mut told = Instant::now();
        while running.iter().any(|lane| !lane.is_finished()) {
            if told.elapsed() >= TELL_EVERY {
                tell(fetching);
                told = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

/// What the record has to be.
fn expected(site: &Site, order: &Order) -> Result<Expected, Error> {
    let signer = site.with_federation(|federation| {
        let owner = federation.member(&order.owner)?;
        owner.state.keys().map(|keys| keys.sign)
    });
    let signer = signer.ok_or_else(|| Error::NoGrant("the owner's log is not known".into()))?;
    let Subject { study, version, .. } = order.subject;
    Ok(Expected { owner: order.owner, signer, study, version, root: order.opening.root })
}

/// The record of what is to be fetched, once the owner is there: proven against its commitment.
fn record(
    site: &Site,
    client: &Client,
    order: &Order,
    options: &Options,
) -> Result<StudyRecord, Error> {
    let expected = expected(site, order)?;
    let bytes =
        patiently(options, || Ok(Handle::current().block_on(client.record(&order.subject))?))?;
    Ok(StudyRecord::check(&bytes, &expected)?)
}

/// Tries again what may go better next time, as long as the options say.
fn patiently<T>(
    options: &Options,
    mut attempt: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let until = Instant::now() + options.patience;
    loop {
        match attempt() {
            Err(error) if error.is_passing() && Instant::now() < until => {
                if (options.interrupted)() {
                    return Err(Error::Interrupted);
                }
                std::thread::sleep(RETRY_EVERY);
            }
            done => return done,
        }
    }
}

/// A version that is here.
#[derive(Clone, Copy)]
struct Held {
    seq: u64,
    entrusted: bool,
}

/// Which instances are here, bit for bit, in the order of the record.
fn held_versions(app: &App, record: &StudyRecord) -> Result<Vec<Option<Held>>, Error> {
    let mut here: HashMap<(LeafHash, String), Held> = HashMap::new();
    app.store.catalog().study_versions(&record.study_uid, true, &mut |version| {
        if !version.deleted {
            let held = Held { seq: version.seq, entrusted: version.entrusted };
            here.insert((version.leaf_hash(), version.series_uid), held);
        }
        Ok(())
    })?;
    let held = |(series, instance): (&str, &InstanceRecord)| {
        here.get(&(instance.leaf.hash(), series.to_owned())).copied()
    };
    Ok(record.instances().map(held).collect())
}

fn held_instances(app: &App, record: &StudyRecord) -> Result<Vec<bool>, Error> {
    Ok(held_versions(app, record)?.iter().map(Option::is_some).collect())
}

/// How many are not.
fn held_instances_missing(app: &App, record: &StudyRecord) -> Result<Option<u64>, Error> {
    let missing = held_instances(app, record)?.into_iter().filter(|held| !held).count() as u64;
    Ok((missing > 0).then_some(missing))
}

/// What is written down of it before anything comes.
fn row(app: &App, site: &Site, order: &Order, record: &StudyRecord) -> Result<FetchedRow, Error> {
    let Subject { study, version, purpose } = order.subject;
    let known = app.store.catalog().editions().fetched(&order.owner.0, &study.0, version)?;
    // An access that broke off goes on as the same one.
    if let Some(known) = known
        && known.state == FetchState::UnderWay
        && known.right_sequence == order.right.sequence
        && known.right_site == order.right.site.0
    {
        return Ok(FetchedRow { study_uid: record.study_uid.clone(), ..known });
    }
    Ok(FetchedRow {
        owner: order.owner.0,
        study: study.0,
        version,
        root: order.opening.root,
        study_uid: record.study_uid.clone(),
        purpose: purpose_code(purpose),
        right_site: order.right.site.0,
        right_sequence: order.right.sequence,
        right_leaf: order.right.leaf.0,
        number: receipt::next_number(site, &order.right),
        state: FetchState::UnderWay,
        outcome: 0,
        instances: record.instances().count() as u64,
        bytes: record.instances().map(|(_, instance)| instance.leaf.dataset_bytes).sum(),
        bytes_moved: 0,
        bytes_saved: 0,
        began_ms: now_ms(),
        ended_ms: 0,
    })
}

fn purpose_code(purpose: Purpose) -> u8 {
    // The list has four.
    purpose.id() as u8
}
