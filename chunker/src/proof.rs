//! Proof that an instance belongs to a study with a given root, checked with no store at hand.

use crate::cbor::{Reader, Writer};
use crate::id::{DatasetHash, StudyRoot};
use crate::limits::{PATH_HASHES_MAX, PROOF_BYTES_MAX, UID_BYTES_MAX};
use crate::tree::{self, Leaf, StudyTotals, StudyTree};
use crate::{Error, Result};

const WHAT: &str = "inclusion proof";
const TAG: &str = "cairn-proof";
const VERSION: u64 = 1;

/// A place in a tree: which of how many, and the hashes beside the way up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    index: u64,
    count: u64,
    path: Vec<[u8; 32]>,
}

impl Place {
    fn write(&self, writer: &mut Writer) {
        writer.uint(self.index).uint(self.count).bytes(self.path.as_flattened());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (index, count) = (reader.uint()?, reader.uint()?);
        let (path, rest) = reader.bytes(PATH_HASHES_MAX * 32)?.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(reader.fault("a path is not made of whole hashes"));
        }
        Ok(Self { index, count, path: path.to_vec() })
    }
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceProof {
    /// Study Instance UID.
    pub study_uid: String,
    /// The root that the proof leads to.
    pub root: StudyRoot,
    /// The instance.
    pub leaf: Leaf,
    /// Series Instance UID.
    pub series_uid: String,
    /// Sum of the data sets' lengths in the series.
    series_bytes: u64,
    totals: StudyTotals,
    in_series: Place,
    in_study: Place,
}

impl InstanceProof {
    /// Proves that the instance `leaf` is in series `series_uid` of `study`; `None` if it is not.
    #[must_use]
    pub fn new(study: &StudyTree, series_uid: &str, leaf: &Leaf) -> Option<Self> {
        let at = study.series.iter().position(|series| series.series_uid == series_uid)?;
        let series = &study.series[at];
        let hash = leaf.hash();
        let index = series.instances.iter().position(|instance| {
            instance.sop_instance_uid == leaf.sop_instance_uid && instance.leaf == hash
        })?;
        let instances = series.leaves();
        let all_series = study.leaves();
        Some(Self {
            study_uid: study.study_uid.clone(),
            root: study.root(),
            leaf: leaf.clone(),
            series_uid: series_uid.to_owned(),
            series_bytes: series.bytes(),
            totals: study.totals(),
            in_series: Place {
                index: index as u64,
                count: instances.len() as u64,
                path: tree::inclusion_path(tree::CONTEXT_SERIES_NODE, &instances, index),
            },
            in_study: Place {
                index: at as u64,
                count: all_series.len() as u64,
                path: tree::inclusion_path(tree::CONTEXT_STUDY_NODE, &all_series, at),
            },
        })
    }

    /// Walks from the instance up and compares with the stated root.
    pub fn verify(&self) -> Result<()> {
        if self.in_study.count != self.totals.series {
            return Err(Error::Proof);
        }
        let climb = |context, leaf, place: &Place| {
            tree::root_from_path(context, leaf, place.index, place.count, &place.path)
                .ok_or(Error::Proof)
        };
        let inner = climb(tree::CONTEXT_SERIES_NODE, self.leaf.hash().0, &self.in_series)?;
        let series =
            tree::series_root(&self.series_uid, self.in_series.count, self.series_bytes, &inner);
        let inner = climb(tree::CONTEXT_STUDY_NODE, series.0, &self.in_study)?;
        let root = tree::study_root(&self.study_uid, self.totals, &inner);
        if root == self.root { Ok(()) } else { Err(Error::Proof) }
    }

