//! Holds of any bytes that are taken for what a patient signed: the signature is of the key in them, they are the
//! one encoding of what was read, and as text they come back the same.
#![no_main]

use cairn_ledger::patient::{PatientCard, SignedStatement};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(signed) = SignedStatement::decode(data) {
        assert_eq!(signed.bytes(), data);
        assert_eq!(SignedStatement::from_text(&signed.to_text()).ok(), Some(signed));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(card) = text.parse::<PatientCard>() {
        assert_eq!(card.to_string().parse::<PatientCard>().ok(), Some(card));
    }
    let _ = SignedStatement::from_text(text);
});
