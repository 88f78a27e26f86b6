//! Commit records: what became part of the archive, in order.
//!
//! A commit record follows the chunks and manifests that it names, so whoever finds a sound commit
//! finds what it speaks of. It carries all that the catalog needs beside the manifests; a catalog is
//! rebuilt by applying every commit in the order of its sequence numbers. Decisions (which version is
//! visible) are taken before a commit is written and recorded in it: applying one decides nothing.

use cairn_chunker::cbor::{Reader, Writer};
use cairn_chunker::codec::{self, Content, Effort, Encoded};
use cairn_chunker::id::{ChunkId, StudyRoot};
use cairn_chunker::{Error, Result};
use cairn_dicom::attributes::Attributes;

const WHAT: &str = "commit record";
/// Written where nothing is deleted, so that older builds can read it.
const VERSION: u64 = 1;
/// A commit with a deletion in it: a build that does not know deletions must not pass over one.
const VERSION_DELETIONS: u64 = 2;

/// Highest sequence number that a commit may begin with; nobody gets there.
const SEQ_MAX: u64 = 1 << 60;

/// Longest UID text, or local handle, in a commit.
const UID_BYTES_MAX: usize = 64;
/// Longest value of one attribute.
const VALUE_BYTES_MAX: usize = 4096;

/// How an instance came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// `cairn import`.
    Import = 0,
    /// STOW-RS.
    Web = 1,
    /// C-STORE.
    Dimse = 2,
    /// From another site under a grant.
    Peer = 3,
    /// From another site under a grant that lets nobody keep a copy once it has ended.
    Entrusted = 4,
}

impl Source {
    pub(crate) fn from_code(code: u64) -> Option<Self> {
        let all = [Self::Import, Self::Web, Self::Dimse, Self::Peer, Self::Entrusted];
        all.get(usize::try_from(code).ok()?).copied()
    }
}

/// What an instance is to what was there before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// The first under its UID.
    New = 0,
    /// Other bytes, same pixels: a new version.
    Correction = 1,
    /// Other pixels under the same UID: both are kept.
    Conflict = 2,
    /// The very same content was there: nothing is stored. Never in a commit record.
    Duplicate = 3,
}

impl Outcome {
    pub(crate) fn from_code(code: u64) -> Option<Self> {
        let all = [Self::New, Self::Correction, Self::Conflict, Self::Duplicate];
        all.get(usize::try_from(code).ok()?).copied()
    }

    /// The word that people and reports see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Correction => "correction",
            Self::Conflict => "conflict",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A version of an instance that became part of the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceEntry {
    /// Name of the encoded manifest, stored as a chunk.
    pub manifest: ChunkId,
    /// Study Instance UID, or a local handle.
    pub study_uid: String,
    /// Series Instance UID, or a local handle.
    pub series_uid: String,
    /// `cairn_dicom::flags::Flags` bits.
    pub flags: u32,
    /// When it was received, in ms since 1970.
    pub received_ms: u64,
    /// How.
    pub source: Source,
    /// What it is to what was there.
    pub outcome: Outcome,
    /// It is the visible version from now on.
    pub visible: bool,
    /// What is indexed.
    pub attributes: Attributes,
}

/// What a study's content is called from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyEntry {
    /// Study Instance UID, or a local handle.
    pub study_uid: String,
    /// 1 for the first record of the study, then one more each time.
    pub version: u64,
    /// Its root.
    pub root: StudyRoot,
    /// The root before.
    pub previous: Option<StudyRoot>,
    /// Visible instances.
    pub instances: u64,
    /// Length of their data sets together.
    pub bytes: u64,
    /// When, in ms since 1970.
    pub created_ms: u64,
}

/// What is deleted: a study, one of its series, or one instance, with all versions of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Study Instance UID, or a local handle.
    pub study_uid: String,
    /// Series Instance UID; `None`: the whole study.
    pub series_uid: Option<String>,
    /// SOP Instance UID; `None`: the whole series. Never without a series.
    pub sop_instance_uid: Option<String>,
}

impl Target {
    /// Does it cover this instance?
    #[must_use]
    pub fn covers(&self, study: &str, series: &str, sop: &str) -> bool {
        self.study_uid == study
            && self.series_uid.as_deref().is_none_or(|uid| uid == series)
            && self.sop_instance_uid.as_deref().is_none_or(|uid| uid == sop)
    }
}

/// A tombstone: everything under the target that was committed before it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionEntry {
    /// What.
    pub target: Target,
    /// When, in ms since 1970.
    pub deleted_ms: u64,
}

