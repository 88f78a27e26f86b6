//! Reading everything back and checking it.
//!
//! Two walks. Over instances: every version is read as an export would read it, each chunk against its
//! name, the whole against the data set's hash, each study against its recorded root. Over packs: every
//! byte, also of what no instance names any more, and footers. Damage is named, and the walk goes on.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::Store;
use crate::catalog::{PackRow, PackState, VersionRow};
use crate::error::{Damage, Error, Kind, Result};
use crate::pack::{PACK_HEADER_BYTES, PackHeader, PackId, scan};

/// Versions held in memory at once.
const VERSIONS_AT_ONCE: usize = 4096;

/// What to read.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All versions of everything, and all packs.
    All,
    /// All versions in these studies.
    Studies(Vec<String>),
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The study that it harms, if one is known.
    pub study_uid: Option<String>,
    /// The instance that it harms, if one is known.
    pub sop_instance_uid: Option<String>,
    /// Where.
    pub pack: Option<PackId>,
    /// Where in the pack: the start of the damaged record.
    pub offset: Option<u64>,
    /// What.
    pub why: String,
}

/// What was read and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Studies checked.
    pub studies: u64,
    /// Versions of instances read.
    pub instances: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Packs read from end to end.
    pub packs: u64,
    /// Everything wrong.
    pub findings: Vec<Finding>,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Bytes read.
    pub done_bytes: u64,
    /// Bytes to read.
    pub total_bytes: u64,
}

struct Walk<'a> {
    store: &'a Store,
    report: Mutex<VerifyReport>,
    done_bytes: AtomicU64,
    total_bytes: u64,
    progress: &'a (dyn Fn(Progress) + Sync),
}

