//! Unique identifiers as outsiders write them, and local handles where there is no usable one.

use crate::limits::UID_BYTES_MAX;

/// Are these the characters and the length that PS3.5 §9.1 allows?
#[must_use]
pub fn is_valid(uid: &str) -> bool {
    uid.len() <= UID_BYTES_MAX
        && uid.split('.').all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_digit())
                && (part.len() == 1 || !part.starts_with('0'))
        })
}

/// The UID itself where it can serve as a name: at most 64 bytes, no control characters. Otherwise a
/// handle in the 2.25 arc made from its hash, the same for the same text.
#[must_use]
pub fn usable(uid: &str) -> String {
    if uid.len() <= UID_BYTES_MAX && !uid.chars().any(char::is_control) {
        uid.to_owned()
    } else {
        handle(blake3::hash(uid.as_bytes()).as_bytes())
    }
}

/// A UID in the arc of UUIDs (PS3.5 B.2) from the first half of a hash.
#[must_use]
pub fn handle(hash: &[u8; 32]) -> String {
    let number = hash.iter().take(16).fold(0u128, |n, byte| n << 8 | u128::from(*byte));
    format!("2.25.{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        for good in ["1.2.840.10008.1.2", "0", "2.25.0", "1.0.5"] {
            assert!(is_valid(good), "{good}");
        }
        let long = "1".repeat(65);
        for bad in ["", ".", "1..2", "1.02", "1.2.", "../1", "1.2 ", "1.2a", "1.٣", &long] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn handles() {
        assert_eq!(handle(&[0xFF; 32]), format!("2.25.{}", u128::MAX));
        assert!(is_valid(&handle(&[0xFF; 32])));
        assert_eq!(usable("../../etc"), "../../etc");
        assert!(usable("1.2\n3").starts_with("2.25."));
        assert_eq!(usable(&"1".repeat(65)), usable(&"1".repeat(65)));
    }
}
