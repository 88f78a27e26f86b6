//! What may be asked of a picture (PS3.18 §8.3.5.1).

use super::scale::{Plan, Stretch};
use super::{Shape, Window};
use crate::limits::VIEWPORT_MAX;

/// What a good picture costs: nobody sees the difference to 100, which is three times as long.
const QUALITY: u8 = 90;

/// How a picture is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `image/jpeg`, the default of PS3.18 Table 8.7.4-1.
    #[default]
    Jpeg,
    /// `image/png`.
    Png,
}

impl Format {
    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    /// From a media type without parameters, whatever its case.
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        [Self::Jpeg, Self::Png]
            .into_iter()
            .find(|format| format.media_type().eq_ignore_ascii_case(media_type))
    }
}

/// What is asked of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Instead of that of the header; ignored for colours.
    pub window: Option<Window>,
    /// What is shown, and how large. Without one, all of the frame, pixel by pixel.
    pub viewport: Option<Viewport>,
    /// May a viewport make pixels larger? PS3.18 says so of those that are asked for; a thumbnail that
    /// nobody said a size of is not made larger than its image.
    pub enlarge: bool,
    /// 1 to 100, for JPEG.
    pub quality: u8,
    /// The encoding.
    pub format: Format,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { window: None, viewport: None, enlarge: true, quality: QUALITY, format: Format::Jpeg }
    }
}

impl Parameters {
    /// A small picture of all of the frame, at most `side` pixels wide and high.
    #[must_use]
    pub fn thumbnail(side: u32) -> Self {
        let viewport = Viewport::of_size(side, side);
        Self { viewport: Some(viewport), enlarge: false, ..Self::default() }
    }

    /// `quality`, 1 to 100.
    pub fn set_quality(&mut self, value: &str) -> Result<(), BadParameter> {
        let quality = value.trim().parse().ok();
        let quality = quality.filter(|quality| (1..=100).contains(quality));
        self.quality = quality.ok_or(BadParameter("quality is not 1 to 100"))?;
        Ok(())
    }

    /// Takes one query parameter: `window`, `viewport` or `quality`. False if it is another one.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "window" => self.window = Some(Window::parse(value)?),
            "viewport" => self.viewport = Some(Viewport::parse(value)?),
            "quality" => self.set_quality(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A parameter that makes no sense; what is wrong with it, for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadParameter(pub &'static str);

impl Window {
    /// From `center,width` or `center,width,function` (PS3.18 §8.3.5.1.4).
    pub fn parse(value: &str) -> Result<Self, BadParameter> {
        let mut parts = value.split(',');
        let mut number = || parts.next()?.trim().parse::<f64>().ok();
        let numbers = number().zip(number());
        let shape = Shape::of(parts.next().unwrap_or_default());
        match (numbers, shape, parts.next()) {
            (Some((center, width)), Some(shape), None) => Self::new(center, width, shape),
            _ => None,
        }
        .ok_or(BadParameter("window is not center,width[,linear|linear-exact|sigmoid]"))
    }
}

/// A region of the image and the largest picture to make of it (PS3.18 §8.3.5.1.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Viewport {
    /// Columns of the picture, at most.
    columns: u32,
    /// Rows of the picture, at most.
    rows: u32,
    /// Where the region starts, from the left and from the top.
    x: f64,
    y: f64,
    /// How wide and high it is, all that is left if `None`; flipped if negative.
    width: Option<f64>,
    height: Option<f64>,
}

impl Viewport {
    /// All of the image, at most this large. Cut to [`VIEWPORT_MAX`].
    #[must_use]
    pub fn of_size(columns: u32, rows: u32) -> Self {
        let side = |pixels: u32| pixels.clamp(1, VIEWPORT_MAX);
        Self { columns: side(columns), rows: side(rows), x: 0.0, y: 0.0, width: None, height: None }
    }

    /// The region that starts at `x`, `y` and is `width` by `height`, in pixels of the image, at most this
    /// large.
    #[must_use]
    pub fn of_region(
        (columns, rows): (u32, u32),
        (x, y): (f64, f64),
        (width, height): (f64, f64),
    ) -> Self {
        let (width, height) = (Some(width), Some(height));
        Self { x, y, width, height, ..Self::of_size(columns, rows) }
    }

    /// From `vw,vh`: thumbnails and presentation states have no regions.
    pub fn parse_size(value: &str) -> Result<Self, BadParameter> {
        if value.split(',').count() > 2 {
            return Err(BadParameter("the viewport of a thumbnail is vw,vh and no more"));
        }
        Self::parse(value)
    }

    /// From `vw,vh` or `vw,vh,sx,sy,sw,sh`; of the last four each may be empty. `sx` and `sy` count by
    /// their absolute values, `sw` and `sh` too, but flip the picture if they are negative.
    pub fn parse(value: &str) -> Result<Self, BadParameter> {
        const WRONG: BadParameter = BadParameter("viewport is not vw,vh[,sx,sy,sw,sh]");
        let parts: Vec<&str> = value.split(',').map(str::trim).collect();
        let (&[columns, rows], region) = parts.split_first_chunk::<2>().ok_or(WRONG)?;
        let side = |text: &str| text.parse::<u32>().ok().filter(|side| *side > 0).ok_or(WRONG);
        let (columns, rows) = (side(columns)?, side(rows)?);
        if columns > VIEWPORT_MAX || rows > VIEWPORT_MAX {
            return Err(BadParameter("viewport is larger than 8192 pixels"));
        }
        if region.len() > 4 {
            return Err(WRONG);
        }
        let number = |i: usize| match region.get(i) {
            None | Some(&"") => Ok(None),
            Some(text) => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Some).ok_or(WRONG),
        };
        Ok(Self {
            columns,
            rows,
            x: number(0)?.unwrap_or(0.0).abs(),
            y: number(1)?.unwrap_or(0.0).abs(),
            width: number(2)?,
            height: number(3)?,
        })
    }

    /// What to take of an image of this size; `None` if the region lies outside.
    pub(super) fn plan(&self, (columns, rows): (f64, f64), enlarge: bool) -> Option<Plan> {
        let x = within(self.x, self.width, columns)?;
        let y = within(self.y, self.height, rows)?;
        Some(Plan::fitted(x, y, (self.columns, self.rows), enlarge))
    }
}

/// The part of a stretch that lies on the axis.
fn within(start: f64, length: Option<f64>, pixels: f64) -> Option<Stretch> {
    let flipped = length.is_some_and(|length| length < 0.0);
    let end = length.map_or(pixels, |length| start + length.abs()).min(pixels);
    let start = start.max(0.0);
    // Less than a hundredth of a pixel is nothing to see.
    (end - start >= 0.01).then_some(Stretch { start, length: end - start, flipped })
}
