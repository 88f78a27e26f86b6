//! Deflated data sets (PS3.5 A.5), inflated into memory and bounded.

use std::io;

use bytes::{Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::window::Window;
use crate::flags::Flags;
use crate::limits::{INFLATE_PIECE_BYTES, INFLATE_STEP_BYTES, INFLATED_BYTES_MAX};
use crate::source::Source;
use crate::split::has_zlib_head;

/// What came out of a deflated data set.
#[derive(Clone, Debug)]
pub(super) struct Inflated {
    pub(super) bytes: Bytes,
    pub(super) flags: Flags,
}

/// The data set inside a deflated one, as Explicit VR Little Endian.
///
/// # Errors
/// Those of the source, or [`io::ErrorKind::FileTooLarge`] if it has more than
/// [`INFLATED_BYTES_MAX`]. Damage is no error: what came before it is given out.
pub fn inflate(source: &mut dyn Source) -> io::Result<Bytes> {
    let inflated = prefix(source, INFLATED_BYTES_MAX)?;
    if inflated.flags.contains(Flags::DEFLATE_PREFIX) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(inflated.bytes)
}

/// The first bytes, at most `most` of them.
pub(super) fn prefix(source: &mut dyn Source, most: u64) -> io::Result<Inflated> {
    let mut window = Window::new(source);
    let mut stream = Decompress::new(has_zlib_head(window.get(0, 2)?));
    let mut out = BytesMut::new();
    let mut flags = Flags::empty();
    let mut step = vec![0; INFLATE_STEP_BYTES];
    'pieces: loop {
        // In short pieces, like the splitter: at damage, both have come equally far.
        let mut piece = window.get(stream.total_in(), INFLATE_PIECE_BYTES)?;
        if piece.is_empty() {
            flags |= Flags::TRUNCATED;
            break;
        }
        loop {
            let room = (most - stream.total_out()).min(INFLATE_STEP_BYTES as u64) as usize;
            if room == 0 {
                flags |= Flags::DEFLATE_PREFIX;
                break 'pieces;
            }
            let (taken, given) = (stream.total_in(), stream.total_out());
            let room = step.get_mut(..room).unwrap_or_default();
            let status = stream.decompress(piece, room, FlushDecompress::None);
            let (taken, given) = (stream.total_in() - taken, stream.total_out() - given);
            out.extend_from_slice(room.get(..given as usize).unwrap_or_default());
            piece = piece.get(taken as usize..).unwrap_or_default();
            match status {
                Ok(Status::StreamEnd) => break 'pieces,
                Err(_) => {
                    flags |= Flags::UNPARSED;
                    break 'pieces;
                }
                Ok(_) if taken == 0 && given == 0 => break,
                Ok(_) => {}
            }
        }
        if !piece.is_empty() {
            flags |= Flags::UNPARSED; // it takes nothing and gives nothing
            break;
        }
    }
    Ok(Inflated { bytes: out.freeze(), flags })
}
