//! One instance of any size, streamed: for what only happens beyond 4 GiB.

use std::io::{self, Read};

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};

use super::header::Series;
use super::rng::Rng;

/// Pixels on each side of a frame.
const SIDE: u16 = 512;
/// Bytes of a frame: 512 KiB.
const FRAME_BYTES: usize = SIDE as usize * SIDE as usize * 2;
/// Tag and length before a frame (PS3.5 §A.4).
const ITEM_BYTES: usize = 8;
/// A frame is made in pages that begin with noise, so that no two pages are the same.
const PAGE_BYTES: usize = 4096;
/// Noise at the start of each page.
const NOISE_BYTES: usize = 512;
/// Encapsulated Uncompressed Explicit VR Little Endian (PS3.5 §A.4.11).
const TRANSFER_SYNTAX: &str = "1.2.840.10008.1.2.1.98";

/// A multi-frame instance of encapsulated frames, read from front to back in constant memory.
///
/// Explicit VR Little Endian with an empty basic offset table; each frame is one fragment of 512
/// KiB and unlike every other. The bytes follow from the seed and the number of frames.
pub struct GiantCine {
    rng: Rng,
    frames: u64,
    head_bytes: u64,
    /// What is being read: the head, then one frame after the other, then the delimiter.
    block: Vec<u8>,
    /// Bytes of the block that were read.
    read: usize,
    /// Blocks that were begun after the head.
    begun: u64,
}

/// Everything up to the first frame.
fn head(seed: u64, frames: u64) -> Vec<u8> {
    let series = Series {
        seed,
        study: "study of size",
        modality: "OT",
        sop_class: uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE,
        number: 1,
        study_description: "GIANT CINE",
        description: "Frames without end",
    };
    let mut header = series.header(1);
    header.image(SIDE, SIDE, 16, false);
    header.text(tags::NUMBER_OF_FRAMES, VR::IS, frames.to_string());
    header.text(tags::CONVERSION_TYPE, VR::CS, "SYN");
    let mut bytes = header.into_file_as(TRANSFER_SYNTAX);
    // Pixel Data, OB, undefined length; then the empty offset table.
    bytes.extend_from_slice(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff");
    bytes.extend_from_slice(b"\xfe\xff\x00\xe0\0\0\0\0");
    bytes
}

impl GiantCine {
    /// An instance of at least `total_bytes`, by less than a frame, and of one frame at least.
    #[must_use]
    pub fn new(seed: u64, total_bytes: u64) -> Self {
        let frame = (ITEM_BYTES + FRAME_BYTES) as u64;
        // The head grows by two bytes at most when the number of frames gets longer.
        let fixed = (head(seed, 1).len() + ITEM_BYTES) as u64;
        let frames = total_bytes.saturating_sub(fixed).div_ceil(frame).max(1);
        let block = head(seed, frames);
        Self {
            rng: Rng::new(seed, "giant", 0),
            frames,
            head_bytes: block.len() as u64,
            block,
            read: 0,
            begun: 0,
        }
    }

    /// Bytes of the whole instance.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> u64 {
        self.head_bytes + self.frames * (ITEM_BYTES + FRAME_BYTES) as u64 + ITEM_BYTES as u64
    }

    /// Frames in the instance.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Bytes of one frame.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        FRAME_BYTES as u64
    }

    /// Makes the next block; false at the end.
    fn advance(&mut self) -> bool {
        self.read = 0;
        self.begun += 1;
        if self.begun > self.frames {
            self.block.clear();
            if self.begun == self.frames + 1 {
                self.block.extend_from_slice(b"\xfe\xff\xdd\xe0\0\0\0\0");
            }
            return !self.block.is_empty();
        }
        if self.begun == 1 {
            self.block.clear();
            self.block.extend_from_slice(b"\xfe\xff\x00\xe0");
            self.block.extend_from_slice(&(FRAME_BYTES as u32).to_le_bytes());
            let ramp = (0..FRAME_BYTES / 2).map(|pixel| (pixel % 512 + pixel / 512) as u16);
            self.block.extend(ramp.flat_map(u16::to_le_bytes));
        }
        for page in self.block[ITEM_BYTES..].chunks_exact_mut(PAGE_BYTES) {
            self.rng.fill(&mut page[..NOISE_BYTES]);
        }
        true
    }
}

impl Read for GiantCine {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.block.len() && (out.is_empty() || !self.advance()) {
            return Ok(0);
        }
        let count = out.len().min(self.block.len() - self.read);
        out[..count].copy_from_slice(&self.block[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}
