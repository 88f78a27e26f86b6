//! Holds of any bytes that are accepted as a commit record: they are the one encoding of what was
//! read, so that a commit cannot be told in two ways.
#![no_main]

use cairn_store::commit::{Commit, Entry, Outcome};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(commit) = Commit::decode(data) else { return };
    assert_eq!(commit.encode(), data, "another encoding of the same commit");
    for entry in &commit.entries {
        let Entry::Instance(instance) = entry else { continue };
        assert_ne!(instance.outcome, Outcome::Duplicate, "nothing was stored, yet it is recorded");
    }
});
