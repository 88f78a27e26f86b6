//! The instances of a set, in memory: who they are, and where their frames lie.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cairn_chunker::frames::Frames;
use cairn_dicom::{PROBE_BYTES, Splitter, phantom, probe};

use crate::figures::grouped;
use crate::files::list;

/// Seed of the synthetic set; even, so that pixels have 12 bits, as most scanners' have.
const SEED: u64 = 20_261_124;
/// Sides of a synthetic slice and of a frame of the synthetic loop.
const SLICE_SIDE: u16 = 512;
const CINE_SIDE: u16 = 400;
/// What is held of a set at most; requests hold it a second time.
const SET_BYTES_MAX: u64 = 4 << 30;

/// One instance that can be stored.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) study: String,
    pub(crate) series: String,
    pub(crate) sop: String,
    pub(crate) class: String,
    pub(crate) transfer_syntax: String,
    /// The whole file.
    pub(crate) bytes: Vec<u8>,
    /// Its transfer syntax may go out over the web: Implicit VR has to be converted (PS3.18 §8.7.3); not
    /// every server does.
    is_for_web: bool,
    dataset_at: u64,
    frames: Frames,
}

/// Implicit VR Little Endian. Explicit VR Big Endian is not told apart: its pixels come back swapped, and
/// sets of it are of no use here.
const NOT_FOR_WEB: &str = "1.2.840.10008.1.2";

impl Instance {
    /// Reads a file; `None` if it is no instance with a name of its own.
    pub(crate) fn of(bytes: Vec<u8>) -> Option<Self> {
        let framing = probe(&bytes[..bytes.len().min(PROBE_BYTES)], true).ok()?;
        let mut splitter = Splitter::new(framing);
        splitter.advance(&bytes, 0, true, &mut Vec::new()).ok()?;
        let object = splitter.finish();
        object.attributes.get(cairn_dicom::attributes::tags::SOP_INSTANCE_UID)?;
        let identity = object.identity(blake3::hash(&bytes).as_bytes());
        let dataset_at = object.envelope_bytes;
        let (study, series) = (identity.study_uid, identity.series_uid);
        Some(Self {
            study,
            series,
            sop: identity.sop_instance_uid,
            class: identity.sop_class_uid,
            is_for_web: identity.transfer_syntax_uid != NOT_FOR_WEB,
            transfer_syntax: identity.transfer_syntax_uid,
            dataset_at,
            frames: object.frames,
            bytes,
        })
    }

    /// Frames that can be compared byte by byte: those of native pixel data.
    pub(crate) fn native_frames(&self) -> u64 {
        if matches!(self.frames, Frames::Native { .. }) { self.frames.count() } else { 0 }
    }

    /// The bytes of a frame, from 0.
    pub(crate) fn frame(&self, index: u64) -> Option<&[u8]> {
        let range = self.frames.range(index)?;
        let at = |offset: u64| usize::try_from(self.dataset_at + offset).ok();
        self.bytes.get(at(range.start)?..at(range.end)?)
    }

    /// What goes over the wire of it by DIMSE.
    pub(crate) fn dataset(&self) -> &[u8] {
        usize::try_from(self.dataset_at)
            .ok()
            .and_then(|at| self.bytes.get(at..))
            .unwrap_or_default()
    }

    /// Are they the same instance, with the same native pixels?
    pub(crate) fn has_pixels_of(&self, other: &Self) -> bool {
        let same = |index| self.frame(index) == other.frame(index);
        other.sop == self.sop
            && other.native_frames() == self.native_frames()
            && (0..self.native_frames()).all(same)
    }

    /// Is a file that came back this instance? The same bytes, or the same pixels in another transfer
    /// syntax where this one may not go out.
    pub(crate) fn is(&self, file: &[u8]) -> bool {
        if self.is_for_web || file == self.bytes {
            return file == self.bytes;
        }
        Self::of(file.to_vec()).is_some_and(|other| self.has_pixels_of(&other))
    }

    /// Path of its series below the root of the service.
    pub(crate) fn series_path(&self) -> String {
        format!("/studies/{}/series/{}", self.study, self.series)
    }

    /// Its own path.
    pub(crate) fn path(&self) -> String {
        format!("{}/instances/{}", self.series_path(), self.sop)
    }
}

/// Instances that are measured together.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) instances: Vec<Instance>,
    pub(crate) bytes: u64,
}

