//! The second half of the demo: a patient is referred. Hospital A scans; B, where she is sent, opens the
//! images; C has no business with them.
//!
//! Three processes of this program, each with its own archive and ledger, spoken to by the commands and
//! over the ports that hospitals use.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairn_store::{Access, IngestConfig, Store, StoreConfig};
use hyper::Method;
use serde_json::Value;
use walkdir::WalkDir;

use super::super::Session;
use super::super::import;
use super::files::{BOUNDARY, bytes_before_pixels, files_of, is_converted, multipart, parts_of};
use super::forgery;
use super::hospital::Hospital;
use super::source::{self, Lines, Report};
use super::table::{Passage, Sizes};
use crate::config::threads;
use crate::error::{Error, Result};
use crate::output::{count, counted, size};
use crate::progress::Progress;

/// Any instance in a study, as it is stored (PS3.18 §8.7.3.5).
const AS_STORED: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
/// Rounds with a site that was away or is busy, and the time between them.
const ROUNDS: usize = 20;
const PAUSE: Duration = Duration::from_millis(300);
/// A manifest comes beside a header: this much, and a hundredth of its file for the names of chunks.
const MANIFEST_BYTES_MAX: u64 = 1024;

/// What the steps share.
pub(super) struct Referral<'a> {
    session: &'a Session,
    a: Hospital,
    b: Hospital,
    c: Hospital,
    originals: Vec<PathBuf>,
    corrected: PathBuf,
    /// The study that is referred, and another one.
    study: String,
    other: Option<String>,
    grant: u64,
}

impl<'a> Referral<'a> {
    pub(super) fn new(
        session: &'a Session,
        folder: &Path,
        originals: Vec<PathBuf>,
    ) -> Result<Self> {
        Ok(Self {
            session,
            a: Hospital::new(folder, "a.example")?,
            b: Hospital::new(folder, "b.example")?,
            c: Hospital::new(folder, "c.example")?,
            originals,
            corrected: folder.join("referred-corrected"),
            study: String::new(),
            other: None,
            grant: 0,
        })
    }

    /// Where A and B are reached.
    pub(super) fn urls(&self) -> [String; 2] {
        [self.a.http_url(), self.b.http_url()]
    }

    /// A takes its studies in.
    pub(super) fn scan(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let store = Store::open(&StoreConfig::new(&self.a.data), Access::Write)?;
        let lines = Lines::default();
        let job = import::Job {
            store: &store,
            ingest: IngestConfig::default(),
            paths: &self.originals,
            readers: threads().clamp(2, 8),
            report: Some(Box::new(lines.clone())),
            all_names: false,
        };
        let progress = Progress::new(&self.session.output, "importing");
        let summary = import::import(job, &progress)?;
        let mut studies = Vec::new();
        store.catalog().studies(None, &mut |study| {
            studies.push((study.bytes, study.instances, study.study_uid));
            Ok(())
        })?;
        drop(store);
        studies.sort_unstable_by(|a, b| b.cmp(a));
        let largest = studies.first().ok_or_else(|| Error::Demo("A has no study".into()))?.clone();
        self.study = largest.2;
        self.other = studies.get(1).map(|(_, _, uid)| uid.clone());
        source::correct(&self.originals, &Report::read(&lines), &self.corrected)?;
        let sizes = Sizes { instances: largest.1, bytes: largest.0, ..Sizes::default() };
        let verdict =
            format!("{}; the largest is referred", counted(studies.len() as u64, "study"));
        Ok(Passage::new("A scans", sizes, begun).judge(summary.is_good(), verdict))
    }

