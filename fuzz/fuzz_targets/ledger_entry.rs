//! Holds of any bytes that are accepted as a ledger entry, signed or as a payload: they are the one
//! encoding of what was read, so that a leaf hash covers one thing.
#![no_main]

use cairn_ledger::entry::{Entry, SignedEntry, Suite};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok((suite, entry)) = Entry::decode(data) {
        assert_eq!(entry.encode(suite), data, "another encoding of the same payload");
    }
    let Ok(signed) = SignedEntry::decode(data) else { return };
    assert_eq!(signed.bytes(), data);
    let payload = signed.entry().encode(Suite::Ed25519);
    let read = Entry::decode(&payload).map(|(_, entry)| entry).ok();
    assert_eq!(read.as_ref(), Some(signed.entry()));
    assert!(signed.verify(&[0; 32]).is_err(), "a weak key verifies");
});
