//! Proofs that an entry is in a tree, and that a tree continues another.
//!
//! Made from the nodes of a tree at hand (RFC 9162 §2.1.3.1, §2.1.4.1); checked with nothing but the
//! proof and the roots (§2.1.3.2, §2.1.4.2).

use cairn_chunker::cbor::{Reader, Writer};

use super::{Hash, node_hash};
use crate::id::LeafHash;
use crate::limits::PROOF_HASHES_MAX;
use crate::{Error, Result};

/// Gives the roots of perfect subtrees.
pub trait Nodes {
    /// Root over the leaves `[index << level, (index + 1) << level)`, all of which are in the tree.
    fn node(&self, level: u32, index: u64) -> Result<Hash>;
}

/// Shows that an entry is the one at `index` in a tree of `size` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The entry's position.
    pub index: u64,
    /// Leaves in the tree.
    pub size: u64,
    /// Siblings from the leaf up.
    pub path: Vec<Hash>,
}

/// Shows that a tree of `new` leaves begins with those of a tree of `old` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Leaves in the smaller tree.
    pub old: u64,
    /// Leaves in the larger tree.
    pub new: u64,
    /// Nodes as RFC 9162 §2.1.4.1 orders them.
    pub path: Vec<Hash>,
}

/// The largest power of two below `count`, for `count` >= 2.
fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// `MTH(D[start:end])` for a subtree of the tree: `start` is a multiple of its width.
pub fn subtree_root(nodes: &dyn Nodes, start: u64, end: u64) -> Result<Hash> {
    let width = end - start;
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        return nodes.node(level, start >> level);
    }
    let middle = start + split(width);
    let left = subtree_root(nodes, start, middle)?;
    Ok(node_hash(&left, &subtree_root(nodes, middle, end)?))
}

/// The proof for the entry at `index` in the tree of the first `size` leaves.
pub fn inclusion(nodes: &dyn Nodes, index: u64, size: u64) -> Result<InclusionProof> {
    if index >= size {
        return Err(Error::OutOfRange);
    }
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(subtree_root(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(subtree_root(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(InclusionProof { index, size, path })
}

/// The proof that the first `new` leaves begin with the first `old`.
pub fn consistency(nodes: &dyn Nodes, old: u64, new: u64) -> Result<ConsistencyProof> {
    if old > new {
        return Err(Error::OutOfRange);
    }
    let mut path = Vec::new();
    if old > 0 && old < new {
        let (mut start, mut end, mut whole) = (0, new, true);
        while end != old {
            let middle = start + split(end - start);
            if old <= middle {
                path.push(subtree_root(nodes, middle, end)?);
                end = middle;
            } else {
                path.push(subtree_root(nodes, start, middle)?);
                (start, whole) = (middle, false);
            }
        }
        if !whole {
            path.push(subtree_root(nodes, start, end)?);
        }
        path.reverse();
    }
    Ok(ConsistencyProof { old, new, path })
}

impl InclusionProof {
    /// Does the proof lead from the leaf to the root? (RFC 9162 §2.1.3.2)
    pub fn verify(&self, leaf: &LeafHash, root: &Hash) -> Result<()> {
        const FAULT: Error = Error::Proof("the entry is not in this tree");
        if self.index >= self.size {
            return Err(FAULT);
        }
        let (mut at, mut last, mut hash) = (self.index, self.size - 1, leaf.0);
        for sibling in &self.path {
            if last == 0 {
                return Err(FAULT);
            }
            if at & 1 == 1 || at == last {
                hash = node_hash(sibling, &hash);
                while at & 1 == 0 && at != 0 {
                    (at, last) = (at >> 1, last >> 1);
                }
            } else {
                hash = node_hash(&hash, sibling);
            }
            (at, last) = (at >> 1, last >> 1);
        }
        if last == 0 && hash == *root { Ok(()) } else { Err(FAULT) }
    }

    /// The proof in bytes: under 1 KiB for a log of any length that fits on earth.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self.index, self.size, &self.path)
    }

    /// Reads [`InclusionProof::encode`] back.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (index, size, path) = decode(bytes)?;
        Ok(Self { index, size, path })
    }
}

impl ConsistencyProof {
    /// Does the tree with root `new` begin with the one with root `old`? (RFC 9162 §2.1.4.2)
    pub fn verify(&self, old: &Hash, new: &Hash) -> Result<()> {
        const FAULT: Error = Error::Proof("the tree does not continue the other");
        let holds = |holds: bool| if holds { Ok(()) } else { Err(FAULT) };
        if self.old > self.new {
            return Err(FAULT);
        }
        if self.old == 0 {
            // Any tree continues the empty one; there is nothing to prove (C2SP tlog-witness).
            return holds(self.path.is_empty() && *old == super::empty_root());
        }
        if self.old == self.new {
            return holds(self.path.is_empty() && old == new);
        }
        // RFC 9162 puts the old root first where it is a node of the new tree and goes without saying.
        let mut path = self.path.iter();
        let first = if self.old.is_power_of_two() { Some(old) } else { path.next() };
        let Some(first) = first else { return Err(FAULT) };
        let (mut at, mut last) = (self.old - 1, self.new - 1);
        while at & 1 == 1 {
            (at, last) = (at >> 1, last >> 1);
        }
        let (mut from_old, mut from_new, mut steps) = (*first, *first, 0);
        for node in path {
            steps += 1;
            if last == 0 {
                return Err(FAULT);
            }
            if at & 1 == 1 || at == last {
                from_old = node_hash(node, &from_old);
                from_new = node_hash(node, &from_new);
                while at & 1 == 0 && at != 0 {
                    (at, last) = (at >> 1, last >> 1);
                }
            } else {
                from_new = node_hash(&from_new, node);
            }
            (at, last) = (at >> 1, last >> 1);
        }
        holds(steps > 0 && last == 0 && from_old == *old && from_new == *new)
    }

    /// The proof in bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self.old, self.new, &self.path)
    }

    /// Reads [`ConsistencyProof::encode`] back.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (old, new, path) = decode(bytes)?;
        Ok(Self { old, new, path })
    }
}

