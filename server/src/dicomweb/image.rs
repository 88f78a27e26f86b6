//! One instance as pixels: how many frames it has, each as it is stored or decoded.
//!
//! What stands here for every service that hands out pixels: frames, bulk data, whole instances,
//! pictures. Everything is of one version, whatever is stored meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use cairn_chunker::frames::Frames;
use cairn_chunker::manifest::Manifest;
use cairn_dicom::attributes::{Attributes, tags};
use cairn_dicom::json::{self, Piece};
use cairn_dicom::pixels::{self, Decoded, ImageLayout, PixelError, bit_frame};
use cairn_dicom::source::Source;
use cairn_dicom::syntax::{self, Syntax};
use cairn_store::catalog::VersionRow;
use cairn_store::read::{DatasetSource, Reader};
use hyper::StatusCode;

use crate::http::{App, Problem};
use crate::metrics::ErrorKind;

/// Attributes that describe pixels (PS3.3 C.7.6.3), and are numbers of VR US.
const NUMBERS: [u32; 8] = [
    tags::SAMPLES_PER_PIXEL,
    tags::PLANAR_CONFIGURATION,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
];
/// Those that are text.
const TEXTS: [u32; 2] = [tags::PHOTOMETRIC_INTERPRETATION, tags::NUMBER_OF_FRAMES];
/// Longest value of any of them that is looked at.
const VALUE_BYTES_MAX: u64 = 64;
/// The head of native pixel data in an explicit VR: tag, VR, reserved, length (PS3.5 §7.1.2).
const NATIVE_HEAD_BYTES: u64 = 12;

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Image {
    reader: Arc<Reader>,
    /// The version that it is of.
    pub(crate) version: Arc<VersionRow>,
    /// How that is put together.
    pub(crate) manifest: Arc<Manifest>,
}

impl Image {
    /// Looks the manifest up.
    ///
    /// # Errors
    /// What is damaged or cannot be read.
    pub(crate) fn open(app: &App, version: VersionRow) -> Result<Self, Problem> {
        let reader = Arc::clone(app.store.reader());
        let manifest = reader.served_manifest(&version.manifest)?;
        if manifest.dataset_hash != version.dataset_hash {
            return Err(
                Problem::internal("a manifest is of another instance").kind(ErrorKind::Damage)
            );
        }
        Ok(Self { reader, version: Arc::new(version), manifest })
    }

    /// The transfer syntax in which it is stored.
    pub(crate) fn syntax(&self) -> &str {
        &self.version.transfer_syntax_uid
    }

    /// Are the pixels in a code stream, a frame each?
    pub(crate) fn is_encapsulated(&self) -> bool {
        matches!(self.manifest.frames, Frames::Encapsulated { .. })
    }

    /// Refuses pixels in fragments of which the transfer syntax says that they are none: nobody knows
    /// what is in them.
    ///
    /// # Errors
    /// 406.
    pub(crate) fn agrees(&self) -> Result<(), Problem> {
        let native = Syntax::of(self.syntax()).known && !syntax::is_encapsulated(self.syntax());
        if self.is_encapsulated() && native {
            return Err(undecodable(PixelError::Fragments("the transfer syntax knows of none")));
        }
        Ok(())
    }

    /// Its data set, to be read here and there.
    pub(crate) fn source(&self) -> DatasetSource {
        self.reader.source(&self.manifest)
    }

