//! Wild card patterns: `*` is any run of characters, `?` is one; nothing else is special (PS3.4
//! §C.2.2.2.4).
//!
//! A pattern is a machine of at most 127 states held in one word. Each character of a text costs the
//! same few operations, whatever the pattern: there is no backtracking that somebody could make blow
//! up.

use super::limits::WILDCARD_CHARS_MAX;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard {
    /// For each character that the pattern names, ascending: the places where it may stand.
    places: Vec<(char, u128)>,
    /// Places of `?`.
    any: u128,
    /// Places before which there is a `*`; bit `length` if one stands at the end.
    stars: u128,
    /// Characters of the pattern that are not `*`.
    length: u32,
    prefix: String,
}

impl Wildcard {
    /// Is there anything in `text` that is not taken literally?
    #[must_use]
    pub fn is_in(text: &str) -> bool {
        text.contains(['*', '?'])
    }

    /// Compiles a pattern; `None` if it has more than [`WILDCARD_CHARS_MAX`] characters besides `*`.
    #[must_use]
    pub fn new(pattern: &str) -> Option<Self> {
        let mut made =
            Self { places: Vec::new(), any: 0, stars: 0, length: 0, prefix: String::new() };
        let mut in_prefix = true;
        for character in pattern.chars() {
            let place = 1u128 << made.length;
            if character == '*' {
                made.stars |= place;
                in_prefix = false;
                continue;
            }
            if made.length == WILDCARD_CHARS_MAX {
                return None;
            }
            made.length += 1;
            if character == '?' {
                made.any |= place;
                in_prefix = false;
                continue;
            }
            match made.places.binary_search_by_key(&character, |(c, _)| *c) {
                Ok(i) => made.places[i].1 |= place,
                Err(i) => made.places.insert(i, (character, place)),
            }
            if in_prefix {
                made.prefix.push(character);
            }
        }
        Some(made)
    }

    /// What every text that matches begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Does the pattern match the whole of `text`?
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // Bit i: the first i characters of the pattern account for all of the text so far.
        let mut states = 1u128;
        for character in text.chars() {
            let named = self.places.binary_search_by_key(&character, |(c, _)| *c);
            let fits = self.any | named.map_or(0, |i| self.places[i].1);
            states = ((states & fits) << 1) | (states & self.stars);
            if states == 0 {
                return false;
            }
        }
        states & (1 << self.length) != 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// The definition, spelled out.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((&'*', rest)), _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            (Some((p, pattern)), Some((t, text))) => (*p == '?' || p == t) && naive(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_twin(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let (p, t): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Wildcard::new(&pattern).unwrap().matches(&text), naive(&p, &t));
        }

        #[test]
        fn every_match_begins_with_the_prefix(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let wildcard = Wildcard::new(&pattern).unwrap();
            prop_assert!(!wildcard.matches(&text) || text.starts_with(wildcard.prefix()));
        }
    }

    #[test]
    fn what_databases_and_shells_treat_specially_is_literal() {
        for literal in ["[ab]", "100%", "a_b", "a.b", "a\\b", "{a,b}", "(a|b)", "^a$"] {
            assert!(Wildcard::new(literal).unwrap().matches(literal));
            assert!(
                Wildcard::new(&format!("*{literal}*")).unwrap().matches(&format!("x{literal}"))
            );
        }
        assert!(!Wildcard::new("[ab]*").unwrap().matches("a"));
        assert!(!Wildcard::new("a_b").unwrap().matches("axb"));
    }

    #[test]
    fn hostile_patterns_cost_no_more() {
        let pattern = "*a".repeat(WILDCARD_CHARS_MAX as usize);
        let text = "a".repeat(1 << 20) + "b";
        assert!(!Wildcard::new(&pattern).unwrap().matches(&text));
        assert!(Wildcard::new(&format!("{pattern}*")).unwrap().matches(&text));
        assert!(Wildcard::new(&format!("{pattern}?")).is_none());
    }
}