fn encode(first: u64, second: u64, path: &[Hash]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(3).uint(first).uint(second).bytes(path.as_flattened());
    writer.finish()
}

fn decode(bytes: &[u8]) -> Result<(u64, u64, Vec<Hash>)> {
    let mut reader = Reader::new(bytes, "Merkle proof");
    reader.array_of(3)?;
    let (first, second) = (reader.uint()?, reader.uint()?);
    let hashes = reader.bytes(PROOF_HASHES_MAX * size_of::<Hash>())?;
    reader.end()?;
    match hashes.as_chunks() {
        (path, []) => Ok((first, second, path.to_vec())),
        _ => Err(reader.fault("a hash is not whole").into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::root_of;
    use super::super::tests::leaves;
    use super::*;

    struct Leaves(Vec<Hash>);

    impl Nodes for Leaves {
        fn node(&self, level: u32, index: u64) -> Result<Hash> {
            let start = (index as usize) << level;
            Ok(root_of(&self.0[start..start + (1 << level)]))
        }
    }

    fn root(tree: &Leaves, size: u64) -> Hash {
        root_of(&tree.0[..size as usize])
    }

    #[test]
    fn every_inclusion_in_every_small_tree_is_proven_and_nothing_else() {
        let tree = Leaves(leaves(40));
        for size in 1..=40u64 {
            for index in 0..size {
                let proof = inclusion(&tree, index, size).unwrap();
                assert_eq!(InclusionProof::decode(&proof.encode()).unwrap(), proof);
                let (leaf, other) = (LeafHash(tree.0[index as usize]), LeafHash([9; 32]));
                proof.verify(&leaf, &root(&tree, size)).unwrap();
                assert!(proof.verify(&other, &root(&tree, size)).is_err());
                assert!(proof.verify(&leaf, &root(&tree, size - 1)).is_err());
                let moved = InclusionProof { index: index + 1, ..proof.clone() };
                assert!(moved.verify(&leaf, &root(&tree, size)).is_err());
                let mut long = proof.clone();
                long.path.push([0; 32]);
                assert!(long.verify(&leaf, &root(&tree, size)).is_err());
                let mut short = proof;
                if short.path.pop().is_some() {
                    assert!(short.verify(&leaf, &root(&tree, size)).is_err());
                }
            }
        }
    }

    #[test]
    fn every_continuation_of_every_small_tree_is_proven_and_nothing_else() {
        let tree = Leaves(leaves(40));
        for new in 0..=40u64 {
            for old in 0..=new {
                let proof = consistency(&tree, old, new).unwrap();
                assert_eq!(ConsistencyProof::decode(&proof.encode()).unwrap(), proof);
                let (from, to) = (root(&tree, old), root(&tree, new));
                proof.verify(&from, &to).unwrap();
                assert!(proof.verify(&[9; 32], &to).is_err());
                if old > 0 {
                    assert!(proof.verify(&from, &[9; 32]).is_err());
                }
                let mut long = proof.clone();
                long.path.push([0; 32]);
                assert!(long.verify(&from, &to).is_err(), "{old} {new}");
                let mut short = proof.clone();
                if short.path.pop().is_some() {
                    assert!(short.verify(&from, &to).is_err());
                }
                for at in 0..proof.path.len() {
                    let mut wrong = proof.clone();
                    wrong.path[at][0] ^= 1;
                    assert!(wrong.verify(&from, &to).is_err());
                }
            }
        }
        assert!(consistency(&tree, 3, 2).is_err());
        assert!(inclusion(&tree, 3, 3).is_err());
    }
}
