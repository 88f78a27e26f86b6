//! Attributes as one value of a row: what is given back with a row but not searched by column.

use cairn_chunker::cbor::{Reader, Writer};
use cairn_dicom::attributes::{Attributes, Level, level};

use crate::error::Result;

/// Longest value that is read back; what is written is bounded by the `dicom` crate.
const VALUE_BYTES_MAX: usize = 4096;

/// The attributes at the levels that `wanted` picks: tag, value, tag, value, …, ascending.
pub(super) fn pack_values(attributes: &Attributes, wanted: impl Fn(Level) -> bool) -> Vec<u8> {
    let picked: Vec<_> =
        attributes.iter().filter(|(tag, _)| level(*tag).is_some_and(&wanted)).collect();
    let mut writer = Writer::new();
    writer.array(picked.len() * 2);
    for (tag, value) in picked {
        writer.uint(u64::from(tag)).text(value);
    }
    writer.finish()
}

/// Adds packed attributes to `attributes`. Empty bytes hold none.
pub(super) fn unpack_values(bytes: &[u8], attributes: &mut Attributes) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(bytes, "row of attributes");
    for _ in 0..reader.array()? / 2 {
        let tag = u32::try_from(reader.uint()?).map_err(|_| reader.fault("no tag"))?;
        attributes.set(tag, reader.text(VALUE_BYTES_MAX)?.to_owned());
    }
    Ok(reader.end()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_come_back_by_level() {
        let all = Attributes::from_iter([
            (0x0008_0018, "1.2.3".to_owned()),
            (0x0008_0060, "CT".to_owned()),
            (0x0010_0010, "Müller^Jörg".to_owned()),
            (0x0020_000D, "1.2".to_owned()),
        ]);
        let mut study = Attributes::default();
        unpack_values(&pack_values(&all, |level| level <= Level::Study), &mut study).unwrap();
        assert_eq!(
            study.iter().map(|(tag, _)| tag).collect::<Vec<_>>(),
            [0x0010_0010, 0x0020_000D]
        );
        unpack_values(&pack_values(&all, |level| level > Level::Study), &mut study).unwrap();
        assert_eq!(study, all);
        unpack_values(&[], &mut study).unwrap();
        assert!(unpack_values(&[0x82, 0x01], &mut study).is_err());
    }
}
