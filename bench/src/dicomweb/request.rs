//! The requests that are timed, and the checks of what they bring.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::dice::Dice;
use crate::instances::{Instance, Set};
use crate::multipart::{self, only_part, parts};
use crate::service::Service;
use crate::web::{FRAMES, INSTANCES, INSTANCES_EXPLICIT, JSON, Reply};

/// Instances in a request that stores.
pub(super) const STORE_INSTANCES: usize = 20;
/// How often metadata is read again by a warm process.
const METADATA_WARM: usize = 5;
/// How often studies are listed.
const LISTINGS: usize = 50;
/// How a study is read, one after the other: what came first was in no cache of the server.
const STUDY_READS: [(&str, &str); 4] = [
    ("study, first time", INSTANCES),
    ("study, again", INSTANCES),
    ("study, Explicit VR", INSTANCES_EXPLICIT),
    ("study, Explicit VR", INSTANCES_EXPLICIT),
];

/// Seconds that requests took, by their kind.
pub(super) type Times = Vec<(&'static str, f64)>;

/// The bodies that store a set.
pub(super) fn bodies(set: &Set) -> Vec<(Vec<u8>, usize)> {
    let requests = set.instances.chunks(STORE_INSTANCES);
    let body = |chunk: &[Instance]| {
        (multipart::body(chunk.iter().map(|instance| &*instance.bytes)), chunk.len())
    };
    requests.map(body).collect()
}

/// Stores a set by so many clients at once; gives the seconds until all was acknowledged.
pub(super) fn store(
    service: &Service,
    bodies: Vec<(Vec<u8>, usize)>,
    clients: usize,
    times: &mut Times,
) -> Result<f64> {
    let kind = if clients == 1 { "store 20" } else { "store 20, of 4 clients" };
    let webs = (0..clients).map(|_| service.web()).collect::<Result<Vec<_>>>()?;
    // From the back is in order.
    let waiting = Mutex::new(bodies.into_iter().rev().collect::<Vec<_>>());
    let begun = Instant::now();
    let client = |web: crate::web::Web| -> Result<Times> {
        let mut times = Times::new();
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((body, instances)) = next else { return Ok(times) };
            let reply = web.store(&multipart::content_type(), body)?;
            check_stored(&reply, instances)?;
            times.push((kind, reply.seconds));
        }
    };
    let all = std::thread::scope(|scope| {
        let threads = webs.into_iter().map(|web| scope.spawn(|| client(web)));
        let threads: Vec<_> = threads.collect();
        let ends = threads.into_iter().map(|thread| match thread.join() {
            Ok(times) => times,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ends.collect::<Result<Vec<_>>>()
    })?;
    times.extend(all.into_iter().flatten());
    Ok(begun.elapsed().as_secs_f64())
}

/// Every instance of a store is acknowledged and none has failed (PS3.18 §10.5.3, annex I.2).
pub(crate) fn check_stored(reply: &Reply, instances: usize) -> Result<()> {
    let text = || String::from_utf8_lossy(&reply.body[..reply.body.len().min(500)]).into_owned();
    ensure!(reply.status == 200, "a store of {instances}: status {}: {}", reply.status, text());
    let answer: Value = serde_json::from_slice(&reply.body).with_context(text)?;
    let items = |tag: &str| answer[tag]["Value"].as_array().map_or(0, Vec::len);
    let (stored, failed) = (items("00081199"), items("00081198"));
    ensure!(stored == instances && failed == 0, "{stored} of {instances} stored, {failed} failed");
    Ok(())
}

/// SOP Instance UIDs that the answer to a store names as stored.
pub(crate) fn referenced(answer: &[u8]) -> Vec<String> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let items = answer["00081199"]["Value"].as_array().into_iter().flatten();
    items.filter_map(|item| item["00081155"]["Value"][0].as_str().map(str::to_owned)).collect()
}

/// The metadata of the longest series, by a cold and by a warm process.
pub(super) fn metadata(service: &Service, set: &Set, times: &mut Times) -> Result<()> {
    let series = set.longest_series();
    let first = series.first().context("no series")?;
    let path = format!("{}/metadata", first.series_path());
    let mut line = service.line()?;
    for index in 0..=METADATA_WARM {
        let reply = line.read(&path, JSON)?;
        let kind = if index == 0 { "metadata, cold process" } else { "metadata, warm" };
        times.push((kind, reply.seconds));
        let found = uids(&reply.body, "00080018").context("the metadata of a series")?;
        let expected: BTreeSet<_> = series.iter().map(|instance| instance.sop.clone()).collect();
        ensure!(found == expected, "metadata of {} of {}", found.len(), expected.len());
    }
    Ok(())
}

/// The values of a UID attribute in an array of DICOM JSON objects.
pub(crate) fn uids(json: &[u8], tag: &str) -> Result<BTreeSet<String>> {
    let objects: Vec<Value> = serde_json::from_slice(json).context("no array of objects")?;
    let uid = |object: &Value| object[tag]["Value"][0].as_str().map(str::to_owned);
    objects.iter().map(|object| uid(object).context("an object without a UID")).collect()
}

/// Random frames of the largest multi-frame instance. A server may remember those that it read.
pub(super) fn frames(
    service: &Service,
    cine: &Instance,
    run: usize,
    count: u32,
    times: &mut Times,
) -> Result<()> {
    let mut line = service.line()?;
    let path = cine.path();
    // The same frames for everybody in a run.
    let mut dice = Dice::new(run as u64);
    let mut read = BTreeSet::new();
    for _ in 0..count {
        let frame = dice.below(cine.native_frames());
        let reply = line.read(&format!("{path}/frames/{}", frame + 1), FRAMES)?;
        let kind = if read.insert(frame) { "frame, first time" } else { "frame, again" };
        times.push((kind, reply.seconds));
        let got = only_part(&reply.content_type, &reply.body)?;
        ensure!(Some(got) == cine.frame(frame), "frame {} has other bytes", frame + 1);
        line.reuse(reply.body);
    }
    Ok(())
}

/// All studies.
pub(super) fn listing(service: &Service, set: &Set, times: &mut Times) -> Result<()> {
    let mut line = service.line()?;
    for _ in 0..LISTINGS {
        let reply = line.read("/studies?limit=1000&offset=0", JSON)?;
        times.push(("search studies", reply.seconds));
        let found = uids(&reply.body, "0020000D")?.len();
        ensure!(found == set.studies().min(1000), "{found} studies are listed");
    }
    Ok(())
}

/// The largest study; `check` compares every instance of it.
pub(super) fn study(service: &Service, set: &Set, check: bool, times: &mut Times) -> Result<()> {
    let study = set.largest_study();
    let first = study.first().context("no study")?;
    let path = format!("/studies/{}", first.study);
    let bytes: u64 = study.iter().map(|instance| instance.bytes.len() as u64).sum();
    let web = service.web()?;
    for (kind, accept) in STUDY_READS {
        let (got, seconds) = web.skim(&path, accept)?;
        // Conversion to Explicit VR may drop group lengths. It may also leave out, or inflate, what is
        // compressed: sets with such instances tell nothing here.
        ensure!(got * 10 >= bytes * 9, "a study of {bytes} bytes came as {got}");
        times.push((kind, seconds));
    }
    if check {
        let reply = web.read(&path, INSTANCES)?;
        let files = parts(&reply.content_type, &reply.body)?;
        let got: Vec<_> = files.into_iter().map(|file| (sop(file), file)).collect();
        ensure!(got.len() == study.len(), "{} instances of {}", got.len(), study.len());
        for instance in study {
            let file = got.iter().find(|(sop, _)| sop.as_deref() == Some(&*instance.sop));
            let (_, file) = file.with_context(|| format!("{} is missing", instance.sop))?;
            ensure!(instance.is(file), "{} is another one than was stored", instance.sop);
        }
    }
    Ok(())
}

fn sop(file: &[u8]) -> Option<String> {
    Some(Instance::of(file.to_vec())?.sop)
}
