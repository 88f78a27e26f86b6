//! Lossless JPEG (ISO/IEC 10918-1 annex H).
//!
//! `jpeg-decoder` has this too, but goes wrong without a word at restart markers and with a point
//! transform.

use super::PixelError;
use super::jpeg_entropy::{Bits, Huffman, Scan, scans};
use super::jpeg_head::Head;

/// Samples of all components, side by side.
pub(super) fn decode(head: &Head, stream: &[u8]) -> Result<Vec<u16>, PixelError> {
    let count = head.components.len();
    let (rows, columns) = (head.rows as usize, head.columns as usize);
    let first = head.components.first().map(|component| component.sampling);
    if head.components.iter().any(|component| Some(component.sampling) != first) {
        return Err(PixelError::Unsupported("lossless JPEG with shared colours"));
    }
    let mut out = vec![0; rows * columns * count];
    let mut seen = vec![false; count];
    scans(stream, |scan, bits| {
        let mut places = Vec::new();
        for component in &scan.components {
            let place = head.components.iter().position(|known| known.id == component.id);
            let place = place.ok_or(PixelError::Coding("a scan of an unknown component"))?;
            if let Some(seen) = seen.get_mut(place) {
                *seen = true;
            }
            places.push((place, scan.tables.dc(component.dc)?));
        }
        let mut samples = Samples { out: &mut out, count, columns, rows };
        samples.scan(scan, head.precision, bits, &places)?;
        Ok(seen.iter().all(|seen| *seen))
    })?;
    Ok(out)
}

struct Samples<'a> {
    out: &'a mut [u16],
    /// Components of a pixel.
    count: usize,
    columns: usize,
    rows: usize,
}

impl Samples<'_> {
    fn scan(
        &mut self,
        scan: &Scan<'_>,
        precision: u32,
        bits: &mut Bits<'_>,
        places: &[(usize, &Huffman)],
    ) -> Result<(), PixelError> {
        let low = u32::from(scan.low);
        if low >= precision || !(1..=7).contains(&scan.start) {
            return Err(PixelError::Coding("an impossible predictor or point transform"));
        }
        let middle = 1i32 << (precision - low - 1);
        let mut until_restart = scan.restart;
        // The first row of the image, and of what follows a restart, has nothing above.
        let mut first_row = true;
        for row in 0..self.rows {
            let mut start = true;
            for column in 0..self.columns {
                if scan.restart > 0 {
                    if until_restart == 0 {
                        bits.restart()?;
                        until_restart = scan.restart;
                        (first_row, start) = (true, true);
                    }
                    until_restart -= 1;
                }
                for (place, table) in places {
                    let difference = match bits.value(table)? {
                        16 => 1 << 15,
                        size @ 0..=15 => bits.number(size)?,
                        _ => return Err(PixelError::Coding("an impossible difference")),
                    };
                    let at = (row * self.columns + column) * self.count + place;
                    let prediction = match (first_row, start) {
                        (true, true) => middle,
                        (true, false) => self.at(at - self.count),
                        (false, true) => self.at(at - self.columns * self.count),
                        (false, false) => self.predicted(scan.start, at),
                    };
                    if let Some(sample) = self.out.get_mut(at) {
                        *sample = (prediction + difference) as u16;
                    }
                }
                start = false;
            }
            first_row = false;
        }
        if low > 0 {
            for (place, _) in places {
                self.out.iter_mut().skip(*place).step_by(self.count).for_each(|s| *s <<= low);
            }
        }
        Ok(())
    }

    fn at(&self, at: usize) -> i32 {
        self.out.get(at).copied().unwrap_or_default().into()
    }

    /// Table H.1.
    fn predicted(&self, predictor: u8, at: usize) -> i32 {
        let row = self.columns * self.count;
        let left = || self.at(at - self.count);
        let above = || self.at(at - row);
        let corner = || self.at(at - row - self.count);
        match predictor {
            1 => left(),
            2 => above(),
            3 => corner(),
            4 => left() + above() - corner(),
            5 => left() + ((above() - corner()) >> 1),
            6 => above() + ((left() - corner()) >> 1),
            _ => (left() + above()) >> 1,
        }
    }
}
