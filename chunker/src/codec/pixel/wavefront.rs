//! Restoring as many rows at once as a vector register has lanes.
//!
//! A value needs its left neighbour first, and the one above: a chain through the whole picture if it
//! is walked row by row. Walked on a slant it is none: lane `k` holds row `k`, `k` pixels behind row 0,
//! so that what a lane has above it is what the lane before had a pixel ago. The order in which values
//! are restored is no part of the format.
//!
//! The instructions are those that every x86-64 has (SSE2), so nothing is asked at run time. Elsewhere
//! rows are restored as `pixel` does it.

use safe_arch::{
    add_i8_m128i, add_i16_m128i, byte_shl_imm_u128_m128i, insert_i16_from_i32_m128i, m128i,
    max_u8_m128i, min_u8_m128i, set_i32_m128i_s, sub_i8_m128i, sub_i16_m128i,
    sub_saturating_u16_m128i, unpack_high_i8_m128i, unpack_high_i16_m128i, unpack_low_i8_m128i,
    unpack_low_i16_m128i, zeroed_m128i,
};

macro_rules! wavefront_for {
    ($module:ident, $sample:ty, $lanes:literal, $operations:ident) => {
        pub(super) mod $module {
            use super::$operations::{lower, restored, shifted_in, upper};
            use super::{m128i, zeroed_m128i};
            use crate::codec::pixel::$module::{finish_row, restore_row};

            /// Rows that are restored at once.
            pub(in crate::codec::pixel) const LANES: usize = $lanes;

            /// The narrowest row of `left` samples a pixel that this is for.
            pub(in crate::codec::pixel) const fn width_min(left: usize) -> usize {
                LANES * left + LANES
            }

            /// Restores [`LANES`] rows of pixels of `L` samples below `north`, in place. A row has as
            /// many samples as `north`, at least [`width_min`].
            pub(in crate::codec::pixel) fn restore<const L: usize>(
                north: &[$sample],
                rows: &mut [$sample],
            ) {
                let width = north.len();
                // The corner in which not all rows have begun.
                restore_row(&north[..LANES * L], &mut rows[..LANES * L], L);
                for k in 1..LANES {
                    let (above, row) = rows[(k - 1) * width..].split_at_mut(width);
                    let length = (LANES - k) * L;
                    restore_row(&above[..length], &mut row[..length], L);
                }
                let end = slant::<L>(north, rows);
                // The corner in which some rows have ended.
                finish_row(north, &mut rows[..width], end, L);
                for k in 1..LANES {
                    let (above, row) = rows[(k - 1) * width..].split_at_mut(width);
                    finish_row(above, &mut row[..width], end - k * L, L);
                }
            }

            /// All between the corners; gives the sample of the first row that it ended before.
            fn slant<const L: usize>(north: &[$sample], rows: &mut [$sample]) -> usize {
                let width = north.len();
                let start = LANES * L;
                // Of each of the last `L` steps: what was restored, and what stood above it.
                let mut done = [zeroed_m128i(); L];
                let mut above = [zeroed_m128i(); L];
                for step in 0..L {
                    let at = start - L + step;
                    let lane = |k: usize| rows[k * width + at - k * L];
                    done[step] = std::array::from_fn::<_, LANES, _>(lane).into();
                    let lane = |k: usize| match k.checked_sub(1) {
                        None => north[at],
                        Some(row) => rows[row * width + at - k * L],
                    };
                    above[step] = std::array::from_fn::<_, LANES, _>(lane).into();
                }
                let mut at = start;
                for north in north[start..].as_chunks::<LANES>().0 {
                    let mut tile: [m128i; LANES] = std::array::from_fn(|k| {
                        let from = k * width + at - k * L;
                        load(&rows[from..])
                    });
                    tile = transposed(tile);
                    for (value, north) in tile.iter_mut().zip(north) {
                        let n = shifted_in(done[0], *north);
                        *value = restored(*value, done[0], n, above[0]);
                        done.rotate_left(1);
                        above.rotate_left(1);
                        (done[L - 1], above[L - 1]) = (*value, n);
                    }
                    tile = transposed(tile);
                    for (k, values) in tile.iter().enumerate() {
                        let from = k * width + at - k * L;
                        store(*values, &mut rows[from..]);
                    }
                    at += LANES;
                }
                at
            }

            #[inline]
            fn load(from: &[$sample]) -> m128i {
                match from.first_chunk::<LANES>() {
                    Some(values) => (*values).into(),
                    None => zeroed_m128i(),
                }
            }

            #[inline]
            fn store(values: m128i, to: &mut [$sample]) {
                if let Some(to) = to.first_chunk_mut::<LANES>() {
                    *to = values.into();
                }
            }

            /// Rows become columns: each round moves one bit of a row's number into the column's.
            #[inline]
            fn transposed(mut tile: [m128i; LANES]) -> [m128i; LANES] {
                for _ in 0..LANES.ilog2() {
                    tile = std::array::from_fn(|i| {
                        let (a, b) = (tile[i / 2], tile[i / 2 + LANES / 2]);
                        if i % 2 == 0 { lower(a, b) } else { upper(a, b) }
                    });
                }
                tile
            }
        }
    };
}
wavefront_for!(wide, u16, 8, lanes_of_two_bytes);
wavefront_for!(narrow, u8, 16, lanes_of_one_byte);

