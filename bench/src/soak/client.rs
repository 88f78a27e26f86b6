//! A client that means well: it stores small studies, and reads back what it stored.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_dicom::phantom::{self, PhantomFile};

use super::Stage;
use super::tally::Tally;
use crate::dice::Dice;
use crate::dicomweb::{check_stored, uids};
use crate::instances::Instance;
use crate::multipart::{self, only_part};
use crate::web::{FRAMES, INSTANCES, JSON, Reply, Web};

/// Series that a client remembers, to read them again.
const SHELF_SERIES_MAX: usize = 64;
/// Longest wait before a request that got 503 is made again, whatever the server asked for.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long after the end a request that gets 503 is still tried.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seeds of a client's studies are this far from those of the next.
const SEEDS_EACH: u64 = 1 << 32;
/// What clients do, out of a hundred times; the rest is storing.
const INSTANCE: u64 = 20;
const FRAME: u64 = 40;
const METADATA: u64 = 55;
const SEARCH: u64 = 70;

/// What is remembered of an instance.
#[derive(Debug)]
struct Kept {
    path: String,
    sop: String,
    bytes: usize,
    hash: blake3::Hash,
    frames: Vec<blake3::Hash>,
}

/// A series that was acknowledged.
#[derive(Debug)]
struct Series {
    study: String,
    path: String,
    instances: Vec<Kept>,
}

/// See the [module](self).
pub(super) struct Client<'a> {
    web: Web,
    stage: &'a Stage,
    dice: Dice,
    next_seed: u64,
    shelf: Vec<Series>,
    tally: Tally,
}

impl<'a> Client<'a> {
    pub(super) fn new(index: u32, web: Web, stage: &'a Stage) -> Self {
        let next_seed = (u64::from(index) + 1) * SEEDS_EACH;
        let dice = Dice::new(next_seed);
        Self { web, stage, dice, next_seed, shelf: Vec::new(), tally: Tally::default() }
    }

    /// One request after the other until the deadline.
    pub(super) fn play(mut self) -> Tally {
        while Instant::now() < self.stage.deadline {
            if let Err(error) = self.act() {
                self.tally.error(format!("{error:#}"));
            }
        }
        self.tally
    }

    fn act(&mut self) -> Result<()> {
        let roll = self.dice.below(100);
        let may_store = self.stage.instances_left.load(Ordering::Relaxed) > 0;
        if self.shelf.is_empty() || roll >= SEARCH {
            if may_store {
                return self.store();
            }
            if self.shelf.is_empty() {
                std::thread::sleep(Duration::from_millis(100));
                return Ok(());
            }
        }
        let index = self.dice.below(self.shelf.len() as u64) as usize;
        match roll {
            0..INSTANCE => self.instance(index),
            INSTANCE..FRAME => self.frame(index),
            FRAME..METADATA => self.metadata(index),
            _ => self.search(index),
        }
    }

    /// Makes a request until it is answered with something other than 503.
    fn ask(
        &mut self,
        kind: &'static str,
        request: impl Fn(&Web) -> Result<Reply>,
    ) -> Result<Reply> {
        loop {
            let reply = request(&self.web).with_context(|| kind.to_owned())?;
            if reply.status != 503 || Instant::now() > self.stage.deadline + PATIENCE {
                self.tally.time(kind, reply.seconds);
                return Ok(reply);
            }
            *self.tally.busy.entry(kind).or_default() += 1;
            let wait = Duration::from_secs(reply.retry_after.unwrap_or(1)).min(RETRY_WAIT_MAX);
            std::thread::sleep(wait);
        }
    }

    /// A small study with UIDs of its own.
    fn study(&mut self) -> Vec<PhantomFile> {
        let seed = self.next_seed;
        self.next_seed += 1;
        let count = self.dice.below(4) as u32 + 1;
        match self.dice.below(4) {
            0 => phantom::ct(seed, count, 64).collect(),
            1 => phantom::mr(seed, count, 64).collect(),
            2 => vec![phantom::ultrasound_cine(seed, 8, 64)],
            _ => phantom::many_small(seed, u64::from(count)).collect(),
        }
    }

