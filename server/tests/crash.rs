//! `kill -9` at random instants of an import: everything acknowledged is there and equal, nothing
//! half is seen, and the archive goes on.
//!
//! `CAIRN_KILLS` sets how many kills (16 unless set), `CAIRN_TEST_STORE=s3` with the environment that
//! `.ci/s3-server.sh` prints runs them on an S3 server.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use cairn_dicom::phantom;
use serde_json::Value;
use support::Site;
use support::server::{Server, client};

/// Small packs and quick commits, so that a second of import passes every step many times.
const SETTINGS: &str = "
[ingest]
commit_interval_ms = 3
pack_bytes = 1500000
";

fn dice(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Some three hundred objects of 25 MB: large frames, small ones, many tiny, and a large object.
fn write_objects(site: &Site) -> PathBuf {
    let files = phantom::ct(1, 24, 512)
        .chain(phantom::mr(1, 30, 192))
        .chain(phantom::many_small(1, 240))
        .chain([phantom::ultrasound_cine(1, 40, 240), phantom::structured_report(1)]);
    for file in files {
        site.put(&format!("objects/{}", file.name), &file.bytes);
    }
    site.path("objects")
}

struct Bed {
    site: Site,
    objects: PathBuf,
    config: String,
    store: Option<String>,
    archive: u64,
}

impl Bed {
    fn new(name: &str) -> Self {
        let site = Site::new();
        let objects = write_objects(&site);
        let mut settings = SETTINGS.to_owned();
        let mut store = None;
        if std::env::var("CAIRN_TEST_STORE").as_deref() == Ok("s3") {
            let bucket = std::env::var("CAIRN_TEST_S3_BUCKET").unwrap();
            let endpoint = std::env::var("CAIRN_TEST_S3_ENDPOINT").unwrap();
            settings =
                [&settings, "[store.options]\naws_endpoint = \"", &endpoint, "\"\n"].concat();
            store = Some(format!("s3://{bucket}/crash-{}-{name}", std::process::id()));
        }
        let config = site.put("cairn.toml", settings.as_bytes()).display().to_string();
        Self { site, objects, config, store, archive: 0 }
    }

    /// Another, empty archive.
    fn next_archive(&mut self) {
        let _ = std::fs::remove_dir_all(self.site.data());
        self.archive += 1;
    }

    fn arguments(&self, own: &[&str]) -> Vec<String> {
        let mut all = vec!["--config".to_owned(), self.config.clone()];
        if let Some(store) = &self.store {
            all.extend(["--store".to_owned(), format!("{store}-{}", self.archive)]);
        }
        all.extend(own.iter().map(|&word| word.to_owned()));
        all
    }

    fn good(&self, own: &[&str]) -> support::Ran {
        let all = self.arguments(own);
        self.site.good(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Imports; kills the process after `patience`. Returns what was acknowledged by then, as path by
    /// SOP Instance UID, and whether the import came to its end.
    fn import(&self, patience: Duration) -> (BTreeMap<String, PathBuf>, bool) {
        let objects = self.objects.display().to_string();
        let all = self.arguments(&["import", &objects, "--report", "-"]);
        let arguments: Vec<_> = all.iter().map(String::as_str).collect();
        let mut child = self
            .site
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            let mut acknowledged = BTreeMap::new();
            // A line that the kill cut short was not read by anybody: it does not count.
            for line in lines.map_while(Result::ok) {
                let Ok(line) = serde_json::from_str::<Value>(&line) else { break };
                let taken = ["archived", "duplicate"].contains(&line["status"].as_str().unwrap());
                assert!(taken, "{line}");
                acknowledged.insert(
                    line["sop_instance_uid"].as_str().unwrap().to_owned(),
                    PathBuf::from(line["path"].as_str().unwrap()),
                );
            }
            acknowledged
        });
        let end = Instant::now() + patience;
        let mut ended = None;
        while ended.is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
            ended = child.try_wait().unwrap();
        }
        let _ = child.kill(); // SIGKILL
        child.wait().unwrap();
        (reader.join().unwrap(), ended.is_some_and(|status| status.success()))
    }

    /// Deletes a study over HTTP; the instances that went with it.
    fn delete_one(&self, state: &mut u64) -> Vec<String> {
        let mut settings = vec![("CONFIG", self.config.clone())];
        if let Some(store) = &self.store {
            settings.push(("STORE", format!("{store}-{}", self.archive)));
        }
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut server = Server::start(&self.site, &settings);
        let read = |path: &str| -> Vec<Value> {
            let url = format!("{}{path}", server.studies());
            serde_json::from_slice(&client().get(url).send().unwrap().bytes().unwrap()).unwrap()
        };
        let studies = read("");
        let study = &studies[(dice(state) % studies.len() as u64) as usize];
        let uid = study["0020000D"]["Value"][0].as_str().unwrap();
        let gone = read(&format!("/{uid}/instances"));
        let gone =
            gone.iter().map(|it| it["00080018"]["Value"][0].as_str().unwrap().to_owned()).collect();
        let url = format!("{}/{uid}", server.studies());
        assert_eq!(client().delete(url).send().unwrap().status(), 204);
        assert_eq!(server.terminate(), 0);
        gone
    }

    /// Collects; kills the process after `patience`. Did it come to its end?
    fn collect(&self, patience: Duration) -> bool {
        let all = self.arguments(&["gc", "--dead", "0", "--quiet"]);
        let arguments: Vec<_> = all.iter().map(String::as_str).collect();
        let mut child = self.site.command(&arguments).spawn().unwrap();
        let end = Instant::now() + patience;
        let mut ended = None;
        while ended.is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
            ended = child.try_wait().unwrap();
        }
        let _ = child.kill(); // SIGKILL
        let status = child.wait().unwrap();
        assert!(ended.is_none() || status.success(), "{status}");
        ended.is_some()
    }

    fn assert_sound(&self, acknowledged: &BTreeMap<String, PathBuf>) {
        let out = self.site.path("out");
        let _ = std::fs::remove_dir_all(&out);
        if acknowledged.is_empty() && !self.site.data().join("catalog.sqlite").exists() {
            return; // killed before there was an archive
        }
        self.good(&["verify", "--all"]);
        self.good(&["export", "--all", &out.display().to_string()]);
        let exported = files_under(&out);
        for (uid, path) in acknowledged {
            let found = exported.get(&format!("{uid}.dcm"));
            let found = found.unwrap_or_else(|| panic!("{uid} was acknowledged and is lost"));
            assert!(std::fs::read(found).unwrap() == std::fs::read(path).unwrap(), "{uid} differs");
        }
        // Whatever else is visible is whole: an export checks each data set against its hash.
        assert!(exported.len() >= acknowledged.len());
    }
}