/// Reads what `scope` says on `threads` threads. An error means that reading could not go on at all;
/// damage is in the report.
pub fn verify(
    store: &Store,
    scope: &Scope,
    threads: usize,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<VerifyReport> {
    let studies = studies_in(store, scope)?;
    let packs = match scope {
        Scope::All => store.catalog().packs()?,
        Scope::Studies(_) => Vec::new(),
    };
    let walk = Walk {
        store,
        report: Mutex::default(),
        done_bytes: AtomicU64::new(0),
        total_bytes: bytes_to_read(store, scope)?,
        progress,
    };
    // Studies are taken together until there is work for all threads, and forgotten after it: an
    // archive of any size is walked in the same memory.
    let mut versions = Vec::new();
    for study in &studies {
        walk.study(study)?;
        store.catalog().study_versions(study, true, &mut |version| {
            // The bytes of what was deleted may be gone.
            if !version.deleted {
                versions.push(version);
            }
            Ok(())
        })?;
        if versions.len() >= VERSIONS_AT_ONCE {
            in_parallel(threads, &versions, |version| walk.version(version))?;
            versions.clear();
        }
    }
    in_parallel(threads, &versions, |version| walk.version(version))?;
    in_parallel(threads, &packs, |pack| walk.pack(pack))?;
    let report = walk.report.into_inner().unwrap_or_default();
    Ok(VerifyReport { studies: studies.len() as u64, ..name_harm(report) })
}

/// For progress: all versions and all packs, or the visible versions of the studies named.
fn bytes_to_read(store: &Store, scope: &Scope) -> Result<u64> {
    match scope {
        Scope::All => {
            let totals = store.catalog().totals()?;
            Ok(totals.dataset_bytes + totals.pack_bytes)
        }
        Scope::Studies(uids) => {
            let mut sum = 0;
            for uid in uids {
                store.catalog().studies(Some(uid), &mut |study| {
                    sum += study.bytes;
                    Ok(())
                })?;
            }
            Ok(sum)
        }
    }
}

fn studies_in(store: &Store, scope: &Scope) -> Result<Vec<String>> {
    match scope {
        Scope::Studies(uids) => {
            for uid in uids {
                let mut found = false;
                store.catalog().studies(Some(uid), &mut |_| {
                    found = true;
                    Ok(())
                })?;
                if !found {
                    return Err(Error::NotFound { what: "study", name: uid.clone() });
                }
            }
            Ok(uids.clone())
        }
        Scope::All => {
            let mut uids = Vec::new();
            store.catalog().studies(None, &mut |study| {
                uids.push(study.study_uid);
                Ok(())
            })?;
            Ok(uids)
        }
    }
}

/// Runs `job` on each item; the first error ends it.
pub(crate) fn in_parallel<T: Sync>(
    threads: usize,
    items: &[T],
    job: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = job(item) {
                        next.store(items.len(), Ordering::Relaxed);
                        failed.lock().map(|mut slot| slot.get_or_insert(error).kind()).ok();
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_default().map_or(Ok(()), Err)
}

impl Walk<'_> {
    fn note(&self, change: impl FnOnce(&mut VerifyReport)) {
        if let Ok(mut report) = self.report.lock() {
            change(&mut report);
        }
    }

    fn advance(&self, bytes: u64) {
        let done_bytes = self.done_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(Progress { done_bytes, total_bytes: self.total_bytes });
    }

    fn version(&self, version: &VersionRow) -> Result<()> {
        let checked = self.store.reader().check_instance(version);
        self.advance(version.dataset_bytes);
        match checked {
            Ok(_) => self.note(|report| {
                report.instances += 1;
                report.bytes += version.dataset_bytes;
            }),
            Err(error) if is_damage(&error) => {
                let (pack, offset) = place_of(&error);
                self.note(|report| {
                    report.instances += 1;
                    report.findings.push(Finding {
                        study_uid: Some(version.study_uid.clone()),
                        sop_instance_uid: Some(version.sop_instance_uid.clone()),
                        pack,
                        offset,
                        why: error.to_string(),
                    });
                });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn study(&self, study_uid: &str) -> Result<()> {
        let Some(record) = self.store.catalog().study_record(study_uid)? else {
            return Ok(()); // nothing was promised of its root yet
        };
        let tree = self.store.study_tree(study_uid)?;
        // A study that changed since its record has another root by right.
        if self.store.catalog().record_is_current(study_uid)? && tree.root() != record.root {
            self.note(|report| {
                report.findings.push(Finding {
                    study_uid: Some(study_uid.to_owned()),
                    sop_instance_uid: None,
                    pack: None,
                    offset: None,
                    why: "the catalog's instances do not have the recorded root".into(),
                });
            });
        }
        Ok(())
    }

    fn pack(&self, row: &PackRow) -> Result<()> {
        let mut damage = Vec::new();
        let read = self.store.reader().whole_pack(row.no);
        let read = read.and_then(|bytes| self.pack_bytes(row, &bytes, &mut damage));
        self.advance(row.bytes);
        if read.is_err() || !damage.is_empty() {
            // A collection beside this may have moved what is needed of it, and removed it.
            let state = self.store.catalog().pack(row.no)?.state;
            if state > PackState::Stored {
                return Ok(());
            }
        }
        match read {
            Err(error) if is_damage(&error) => damage.push((0, error.to_string())),
            other => other?,
        }
        self.note(|report| {
            report.packs += 1;
            report.findings.extend(damage.into_iter().map(|(offset, why)| Finding {
                study_uid: None,
                sop_instance_uid: None,
                pack: Some(row.id),
                offset: Some(offset),
                why,
            }));
        });
        Ok(())
    }

    fn pack_bytes(
        &self,
        row: &PackRow,
        bytes: &[u8],
        damage: &mut Vec<(u64, String)>,
    ) -> Result<()> {
        // An open pack grows while it is read: what is durable is what counts.
        let bytes = match row.state {
            PackState::Open => &bytes[..bytes.len().min(row.bytes as usize)],
            PackState::Sealed | PackState::Stored | PackState::Condemned | PackState::Gone => bytes,
        };
        let header = PackHeader::decode(bytes).filter(|header| header.pack == row.id);
        if header.is_none() && !bytes.is_empty() {
            damage.push((0, "the pack's header is damaged".into()));
        }
        let cipher = self.store.shared().cipher(row.id)?;
        let found = scan(&cipher, row.id, bytes, |_| {});
        damage.extend(found.damage.iter().map(|(offset, why)| (*offset, (*why).to_owned())));
        if damage.is_empty() && row.state != PackState::Open && !found.sealed {
            damage.push((found.sound_bytes, "the pack's footer is missing".into()));
        }
        let whole = *blake3::hash(bytes).as_bytes();
        if damage.is_empty() && row.checksum.is_some_and(|checksum| checksum != whole) {
            let at = found.sound_bytes.max(PACK_HEADER_BYTES as u64);
            damage.push((at, "the pack's end is not what was sealed".into()));
        }
        Ok(())
    }
}

fn is_damage(error: &Error) -> bool {
    // A chunk that the catalog does not know, or a key that is gone, harms the instance alike.
    matches!(error.kind(), Kind::Damage | Kind::NotFound) || matches!(error, Error::Key { .. })
}

fn place_of(error: &Error) -> (Option<PackId>, Option<u64>) {
    match error {
        Error::Damaged(Damage { pack, offset, .. }) => (Some(*pack), Some(*offset)),
        _ => (None, None),
    }
}

/// A damaged record was met twice, by instance and by pack: the one that names the instance stays.
fn name_harm(report: VerifyReport) -> VerifyReport {
    let mut named: HashMap<(Option<PackId>, Option<u64>), bool> = HashMap::new();
    for finding in &report.findings {
        let known = named.entry((finding.pack, finding.offset)).or_default();
        *known |= finding.sop_instance_uid.is_some();
    }
    let mut findings = report.findings;
    findings.retain(|finding| {
        finding.sop_instance_uid.is_some()
            || finding.pack.is_none()
            || !named[&(finding.pack, finding.offset)]
    });
    findings.sort_by(|a, b| {
        (&a.study_uid, &a.sop_instance_uid, a.offset).cmp(&(
            &b.study_uid,
            &b.sop_instance_uid,
            b.offset,
        ))
    });
    VerifyReport { findings, ..report }
}