/// One entry of a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An instance.
    Instance(Box<InstanceEntry>),
    /// A study record.
    Study(StudyEntry),
    /// A deletion.
    Deletion(DeletionEntry),
}

/// Entries that became durable together.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Sequence number of the first entry; the others follow.
    pub first_seq: u64,
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Commit {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let deletes = self.entries.iter().any(|entry| matches!(entry, Entry::Deletion(_)));
        let version = if deletes { VERSION_DELETIONS } else { VERSION };
        writer.array(3).uint(version).uint(self.first_seq).array(self.entries.len());
        for entry in &self.entries {
            match entry {
                Entry::Instance(instance) => write_instance(&mut writer, instance),
                Entry::Study(study) => write_study(&mut writer, study),
                Entry::Deletion(deletion) => write_deletion(&mut writer, deletion),
            }
        }
        writer.finish()
    }

    /// The canonical encoding, and how it is coded in a record.
    pub(crate) fn coded(&self) -> (Vec<u8>, Encoded) {
        let plain = self.encode();
        let coded = codec::encode(&plain, Content::Text, Effort::default());
        (plain, coded)
    }

    /// The same without some of its entries: the others keep their numbers, so it may fall into parts.
    #[must_use]
    pub fn without(self, is_left: impl Fn(u64, &Entry) -> bool) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for (seq, entry) in (self.first_seq..).zip(self.entries) {
            if !is_left(seq, &entry) {
                continue;
            }
            match parts.last_mut() {
                Some(last) if last.first_seq + last.entries.len() as u64 == seq => {
                    last.entries.push(entry);
                }
                _ => parts.push(Self { first_seq: seq, entries: vec![entry] }),
            }
        }
        parts
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        reader.array_of(3)?;
        match reader.uint()? {
            VERSION | VERSION_DELETIONS => {}
            version => return Err(Error::Version { what: WHAT, version }),
        }
        let first_seq = reader.uint()?;
        if first_seq > SEQ_MAX {
            return Err(reader.fault("its sequence number is over the bound"));
        }
        let mut entries = Vec::new();
        for _ in 0..reader.array()? {
            entries.push(match reader.array()? {
                11 => Entry::Instance(Box::new(read_instance(&mut reader)?)),
                8 => Entry::Study(read_study(&mut reader)?),
                5 => Entry::Deletion(read_deletion(&mut reader)?),
                _ => return Err(reader.fault("an entry has another shape")),
            });
        }
        reader.end()?;
        let commit = Self { first_seq, entries };
        // Attributes out of order, or a flag that is neither 0 nor 1, would read as something else.
        if commit.encode() != bytes {
            return Err(reader.fault("it is not in the one form that is written"));
        }
        Ok(commit)
    }
}

fn write_instance(writer: &mut Writer, entry: &InstanceEntry) {
    writer
        .array(11)
        .uint(0)
        .bytes(entry.manifest.as_bytes())
        .text(&entry.study_uid)
        .text(&entry.series_uid)
        .uint(u64::from(entry.flags))
        .uint(entry.received_ms)
        .uint(entry.source as u64)
        .uint(entry.outcome as u64)
        .uint(u64::from(entry.visible))
        .array(entry.attributes.len() * 2);
    for (tag, value) in entry.attributes.iter() {
        writer.uint(u64::from(tag)).text(value);
    }
    writer.null(); // room for what a later version adds
}

fn read_instance(reader: &mut Reader<'_>) -> Result<InstanceEntry> {
    if reader.uint()? != 0 {
        return Err(reader.fault("an entry has another kind"));
    }
    let mut entry = InstanceEntry {
        manifest: ChunkId(reader.hash()?),
        study_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
        series_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
        flags: u32::try_from(reader.uint()?).map_err(|_| reader.fault("flags are too long"))?,
        received_ms: reader.uint()?,
        source: Source::from_code(reader.uint()?).ok_or_else(|| reader.fault("unknown source"))?,
        outcome: Outcome::from_code(reader.uint()?)
            .filter(|outcome| *outcome != Outcome::Duplicate)
            .ok_or_else(|| reader.fault("unknown outcome"))?,
        visible: reader.uint()? == 1,
        attributes: Attributes::default(),
    };
    let values = reader.array()?;
    for _ in 0..values / 2 {
        let tag = u32::try_from(reader.uint()?).map_err(|_| reader.fault("no tag"))?;
        let value = reader.text(VALUE_BYTES_MAX)?;
        entry.attributes.set(tag, value.to_owned());
    }
    if !values.is_multiple_of(2) || !reader.null() {
        return Err(reader.fault("an entry has another shape"));
    }
    Ok(entry)
}

