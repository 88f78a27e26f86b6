//! A study record: which instances make up one version of a study, and the manifest of each.
//!
//! The leaves are proven by the root that the owner registered. The manifests are not part of it (a
//! better cutting rule must not change what a study is called), so the owner signs them beside it.

use cairn_chunker::cbor::{Reader, Writer};
use cairn_chunker::id::{ChunkId, DatasetHash, StudyRoot};
use cairn_chunker::limits::UID_BYTES_MAX;
use cairn_chunker::tree::{InstanceNode, Leaf, SeriesTree, StudyTree};
use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::keys::{SiteSecret, verify};
use ed25519_dalek::Signer;

const WHAT: &str = "study record";
const VERSION: u64 = 1;
/// Starts what is signed.
const CONTEXT: &[u8] = b"cairn 2026-11 v1 study record\n";
/// Longest record in bytes: some 300 bytes an instance.
pub(crate) const RECORD_BYTES_MAX: usize = 256 << 20;

/// One version of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StudyRecord {
    /// Whose it is.
    pub(crate) owner: SiteId,
    /// Its name on the ledger.
    pub(crate) study: StudyId,
    /// Which version of it.
    pub(crate) version: u64,
    /// Study Instance UID.
    pub(crate) study_uid: String,
    /// Its series, sorted by the bytes of their UIDs.
    pub(crate) series: Vec<SeriesRecord>,
}

/// A series of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeriesRecord {
    /// Series Instance UID.
    pub(crate) series_uid: String,
    /// Its instances, sorted by the bytes of their UIDs.
    pub(crate) instances: Vec<InstanceRecord>,
}

/// An instance of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceRecord {
    /// What it is.
    pub(crate) leaf: Leaf,
    /// Hash of its encoded manifest.
    pub(crate) manifest: ChunkId,
}

/// Why a record is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untrue {
    /// It cannot be read.
    #[error(transparent)]
    Form(#[from] cairn_chunker::Error),
    /// It is of another study, version or site.
    #[error("the record is of another study, version or site")]
    Other,
    /// Its owner did not sign it.
    #[error("the record is not signed by its owner")]
    Unsigned,
    /// Its instances do not make the registered root.
    #[error("the instances do not make the root that was registered")]
    OtherRoot,
}

impl StudyRecord {
    /// What its instances make.
    pub(crate) fn root(&self) -> StudyRoot {
        let series = self.series.iter().map(|series| {
            let nodes = series.instances.iter().map(|instance| InstanceNode {
                sop_instance_uid: instance.leaf.sop_instance_uid.clone(),
                leaf: instance.leaf.hash(),
                dataset_bytes: instance.leaf.dataset_bytes,
            });
            SeriesTree::new(series.series_uid.clone(), nodes.collect())
        });
        StudyTree::new(self.study_uid.clone(), series.collect()).root()
    }

    /// Its instances in order, each with its series; the place in this order is what they are asked for
    /// by.
    pub(crate) fn instances(&self) -> impl Iterator<Item = (&str, &InstanceRecord)> {
        self.series.iter().flat_map(|series| {
            series.instances.iter().map(|instance| (series.series_uid.as_str(), instance))
        })
    }

    fn body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(6).uint(VERSION).bytes(&self.owner.0).bytes(&self.study.0);
        writer.uint(self.version).text(&self.study_uid).array(self.series.len());
        for series in &self.series {
            writer.array(2).text(&series.series_uid).array(series.instances.len());
            for InstanceRecord { leaf, manifest } in &series.instances {
                writer
                    .array(6)
                    .text(&leaf.sop_instance_uid)
                    .text(&leaf.sop_class_uid)
                    .text(&leaf.transfer_syntax_uid)
                    .uint(leaf.dataset_bytes)
                    .bytes(leaf.dataset_hash.as_bytes())
                    .bytes(manifest.as_bytes());
            }
        }
        writer.finish()
    }

    /// The record, signed by its owner.
    pub(crate) fn sign(&self, secret: &SiteSecret) -> Vec<u8> {
        let body = self.body();
        let signature = secret.entry_key().sign(&[CONTEXT, &body].concat());
        let mut out = signature.to_bytes().to_vec();
        out.extend(body);
        out
    }

    /// Reads a record, which has to be of this study and version, signed by its owner, with the root
    /// that the owner registered.
    pub(crate) fn check(bytes: &[u8], expected: &Expected) -> Result<Self, Untrue> {
        let Some((signature, body)) = bytes.split_first_chunk::<64>() else {
            return Err(Untrue::Unsigned);
        };
        if !verify(&expected.signer, &[CONTEXT, body].concat(), signature) {
            return Err(Untrue::Unsigned);
        }
        let record = Self::decode(body)?;
        if (record.owner, record.study, record.version)
            != (expected.owner, expected.study, expected.version)
        {
            return Err(Untrue::Other);
        }
        if record.root() == expected.root { Ok(record) } else { Err(Untrue::OtherRoot) }
    }

    fn decode(body: &[u8]) -> Result<Self, cairn_chunker::Error> {
        let mut reader = Reader::new(body, WHAT);
        reader.array_of(6)?;
        match reader.uint()? {
            VERSION => {}
            version => return Err(cairn_chunker::Error::Version { what: WHAT, version }),
        }
        let (owner, study) = (SiteId(reader.hash()?), StudyId(reader.hash()?));
        let (version, study_uid) = (reader.uint()?, uid(&mut reader)?);
        let mut series: Vec<SeriesRecord> = Vec::new();
        for _ in 0..reader.array()? {
            reader.array_of(2)?;
            let series_uid = uid(&mut reader)?;
            let mut instances: Vec<InstanceRecord> = Vec::new();
            for _ in 0..reader.array()? {
                let instance = read_instance(&mut reader)?;
                let name = |instance: &InstanceRecord| instance.leaf.sop_instance_uid.clone();
                if instances.last().is_some_and(|last| name(last) >= name(&instance)) {
                    return Err(reader.fault("its instances are not in order"));
                }
                instances.push(instance);
            }
            if series.last().is_some_and(|last| last.series_uid >= series_uid) {
                return Err(reader.fault("its series are not in order"));
            }
            series.push(SeriesRecord { series_uid, instances });
        }
        reader.end()?;
        Ok(Self { owner, study, version, study_uid, series })
    }
}