    /// Who reads it.
    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// The layout of its pixels, and where its frames are.
    ///
    /// # Errors
    /// 406 if the header does not describe an image.
    pub(crate) fn pixels(&self, app: &App) -> Result<Pixels, Problem> {
        self.agrees()?;
        let attributes = self.attributes(app)?;
        let mut layout = ImageLayout::of(&attributes).map_err(undecodable)?;
        let syntax = Syntax::of(self.syntax());
        if let Frames::Native { offset, .. } = self.manifest.frames
            && syntax.big_endian_pixels
        {
            layout.in_words = self.in_words(offset)?;
        }
        let frames = match &self.manifest.frames {
            // Deflated as a whole: there are no ranges to be had.
            Frames::None if syntax.deflated => Place::Value(self.value()?),
            Frames::Native { count: 1, .. } if layout.bits_allocated == 1 && layout.frames > 1 => {
                Place::Value(self.value()?)
            }
            // A frame ends within a word, whose other half is behind its range.
            Frames::Native { .. } if layout.in_words && layout.frame_bytes() % 2 == 1 => {
                layout.in_words = false;
                Place::Value(self.value()?)
            }
            _ => Place::Ranges,
        };
        Ok(Pixels { image: self.clone(), layout, place: frames })
    }

    /// Frame `index`, from 0, as its range of the data set.
    ///
    /// # Errors
    /// 404 for a frame that is not there.
    pub(crate) fn raw(&self, index: u64) -> Result<Bytes, Problem> {
        if index >= self.manifest.frames.count() {
            return Err(no_frame());
        }
        Ok(self.reader.frame(&self.manifest, index)?)
    }

    /// Reads what the header says of the pixels. The catalog has it at hand for the version that is
    /// shown; for one that was replaced since this request began it is read from the data set.
    fn attributes(&self, app: &App) -> Result<Attributes, Problem> {
        let version = &self.version;
        let (study, series) = (&version.study_uid, &version.series_uid);
        let sop = &version.sop_instance_uid;
        let catalog = app.store.catalog();
        let attributes = catalog.attributes(study, series, sop)?;
        let shown = catalog.versions(study, series, sop)?;
        let same = shown.iter().any(|row| row.visible && row.seq == version.seq);
        match attributes {
            Some(attributes) if same => Ok(attributes),
            _ => self.attributes_of_header(),
        }
    }

    fn attributes_of_header(&self) -> Result<Attributes, Problem> {
        let mut found = Vec::new();
        for tag in NUMBERS.into_iter().chain(TEXTS) {
            let Some(value) = self.small_value(tag)? else { continue };
            let text = match value.first_chunk() {
                Some(number) if NUMBERS.contains(&tag) => u16::from_le_bytes(*number).to_string(),
                _ => String::from_utf8_lossy(&value).trim_matches([' ', '\0']).to_owned(),
            };
            found.push((tag, text));
        }
        Ok(found.into_iter().collect())
    }

    /// A short value at the top level of the data set.
    ///
    /// # Errors
    /// What is damaged or cannot be read.
    pub(crate) fn small_value(&self, tag: u32) -> Result<Option<Bytes>, Problem> {
        let mut source = self.source();
        let path = format!("{tag:08X}");
        let found = json::find(&mut source, self.syntax(), &path);
        let found = found.map_err(|error| unreadable(&mut source, error))?;
        let Some(found) = found.filter(|found| found.value.len() <= VALUE_BYTES_MAX) else {
            return Ok(None);
        };
        whole(found.value, &mut source).map(Some)
    }

    /// The whole value of native pixel data, little-endian; for those of which frames are no ranges.
    fn value(&self) -> Result<Bytes, Problem> {
        let mut source = self.source();
        let found = json::find(&mut source, self.syntax(), "7FE00010");
        let found = found.map_err(|error| unreadable(&mut source, error))?;
        let mut found = found.filter(|found| !found.encapsulated).ok_or_else(no_frame)?;
        self.turn_whole_samples(&mut found)?;
        whole(found.value, &mut source)
    }

    /// The words of big-endian pixels of 32 or 64 bits are turned around by sample, as everybody reads
    /// them (their VR speaks of 16-bit words, PS3.5 §8.1.1): a file and its frames must not differ.
    pub(crate) fn turn_whole_samples(&self, pixels: &mut json::Found) -> Result<(), Problem> {
        let Piece::Stored { unit: unit @ 2, .. } = &mut pixels.value else { return Ok(()) };
        let bits = self.small_value(tags::BITS_ALLOCATED)?;
        match bits.as_deref().and_then(<[u8]>::first_chunk).map(|bits| u16::from_le_bytes(*bits)) {
            Some(32) => *unit = 4,
            Some(64) => *unit = 8,
            _ => {}
        }
        Ok(())
    }

