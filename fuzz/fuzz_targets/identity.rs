//! Holds of any Authorization field, token, set of keys and line of the audit log: it is refused or read;
//! nothing made up counts.
#![no_main]

use cairn_server::{audit_fuzzing, identity_fuzzing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 4 {
        0 => identity_fuzzing::authorization(bytes),
        1 => identity_fuzzing::token(bytes),
        2 => identity_fuzzing::key_set(bytes),
        _ => audit_fuzzing::line(bytes),
    }
});