    fn store(&mut self) -> Result<()> {
        let files = self.study().into_iter();
        let instances: Vec<_> = files.filter_map(|file| Instance::of(file.bytes)).collect();
        let first = instances.first().context("a phantom is no instance")?;
        let (study, path) = (first.study.clone(), first.series_path());
        let body = multipart::body(instances.iter().map(|instance| &*instance.bytes));
        let kind = multipart::content_type();
        let reply = self.ask("store", |web| web.store(&kind, body.clone()))?;
        check_stored(&reply, instances.len())?;
        let instances: Vec<_> = instances.iter().map(Kept::of).collect();
        let stored = instances.len() as u64;
        // Others take from it too: it never goes below 0.
        let _ = self
            .stage
            .instances_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(stored)));
        self.tally.acknowledged.extend(instances.iter().map(|kept| kept.sop.clone()));
        let series = Series { study, path, instances };
        if self.shelf.len() < SHELF_SERIES_MAX {
            self.shelf.push(series);
        } else {
            let index = self.dice.below(self.shelf.len() as u64) as usize;
            self.shelf[index] = series;
        }
        Ok(())
    }

    fn instance(&mut self, index: usize) -> Result<()> {
        let kept = self.dice.pick(&self.shelf[index].instances).context("an empty series")?;
        let (path, bytes, hash) = (kept.path.clone(), kept.bytes, kept.hash);
        let reply = self.good("instance", &path, INSTANCES)?;
        let got = only_part(&reply.content_type, &reply.body)?;
        let is_same = got.len() == bytes && blake3::hash(got) == hash;
        ensure!(is_same, "an instance of {bytes} bytes came back as {} others", got.len());
        Ok(())
    }

    fn frame(&mut self, index: usize) -> Result<()> {
        let kept = self.dice.pick(&self.shelf[index].instances).context("an empty series")?;
        let frames = kept.frames.len() as u64;
        ensure!(frames > 0, "a phantom without frames");
        let frame = self.dice.below(frames) as usize;
        let kept = self.dice.pick(&self.shelf[index].instances).context("an empty series")?;
        // All instances of a series have as many frames.
        let hash = *kept.frames.get(frame).context("a frame too few")?;
        let path = format!("{}/frames/{}", kept.path, frame + 1);
        let reply = self.good("frame", &path, FRAMES)?;
        let got = only_part(&reply.content_type, &reply.body)?;
        ensure!(blake3::hash(got) == hash, "a frame came back as {} other bytes", got.len());
        Ok(())
    }

    fn metadata(&mut self, index: usize) -> Result<()> {
        let path = format!("{}/metadata", self.shelf[index].path);
        let reply = self.good("metadata", &path, JSON)?;
        let found = uids(&reply.body, "00080018")?;
        let instances = self.shelf[index].instances.iter();
        let expected: BTreeSet<_> = instances.map(|kept| kept.sop.clone()).collect();
        ensure!(found == expected, "metadata of {} instances of {}", found.len(), expected.len());
        Ok(())
    }

    /// The study by its UID, or its instances.
    fn search(&mut self, index: usize) -> Result<()> {
        let series = &self.shelf[index];
        let (study, instances) = (series.study.clone(), series.instances.len());
        let (path, tag, expected) = if self.dice.below(2) == 0 {
            (format!("/studies?StudyInstanceUID={study}"), "0020000D", 1)
        } else {
            (format!("/studies/{study}/instances"), "00080018", instances)
        };
        let reply = self.good("search", &path, JSON)?;
        let found = uids(&reply.body, tag)?;
        ensure!(found.len() == expected, "{} found, not {expected}", found.len());
        Ok(())
    }

    /// A request that has to be answered with 200.
    fn good(&mut self, kind: &'static str, path: &str, accept: &str) -> Result<Reply> {
        let reply = self.ask(kind, |web| web.get(path, accept))?;
        ensure!(reply.status == 200, "{kind}: status {}", reply.status);
        Ok(reply)
    }
}

impl Kept {
    fn of(instance: &Instance) -> Self {
        let frames = 0..instance.native_frames();
        Self {
            path: instance.path(),
            sop: instance.sop.clone(),
            bytes: instance.bytes.len(),
            hash: blake3::hash(&instance.bytes),
            frames: frames.filter_map(|at| instance.frame(at)).map(blake3::hash).collect(),
        }
    }
}
