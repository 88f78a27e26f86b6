//! The hash tree that names a study's content.
//!
//! An RFC 6962 §2.1 shaped Merkle tree over the instances of each series, sorted by the bytes of
//! their UIDs, and over the series of the study. Counts and lengths are committed. Every level has a
//! `derive_key` context of its own, so no node can pass for another. The root depends on the content
//! alone: not on the order of arrival, on cutting, codecs, keys or the site.

use crate::cbor::Writer;
use crate::id::{DatasetHash, LeafHash, SeriesRoot, StudyRoot, hash_in};

const CONTEXT_INSTANCE: &str = "cairn 2026-11 v1 instance leaf";
pub(crate) const CONTEXT_SERIES_NODE: &str = "cairn 2026-11 v1 series node";
const CONTEXT_SERIES: &str = "cairn 2026-11 v1 series root";
pub(crate) const CONTEXT_STUDY_NODE: &str = "cairn 2026-11 v1 study node";
const CONTEXT_STUDY: &str = "cairn 2026-11 v1 study root";

/// One instance as the tree sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// SOP Class UID; empty if unknown.
    pub sop_class_uid: String,
    /// Transfer syntax UID of the data set.
    pub transfer_syntax_uid: String,
    /// Length of the data set in bytes.
    pub dataset_bytes: u64,
    /// Hash of the data set.
    pub dataset_hash: DatasetHash,
}

impl Leaf {
    /// `H_leaf(SOP Instance UID, SOP Class UID, transfer syntax UID, data set length and hash)`.
    #[must_use]
    pub fn hash(&self) -> LeafHash {
        let mut writer = Writer::new();
        writer
            .array(5)
            .text(&self.sop_instance_uid)
            .text(&self.sop_class_uid)
            .text(&self.transfer_syntax_uid)
            .uint(self.dataset_bytes)
            .bytes(self.dataset_hash.as_bytes());
        LeafHash(hash_in(CONTEXT_INSTANCE, &writer.finish()))
    }
}

/// What the tree needs of an instance when its leaf is hashed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceNode {
    /// SOP Instance UID: the sorting key.
    pub sop_instance_uid: String,
    /// Its leaf.
    pub leaf: LeafHash,
    /// Length of its data set in bytes.
    pub dataset_bytes: u64,
}

/// The instances of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesTree {
    /// Series Instance UID.
    pub series_uid: String,
    /// Its instances, sorted by UID bytes.
    pub instances: Vec<InstanceNode>,
}

impl SeriesTree {
    /// Sorts `instances` and takes them.
    #[must_use]
    pub fn new(series_uid: String, mut instances: Vec<InstanceNode>) -> Self {
        instances.sort_by(|a, b| a.sop_instance_uid.as_bytes().cmp(b.sop_instance_uid.as_bytes()));
        Self { series_uid, instances }
    }

    /// Sum of the data sets' lengths in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.instances.iter().map(|instance| instance.dataset_bytes).sum()
    }

    pub(crate) fn leaves(&self) -> Vec<[u8; 32]> {
        self.instances.iter().map(|instance| instance.leaf.0).collect()
    }

    /// Names the series' content.
    #[must_use]
    pub fn root(&self) -> SeriesRoot {
        let inner = merkle_root(CONTEXT_SERIES_NODE, &self.leaves());
        series_root(&self.series_uid, self.instances.len() as u64, self.bytes(), &inner)
    }
}

/// The series of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyTree {
    /// Study Instance UID.
    pub study_uid: String,
    /// Its series, sorted by UID bytes.
    pub series: Vec<SeriesTree>,
}

impl StudyTree {
    /// Sorts `series` and takes them.
    #[must_use]
    pub fn new(study_uid: String, mut series: Vec<SeriesTree>) -> Self {
        series.sort_by(|a, b| a.series_uid.as_bytes().cmp(b.series_uid.as_bytes()));
        Self { study_uid, series }
    }

    /// Number of instances.
    #[must_use]
    pub fn instances(&self) -> u64 {
        self.series.iter().map(|series| series.instances.len() as u64).sum()
    }

    /// Sum of the data sets' lengths in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.series.iter().map(SeriesTree::bytes).sum()
    }

    pub(crate) fn leaves(&self) -> Vec<[u8; 32]> {
        self.series.iter().map(|series| series.root().0).collect()
    }

    pub(crate) fn totals(&self) -> StudyTotals {
        StudyTotals {
            series: self.series.len() as u64,
            instances: self.instances(),
            bytes: self.bytes(),
        }
    }

    /// Names the study's content.
    #[must_use]
    pub fn root(&self) -> StudyRoot {
        let inner = merkle_root(CONTEXT_STUDY_NODE, &self.leaves());
        study_root(&self.study_uid, self.totals(), &inner)
    }
}