fn uid(reader: &mut Reader<'_>) -> Result<String, cairn_chunker::Error> {
    Ok(reader.text(UID_BYTES_MAX)?.to_owned())
}

fn read_instance(reader: &mut Reader<'_>) -> Result<InstanceRecord, cairn_chunker::Error> {
    reader.array_of(6)?;
    let leaf = Leaf {
        sop_instance_uid: uid(reader)?,
        sop_class_uid: uid(reader)?,
        transfer_syntax_uid: uid(reader)?,
        dataset_bytes: reader.uint()?,
        dataset_hash: DatasetHash(reader.hash()?),
    };
    Ok(InstanceRecord { leaf, manifest: ChunkId(reader.hash()?) })
}

/// What a record has to be.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// Whose.
    pub(crate) owner: SiteId,
    /// The key that the owner signs entries with.
    pub(crate) signer: [u8; 32],
    /// Of which study.
    pub(crate) study: StudyId,
    /// Of which version.
    pub(crate) version: u64,
    /// The root that the owner committed to.
    pub(crate) root: StudyRoot,
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Two series with three and one instances.
    pub(crate) fn sample() -> StudyRecord {
        let instance = |no: u8| InstanceRecord {
            leaf: Leaf {
                sop_instance_uid: format!("1.2.{no}"),
                sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
                transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
                dataset_bytes: u64::from(no) * 1000,
                dataset_hash: DatasetHash([no; 32]),
            },
            manifest: ChunkId([no; 32]),
        };
        let series = |uid: &str, numbers: &[u8]| SeriesRecord {
            series_uid: uid.into(),
            instances: numbers.iter().map(|no| instance(*no)).collect(),
        };
        StudyRecord {
            owner: SiteId([1; 32]),
            study: StudyId([2; 32]),
            version: 3,
            study_uid: "1.2".into(),
            series: vec![series("1.2.1", &[1, 2, 3]), series("1.2.9", &[4])],
        }
    }

    fn expected(secret: &SiteSecret) -> Expected {
        let StudyRecord { owner, study, version, .. } = sample();
        Expected { owner, signer: secret.public().sign, study, version, root: sample().root() }
    }

    #[test]
    fn a_record_is_taken_from_its_owner_for_its_root_alone() {
        let secret = SiteSecret::from_seed([1; 32]);
        let (bytes, expected) = (sample().sign(&secret), expected(&secret));
        assert_eq!(StudyRecord::check(&bytes, &expected).unwrap(), sample());
        let check = |expected: Expected| StudyRecord::check(&bytes, &expected).unwrap_err();
        assert!(matches!(
            check(Expected { signer: [9; 32], ..expected.clone() }),
            Untrue::Unsigned
        ));
        assert!(matches!(check(Expected { version: 4, ..expected.clone() }), Untrue::Other));
        let root = StudyRoot([9; 32]);
        assert!(matches!(check(Expected { root, ..expected.clone() }), Untrue::OtherRoot));
        // The owner itself cannot pass other images off as those that it registered.
        let mut other = sample();
        other.series[0].instances[1].leaf.dataset_hash.0[0] ^= 1;
        let bytes = other.sign(&secret);
        assert!(matches!(StudyRecord::check(&bytes, &expected), Err(Untrue::OtherRoot)));
    }

    #[test]
    fn the_same_instance_cannot_be_listed_twice() {
        let secret = SiteSecret::from_seed([1; 32]);
        let mut twice = sample();
        let again = twice.series[0].instances[2].clone();
        twice.series[0].instances.push(again);
        let expected = Expected { root: twice.root(), ..expected(&secret) };
        let refused = StudyRecord::check(&twice.sign(&secret), &expected);
        assert!(matches!(refused, Err(Untrue::Form(_))), "{refused:?}");
    }

    proptest! {
        #[test]
        fn hostile_records_never_panic(at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
            let mut body = sample().body();
            let at = at.index(body.len());
            body[at] = with;
            body.truncate(cut.index(body.len() + 1));
            if let Ok(record) = StudyRecord::decode(&body) {
                prop_assert_eq!(record.body(), body, "one form for each record");
            }
        }
    }
}
