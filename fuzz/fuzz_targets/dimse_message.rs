//! Holds of any command set, request for an association, and identifier: it is refused or read, and what
//! is read can be written and read again.
#![no_main]

use cairn_server::fuzzing::{command, identifier, request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 4 {
        0 => command(bytes),
        1 => request(bytes),
        2 => identifier(bytes, "1.2.840.10008.1.2"),
        _ => identifier(bytes, "1.2.840.10008.1.2.1"),
    }
});