/// What an instruction set has by other names, or not at all, for each width.
mod lanes_of_two_bytes {
    use super::{
        add_i16_m128i, byte_shl_imm_u128_m128i, insert_i16_from_i32_m128i, m128i, sub_i16_m128i,
        sub_saturating_u16_m128i, unpack_high_i16_m128i, unpack_low_i16_m128i,
    };

    #[inline]
    pub(super) fn lower(a: m128i, b: m128i) -> m128i {
        unpack_low_i16_m128i(a, b)
    }

    #[inline]
    pub(super) fn upper(a: m128i, b: m128i) -> m128i {
        unpack_high_i16_m128i(a, b)
    }

    /// Each lane gets the one before; the first gets `value`.
    #[inline]
    pub(super) fn shifted_in(lanes: m128i, value: u16) -> m128i {
        insert_i16_from_i32_m128i::<0>(byte_shl_imm_u128_m128i::<2>(lanes), i32::from(value))
    }

    /// The median edge detector is `w + n` less `nw` held between the two. SSE2 has neither the
    /// smaller nor the larger of two unsigned words, but a difference that stops at zero.
    #[inline]
    pub(super) fn restored(residual: m128i, w: m128i, n: m128i, nw: m128i) -> m128i {
        let over = sub_saturating_u16_m128i(w, n);
        let (low, high) = (sub_i16_m128i(w, over), add_i16_m128i(n, over));
        let held = sub_i16_m128i(high, sub_saturating_u16_m128i(high, nw));
        let held = add_i16_m128i(held, sub_saturating_u16_m128i(low, held));
        add_i16_m128i(residual, sub_i16_m128i(add_i16_m128i(w, n), held))
    }
}

mod lanes_of_one_byte {
    use super::{
        add_i8_m128i, byte_shl_imm_u128_m128i, m128i, max_u8_m128i, min_u8_m128i, set_i32_m128i_s,
        sub_i8_m128i, unpack_high_i8_m128i, unpack_low_i8_m128i,
    };

    #[inline]
    pub(super) fn lower(a: m128i, b: m128i) -> m128i {
        unpack_low_i8_m128i(a, b)
    }

    #[inline]
    pub(super) fn upper(a: m128i, b: m128i) -> m128i {
        unpack_high_i8_m128i(a, b)
    }

    #[inline]
    pub(super) fn shifted_in(lanes: m128i, value: u8) -> m128i {
        byte_shl_imm_u128_m128i::<1>(lanes) | set_i32_m128i_s(i32::from(value))
    }

    #[inline]
    pub(super) fn restored(residual: m128i, w: m128i, n: m128i, nw: m128i) -> m128i {
        let held = max_u8_m128i(min_u8_m128i(w, n), min_u8_m128i(max_u8_m128i(w, n), nw));
        add_i8_m128i(residual, sub_i8_m128i(add_i8_m128i(w, n), held))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::codec::pixel::{narrow, wide};

    /// Noise, flat areas, edges and extremes.
    fn picture(seed: u8, samples: usize) -> Vec<u8> {
        let mut noise = vec![0; samples];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
        let value = |i: usize| match (i / 50) % 5 {
            0 => noise[i],
            1 => 255,
            2 => (i / 7) as u8,
            3 => 0,
            _ => noise[i] & 3,
        };
        (0..samples).map(value).collect()
    }

    macro_rules! twin_test {
        ($name:ident, $module:ident, $sample:ty) => {
            #[test]
            fn $name() {
                use super::$module::{LANES, restore, width_min};
                for left in [1, 3] {
                    for extra in (0..=3 * LANES).chain([500, 511]) {
                        let width = width_min(left) + extra;
                        let bytes =
                            picture(extra as u8, width * (LANES + 1) * size_of::<$sample>());
                        let north: Vec<$sample> = bytes
                            .chunks_exact(size_of::<$sample>())
                            .map(|bytes| <$sample>::from_le_bytes(bytes.try_into().unwrap()))
                            .collect();
                        let (north, rows) = north.split_at(width);
                        let (mut fast, mut plain) = (rows.to_vec(), rows.to_vec());
                        let mut above = north.to_vec();
                        for row in plain.chunks_exact_mut(width) {
                            $module::restore_row(&above, row, left);
                            above.copy_from_slice(row);
                        }
                        if left == 1 {
                            restore::<1>(north, &mut fast);
                        } else {
                            restore::<3>(north, &mut fast);
                        }
                        assert_eq!(fast, plain, "{left} {width}");
                    }
                }
            }
        };
    }
    twin_test!(words_come_out_as_row_by_row, wide, u16);
    twin_test!(bytes_come_out_as_row_by_row, narrow, u8);
}