    /// The canonical encoding: the content of a proof file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(19).text(TAG).uint(VERSION).text(&self.study_uid).bytes(&self.root.0);
        writer
            .text(&self.leaf.sop_instance_uid)
            .text(&self.leaf.sop_class_uid)
            .text(&self.leaf.transfer_syntax_uid)
            .uint(self.leaf.dataset_bytes)
            .bytes(&self.leaf.dataset_hash.0)
            .text(&self.series_uid)
            .uint(self.series_bytes);
        self.in_series.write(&mut writer);
        self.in_study.write(&mut writer);
        writer.uint(self.totals.instances).uint(self.totals.bytes);
        writer.finish()
    }

    /// Reads a proof file; says nothing of its truth, see [`InstanceProof::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(reader.fault("it is over the bound"));
        }
        reader.array_of(19)?;
        if reader.text(TAG.len())? != TAG {
            return Err(reader.fault("it does not begin as one"));
        }
        match reader.uint()? {
            VERSION => {}
            version => return Err(Error::Version { what: WHAT, version }),
        }
        let study_uid = reader.text(UID_BYTES_MAX)?.to_owned();
        let root = StudyRoot(reader.hash()?);
        let leaf = Leaf {
            sop_instance_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
            sop_class_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
            transfer_syntax_uid: reader.text(UID_BYTES_MAX)?.to_owned(),
            dataset_bytes: reader.uint()?,
            dataset_hash: DatasetHash(reader.hash()?),
        };
        let series_uid = reader.text(UID_BYTES_MAX)?.to_owned();
        let series_bytes = reader.uint()?;
        let in_series = Place::read(&mut reader)?;
        let in_study = Place::read(&mut reader)?;
        let totals = StudyTotals {
            series: in_study.count,
            instances: reader.uint()?,
            bytes: reader.uint()?,
        };
        reader.end()?;
        Ok(Self { study_uid, root, leaf, series_uid, series_bytes, totals, in_series, in_study })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tree::{InstanceNode, SeriesTree};
    use proptest::prelude::*;

    fn leaf(series: u32, i: u32) -> Leaf {
        let uid = format!("1.2.840.99999.1234567890.1234567890.1234567890.12345678.{series}.{i}");
        Leaf {
            sop_instance_uid: uid,
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
            transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
            dataset_bytes: 526_000 + u64::from(i),
            dataset_hash: DatasetHash::of(&i.to_le_bytes()),
        }
    }

    fn study(series: u32, instances: u32) -> StudyTree {
        let tree = |s: u32| {
            let nodes = (0..instances)
                .map(|i| leaf(s, i))
                .map(|leaf| InstanceNode {
                    leaf: leaf.hash(),
                    dataset_bytes: leaf.dataset_bytes,
                    sop_instance_uid: leaf.sop_instance_uid,
                })
                .collect();
            SeriesTree::new(format!("1.2.{s}"), nodes)
        };
        StudyTree::new("1.2.3".into(), (0..series).map(tree).collect())
    }

    #[test]
    fn a_proof_for_3000_slices_is_under_one_kibibyte() {
        let study = study(3, 3000);
        let proof = InstanceProof::new(&study, "1.2.1", &leaf(1, 1717)).unwrap();
        let encoded = proof.encode();
        assert!(encoded.len() < 1024, "{} bytes", encoded.len());
        let read = InstanceProof::decode(&encoded).unwrap();
        assert_eq!(read, proof);
        read.verify().unwrap();
        assert_eq!(read.root, study.root());
    }

    #[test]
    fn what_is_not_in_the_study_cannot_be_proven() {
        let study = study(2, 5);
        assert!(InstanceProof::new(&study, "1.2.9", &leaf(0, 1)).is_none());
        assert!(InstanceProof::new(&study, "1.2.0", &leaf(1, 1)).is_none());
        let changed = Leaf { dataset_bytes: 1, ..leaf(0, 1) };
        assert!(InstanceProof::new(&study, "1.2.0", &changed).is_none());
    }

    proptest! {
        #[test]
        fn any_change_to_a_proof_breaks_it(
            series in 1u32..4, instances in 1u32..40, at: prop::sample::Index, with in 1u8..,
        ) {
            let study = study(series, instances);
            let proof = InstanceProof::new(&study, "1.2.0", &leaf(0, instances / 2)).unwrap();
            proof.verify().unwrap();
            let mut bytes = proof.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            if let Ok(changed) = InstanceProof::decode(&bytes) {
                prop_assert!(changed.verify().is_err());
            }
        }

        #[test]
        fn hostile_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(proof) = InstanceProof::decode(&bytes) {
                let _ = proof.verify();
            }
        }
    }
}
