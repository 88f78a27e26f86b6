//! Names of persons: what makes two of them the same (PS3.4 §C.2.2.2.1.1, PS3.18 §8.3.4.2).
//!
//! A name has up to three component groups (alphabetic, ideographic, phonetic) separated by `=`, and
//! up to five components in each, separated by `^` (PS3.5 §6.2.1).
//!
//! Literal matching (the default) ignores case and accents, blanks around components, and empty
//! components at the end. A key of one group matches any group of the name; a key of several groups
//! matches group by group, and empty ones match all.
//!
//! Fuzzy matching also ignores the order of components and where one ends: each word of the key is
//! the beginning of some word of one group. Spelling is softened before: `ae`, `oe`, `ue` are `a`,
//! `o`, `u`, and doubled letters are one. No other phonetic rule is applied.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::wildcard::Wildcard;

/// Component groups of a name.
const GROUPS: usize = 3;

/// Lower case, without accents, compatible forms as one (NFKC): `MÜLLER` and `muller` are the same.
/// Marks that make another sound (Japanese voicing) stay.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = |c: char| c.to_lowercase();
    let is_accent = |c: char| is_combining_mark(c) && !matches!(c, '\u{3099}' | '\u{309A}');
    text.chars()
        .flat_map(lower)
        .nfkd()
        .flat_map(lower)
        .filter(|c| !is_accent(*c))
        .flat_map(Letters::of)
        .nfc()
        .collect()
}

/// Letters that do not decompose though people take them for others.
enum Letters {
    Kept(Option<char>),
    Plain(std::str::Chars<'static>),
}

impl Letters {
    fn of(letter: char) -> Self {
        let plain = match letter {
            'ß' => "ss",
            'æ' => "ae",
            'œ' => "oe",
            'ø' => "o",
            'ł' => "l",
            'đ' | 'ð' => "d",
            'þ' => "th",
            'ı' => "i",
            'ħ' => "h",
            'ŧ' => "t",
            'ς' => "σ",
            _ => return Self::Kept(Some(letter)),
        };
        Self::Plain(plain.chars())
    }
}

impl Iterator for Letters {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::Kept(letter) => letter.take(),
            Self::Plain(letters) => letters.next(),
        }
    }
}

/// One group as it is compared: folded, no blanks around components, no empty ones at the end.
fn fold_group(group: &str) -> String {
    let folded = fold(group);
    let components: Vec<&str> = folded.split('^').map(str::trim).collect();
    components.join("^").trim_end_matches('^').to_owned()
}

/// Names as they are compared, to be kept beside an index: groups joined by `=`, names by a
/// backslash. Folding twice changes nothing.
#[must_use]
pub fn fold_names(values: &str) -> String {
    let name = |name: &str| {
        let groups: Vec<_> = name.split('=').map(fold_group).collect();
        groups.join("=").trim_end_matches('=').to_owned()
    };
    values.split('\\').map(name).collect::<Vec<_>>().join("\\")
}

/// What one group has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupPattern {
    /// Anything at all.
    Any,
    /// This, once folded.
    Exact(String),
    /// A pattern for what is folded.
    Wild(Wildcard),
    /// A pattern that ends in components which may be anything, and the same without them: `OB^*` finds
    /// `OB` as well, since empty components at the end mean nothing (PS3.5 §6.2.1.2).
    Open(Wildcard, Wildcard),
}

impl GroupPattern {
    fn new(group: &str) -> Option<Self> {
        let folded = fold_group(group);
        Some(if folded.is_empty() || folded.bytes().all(|byte| byte == b'*') {
            Self::Any
        } else if Wildcard::is_in(&folded) {
            let pattern = Wildcard::new(&folded)?;
            let mut base = folded.as_str();
            while let Some(shorter) = base.strip_suffix("^*") {
                base = shorter;
            }
            if base.len() < folded.len() {
                Self::Open(pattern, Wildcard::new(base)?)
            } else {
                Self::Wild(pattern)
            }
        } else {
            Self::Exact(folded)
        })
    }

