//! Matching against a data set in the DICOM JSON model (PS3.18 annex F): for attributes that no index
//! holds, and those in sequences.

use serde_json::{Map, Value};

use super::path::Path;
use super::{Key, Query, Rule};

impl Query {
    /// Does a data set match all keys? `object` is one data set in the DICOM JSON model.
    #[must_use]
    pub fn matches_json(&self, object: &Value) -> bool {
        self.keys_match_json(&|_| true, object)
    }

    /// Does a data set match those keys, dates with their times among them, whose path `chosen`
    /// selects?
    ///
    /// Keys in a sequence have to match in one and the same item (PS3.4 §C.2.2.2.6).
    #[must_use]
    pub fn keys_match_json(&self, chosen: &dyn Fn(&Path) -> bool, object: &Value) -> bool {
        let Some(object) = object.as_object() else { return false };
        let keys = self.keys.iter().filter(|key| chosen(&key.path)).map(Test::Key);
        let pairs = self.pairs.iter().filter(|pair| chosen(&pair.date)).map(Test::Pair);
        let tests: Vec<Test<'_>> = keys.chain(pairs).collect();
        all_match(&tests, 0, object)
    }
}

/// What a data set is tried for.
#[derive(Clone, Copy)]
enum Test<'a> {
    Key(&'a Key),
    Pair(&'a super::Pair),
}

impl Test<'_> {
    fn tags(&self) -> &[u32] {
        match self {
            Self::Key(key) => key.path.tags(),
            Self::Pair(pair) => pair.date.tags(),
        }
    }

    /// Of the attribute itself, in the item that holds it.
    fn holds(&self, item: &Map<String, Value>) -> bool {
        match self {
            Self::Key(key) => {
                let element = element(item, key.path.last());
                // Bulk data is a value, though not one that is matched.
                let is_bulk = element.is_some_and(|element| {
                    element.get("BulkDataURI").is_some() || element.get("InlineBinary").is_some()
                });
                if is_bulk { false } else { key.matches(&values(element)) }
            }
            Self::Pair(pair) => pair.matches(
                &values(element(item, pair.date.last())),
                &values(element(item, pair.time.last())),
            ),
        }
    }
}

/// Recurses once for each sequence of a path: [`super::limits::PATH_TAGS_MAX`] bounds it.
fn all_match(tests: &[Test<'_>], depth: usize, item: &Map<String, Value>) -> bool {
    let (here, deeper): (Vec<_>, Vec<_>) =
        tests.iter().copied().partition(|test| test.tags().len() <= depth + 1);
    if !here.iter().all(|test| test.holds(item)) {
        return false;
    }
    let mut sequences: Vec<u32> =
        deeper.iter().filter_map(|test| test.tags().get(depth).copied()).collect();
    sequences.sort_unstable();
    sequences.dedup();
    sequences.iter().all(|sequence| {
        let inside: Vec<_> = deeper
            .iter()
            .copied()
            .filter(|test| test.tags().get(depth) == Some(sequence))
            .collect();
        some_item_matches(&inside, depth + 1, element(item, *sequence))
    })
}

fn some_item_matches(tests: &[Test<'_>], depth: usize, sequence: Option<&Value>) -> bool {
    let items = sequence.and_then(|element| element.get("Value")).and_then(Value::as_array);
    let items = items.map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        // Nothing is there: only keys that ask for that are met.
        return all_match(tests, depth, &Map::new());
    }
    items.iter().filter_map(Value::as_object).any(|item| all_match(tests, depth, item))
}

fn element(item: &Map<String, Value>, tag: u32) -> Option<&Value> {
    item.get(&format!("{tag:08X}"))
}

/// The values of an element as [`Key::matches`] takes them. A sequence with items has a value.
#[must_use]
fn values(element: Option<&Value>) -> String {
    let values = element.and_then(|element| element.get("Value")).and_then(Value::as_array);
    let mut joined = String::new();
    for (i, value) in values.into_iter().flatten().enumerate() {
        if i > 0 {
            joined.push('\\');
        }
        match value {
            Value::String(text) => joined.push_str(text),
            Value::Number(number) => joined.push_str(&number.to_string()),
            Value::Object(name) => push_name(&mut joined, name),
            _ => {}
        }
    }
    joined
}

/// PS3.18 §F.2.2: a name by its groups. An item of a sequence is an object as well, and not empty.
fn push_name(joined: &mut String, name: &Map<String, Value>) {
    let groups = ["Alphabetic", "Ideographic", "Phonetic"]
        .map(|group| name.get(group).and_then(Value::as_str).unwrap_or_default());
    let text = groups.join("=");
    let text = text.trim_end_matches('=');
    let is_item = text.is_empty() && !name.is_empty();
    joined.push_str(if is_item { "item" } else { text });
}

impl Key {
    /// Does it ask for what has no value?
    #[must_use]
    pub fn is_for_nothing(&self) -> bool {
        matches!(self.rule, Rule::Empty)
    }
}
