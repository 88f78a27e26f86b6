//! Objects that go over one kind of association: as many as its contexts can name.

use std::collections::{BTreeSet, VecDeque};

use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};
use cairn_store::catalog::VersionRow;

use crate::dimse::scu::{CONTEXTS_MAX, Wanted};

/// One object.
#[derive(Clone)]
pub(super) struct Item {
    /// Its place among all that is to be sent.
    pub(super) index: usize,
    pub(super) version: VersionRow,
    /// How often an association broke while it was under way.
    pub(super) breaks: usize,
}

/// See the [module](self).
pub(super) struct Load {
    pub(super) wanted: Vec<Wanted>,
    pub(super) left: VecDeque<Item>,
}

/// Parts objects into loads, each of at most [`CONTEXTS_MAX`] contexts. Nearly always there is one.
pub(super) fn loads(versions: Vec<VersionRow>) -> Vec<Load> {
    let mut items: Vec<Item> = versions
        .into_iter()
        .enumerate()
        .map(|(index, version)| Item { index, version, breaks: 0 })
        .collect();
    let kinds: BTreeSet<(&str, &str)> = items.iter().map(|item| kind(&item.version)).collect();
    if kinds.len() > CONTEXTS_MAX / 3 {
        // Objects of a kind together, so that there are few loads.
        items.sort_by(|a, b| kind(&a.version).cmp(&kind(&b.version)));
    }
    let mut loads = Vec::new();
    let mut load = Load { wanted: Vec::new(), left: VecDeque::new() };
    let mut stored = BTreeSet::new();
    let mut plain = BTreeSet::new();
    for item in items {
        let (class, syntax) = kind(&item.version);
        let of = |syntax: &str| Wanted { class: class.into(), transfer_syntax: syntax.into() };
        let own = of(syntax);
        let more: Vec<Wanted> = [of(EXPLICIT_LE), of(IMPLICIT_LE)].into();
        if !stored.contains(&own) {
            let known = |one: &&Wanted| !stored.contains(*one) && !plain.contains(*one);
            let adds = std::iter::once(&own).chain(&more).filter(known).collect::<BTreeSet<_>>();
            if stored.union(&plain).count() + adds.len() > CONTEXTS_MAX {
                load.wanted = contexts(&stored, &plain);
                (stored, plain) = (BTreeSet::new(), BTreeSet::new());
                loads.push(std::mem::replace(
                    &mut load,
                    Load { wanted: Vec::new(), left: VecDeque::new() },
                ));
            }
            stored.insert(own);
            plain.extend(more);
        }
        load.left.push_back(item);
    }
    load.wanted = contexts(&stored, &plain);
    loads.push(load);
    loads
}

fn kind(version: &VersionRow) -> (&str, &str) {
    (&version.sop_class_uid, &version.transfer_syntax_uid)
}

/// What to propose: each class in the syntaxes that are stored, then in those that everything else can
/// be converted to. A context has one syntax, so that the receiver cannot choose the wrong one.
fn contexts(stored: &BTreeSet<Wanted>, plain: &BTreeSet<Wanted>) -> Vec<Wanted> {
    stored.iter().chain(plain.difference(stored)).cloned().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use cairn_chunker::id::{ChunkId, DatasetHash, PixelDigest};
    use cairn_store::catalog::PackNo;
    use cairn_store::commit::Outcome;

    use super::*;

    fn version(class: usize, syntax: &str) -> VersionRow {
        VersionRow {
            seq: 1,
            study_uid: "1.2".into(),
            series_uid: "1.3".into(),
            sop_instance_uid: "1.4".into(),
            sop_class_uid: format!("1.2.840.10008.5.1.4.1.1.{class}"),
            transfer_syntax_uid: syntax.into(),
            manifest: ChunkId([0; 32]),
            dataset_hash: DatasetHash([0; 32]),
            dataset_bytes: 1,
            pixels: PixelDigest([0; 32]),
            frames: 1,
            flags: 0,
            outcome: Outcome::New,
            received_ms: 0,
            visible: true,
            deleted: false,
            commit_pack: PackNo(1),
            entrusted: false,
        }
    }

    #[test]
    fn one_class_is_one_load_with_what_it_can_be_converted_to() {
        let jpeg = "1.2.840.10008.1.2.4.50";
        let all = loads(vec![version(2, jpeg), version(2, EXPLICIT_LE), version(2, jpeg)]);
        assert_eq!(all.len(), 1);
        let syntaxes: Vec<&str> =
            all[0].wanted.iter().map(|one| one.transfer_syntax.as_str()).collect();
        assert_eq!(syntaxes, [EXPLICIT_LE, jpeg, IMPLICIT_LE]);
        assert_eq!(all[0].left.iter().map(|item| item.index).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn more_kinds_than_contexts_are_several_loads() {
        let jpeg = "1.2.840.10008.1.2.4.50";
        // Interleaved, three contexts for each class: 100 classes need 300.
        let all = loads((0..300).map(|n| version(n % 100, jpeg)).collect());
        assert_eq!(all.len(), 3);
        let mut indices = BTreeSet::new();
        for load in &all {
            assert!(load.wanted.len() <= CONTEXTS_MAX);
            for item in &load.left {
                assert!(
                    load.wanted.iter().any(|one| one.class == item.version.sop_class_uid
                        && one.transfer_syntax == jpeg)
                );
                indices.insert(item.index);
            }
        }
        assert_eq!(indices.len(), 300);
    }
}
