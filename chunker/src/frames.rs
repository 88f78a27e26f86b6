//! Where the frames of an instance lie in its data set.

/// Frame positions, in bytes from the start of the data set.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Frames {
    /// No pixel data, or pixel data that is not understood.
    #[default]
    None,
    /// Native pixel data: frame `i` is `[offset + i * frame_bytes, + frame_bytes)`.
    Native {
        /// First byte of the first frame.
        offset: u64,
        /// Bytes in one frame; at least 1.
        frame_bytes: u64,
        /// Whole frames present.
        count: u64,
    },
    /// Encapsulated: frame `i` is `[starts[i], starts[i + 1])`, the last one ends at `end`. The bytes
    /// hold one or more fragments, each with its 8-byte item header (PS3.5 A.4).
    Encapsulated {
        /// First byte (of the item header) of every frame, ascending.
        starts: Vec<u64>,
        /// First byte after the last frame.
        end: u64,
    },
}

impl Frames {
    /// How many frames there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Native { count, .. } => *count,
            Self::Encapsulated { starts, .. } => starts.len() as u64,
        }
    }

    /// The bytes of frame `index` (from 0) as a range of the data set.
    #[must_use]
    pub fn range(&self, index: u64) -> Option<std::ops::Range<u64>> {
        match self {
            Self::None => None,
            Self::Native { offset, frame_bytes, count } => (index < *count).then(|| {
                let start = offset + index * frame_bytes;
                start..start + frame_bytes
            }),
            Self::Encapsulated { starts, end } => {
                let i = usize::try_from(index).ok()?;
                let start = *starts.get(i)?;
                Some(start..starts.get(i + 1).copied().unwrap_or(*end))
            }
        }
    }
}
