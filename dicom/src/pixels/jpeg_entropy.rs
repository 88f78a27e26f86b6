//! The entropy-coded part of JPEG: Huffman tables, bits, and the way from scan to scan (ISO/IEC 10918-1
//! annexes B, C and F).

use super::PixelError;
use super::jpeg_head::Markers;

/// Codes up to this long are found in one look.
const FAST_BITS: u32 = 9;

/// A Huffman table.
#[derive(Clone, Debug)]
pub(super) struct Huffman {
    /// By the next [`FAST_BITS`] bits: length and value, or length 0.
    fast: Vec<(u8, u8)>,
    /// By length: the first code that is longer, aligned to 16 bits, and the value index that a code of
    /// this length has if the code itself is added.
    lengths: [(u32, i32); 17],
    values: Vec<u8>,
}

impl Huffman {
    /// From the numbers of codes of each length and their values (annex C).
    fn of(counts: &[u8; 16], values: &[u8]) -> Result<Self, PixelError> {
        let mut fast = vec![(0, 0); 1 << FAST_BITS];
        let mut lengths = [(0, 0); 17];
        // At most 16 times 255 values.
        let (mut code, mut index) = (0u32, 0u16);
        for length in 1..=16u32 {
            let count = u16::from(counts.get(length as usize - 1).copied().unwrap_or_default());
            let (first, end) = (usize::from(index), usize::from(index + count));
            if let Some(entry) = lengths.get_mut(length as usize) {
                *entry = (0, i32::from(index) - code.cast_signed());
            }
            for value in values.get(first..end).unwrap_or_default() {
                if length <= FAST_BITS {
                    let first = (code << (FAST_BITS - length)) as usize;
                    let same = fast.iter_mut().skip(first).take(1 << (FAST_BITS - length));
                    same.for_each(|entry| *entry = (length as u8, *value));
                }
                code += 1;
            }
            index += count;
            if code > 1 << length || end > values.len() {
                return Err(PixelError::Coding("a Huffman table is impossible"));
            }
            if let Some(entry) = lengths.get_mut(length as usize) {
                entry.0 = code << (16 - length);
            }
            code <<= 1;
        }
        Ok(Self { fast, lengths, values: values.to_vec() })
    }
}

/// Bits of entropy-coded data, up to the next marker.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, left-aligned; zeros behind the last one.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, held: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.data.get(self.at..) {
                Some([0xFF, 0, ..]) => {
                    self.at += 2;
                    0xFF
                }
                Some([0xFF, ..] | []) | None => return,
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn take(&mut self, count: u32) -> Result<u32, PixelError> {
        if count > self.count {
            return Err(PixelError::Coding("entropy-coded data ends early"));
        }
        // Two steps: a shift by all 64 bits is none.
        let value = (self.held >> 1 >> (63 - count)) as u32;
        self.held <<= count;
        self.count -= count;
        Ok(value)
    }

    /// The value of the next code.
    pub(super) fn value(&mut self, table: &Huffman) -> Result<u8, PixelError> {
        if self.count < 32 {
            self.fill();
        }
        let next = (self.held >> 48) as u32;
        let (length, value) =
            table.fast.get((next >> (16 - FAST_BITS)) as usize).copied().unwrap_or_default();
        if length > 0 {
            self.take(u32::from(length))?;
            return Ok(value);
        }
        for length in FAST_BITS + 1..=16 {
            let (end, offset) = table.lengths.get(length as usize).copied().unwrap_or_default();
            if next < end {
                let code = self.take(length)?.cast_signed();
                let value = table.values.get((code + offset) as usize);
                return value.copied().ok_or(PixelError::Coding("no such Huffman code"));
            }
        }
        Err(PixelError::Coding("no such Huffman code"))
    }

    /// A number of `size` bits, at most 15, with its sign (F.2.2.1).
    pub(super) fn number(&mut self, size: u8) -> Result<i32, PixelError> {
        if size == 0 {
            return Ok(0);
        }
        let size = u32::from(size.min(15));
        if self.count < size {
            self.fill();
        }
        let value = self.take(size)?.cast_signed();
        Ok(if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// Goes on behind a restart marker.
    pub(super) fn restart(&mut self) -> Result<(), PixelError> {
        // What is held goes up to the marker at most, unless there are bytes too many before it.
        let rest = self.data.get(self.at..).unwrap_or_default();
        let marker = rest.windows(2).position(|pair| matches!(pair, [0xFF, 1..=0xFE]));
        match marker.and_then(|at| Some((at, *rest.get(at + 1)?))) {
            Some((at, 0xD0..=0xD7)) => {
                *self = Self { data: self.data, at: self.at + at + 2, held: 0, count: 0 };
                Ok(())
            }
            _ => Err(PixelError::Coding("a restart marker is missing")),
        }
    }
}

/// What a scan says of one component.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanComponent {
    pub(super) id: u8,
    pub(super) dc: u8,
    pub(super) ac: u8,
}