    fn in_words(&self, offset: u64) -> Result<bool, Problem> {
        let start = offset.saturating_sub(NATIVE_HEAD_BYTES);
        let mut source = self.source();
        let mut head = Vec::new();
        while (head.len() as u64) < offset - start {
            let at = start + head.len() as u64;
            let more = source.read(at, (offset - at) as usize);
            let more = more.map_err(|error| unreadable(&mut source, error))?;
            if more.is_empty() {
                break;
            }
            head.extend_from_slice(&more);
        }
        Ok(pixels::in_words(&head))
    }
}

/// Where frames are cut from.
#[derive(Clone)]
enum Place {
    /// Ranges of the data set.
    Ranges,
    /// The whole value, little-endian.
    Value(Bytes),
}

/// Pixels whose layout is known.
#[derive(Clone)]
pub(crate) struct Pixels {
    image: Image,
    /// What the header says.
    pub(crate) layout: ImageLayout,
    place: Place,
}

impl Pixels {
    /// How many frames there are.
    pub(crate) fn count(&self) -> u64 {
        match &self.place {
            Place::Ranges => self.image.manifest.frames.count(),
            Place::Value(value) if self.layout.bits_allocated == 1 => {
                let bits = self.layout.pixels() as u64 * u64::from(self.layout.samples);
                (value.len() as u64 * 8 / bits.max(1)).min(self.layout.frames)
            }
            Place::Value(value) => (value.len() as u64 / self.layout.frame_bytes().max(1) as u64)
                .min(self.layout.frames),
        }
    }

    /// Frame `index`, from 0, as plain little-endian samples.
    ///
    /// # Errors
    /// 404 for a frame that is not there, 406 for one that cannot be decoded.
    pub(crate) fn decoded(&self, index: u64) -> Result<Decoded, Problem> {
        if index >= self.count() {
            return Err(no_frame());
        }
        let (syntax, frame) = match &self.place {
            Place::Ranges => (self.image.syntax(), self.image.raw(index)?),
            Place::Value(value) if self.layout.bits_allocated == 1 => {
                let frame = bit_frame(&self.layout, value, index).map_err(undecodable)?;
                (syntax::EXPLICIT_LE, frame)
            }
            Place::Value(value) => {
                let bytes = self.layout.frame_bytes();
                let start = index as usize * bytes;
                (syntax::EXPLICIT_LE, value.slice(start..start + bytes))
            }
        };
        pixels::decode(syntax, &self.layout, &frame).map_err(undecodable)
    }
}

/// All of a piece, in one; for values that are known to be short, or have to be held.
pub(crate) fn whole(mut piece: Piece, source: &mut DatasetSource) -> Result<Bytes, Problem> {
    let mut all = Vec::new();
    let length = piece.len();
    while let Some(bytes) = piece.next(source).map_err(|error| unreadable(source, error))? {
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all.into())
}

/// 404: there is no such frame (PS3.18 §10.4.1.1.6).
pub(crate) fn no_frame() -> Problem {
    Problem::not_found("there is no such frame")
}

/// 406: these pixels can be had as they are stored, and in no other form.
#[allow(clippy::needless_pass_by_value)] // for map_err
pub(crate) fn undecodable(error: PixelError) -> Problem {
    let message = "the pixels cannot be decoded; transfer-syntax=* gives them as they are stored";
    Problem::new(StatusCode::NOT_ACCEPTABLE, message)
        .kind(ErrorKind::Pixels)
        .detail(error.to_string())
}

/// What made reading from a data set fail.
pub(crate) fn unreadable(source: &mut DatasetSource, error: std::io::Error) -> Problem {
    if error.kind() == std::io::ErrorKind::FileTooLarge {
        return Problem::not_acceptable();
    }
    Problem::from(source.fault(error))
}