    fn matches(&self, folded: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text == folded,
            Self::Wild(pattern) => pattern.matches(folded),
            Self::Open(pattern, base) => pattern.matches(folded) || base.matches(folded),
        }
    }

    /// What every match begins with; nothing if it can begin with anything.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self {
            Self::Any => "",
            Self::Exact(text) => text,
            Self::Wild(pattern) => pattern.prefix(),
            Self::Open(_, base) => base.prefix(),
        }
    }
}

/// A name to be found literally.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Vec<GroupPattern>);

impl NamePattern {
    /// `None` if a pattern is too long.
    #[must_use]
    pub fn new(key: &str) -> Option<Self> {
        let groups: Option<Vec<_>> =
            key.trim_end_matches('=').splitn(GROUPS, '=').map(GroupPattern::new).collect();
        groups.map(Self)
    }

    /// The group patterns: one stands for any group.
    #[must_use]
    pub fn groups(&self) -> &[GroupPattern] {
        &self.0
    }

    /// Does it match everything?
    #[must_use]
    pub fn is_universal(&self) -> bool {
        self.0.iter().all(|group| *group == GroupPattern::Any)
    }

    /// Does it match one name, already folded by [`fold_names`]?
    #[must_use]
    pub fn matches_folded(&self, name: &str) -> bool {
        if let [pattern] = &self.0[..] {
            return name.split('=').any(|group| !group.is_empty() && pattern.matches(group));
        }
        let mut groups = name.split('=');
        self.0.iter().all(|pattern| pattern.matches(groups.next().unwrap_or_default()))
    }
}

/// A name to be found by the beginnings of its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuzzyName(Vec<Vec<Wildcard>>);

impl FuzzyName {
    /// `None` if a pattern is too long.
    #[must_use]
    pub fn new(key: &str) -> Option<Self> {
        let group = |group: &str| {
            let folded = fold_group(group);
            let words: Vec<String> = words(&folded).map(soften).collect();
            let beginnings = words.iter().filter(|word| word.bytes().any(|byte| byte != b'*'));
            beginnings.map(|word| Wildcard::new(&format!("{word}*"))).collect()
        };
        let groups: Option<Vec<_>> =
            key.trim_end_matches('=').splitn(GROUPS, '=').map(group).collect();
        groups.map(Self)
    }

