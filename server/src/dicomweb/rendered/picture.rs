//! Pictures of one instance, frame by frame, each made in room that was taken for it.

use std::sync::Arc;

use bytes::Bytes;
use cairn_chunker::frames::Frames;
use cairn_dicom::json;
use cairn_dicom::limits::LUT_BYTES_MAX;
use cairn_dicom::pixels::ImageLayout;
use cairn_dicom::render::{self, Look, Parameters, RenderError};
use cairn_dicom::syntax::Syntax;
use cairn_store::catalog::VersionRow;
use hyper::StatusCode;

use super::header::Header;
use crate::dicomweb::accept::video_type_of;
use crate::dicomweb::image::{Image, Pixels, no_frame, whole};
use crate::dicomweb::subject::instance_url;
use crate::http::{App, Problem};
use crate::metrics::ErrorKind;

/// Room for the frames of all pictures that are being made: 300 full CT slices, or four of the largest
/// mammograms in colour. One frame that is larger than that is made alone.
pub(crate) const ROOM_BYTES: u64 = 512 << 20;

/// May there be pictures of this instance?
pub(crate) fn may_show(app: &App, version: &VersionRow) -> bool {
    let syntax = version.transfer_syntax_uid.as_str();
    let frames = version.frames > 0 && video_type_of(syntax).is_none();
    let hash = version.dataset_hash;
    (frames || Syntax::of(syntax).deflated)
        && !app.undecodable.has(hash)
        && !app.unshowable.has(hash)
}

/// See the [module](self).
pub(crate) struct Pictures {
    image: Image,
    pixels: Pixels,
    header: Arc<Header>,
}

impl Pictures {
    /// Reads what is to be known of an instance before its pixels.
    ///
    /// # Errors
    /// 406 if there are no pixels, or their layout makes no sense.
    pub(crate) fn open(app: &App, image: &Image) -> Result<Self, Problem> {
        Self::read(app, image)
            .map(|(pixels, header)| Self { image: image.clone(), pixels, header })
            .inspect_err(|problem| remember(app, &image.version, problem))
    }

    fn read(app: &App, image: &Image) -> Result<(Pixels, Arc<Header>), Problem> {
        let deflated = Syntax::of(image.syntax()).deflated;
        if video_type_of(image.syntax()).is_some() {
            return Err(no_picture("a video is given as a video, and has no frames to be seen"));
        }
        if image.manifest.frames == Frames::None && !deflated {
            return Err(no_picture("there are no pixels to make a picture of"));
        }
        let pixels = image.pixels(app)?;
        // Colours are as they are; only greys and palettes are told how to be seen.
        let header = match pixels.layout.samples {
            1 => app.headers.of(app, &image.version)?,
            _ => Arc::default(),
        };
        Ok((pixels, header))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.pixels.count()
    }

    /// Columns and rows of each.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.pixels.layout.columns, self.pixels.layout.rows)
    }

    /// The URL of what picture `index` is made of: a frame, or the instance if it has no other.
    pub(crate) fn location(&self, base: &str, index: u64) -> String {
        let url = instance_url(base, &self.image.version);
        if self.count() == 1 { url } else { format!("{url}/frames/{}", index + 1) }
    }

    /// Of which version of the instance they are.
    pub(crate) fn version(&self) -> &VersionRow {
        &self.image.version
    }

    /// The picture of frame `index`, from 0.
    ///
    /// # Errors
    /// 404 for a frame that is not there, 406 for what cannot be made into a picture, 413 for one that would
    /// be too large (PS3.18 table 10.4.3-1), 503 if there is no room.
    pub(crate) fn picture(
        &self,
        app: &App,
        index: u64,
        parameters: &Parameters,
    ) -> Result<Bytes, Problem> {
        if index >= self.count() {
            return Err(no_frame());
        }
        let _room = app.room.take(room_bytes(&self.pixels.layout))?;
        let made = self.pixels.decoded(index).and_then(|decoded| {
            let frame = self.header.frame(index);
            let fetch = &mut |uri: &str| self.table(uri);
            let look = Look::of(&self.header.common, frame.as_ref(), fetch);
            render::frame(&decoded, &look, parameters).map_err(|error| no_render(&error))
        });
        made.inspect_err(|problem| remember(app, &self.image.version, problem))
    }

    /// The values of a table that are too many to stand in the metadata.
    fn table(&self, uri: &str) -> Option<Bytes> {
        let (_, path) = uri.rsplit_once("/bulkdata/")?;
        let mut source = self.image.source();
        let found = json::find(&mut source, self.image.syntax(), path).ok()??;
        if found.value.len() > LUT_BYTES_MAX as u64 {
            return None;
        }
        whole(found.value, &mut source).ok()
    }
}

/// Remembers what is no picture, however it is asked for.
fn remember(app: &App, version: &VersionRow, problem: &Problem) {
    if problem.status == StatusCode::NOT_ACCEPTABLE && problem.kind == ErrorKind::Pixels {
        app.unshowable.add(version.dataset_hash);
    }
}

/// Is this a fault of one picture, so that others of the same study may be shown all the same?
pub(crate) fn is_of_one_picture(problem: &Problem) -> bool {
    matches!(problem.status, StatusCode::NOT_ACCEPTABLE | StatusCode::PAYLOAD_TOO_LARGE)
}

/// What a picture takes while it is made: the stored and the decoded frame, and its pixels in colour.
fn room_bytes(layout: &ImageLayout) -> u64 {
    2 * layout.frame_bytes() as u64 + 3 * layout.pixels() as u64
}

/// 406: there is something, but nothing to be seen (PS3.18 §8.7.4 has pictures of images alone).
pub(crate) fn no_picture(message: &'static str) -> Problem {
    Problem::new(StatusCode::NOT_ACCEPTABLE, message)
}

fn no_render(error: &RenderError) -> Problem {
    let problem = match error {
        RenderError::Region => return Problem::bad("the region lies outside of the image"),
        RenderError::TooLarge { .. } => {
            let message = "the picture would be too large; a viewport makes it smaller";
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message).detail(error.to_string());
        }
        RenderError::Unsupported(_) | RenderError::Table(_) | RenderError::Short => {
            no_picture("no picture can be made of these pixels")
        }
        RenderError::Encoder { .. } => return Problem::internal(error.to_string()),
    };
    problem.kind(ErrorKind::Pixels).detail(error.to_string())
}
