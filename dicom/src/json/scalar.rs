//! Values of DICOM JSON as bytes of Explicit VR Little Endian.

use serde_json::Value;

use super::text::rules;
use crate::element::Vr;

/// The longest decimal string (PS3.5 table 6.2-1).
const DECIMAL_BYTES_MAX: usize = 16;

/// The bytes of a "Value" array; nothing if it does not fit the VR.
pub(super) fn bytes(vr: Vr, values: &[Value]) -> Option<Vec<u8>> {
    if let Some(rules) = rules(vr) {
        return text(vr, values, rules.several).map(String::into_bytes);
    }
    let each = |bytes: fn(&Value) -> Option<Vec<u8>>| {
        values.iter().map(bytes).collect::<Option<Vec<_>>>().map(|values| values.concat())
    };
    match &vr.0 {
        b"US" => each(|v| Some(u16::try_from(unsigned(v)?).ok()?.to_le_bytes().to_vec())),
        b"UL" => each(|v| Some(u32::try_from(unsigned(v)?).ok()?.to_le_bytes().to_vec())),
        b"UV" => each(|v| Some(unsigned(v)?.to_le_bytes().to_vec())),
        b"SS" => each(|v| Some(i16::try_from(signed(v)?).ok()?.to_le_bytes().to_vec())),
        b"SL" => each(|v| Some(i32::try_from(signed(v)?).ok()?.to_le_bytes().to_vec())),
        b"SV" => each(|v| Some(signed(v)?.to_le_bytes().to_vec())),
        b"FL" => each(|v| Some((float(v)? as f32).to_le_bytes().to_vec())),
        b"FD" => each(|v| Some(float(v)?.to_le_bytes().to_vec())),
        b"AT" => each(tag),
        // Binary values have no "Value"; an empty one may have an empty array.
        _ => values.is_empty().then(Vec::new),
    }
}

fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => {
            number.as_u64().or_else(|| whole(number.as_f64()?)?.try_into().ok())
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn signed(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Some clients have no whole numbers, and send 5.0.
fn whole(value: f64) -> Option<i64> {
    let exact = value.fract() == 0.0 && value.abs() < (1u64 << 53) as f64;
    exact.then_some(value as i64)
}

/// A number, or the text for one that JSON does not have.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn tag(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let tag = u32::from_str_radix(text, 16).ok().filter(|_| digits)?;
    Some([((tag >> 16) as u16).to_le_bytes(), (tag as u16).to_le_bytes()].concat())
}

/// Texts with backslashes between.
fn text(vr: Vr, values: &[Value], several: bool) -> Option<String> {
    let mut out = String::new();
    if !several && values.len() > 1 {
        return None;
    }
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push('\\');
        }
        match value {
            Value::Null => {}
            Value::String(text) => out.push_str(text),
            Value::Number(number) if matches!(&vr.0, b"DS") => out.push_str(&decimal(number)),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::Object(groups) if vr.0 == *b"PN" => {
                let group = |name: &str| match groups.get(name) {
                    None | Some(Value::Null) => Some(""),
                    Some(group) => group.as_str(),
                };
                let groups = [group("Alphabetic")?, group("Ideographic")?, group("Phonetic")?];
                out.push_str(groups.join("=").trim_end_matches('='));
            }
            _ => return None,
        }
    }
    Some(out)
}

/// A number as a decimal string, with as many digits as go into one.
fn decimal(number: &serde_json::Number) -> String {
    let text = number.to_string();
    if text.len() <= DECIMAL_BYTES_MAX {
        return text;
    }
    let value = number.as_f64().unwrap_or_default();
    let plain = (0..DECIMAL_BYTES_MAX).rev().map(|digits| format!("{value:.digits$}"));
    let scientific = (0..DECIMAL_BYTES_MAX).rev().map(|digits| format!("{value:.digits$e}"));
    let usual = (1e-4..1e15).contains(&value.abs());
    let mut fitting: Box<dyn Iterator<Item = String>> =
        if usual { Box::new(plain.chain(scientific)) } else { Box::new(scientific) };
    fitting.find(|text| text.len() <= DECIMAL_BYTES_MAX).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn written(vr: [u8; 2], value: &Value) -> Option<Vec<u8>> {
        bytes(Vr(vr), value.as_array().unwrap())
    }

    #[test]
    fn values_of_each_kind() {
        assert_eq!(written(*b"US", &json!([1, "2", 3.0])), Some(vec![1, 0, 2, 0, 3, 0]));
        assert_eq!(written(*b"US", &json!([65536])), None);
        assert_eq!(written(*b"SS", &json!([-1])), Some(vec![255, 255]));
        assert_eq!(written(*b"AT", &json!(["00100020"])), Some(vec![0x10, 0, 0x20, 0]));
        assert_eq!(written(*b"LO", &json!(["a", null, "b"])), Some(b"a\\\\b".to_vec()));
        assert_eq!(written(*b"LT", &json!(["a", "b"])), None);
        assert_eq!(
            written(*b"PN", &json!([{"Alphabetic": "A^B", "Phonetic": "C"}, null, "D"])),
            Some(b"A^B==C\\\\D".to_vec())
        );
        assert_eq!(
            written(*b"FD", &json!(["-Infinity"])),
            Some(f64::NEG_INFINITY.to_le_bytes().into())
        );
        assert_eq!(written(*b"OB", &json!([1])), None);
        assert_eq!(written(*b"UV", &json!(["18446744073709551615"])), Some(vec![255; 8]));
    }

    #[test]
    fn decimal_strings_fit() {
        for (value, expected) in [
            (json!([0.5]), "0.5"),
            (json!([0.300_000_000_000_000_04]), "0.30000000000000"),
            (json!([-1.234_567_890_123_456_7e-7]), "-1.2345678901e-7"),
            (json!([1]), "1"),
            (json!(["1.50"]), "1.50"),
        ] {
            assert_eq!(written(*b"DS", &value).unwrap(), expected.as_bytes());
        }
    }
}
