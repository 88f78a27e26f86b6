//! Memory for what is decoded.

use bytes::Bytes;
use memmap2::MmapOptions;

/// From this length on memory is asked of the system in one piece, and filled in by it at once: page by
/// page, as it is first written to, takes a fifth of the time of reading a frame. What is shorter comes
/// from memory that was used before.
const MAPPED_BYTES_MIN: usize = 128 << 10;

/// `bytes` bytes that `fill` wrote.
pub(super) fn filled<E>(
    bytes: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Bytes, E> {
    if bytes >= MAPPED_BYTES_MIN
        && let Ok(mut mapped) = MmapOptions::new().len(bytes).populate().map_anon()
    {
        fill(&mut mapped)?;
        return Ok(Bytes::from_owner(mapped));
    }
    let mut plain = vec![0; bytes];
    fill(&mut plain)?;
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn short_and_long_are_filled_or_fail() {
        for bytes in [0, 1, MAPPED_BYTES_MIN - 1, MAPPED_BYTES_MIN, MAPPED_BYTES_MIN * 3 + 1] {
            let made = filled(bytes, |plain| {
                assert!(plain.iter().all(|byte| *byte == 0));
                plain.fill(7);
                Ok::<_, ()>(())
            });
            assert_eq!(made.unwrap(), vec![7; bytes]);
            assert_eq!(filled(bytes, |_| Err("no")).unwrap_err(), "no");
        }
    }
}
