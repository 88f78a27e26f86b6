//! One element in the DICOM JSON model, from values as the catalog keeps them (PS3.18 annex F).

use cairn_dicom::element::Vr;
use serde_json::{Map, Number, Value, json};

/// The text of an element. `values` are joined by backslashes; none: no `Value` (§F.2.5).
pub(super) fn element(vr: Vr, values: &str) -> Vec<u8> {
    let name = String::from_utf8_lossy(&vr.0);
    let mut element = Map::from_iter([("vr".to_owned(), Value::from(name))]);
    if !values.is_empty() {
        let values: Vec<Value> = if matches!(&vr.0, b"ST" | b"LT" | b"UT" | b"UR") {
            vec![Value::from(values)]
        } else {
            values.split('\\').map(|one| value(vr, one)).collect()
        };
        if values.iter().any(|value| !value.is_null()) {
            element.insert("Value".to_owned(), Value::from(values));
        }
    }
    Value::Object(element).to_string().into_bytes()
}

/// One value; null if it is empty among others.
fn value(vr: Vr, text: &str) -> Value {
    let text = text.trim_end_matches([' ', '\0']);
    if text.is_empty() {
        return Value::Null;
    }
    let number = |number: Option<Number>| number.map_or_else(|| Value::from(text), Value::Number);
    match &vr.0 {
        b"PN" => name(text),
        b"IS" | b"US" | b"SS" | b"UL" | b"SL" | b"UV" | b"SV" => {
            number(text.trim().trim_start_matches('+').parse::<i64>().ok().map(Number::from))
        }
        b"DS" | b"FL" | b"FD" => number(text.trim().parse::<f64>().ok().and_then(Number::from_f64)),
        _ => Value::from(text),
    }
}

/// §F.2.2: a name by its groups.
fn name(text: &str) -> Value {
    let mut groups = Map::new();
    for (group, text) in ["Alphabetic", "Ideographic", "Phonetic"].iter().zip(text.split('=')) {
        if !text.is_empty() {
            groups.insert((*group).to_owned(), Value::from(text));
        }
    }
    if groups.is_empty() { Value::Null } else { json!(groups) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(vr: [u8; 2], values: &str) -> String {
        String::from_utf8_lossy(&element(Vr(vr), values)).into_owned()
    }

    #[test]
    fn every_kind_of_value() {
        for (vr, values, expected) in [
            (b"LO", "", r#"{"vr":"LO"}"#),
            (b"LO", "\\", r#"{"vr":"LO"}"#),
            (b"LO", "a\\\\b", r#"{"Value":["a",null,"b"],"vr":"LO"}"#),
            (b"IS", "+007", r#"{"Value":[7],"vr":"IS"}"#),
            (b"IS", "x", r#"{"Value":["x"],"vr":"IS"}"#),
            (b"DS", "1.5\\1e400", r#"{"Value":[1.5,"1e400"],"vr":"DS"}"#),
            (b"US", "512", r#"{"Value":[512],"vr":"US"}"#),
            (b"UT", "a\\b", r#"{"Value":["a\\b"],"vr":"UT"}"#),
            (
                b"PN",
                "Yamada^Tarou=山田^太郎",
                r#"{"Value":[{"Alphabetic":"Yamada^Tarou","Ideographic":"山田^太郎"}],"vr":"PN"}"#,
            ),
            (b"PN", "=", r#"{"vr":"PN"}"#),
            (b"SH", "\"<\u{1}", r#"{"Value":["\"<\u0001"],"vr":"SH"}"#),
        ] {
            let (found, expected): (Value, Value) = (
                serde_json::from_str(&made(*vr, values)).unwrap_or_default(),
                serde_json::from_str(expected).unwrap_or_default(),
            );
            assert_eq!(found, expected, "{values}");
        }
    }
}