    /// Does it match everything?
    #[must_use]
    pub fn is_universal(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// Is it for one group, whichever?
    #[must_use]
    pub fn is_one_group(&self) -> bool {
        self.0.len() == 1
    }

    /// Does it match one name, already folded by [`fold_names`]?
    #[must_use]
    pub fn matches_folded(&self, name: &str) -> bool {
        // The first letter of a word is never dropped, and tells of most words that they do not fit.
        let fits_word = |pattern: &Wildcard, word: &str| {
            let first = pattern.prefix().chars().next();
            (first.is_none() || first == word.chars().next()) && pattern.matches(&soften(word))
        };
        let fits = |patterns: &[Wildcard], group: &str| {
            patterns.iter().all(|pattern| words(group).any(|word| fits_word(pattern, word)))
        };
        if let [patterns] = &self.0[..] {
            return name.split('=').any(|group| !group.is_empty() && fits(patterns, group));
        }
        let mut groups = name.split('=');
        self.0.iter().all(|patterns| fits(patterns, groups.next().unwrap_or_default()))
    }
}

fn words(group: &str) -> impl Iterator<Item = &str> {
    group
        .split(|c: char| c == '^' || c == ',' || c == '.' || c == '-' || c.is_whitespace())
        .filter(|word| !word.is_empty())
}

/// Each letter is kept or dropped by the one before it alone, so what begins alike still does.
fn soften(word: &str) -> String {
    let mut before = None;
    word.chars()
        .filter(|&letter| {
            let before = before.replace(letter);
            letter == '*'
                || letter == '?'
                || !(before == Some(letter)
                    || letter == 'e' && matches!(before, Some('a' | 'o' | 'u')))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn literal(key: &str, name: &str) -> bool {
        NamePattern::new(key).unwrap().matches_folded(&fold_names(name))
    }

    fn fuzzy(key: &str, name: &str) -> bool {
        FuzzyName::new(key).unwrap().matches_folded(&fold_names(name))
    }

    const YAMADA: &str = "Yamada^Tarou=山田^太郎=やまだ^たろう";

    #[test]
    fn case_and_accents_do_not_count() {
        for key in
            ["muller*", "MÜLLER^JÖRG", "Mu\u{308}ller^*", "*jorg", "m?ller*", "müller^jörg^^"]
        {
            assert!(literal(key, "MÜLLER^Jörg"), "{key}");
        }
        for key in ["muller", "jorg*", "mueller*", "mller*", "muller^jorg^x"] {
            assert!(!literal(key, "MÜLLER^Jörg"), "{key}");
        }
        for name in ["OB^^^^", "OB", "ob^x", "OB^X^Y"] {
            assert!(literal("OB^*", name), "{name}");
        }
        assert!(!literal("OB^*", "OBAMA") && !literal("OB^?*", "OB") && !literal("*^x*", "OB"));
        assert!(literal("strasse", "Straße"));
        assert!(literal("ΝΙΚΟΣ", "Νίκος"));
        assert!(literal("люкceмбypг", "Люкceмбypг"));
        assert!(!literal("か", "が"), "voicing is another sound");
    }

    #[test]
    fn each_group_is_searched() {
        for key in [
            "yamada*",
            "山田^太郎",
            "山田*",
            "*太郎",
            "やまだ*",
            "yamada*=山田*",
            "=山田*",
            "==やまだ*",
        ] {
            assert!(literal(key, YAMADA), "{key}");
        }
        for key in ["yamada*=佐藤*", "*=*=x*", "yamada*山田*", "山田*=山田*"] {
            assert!(!literal(key, YAMADA), "{key}");
        }
        assert!(NamePattern::new("*=*").unwrap().is_universal());
    }

    #[test]
    fn fuzzy_ignores_order_and_where_words_end() {
        for key in ["jorg muller", "Mueller^J", "jo mul", "MÜL*", "joerg", "Jörg^Müller", "muler"]
        {
            assert!(fuzzy(key, "MÜLLER^Jörg"), "{key}");
        }
        assert!(fuzzy("smith mary", "Mary Smith"));
        assert!(fuzzy("Smith^Mary", "Smith, Mary"));
        assert!(fuzzy("muller", "Mueller^Jörg"));
        assert!(fuzzy("太郎 山田", YAMADA));
        for key in ["uller", "muller x", "org"] {
            assert!(!fuzzy(key, "MÜLLER^Jörg"), "{key}");
        }
        assert!(!fuzzy("yamada 山田", YAMADA), "words of one group");
        assert!(FuzzyName::new("* ^ *").unwrap().is_universal());
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(name in r"[a-zA-ZÀ-ſΑ-ωЀ-я山田か-もガ각=^ \\]{0,16}") {
            let once = fold_names(&name);
            prop_assert_eq!(fold_names(&once), once);
        }

        #[test]
        fn any_text_folds_to_itself_again(text in "\\PC{0,8}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn a_name_is_found_by_itself_and_by_its_beginning(name in "[a-zäöüß]{1,12}", cut in 1usize..12) {
            prop_assert!(literal(&name, &name) && fuzzy(&name, &name));
            let start: String = name.chars().take(cut).collect();
            prop_assert!(literal(&format!("{start}*"), &name) && fuzzy(&start, &name), "{}", start);
        }

        /// Words that are passed over by their first letters are none that fit.
        #[test]
        fn every_word_that_fits_is_found(key in "[aeos?*^]{1,6}", name in "[aeosü^]{1,10}") {
            let folded = fold_names(&name);
            let in_words = |word: &str| {
                let pattern = Wildcard::new(&format!("{word}*")).unwrap();
                words(&folded).any(|of_name| pattern.matches(&soften(of_name)))
            };
            let folded_key = fold_group(&key);
            let found = words(&folded_key)
                .map(soften)
                .filter(|word| word.bytes().any(|byte| byte != b'*'))
                .all(|word| in_words(&word));
            prop_assert_eq!(fuzzy(&key, &name), found && !folded.is_empty());
        }
    }
}