/// A scan and the tables that are in force.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) components: Vec<ScanComponent>,
    /// Start of spectral selection, or the predictor.
    pub(super) start: u8,
    /// Low bit position, or the point transform.
    pub(super) low: u8,
    /// Units between restarts; 0 for none.
    pub(super) restart: u32,
    pub(super) tables: &'a Tables,
}

/// Tables that stay until they are replaced.
#[derive(Debug, Default)]
pub(super) struct Tables {
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    quantization: [Option<[u16; 64]>; 4],
    restart: u32,
}

impl Tables {
    pub(super) fn dc(&self, index: u8) -> Result<&Huffman, PixelError> {
        present(&self.dc, index)
    }

    pub(super) fn ac(&self, index: u8) -> Result<&Huffman, PixelError> {
        present(&self.ac, index)
    }

    /// In the zigzag order of the stream.
    pub(super) fn quantization(&self, index: u8) -> Result<&[u16; 64], PixelError> {
        present(&self.quantization, index)
    }

    /// Takes DHT, DQT or DRI; others are nothing to it.
    fn read(&mut self, marker: u8, body: &[u8]) -> Result<(), PixelError> {
        const CUT: PixelError = PixelError::Coding("a JPEG table is cut off");
        let mut rest = body;
        match marker {
            0xC4 => {
                while let Some((&head, more)) = rest.split_first() {
                    let (counts, more) = more.split_first_chunk::<16>().ok_or(CUT)?;
                    let count = counts.iter().map(|count| usize::from(*count)).sum();
                    let (values, more) = more.split_at_checked(count).ok_or(CUT)?;
                    let class = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
                    if let Some(slot) = class.get_mut(usize::from(head & 0x0F)) {
                        *slot = Some(Huffman::of(counts, values)?);
                    }
                    rest = more;
                }
            }
            0xDB => {
                while let Some((&head, more)) = rest.split_first() {
                    let wide = head >> 4 != 0;
                    let bytes = if wide { 128 } else { 64 };
                    let (values, more) = more.split_at_checked(bytes).ok_or(CUT)?;
                    let mut table = [0; 64];
                    for (i, entry) in table.iter_mut().enumerate() {
                        let byte = |i: usize| u16::from(values.get(i).copied().unwrap_or_default());
                        *entry = if wide { byte(2 * i) << 8 | byte(2 * i + 1) } else { byte(i) };
                    }
                    if let Some(slot) = self.quantization.get_mut(usize::from(head & 0x0F)) {
                        *slot = Some(table);
                    }
                    rest = more;
                }
            }
            0xDD => {
                let interval = body.first_chunk::<2>().ok_or(CUT)?;
                self.restart = u32::from(u16::from_be_bytes(*interval));
            }
            _ => {}
        }
        Ok(())
    }
}

fn present<T>(tables: &[Option<T>; 4], index: u8) -> Result<&T, PixelError> {
    let table = tables.get(usize::from(index)).and_then(Option::as_ref);
    table.ok_or(PixelError::Coding("a JPEG table is missing"))
}

/// Gives each scan of a stream to `decode`, until `decode` says that it has all.
pub(super) fn scans(
    stream: &[u8],
    mut decode: impl FnMut(&Scan<'_>, &mut Bits<'_>) -> Result<bool, PixelError>,
) -> Result<(), PixelError> {
    let mut tables = Tables::default();
    let mut markers = Markers::new(stream);
    while let Some((marker, body)) = markers.next() {
        if marker != 0xDA {
            tables.read(marker, body)?;
            continue;
        }
        let count = usize::from(body.first().copied().unwrap_or_default());
        let components = body.get(1..).unwrap_or_default().as_chunks::<2>().0.iter().take(count);
        let scan = Scan {
            components: components
                .map(|&[id, tables]| ScanComponent { id, dc: tables >> 4, ac: tables & 0x0F })
                .collect(),
            start: body.get(1 + 2 * count).copied().unwrap_or_default(),
            low: body.get(3 + 2 * count).copied().unwrap_or_default() & 0x0F,
            restart: tables.restart,
            tables: &tables,
        };
        let mut bits = Bits::new(markers.rest());
        if decode(&scan, &mut bits)? {
            return Ok(());
        }
        markers = Markers::new(bits.data.get(bits.at..).unwrap_or_default());
    }
    Err(PixelError::Coding("a component is missing"))
}
