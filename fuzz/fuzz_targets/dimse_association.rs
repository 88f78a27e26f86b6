//! Holds of anything that a peer sends over an association: it ends, nothing of it is left open, and what
//! is sent back are whole PDUs.
#![no_main]

use std::sync::LazyLock;

use cairn_fuzz::dimse::conversation;
use cairn_server::fuzzing::Archive;
use libfuzzer_sys::fuzz_target;

static ARCHIVE: LazyLock<Archive> = LazyLock::new(Archive::default);

fuzz_target!(|data: &[u8]| {
    let answers = ARCHIVE.converse(&conversation(data));
    let mut rest = answers.as_slice();
    while let Some((head, tail)) = rest.split_first_chunk::<6>() {
        let [kind, _, length @ ..] = *head;
        assert!((2..=7).contains(&kind), "a PDU of type {kind} came back");
        let length = u32::from_be_bytes(length) as usize;
        // A connection that is reset may lose the end of what was sent.
        let Some(tail) = tail.get(length..) else { return };
        rest = tail;
    }
});