impl Set {
    /// A CT series of `slices` slices and a loop of `frames` frames.
    pub(crate) fn synthetic(slices: u32, frames: u32) -> Result<Self> {
        let ct = phantom::ct(SEED, slices, SLICE_SIDE);
        let cine = std::iter::once_with(|| phantom::ultrasound_cine(SEED, frames, CINE_SIDE));
        Self::of("synthetic".to_owned(), ct.chain(cine).map(|file| Ok(file.bytes)))
    }

    /// A CT study of `slices` slices.
    pub(crate) fn synthetic_ct(slices: u32) -> Result<Self> {
        let ct = phantom::ct(SEED, slices, SLICE_SIDE);
        Self::of("synthetic CT".to_owned(), ct.map(|file| Ok(file.bytes)))
    }

    /// Another one, of somebody else.
    pub(crate) fn other_synthetic_ct(slices: u32) -> Result<Self> {
        let ct = phantom::ct(SEED + 2, slices, SLICE_SIDE);
        Self::of("another synthetic CT".to_owned(), ct.map(|file| Ok(file.bytes)))
    }

    /// Everything below a folder that is an instance, each SOP Instance UID once.
    pub(crate) fn folder(folder: &Path) -> Result<Self> {
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        let files = list(folder)?.into_iter();
        let read = |path: std::path::PathBuf| {
            std::fs::read(&path).with_context(|| format!("{}", path.display()))
        };
        Self::of(name, files.map(read))
    }

    fn of(name: String, files: impl Iterator<Item = Result<Vec<u8>>>) -> Result<Self> {
        let (mut instances, mut seen, mut bytes) = (Vec::new(), HashSet::new(), 0);
        for file in files {
            let Some(instance) = Instance::of(file?) else { continue };
            if seen.insert(instance.sop.clone()) {
                bytes += instance.bytes.len() as u64;
                ensure!(bytes <= SET_BYTES_MAX, "{name} is larger than 4 GiB");
                instances.push(instance);
            }
        }
        ensure!(!instances.is_empty(), "{name} holds no instances");
        Ok(Self { name, instances, bytes })
    }

    /// What it is, in a line.
    pub(crate) fn about(&self) -> String {
        let studies = self.by(|instance| &instance.study).len();
        let (instances, bytes) = (grouped(self.instances.len() as u64), grouped(self.bytes));
        format!("{}: {instances} instances, {bytes} bytes, {studies} studies", self.name)
    }

    /// How many studies it has.
    pub(crate) fn studies(&self) -> usize {
        self.by(|instance| &instance.study).len()
    }

    /// The study of most bytes.
    pub(crate) fn largest_study(&self) -> Vec<&Instance> {
        let bytes = |study: &Vec<&Instance>| study.iter().map(|i| i.bytes.len()).sum::<usize>();
        self.by(|instance| &instance.study).into_values().max_by_key(bytes).unwrap_or_default()
    }

    /// The series of most instances.
    pub(crate) fn longest_series(&self) -> Vec<&Instance> {
        self.by(|instance| &instance.series).into_values().max_by_key(Vec::len).unwrap_or_default()
    }

    /// The largest uncompressed multi-frame instance.
    pub(crate) fn cine(&self) -> Option<&Instance> {
        let multi = self.instances.iter().filter(|instance| instance.native_frames() > 1);
        multi.max_by_key(|instance| instance.bytes.len())
    }

    fn by(&self, key: impl Fn(&Instance) -> &String) -> BTreeMap<&str, Vec<&Instance>> {
        let mut groups: BTreeMap<&str, Vec<&Instance>> = BTreeMap::new();
        for instance in &self.instances {
            groups.entry(key(instance)).or_default().push(instance);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_small_set() {
        let set = Set::synthetic(3, 4).unwrap();
        assert_eq!(set.instances.len(), 4);
        assert_eq!(set.studies(), 2);
        assert_eq!(set.longest_series().len(), 3);
        let cine = set.cine().unwrap();
        assert_eq!(cine.native_frames(), 4);
        assert_eq!(cine.frame(3).unwrap().len(), usize::from(CINE_SIDE).pow(2) * 3);
        assert!(cine.frame(4).is_none());
        assert!(cine.bytes.ends_with(cine.frame(3).unwrap()));
        assert!(set.about().starts_with("synthetic: 4 instances"));
        assert!(Instance::of(b"no instance".to_vec()).is_none());
    }
}