fn write_study(writer: &mut Writer, entry: &StudyEntry) {
    writer.array(8).uint(1).text(&entry.study_uid).uint(entry.version).bytes(&entry.root.0);
    match &entry.previous {
        Some(root) => writer.bytes(&root.0),
        None => writer.null(),
    };
    writer.uint(entry.instances).uint(entry.bytes).uint(entry.created_ms);
}

fn read_study(reader: &mut Reader<'_>) -> Result<StudyEntry> {
    if reader.uint()? != 1 {
        return Err(reader.fault("an entry has another kind"));
    }
    Ok(StudyEntry {
        study_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
        version: reader.uint()?,
        root: StudyRoot(reader.hash()?),
        previous: if reader.null() { None } else { Some(StudyRoot(reader.hash()?)) },
        instances: reader.uint()?,
        bytes: reader.uint()?,
        created_ms: reader.uint()?,
    })
}

fn write_deletion(writer: &mut Writer, entry: &DeletionEntry) {
    writer.array(5).uint(2).text(&entry.target.study_uid);
    for uid in [&entry.target.series_uid, &entry.target.sop_instance_uid] {
        match uid {
            Some(uid) => writer.text(uid),
            None => writer.null(),
        };
    }
    writer.uint(entry.deleted_ms);
}

fn read_deletion(reader: &mut Reader<'_>) -> Result<DeletionEntry> {
    if reader.uint()? != 2 {
        return Err(reader.fault("an entry has another kind"));
    }
    let study_uid = reader.text(UID_BYTES_MAX)?.to_owned();
    let series_uid = read_uid(reader)?;
    let sop_instance_uid = read_uid(reader)?;
    if series_uid.is_none() && sop_instance_uid.is_some() {
        return Err(reader.fault("a deletion names an instance without its series"));
    }
    let target = Target { study_uid, series_uid, sop_instance_uid };
    Ok(DeletionEntry { target, deleted_ms: reader.uint()? })
}

fn read_uid(reader: &mut Reader<'_>) -> Result<Option<String>> {
    if reader.null() { Ok(None) } else { Ok(Some(reader.text(UID_BYTES_MAX)?.to_owned())) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn sample(first_seq: u64, value: String) -> Commit {
        let instance = InstanceEntry {
            manifest: ChunkId([3; 32]),
            study_uid: "1.2".into(),
            series_uid: "1.2.3".into(),
            flags: 5,
            received_ms: 1_700_000_000_000,
            source: Source::Import,
            outcome: Outcome::Conflict,
            visible: false,
            attributes: Attributes::from_iter([(0x0010_0020, value)]),
        };
        let study = StudyEntry {
            study_uid: "1.2".into(),
            version: 2,
            root: StudyRoot([1; 32]),
            previous: Some(StudyRoot([2; 32])),
            instances: 7,
            bytes: 8,
            created_ms: 9,
        };
        let deletion = |series: Option<&str>, sop: Option<&str>| {
            Entry::Deletion(DeletionEntry {
                target: Target {
                    study_uid: "1.2".into(),
                    series_uid: series.map(str::to_owned),
                    sop_instance_uid: sop.map(str::to_owned),
                },
                deleted_ms: 10,
            })
        };
        let entries = vec![
            Entry::Instance(Box::new(instance)),
            Entry::Study(study),
            deletion(None, None),
            deletion(Some("1.2.3"), None),
            deletion(Some("1.2.3"), Some("1.2.3.4")),
        ];
        Commit { first_seq, entries }
    }

    /// A build that knows no deletions reads what was written without one, and refuses the rest.
    #[test]
    fn only_a_deletion_needs_the_newer_version() {
        let mut commit = sample(1, "x".into());
        assert_eq!(commit.encode()[1], VERSION_DELETIONS as u8);
        commit.entries.retain(|entry| !matches!(entry, Entry::Deletion(_)));
        assert_eq!(commit.encode()[1], VERSION as u8);
    }

    proptest! {
        #[test]
        fn commits_come_back(first_seq in 0..=SEQ_MAX, value in ".{0,200}") {
            let commit = sample(first_seq, value);
            prop_assert_eq!(Commit::decode(&commit.encode()).unwrap(), commit);
        }

        #[test]
        fn hostile_commits_never_panic(bytes: Vec<u8>, at: prop::sample::Index, with: u8) {
            let _ = Commit::decode(&bytes);
            let mut bytes = sample(1, "x".into()).encode();
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = Commit::decode(&bytes);
        }
    }
}