    /// Everybody begins a ledger, and each is told who the others are.
    pub(super) fn meet(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let mut introduced = 0;
        for hospital in [&mut self.a, &mut self.b, &mut self.c] {
            // An archive is made by its server; then its ledger is begun.
            hospital.start()?;
            hospital.object(&["ledger", "join", hospital.name])?;
        }
        let all = [&self.a, &self.b, &self.c];
        for one in all {
            for other in all.iter().filter(|other| other.name != one.name) {
                let shown = other.object(&["ledger"])?;
                let fingerprint = text(&shown, "fingerprint");
                let url = other.peer_url();
                one.object(&["peers", "add", &url, "--fingerprint", &fingerprint])?;
                introduced += 1;
            }
        }
        let mut followed = 0;
        // What was not there yet when it was first asked, is there now; on a busy machine, soon.
        for round in 0..ROUNDS {
            if round > 1 {
                if followed == introduced {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
            followed = 0;
            for one in all {
                let rounds = one.run(&["peers", "sync"])?;
                followed +=
                    rounds.lines()?.iter().filter(|round| round["failure"].is_null()).count();
            }
        }
        let held = followed == introduced;
        let verdict = format!(
            "{introduced} introductions by fingerprint, {followed} ledgers mirrored and cosigned"
        );
        Ok(Passage::new("they meet", Sizes::default(), begun).judge(held, verdict))
    }

    fn share(&mut self, study: &str) -> Result<Value> {
        let shared = self.a.object(&["share", study, "--to", self.b.name])?;
        self.grant = shared["grant"].as_u64().unwrap_or_default();
        Ok(shared)
    }

    /// A grants B the study.
    pub(super) fn grant(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let study = self.study.clone();
        let shared = self.share(&study)?;
        let cosigned = shared["cosigned"].as_u64().unwrap_or_default();
        let held = cosigned > 0 && shared["is_delivered"] == true;
        let verdict = format!(
            "grant {} for {}, cosigned by {cosigned} sites, known at B",
            self.grant,
            text(&shared, "purpose")
        );
        Ok(Passage::new("A grants B", sizes_of(&shared), begun).judge(held, verdict))
    }

    /// What A has promised can be shown to anybody.
    pub(super) fn prove(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let grant = self.grant.to_string();
        let proof = self.a.object(&["ledger", "proof", &grant])?;
        let proof = text(&proof, "proof");
        let file = self.a.data.with_extension("tlog-proof");
        let write = |text: &str| std::fs::write(&file, text).map_err(Error::io("write", &file));
        write(&proof)?;
        let path = file.display().to_string();
        // C has nothing but its mirrors.
        let good = self.c.run(&["ledger", "check", &path])?.good;
        let mut altered = proof.clone().into_bytes();
        if let Some(digit) = altered.iter_mut().rev().find(|byte| byte.is_ascii_alphanumeric()) {
            *digit = if *digit == b'A' { b'B' } else { b'A' };
        }
        write(&String::from_utf8_lossy(&altered))?;
        let refused = !self.c.run(&["ledger", "check", &path])?.good;
        let verdict = match (good, refused) {
            (true, true) => {
                format!("{} bytes show C that it was granted; altered, refused", proof.len())
            }
            (false, _) => "a good proof is refused".to_owned(),
            (true, false) => "an altered proof is not refused".to_owned(),
        };
        Ok(Passage::new("proof", Sizes::default(), begun).judge(good && refused, verdict))
    }

    /// B fetches it.
    pub(super) fn fetch(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let fetched = self.b.object(&["fetch", &self.study, "--from", self.a.name])?;
        let sizes = sizes_of(&fetched);
        let moved = sizes.moved.is_some_and(|moved| moved > 0);
        let held = sizes.instances > 0 && moved && fetched["receipt"] == true;
        let verdict = format!(
            "every byte proven against the root; first image after {:.2} s, receipt on both ledgers",
            fetched["first_seconds"].as_f64().unwrap_or_default()
        );
        Ok(Passage::new("B fetches", sizes, begun).judge(held, verdict))
    }

    /// B's viewer sees what A's scanner made.
    pub(super) fn view(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let (equal, missing, bytes) = self.compare(&self.originals, &self.study)?;
        let held = equal > 0 && missing == 0;
        let verdict = if held {
            format!("all {equal} files from B are A's, byte for byte")
        } else {
            format!("{missing} of {} differ", equal + missing)
        };
        let sizes = Sizes { instances: equal, bytes, ..Sizes::default() };
        Ok(Passage::new("B's viewer", sizes, begun).judge(held, verdict))
    }

    /// How many files of a study B gives back as they are, how many not, and their length. By DICOMweb;
    /// of those that this never carries as stored, by an export.
    fn compare(&self, paths: &[PathBuf], study: &str) -> Result<(u64, u64, u64)> {
        let path = format!("/dicom-web/studies/{study}");
        let (status, body) = self.b.ask(&Method::GET, &path, AS_STORED, Vec::new())?;
        if status != 200 {
            return Err(Error::Demo(format!("B's DICOMweb answers {status}")));
        }
        let sent = parts_of(&body);
        let of_study = files_of(paths, study)?;
        let exported = if of_study.iter().any(|file| is_converted(file)) {
            self.exported_by_b(study)?
        } else {
            HashSet::new()
        };
        let (mut equal, mut missing, mut bytes) = (0, 0, 0);
        for file in of_study {
            let found = if is_converted(&file) {
                exported.contains(&blake3::hash(&file))
            } else {
                sent.contains(file.as_slice())
            };
            let count = if found { &mut equal } else { &mut missing };
            *count += 1;
            bytes += file.len() as u64;
        }
        Ok((equal, missing, bytes))
    }

    /// What B writes out of a study.
    fn exported_by_b(&self, study: &str) -> Result<HashSet<blake3::Hash>> {
        let folder = self.b.data.with_extension("export");
        let ran = self.b.run(&["export", study, &folder.to_string_lossy(), "--force"])?;
        if !ran.good {
            return Err(Error::Demo(format!("B's export: {}", ran.said)));
        }
        let mut found = HashSet::new();
        for entry in WalkDir::new(&folder).into_iter().flatten() {
            if entry.file_type().is_file() {
                let file = std::fs::read(entry.path()).map_err(Error::io("read", entry.path()))?;
                found.insert(blake3::hash(&file));
            }
        }
        std::fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        Ok(found)
    }

    /// A study that B never fetched, asked for by B's viewer.
    pub(super) fn open_at_once(&mut self) -> Result<Passage> {
        let Some(other) = self.other.clone() else {
            let row = Passage::new("on demand", Sizes::default(), Instant::now());
            return Ok(row.judge(true, "A has no other study to show it with"));
        };
        let shared = self.share(&other)?;
        let begun = Instant::now();
        let (equal, missing, _) = self.compare(&self.originals, &other)?;
        let held = equal > 0 && missing == 0;
        let verdict =
            format!("another study, fetched when B's viewer asks: {equal} files, all equal");
        Ok(Passage::new("on demand", sizes_of(&shared), begun).judge(held, verdict))
    }

    /// A corrects name and ID; B moves the difference.
    pub(super) fn correct(&mut self) -> Result<Passage> {
        let files = files_of(std::slice::from_ref(&self.corrected), &self.study)?;
        let sent = files.len() as u64;
        let media_type =
            format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}");
        let (status, _) =
            self.a.ask(&Method::POST, "/dicom-web/studies", &media_type, multipart(&files))?;
        if status != 200 && status != 202 {
            return Err(Error::Demo(format!("A's DICOMweb answers {status} to a correction")));
        }
        let study = self.study.clone();
        self.share(&study)?;
        let begun = Instant::now();
        let fetched = self.b.object(&["fetch", &self.study, "--from", self.a.name])?;
        let sizes = sizes_of(&fetched);
        let (equal, missing, _) =
            self.compare(std::slice::from_ref(&self.corrected), &self.study)?;
        // Told from content, not from what moved: how far headers compress depends on which came together.
        let came = sizes.bytes.saturating_sub(sizes.saved.unwrap_or_default());
        let headers: u64 = files.iter().map(|file| bytes_before_pixels(file)).sum();
        let manifests = sent * MANIFEST_BYTES_MAX + sizes.bytes / 100;
        let held = came <= headers + manifests && sent > 0 && equal == sent && missing == 0;
        let verdict = if held {
            format!("{sent} corrected headers; no pixel moved again")
        } else {
            format!("{} came of {}; {missing} files differ", size(came), size(sizes.bytes))
        };
        Ok(Passage::new("A corrects", sizes, begun).judge(held, verdict))
    }

    /// C asks for what nobody granted it.
    pub(super) fn ask_without_a_grant(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let by_name = self.c.run(&["fetch", &self.study, "--from", self.a.name])?;
        let path = format!("/dicom-web/studies/{}/metadata", self.study);
        let json = "application/dicom+json";
        let (status, _) = self.c.ask(&Method::GET, &path, json, Vec::new())?;
        let held = !by_name.good && status == 404;
        let verdict = format!("refused: {}; its viewer sees nothing", by_name.said);
        Ok(Passage::new("C asks", Sizes::default(), begun).judge(held, verdict))
    }

    /// The ledgers, searched for everything that says who the patient is.
    pub(super) fn search_ledgers(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let words = words_of(&self.a.data)?;
        let (mut files, mut bytes, mut found) = (0, 0, BTreeSet::new());
        for hospital in [&self.a, &self.b, &self.c] {
            for entry in WalkDir::new(hospital.data.join("ledger")).into_iter().flatten() {
                if !entry.file_type().is_file() {
                    continue;
                }
                let path = entry.path();
                let content = std::fs::read(path).map_err(Error::io("read", path))?;
                files += 1;
                bytes += content.len() as u64;
                found.extend(
                    words
                        .iter()
                        .filter(|word| memchr::memmem::find(&content, word.as_bytes()).is_some()),
                );
            }
        }
        let held = found.is_empty() && files > 0 && !words.is_empty();
        let verdict = if held {
            format!(
                "{} in {} files: none of {} UIDs, names, IDs, dates and descriptions",
                size(bytes),
                count(files),
                count(words.len() as u64)
            )
        } else {
            format!("{} of {} words stand on a ledger", found.len(), words.len())
        };
        Ok(Passage::new("search ledgers", Sizes::default(), begun).judge(held, verdict))
    }

    /// A changes its mind.
    pub(super) fn revoke(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let revoked = self.a.object(&["revoke", &self.study, "--to", self.b.name])?;
        let refused = self.b.run(&["fetch", &self.study, "--from", self.a.name])?;
        let held = !refused.good;
        let grants = revoked["grants"].as_array().map_or(0, Vec::len);
        let verdict = if held {
            let word = counted(grants as u64, "grant");
            format!("{word} ended; B is refused: {}", refused.said)
        } else {
            "B could fetch it all the same".to_owned()
        };
        Ok(Passage::new("A revokes", Sizes::default(), begun).judge(held, verdict))
    }

    /// Somebody with access to A's disk changes a byte of its ledger.
    pub(super) fn edit(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        self.a.kill();
        let log = self.a.data.join("ledger/log");
        let entries = forgery::first_bundle(&log)?;
        let honest = std::fs::read(&entries).map_err(Error::io("read", &entries))?;
        let mut edited = honest.clone();
        let middle = edited.len() / 2;
        edited[middle] ^= 1;
        let write =
            |bytes: &[u8]| std::fs::write(&entries, bytes).map_err(Error::io("write", &entries));
        write(&edited)?;
        let noticed = !self.a.run(&["ledger", "verify"])?.good;
        let refused = self.a.start().is_err();
        self.a.kill();
        write(&honest)?;
        let held = noticed && refused;
        let verdict = if held {
            "one bit of A's ledger: `ledger verify` names it, and A's server does not go on with it"
        } else {
            "an edited ledger passes"
        };
        Ok(Passage::new("edit A's ledger", Sizes::default(), begun).judge(held, verdict))
    }

    /// Somebody with A's key rewrites its history: what it granted, and what it revoked.
    pub(super) fn forge(&mut self) -> Result<Passage> {
        let begun = Instant::now();
        let kept = forgery::forge(&self.a.data, self.a.name)?;
        self.a.start()?;
        let mut caught = 0;
        let mut words = String::new();
        for other in [&self.b, &self.c] {
            if let Some(finding) = self.finding_of(other)? {
                caught += 1;
                words = finding;
            }
        }
        let stopped = match &self.other {
            Some(other) => !self.b.run(&["fetch", other, "--from", self.a.name])?.good,
            None => true,
        };
        self.a.kill();
        forgery::restore(&self.a.data, &kept)?;
        let held = caught == 2 && stopped;
        let verdict = if held {
            format!("with A's own key: B and C notice ({words}), and nothing of A is used any more")
        } else {
            format!("{caught} of 2 sites notice")
        };
        Ok(Passage::new("rewrite A's ledger", Sizes::default(), begun).judge(held, verdict))
    }

    /// What a site holds against A's ledger. A was away and is back, so a round may find it away still:
    /// then the next one tells.
    fn finding_of(&self, other: &Hospital) -> Result<Option<String>> {
        for _ in 0..ROUNDS {
            other.run(&["peers", "sync", self.a.name])?;
            for peer in other.run(&["peers"])?.lines()? {
                if text(&peer, "name") == self.a.name && !peer["finding"].is_null() {
                    return Ok(Some(text(&peer, "finding")));
                }
            }
            std::thread::sleep(PAUSE);
        }
        Ok(None)
    }

    /// Starts what was stopped.
    pub(super) fn start_again(&mut self) -> Result<()> {
        self.a.start()
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn sizes_of(value: &Value) -> Sizes {
    let number = |name: &str| value[name].as_u64();
    Sizes {
        instances: number("instances").unwrap_or_default(),
        bytes: number("bytes").unwrap_or_default(),
        moved: number("bytes_moved"),
        saved: number("bytes_saved"),
    }
}

/// Everything in an archive that says who and what: UIDs, names, IDs, dates, descriptions.
fn words_of(data: &Path) -> Result<BTreeSet<String>> {
    /// Shorter ones stand in any bytes by chance.
    const LETTERS_MIN: usize = 4;
    let store = Store::open(&StoreConfig::new(data), Access::Read)?;
    let mut words = BTreeSet::new();
    let mut studies = Vec::new();
    store.catalog().studies(None, &mut |study| {
        words.extend([
            study.patient_name.clone(),
            study.patient_id.clone(),
            study.study_date.clone(),
            study.accession_number.clone(),
            study.description.clone(),
        ]);
        studies.push(study.study_uid);
        Ok(())
    })?;
    for study in studies {
        for series in store.catalog().series(&study)? {
            words.extend([series.series_uid, series.description]);
        }
        store.catalog().study_versions(&study, true, &mut |version| {
            words.insert(version.sop_instance_uid);
            Ok(())
        })?;
        words.insert(study);
    }
    words.retain(|word| word.len() >= LETTERS_MIN);
    Ok(words)
}
