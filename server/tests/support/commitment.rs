//! Storage commitment as a modality speaks it, in Implicit VR Little Endian.

#![allow(dead_code, clippy::unwrap_used)]

use super::dimse::{Client, Message, element, elements, implicit, number, uid};

pub(crate) const COMMITMENT: &str = "1.2.840.10008.1.20.1";
const INSTANCE: &str = "1.2.840.10008.1.20.1.1";
/// Asks for commitment; the status of the answer.
pub(crate) fn request(client: &mut Client, transaction: &str, references: &[(&str, &str)]) -> u16 {
    let mut items = Vec::new();
    for (class, sop) in references {
        let item = implicit(&[(0x0008_1150, class), (0x0008_1155, sop)]);
        items.extend_from_slice(b"\xFE\xFF\0\xE0");
        items.extend_from_slice(&(item.len() as u32).to_le_bytes());
        items.extend_from_slice(&item);
    }
    let mut data = implicit(&[(0x0008_1195, transaction)]);
    element(&mut data, 0x0008_1199, &items);
    let more = [(0x0003, uid(COMMITMENT)), (0x1001, uid(INSTANCE)), (0x1008, number(1))];
    client.request(1, 0x0130, COMMITMENT, &more, Some(&data));
    client.message().status()
}

/// Event type, transaction, and whether each UID is among the committed or the failed.
pub(crate) fn told(report: &Message, uids: &[&str]) -> (u16, String, Vec<&'static str>) {
    let found = elements(report.data.as_ref().unwrap());
    let of = |tag: u32| found.get(&tag).cloned().unwrap_or_default();
    let (good, bad) = (of(0x0008_1199), of(0x0008_1198));
    let places = uids.iter().map(|uid| match (good.contains(uid), bad.contains(uid)) {
        (true, false) => "committed",
        (false, true) => "failed",
        _ => "?",
    });
    (report.number(0x1002), of(0x0008_1195), places.collect())
}