/// What a study root commits beside its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StudyTotals {
    /// Number of series.
    pub series: u64,
    /// Number of instances.
    pub instances: u64,
    /// Sum of the data sets' lengths in bytes.
    pub bytes: u64,
}

pub(crate) fn series_root(uid: &str, count: u64, bytes: u64, inner: &[u8; 32]) -> SeriesRoot {
    let mut writer = Writer::new();
    writer.array(4).text(uid).uint(count).uint(bytes).bytes(inner);
    SeriesRoot(hash_in(CONTEXT_SERIES, &writer.finish()))
}

pub(crate) fn study_root(uid: &str, totals: StudyTotals, inner: &[u8; 32]) -> StudyRoot {
    let mut writer = Writer::new();
    writer
        .array(5)
        .text(uid)
        .uint(totals.series)
        .uint(totals.instances)
        .uint(totals.bytes)
        .bytes(inner);
    StudyRoot(hash_in(CONTEXT_STUDY, &writer.finish()))
}

fn node(context: &str, left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(left).update(right);
    *hasher.finalize().as_bytes()
}

/// The largest power of two below `count`, for `count` >= 2 (RFC 6962 §2.1).
fn split(count: usize) -> usize {
    1 << (usize::BITS - 1 - (count - 1).leading_zeros())
}

/// Merkle tree hash; an empty list hashes the empty string under `context`.
pub(crate) fn merkle_root(context: &str, leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => hash_in(context, &[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(context, &merkle_root(context, left), &merkle_root(context, right))
        }
    }
}

/// Sibling hashes from leaf `index` up to the root (RFC 6962 §2.1.1).
pub(crate) fn inclusion_path(context: &str, leaves: &[[u8; 32]], index: usize) -> Vec<[u8; 32]> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (inclusion_path(context, left, index), merkle_root(context, right))
    } else {
        (inclusion_path(context, right, index - left.len()), merkle_root(context, left))
    };
    path.push(sibling);
    path
}

/// The root that a path leads to, or `None` if its length does not fit (RFC 9162 §2.1.3.2).
pub(crate) fn root_from_path(
    context: &str,
    leaf: [u8; 32],
    index: u64,
    count: u64,
    path: &[[u8; 32]],
) -> Option<[u8; 32]> {
    if index >= count {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, count - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(context, sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(context, &hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<[u8; 32]> {
        (0..count).map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes()).collect()
    }

    #[test]
    fn every_path_of_every_small_tree_leads_to_its_root() {
        for count in 1..70u32 {
            let leaves = leaves(count);
            let root = merkle_root(CONTEXT_SERIES_NODE, &leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = inclusion_path(CONTEXT_SERIES_NODE, &leaves, index);
                let at = |i, n, p: &[[u8; 32]]| root_from_path(CONTEXT_SERIES_NODE, *leaf, i, n, p);
                let (i, n) = (index as u64, u64::from(count));
                assert_eq!(at(i, n, &path), Some(root));
                assert_ne!(at(i + 1, n, &path), Some(root));
                if let Some((_, short)) = path.split_last() {
                    assert_ne!(at(i, n, short), Some(root));
                }
                let long = [&path[..], &[[0; 32]]].concat();
                assert_ne!(at(i, n, &long), Some(root));
            }
        }
    }

    #[test]
    fn the_root_does_not_depend_on_order() {
        let instance = |i: u32| InstanceNode {
            sop_instance_uid: format!("1.2.{i}"),
            leaf: LeafHash(*blake3::hash(&i.to_le_bytes()).as_bytes()),
            dataset_bytes: u64::from(i),
        };
        let forward = SeriesTree::new("1".into(), (0..20).map(instance).collect());
        let backward = SeriesTree::new("1".into(), (0..20).rev().map(instance).collect());
        assert_eq!(forward.root(), backward.root());
        let other = SeriesTree::new("2".into(), vec![instance(99)]);
        let a = StudyTree::new("9".into(), vec![forward.clone(), other.clone()]);
        let b = StudyTree::new("9".into(), vec![other, backward]);
        assert_eq!(a.root(), b.root());
    }

    #[test]
    fn every_field_enters_the_root() {
        let leaf = Leaf {
            sop_instance_uid: "1.2".into(),
            sop_class_uid: "3".into(),
            transfer_syntax_uid: "4".into(),
            dataset_bytes: 5,
            dataset_hash: DatasetHash([6; 32]),
        };
        let changed = [
            Leaf { sop_instance_uid: "1.3".into(), ..leaf.clone() },
            Leaf { sop_class_uid: "1".into(), ..leaf.clone() },
            Leaf { transfer_syntax_uid: "1".into(), ..leaf.clone() },
            Leaf { dataset_bytes: 1, ..leaf.clone() },
            Leaf { dataset_hash: DatasetHash([1; 32]), ..leaf.clone() },
        ];
        for other in changed {
            assert_ne!(other.hash(), leaf.hash());
        }
    }
}
