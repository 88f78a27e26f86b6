//! What of a study is asked for.
//!
//! Chunks are named by their place in the study: the instance by its place in the record, the chunk by
//! its place in that instance's manifest. A hash alone opens nothing, and a list is a few ranges.

use std::ops::Range;

use cairn_chunker::cbor::{Reader, Writer};

const WHAT: &str = "list of what is wanted";
/// Longest list in bytes.
pub(crate) const WANTS_BYTES_MAX: usize = 1 << 20;
/// Most ranges in one list: one for each instance of the largest studies.
const RANGES_MAX: usize = 1 << 16;

/// Consecutive chunks of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// Place of the instance in the study record, from 0.
    pub(crate) instance: u32,
    /// Places of the chunks in its manifest, those of the envelope first.
    pub(crate) chunks: Range<u32>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wants {
    /// The encoded manifests of these instances.
    Manifests(Range<u32>),
    /// These chunks, in this order.
    Chunks(Vec<Want>),
}

impl Wants {
    /// The canonical encoding.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Manifests(instances) => {
                writer.array(3).uint(0).uint(instances.start.into()).uint(instances.end.into());
            }
            Self::Chunks(wants) => {
                writer.array(2).uint(1).array(wants.len());
                for Want { instance, chunks } in wants {
                    writer.array(3).uint((*instance).into());
                    writer.uint(chunks.start.into()).uint(chunks.end.into());
                }
            }
        }
        writer.finish()
    }

    /// Reads one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, cairn_chunker::Error> {
        let mut reader = Reader::new(bytes, WHAT);
        if bytes.len() > WANTS_BYTES_MAX {
            return Err(reader.fault("it is too long"));
        }
        let wants = match (reader.array()?, reader.uint()?) {
            (3, 0) => Self::Manifests(range(&mut reader)?),
            (2, 1) => {
                let count = reader.array()?;
                if count > RANGES_MAX {
                    return Err(reader.fault("it has too many ranges"));
                }
                let mut wants = Vec::new();
                for _ in 0..count {
                    reader.array_of(3)?;
                    let instance = place(&mut reader)?;
                    wants.push(Want { instance, chunks: range(&mut reader)? });
                }
                Self::Chunks(wants)
            }
            _ => return Err(reader.fault("it has another shape")),
        };
        reader.end()?;
        Ok(wants)
    }
}

fn place(reader: &mut Reader<'_>) -> Result<u32, cairn_chunker::Error> {
    let place = reader.uint()?;
    u32::try_from(place).map_err(|_| reader.fault("a place is out of range"))
}

fn range(reader: &mut Reader<'_>) -> Result<Range<u32>, cairn_chunker::Error> {
    let range = place(reader)?..place(reader)?;
    if range.is_empty() { Err(reader.fault("a range is empty")) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wants_come_back() {
        let chunks = |instance, chunks| Want { instance, chunks };
        for wants in [
            Wants::Manifests(3..70_000),
            Wants::Chunks(vec![]),
            Wants::Chunks(vec![chunks(0, 0..1), chunks(7, 2..u32::MAX), chunks(7, 0..2)]),
        ] {
            assert_eq!(Wants::decode(&wants.encode()).unwrap(), wants);
        }
    }

    proptest! {
        #[test]
        fn hostile_wants_never_panic(bytes: Vec<u8>) {
            if let Ok(wants) = Wants::decode(&bytes) {
                prop_assert_eq!(wants.encode(), bytes);
            }
        }
    }
}
