//! The right edge of a log: the tiles that are not full yet.

use std::collections::BTreeMap;

use super::{TILE_WIDTH, bundle_path, push_entry, tile_path};
use crate::merkle::{Frontier, Hash, leaf_hash, root_of};

/// Takes entries in and says which files they make.
#[derive(Debug, Default, Clone)]
pub(super) struct Edge {
    frontier: Frontier,
    /// Hashes of the tile that is being filled, one for each level.
    levels: Vec<Vec<Hash>>,
    /// The bundle that is being filled.
    bundle: Vec<u8>,
    /// Files to be written before a head may name the new size, by path.
    due: BTreeMap<String, Vec<u8>>,
    /// Folders of partial tiles whose full tile is among `due`.
    outgrown: Vec<String>,
}

impl Edge {
    pub(super) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Takes an entry; it becomes due once its tile is full, or with [`Edge::take_due`].
    pub(super) fn push(&mut self, entry: &[u8]) {
        let leaf = leaf_hash(entry).0;
        let index = self.frontier.size() / TILE_WIDTH;
        push_entry(&mut self.bundle, entry);
        self.frontier.push(leaf);
        if self.frontier.size().is_multiple_of(TILE_WIDTH) {
            let full = std::mem::take(&mut self.bundle);
            self.due.insert(bundle_path(index, TILE_WIDTH), full);
            self.outgrown.push(bundle_path(index, TILE_WIDTH) + ".p");
        }
        self.push_hash(0, leaf);
    }

    fn push_hash(&mut self, level: u32, hash: Hash) {
        let at = level as usize;
        if self.levels.len() == at {
            self.levels.push(Vec::new());
        }
        self.levels[at].push(hash);
        if self.levels[at].len() as u64 == TILE_WIDTH {
            let full = std::mem::take(&mut self.levels[at]);
            let index = (self.frontier.size() >> (8 * (level + 1))) - 1;
            let path = tile_path(level, index, TILE_WIDTH);
            self.outgrown.push(format!("{path}.p"));
            self.due.insert(path, full.as_flattened().to_vec());
            self.push_hash(level + 1, root_of(&full));
        }
    }

    /// All files that the present size needs and a head of `committed` entries did not; and the
    /// folders that may go once they are there.
    pub(super) fn take_due(&mut self, committed: u64) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
        let size = self.frontier.size();
        // What a head names already is never written again: a crash halfway would lose it.
        if !self.bundle.is_empty() && size != committed {
            let path = bundle_path(size / TILE_WIDTH, size % TILE_WIDTH);
            self.due.insert(path, self.bundle.clone());
        }
        for (level, hashes) in self.levels.iter().enumerate() {
            let shift = 8 * level as u32;
            // A level that did not grow has its partial tile on disk already.
            if !hashes.is_empty() && size >> shift != committed >> shift {
                let index = (size >> shift) / TILE_WIDTH;
                let path = tile_path(level as u32, index, hashes.len() as u64);
                self.due.insert(path, hashes.as_flattened().to_vec());
            }
        }
        (std::mem::take(&mut self.due), std::mem::take(&mut self.outgrown))
    }

    /// The files that are full and were not taken yet.
    pub(super) fn take_full(&mut self) -> BTreeMap<String, Vec<u8>> {
        self.outgrown.clear();
        std::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiles::tile_width;

    /// However entries are grouped into commits, all files of the final size are there, and no file is
    /// written with two contents.
    #[test]
    fn files_do_not_depend_on_the_grouping() {
        for group in [1, 7, 256, 300, 1000] {
            let (mut edge, mut files, mut committed) = (Edge::default(), BTreeMap::new(), 0);
            for entry in 0..70_000u32 {
                edge.push(&entry.to_be_bytes());
                if (entry + 1) % group == 0 {
                    for (path, bytes) in edge.take_due(committed).0 {
                        let same = files.insert(path.clone(), bytes.clone());
                        assert!(same.is_none_or(|same| same == bytes), "{path}");
                    }
                    committed = edge.frontier.size();
                }
            }
            files.extend(edge.take_due(committed).0);
            let size = 70_000;
            for (level, tiles) in [(0, 274), (1, 2), (2, 1)] {
                for index in 0..tiles {
                    let width = tile_width(level, index, size);
                    let bytes = files.get(&tile_path(level, index, width));
                    assert_eq!(bytes.map(Vec::len), Some(width as usize * 32), "{level} {index}");
                }
            }
            assert!(files.contains_key(&bundle_path(273, 112)));
        }
    }
}