/// `cairn gc` killed at random instants, again and again on one archive, with deletions in between.
#[test]
fn nothing_needed_is_lost_to_kill_9_of_a_collection() {
    let kills: u32 =
        std::env::var("CAIRN_KILLS").ok().map_or(16, |text| text.parse().expect("CAIRN_KILLS"));
    let bed = Bed::new("collection");
    // Each round starts a server and reads everything twice: on an S3 server that takes long.
    let kills = if bed.store.is_some() { kills.div_ceil(3) } else { kills };
    let (all, ended) = bed.import(Duration::from_secs(120));
    assert!(ended);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut state = now.as_nanos() as u64;
    println!("{kills} kills from seed {state}");
    let mut whole = Duration::from_millis(400);
    let mut killed_midway = 0;
    for attempt in 0..kills * 8 {
        if killed_midway == kills {
            break;
        }
        // What was deleted comes again, and something else goes.
        let gone = bed.delete_one(&mut state);
        let left: BTreeMap<_, _> = all
            .iter()
            .filter(|(uid, _)| !gone.contains(uid))
            .map(|(uid, path)| (uid.clone(), path.clone()))
            .collect();
        assert!(!left.is_empty() && left.len() < all.len());
        let patience = whole.mul_f64((dice(&mut state) % 1000) as f64 / 1000.0);
        let started = Instant::now();
        let ended = bed.collect(patience);
        if ended {
            whole = whole.min(started.elapsed()).max(Duration::from_millis(20));
        }
        killed_midway += u32::from(!ended);
        bed.assert_sound(&left);
        if attempt % 4 == 3 {
            // Another one takes up what is left to do.
            assert!(bed.collect(Duration::from_secs(60)));
            bed.assert_sound(&left);
            bed.good(&["rebuild"]);
            bed.assert_sound(&left);
        }
        let (last, ended) = bed.import(Duration::from_secs(120));
        assert!(ended && last.len() == all.len());
    }
    assert_eq!(killed_midway, kills, "the kills came too late to show anything");
    assert!(bed.collect(Duration::from_secs(60)));
    bed.assert_sound(&all);
}

fn files_under(top: &Path) -> BTreeMap<String, PathBuf> {
    let mut out = BTreeMap::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                out.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), path);
            }
        }
    }
    out
}

#[test]
fn nothing_acknowledged_is_lost_to_kill_9() {
    let kills: u32 =
        std::env::var("CAIRN_KILLS").ok().map_or(16, |text| text.parse().expect("CAIRN_KILLS"));
    let mut bed = Bed::new("import");
    let started = Instant::now();
    let (all, ended) = bed.import(Duration::from_secs(120));
    assert!(ended, "the import did not end by itself");
    let mut whole = started.elapsed();
    bed.assert_sound(&all);

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut state = now.as_nanos() as u64;
    println!("one import takes {whole:?}; {kills} kills from seed {state}");
    let (mut killed_midway, mut acknowledged_before_kill) = (0, 0);
    // Only kills that came before the end count, however fast the machine is just now.
    for attempt in 0..kills * 8 {
        if killed_midway == kills {
            break;
        }
        // Three kills in a row on one archive, so that replays are killed as well.
        if attempt % 3 == 0 {
            bed.next_archive();
        }
        let patience = whole.mul_f64((dice(&mut state) % 1000) as f64 / 1000.0);
        let started = Instant::now();
        let (acknowledged, ended) = bed.import(patience);
        // An import of what is there already is far shorter, and says nothing of a first one.
        if ended && attempt % 3 == 0 {
            whole = whole.min(started.elapsed());
        }
        killed_midway += u32::from(!ended);
        acknowledged_before_kill += acknowledged.len();
        bed.assert_sound(&acknowledged);
    }
    println!("{killed_midway} killed midway, {acknowledged_before_kill} acknowledged");
    assert_eq!(killed_midway, kills, "the kills came too late to show anything");
    // And it goes on: the rest comes in, and everything is there.
    let (last, ended) = bed.import(Duration::from_secs(120));
    assert!(ended);
    assert_eq!(last.len(), all.len());
    bed.assert_sound(&last);
}
