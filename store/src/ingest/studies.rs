//! Naming the content of studies that changed.

use cairn_chunker::tree::{InstanceNode, SeriesTree, StudyTree};

use super::{StudySummary, now_ms};
use crate::catalog::{Catalog, Seqs};
use crate::commit::StudyEntry;
use crate::error::Result;
use crate::store::Shared;

/// The tree over a study's visible instances.
pub(crate) fn study_tree(catalog: &dyn Catalog, study_uid: &str) -> Result<StudyTree> {
    study_content(catalog, study_uid).map(|(tree, _)| tree)
}

/// The same, and the sequence numbers of the versions that it was made from, of one moment.
pub(crate) fn study_content(catalog: &dyn Catalog, study_uid: &str) -> Result<(StudyTree, Seqs)> {
    let mut seqs = Vec::new();
    let mut series: Vec<SeriesTree> = Vec::new();
    let mut current: Option<(String, Vec<InstanceNode>)> = None;
    catalog.study_versions(study_uid, false, &mut |version| {
        seqs.push(version.seq);
        let node = InstanceNode {
            leaf: version.leaf_hash(),
            sop_instance_uid: version.sop_instance_uid,
            dataset_bytes: version.dataset_bytes,
        };
        match &mut current {
            Some((uid, nodes)) if *uid == version.series_uid => nodes.push(node),
            _ => {
                let next = (version.series_uid, vec![node]);
                if let Some((uid, nodes)) = current.replace(next) {
                    series.push(SeriesTree::new(uid, nodes));
                }
            }
        }
        Ok(())
    })?;
    series.extend(current.map(|(uid, nodes)| SeriesTree::new(uid, nodes)));
    // Ranges grow at their end in no time, and in the middle they do not.
    seqs.sort_unstable();
    Ok((StudyTree::new(study_uid.to_owned(), series), seqs.into_iter().collect()))
}

/// New records for those of `touched` whose content has a new name, and what all of them are called.
pub(super) fn records(
    shared: &Shared,
    touched: impl Iterator<Item = impl AsRef<str>>,
) -> Result<(Vec<StudyEntry>, Vec<StudySummary>)> {
    let mut entries = Vec::new();
    let mut summaries = Vec::new();
    for study_uid in touched {
        let study_uid = study_uid.as_ref();
        let tree = study_tree(&*shared.catalog, study_uid)?;
        let root = tree.root();
        let last = shared.catalog.study_record(study_uid)?;
        let known = last.as_ref().is_some_and(|last| last.root == root);
        let version = last.as_ref().map_or(1, |last| last.version + u64::from(!known));
        let (instances, bytes) = (tree.instances(), tree.bytes());
        if !known {
            entries.push(StudyEntry {
                study_uid: study_uid.to_owned(),
                version,
                root,
                previous: last.map(|last| last.root),
                instances,
                bytes,
                created_ms: now_ms(),
            });
        }
        summaries.push(StudySummary {
            study_uid: study_uid.to_owned(),
            root,
            version,
            instances,
            bytes,
        });
    }
    Ok((entries, summaries))
}
