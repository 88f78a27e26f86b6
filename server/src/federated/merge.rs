//! One list from the answers of several sites.
//!
//! This archive's results come first, then those of other sites by their names. What several have is one
//! result, with all of them as its sources.

use std::collections::HashMap;

use serde_json::json;

use super::found::{Object, value};
use super::question::{Question, Sought};

/// Most results that are merged.
pub(crate) const RESULTS_MAX: u64 = 5_000;
/// Private Creator, and what it reserves: the names of the sites that have what a result is about
/// (PS3.5 §7.8.1).
pub(crate) const CREATOR: (&str, &str) = ("00090010", "CAIRN FEDERATION");
pub(crate) const SOURCES: &str = "00091001";
/// Instance Availability (PS3.3 §C.4.23.1.1).
const AVAILABILITY: &str = "00080056";
const RETRIEVE_URL: &str = "00081190";
const UID_BYTES_MAX: usize = 64;
/// Attributes of one result that are taken over.
const ATTRIBUTES_MAX: usize = 512;

/// What a site said.
pub(super) struct Said {
    /// Its name.
    pub(super) site: String,
    /// Is it this one?
    pub(super) is_own: bool,
    /// What it has.
    pub(super) results: Vec<Object>,
}

/// See the [module](self). `url`: where this server is reached for what is found.
pub(super) fn merge(question: &Question, said: Vec<Said>, url: &str) -> Vec<Object> {
    let mut merged: Vec<(Object, Vec<String>, bool)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for Said { site, is_own, results } in said {
        for result in results {
            let Some(name) = name(question, &result) else { continue };
            if let Some(place) = places.get(&name) {
                let sources = &mut merged[*place].1;
                if !sources.contains(&site) {
                    sources.push(site.clone());
                }
            } else if (merged.len() as u64) < RESULTS_MAX {
                places.insert(name, merged.len());
                let plain = if is_own { result } else { plain(result) };
                merged.push((plain, vec![site.clone()], is_own));
            }
        }
    }
    let marked = merged.into_iter().map(|(mut result, sources, is_own)| {
        result.insert(CREATOR.0.into(), json!({ "vr": "LO", "Value": [CREATOR.1] }));
        result.insert(SOURCES.into(), json!({ "vr": "LO", "Value": sources }));
        let available = if is_own { "ONLINE" } else { "NEARLINE" };
        result.insert(AVAILABILITY.into(), json!({ "vr": "CS", "Value": [available] }));
        if let Some(path) = path(question.sought, &result) {
            let url = format!("{url}{path}");
            result.insert(RETRIEVE_URL.into(), json!({ "vr": "UR", "Value": [url] }));
        }
        result
    });
    marked.collect()
}

/// What tells a result from others. `None`: it is about nothing that was asked for.
fn name(question: &Question, result: &Object) -> Option<String> {
    let study = uid(result, "0020000D")?;
    if question.study.as_ref().is_some_and(|asked| *asked != study) {
        return None;
    }
    Some(format!("{study} {}", uid(result, question.sought.unique_key())?))
}

fn uid(result: &Object, name: &str) -> Option<String> {
    value(result, name).filter(|uid| !uid.is_empty() && uid.len() <= UID_BYTES_MAX)
}

/// What another site may say of what it has: attributes by their tags.
fn plain(mut result: Object) -> Object {
    result.retain(|name, _| name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit()));
    result.into_iter().take(ATTRIBUTES_MAX).collect()
}

fn path(sought: Sought, result: &Object) -> Option<String> {
    let segment = |name| {
        let uid = uid(result, name)?;
        Some(
            percent_encoding::utf8_percent_encode(&uid, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
                .replace("%2E", "."),
        )
    };
    let study = format!("/studies/{}", segment("0020000D")?);
    Some(match sought {
        Sought::Study => study,
        Sought::Series => format!("{study}/series/{}", segment("0020000E")?),
        Sought::Instance => {
            let series = segment("0020000E")?;
            format!("{study}/series/{series}/instances/{}", segment("00080018")?)
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
    }

    fn study(uid: &str, name: &str) -> Object {
        object(json!({
            "0020000D": { "vr": "UI", "Value": [uid] },
            "00100010": { "vr": "PN", "Value": [{ "Alphabetic": name }] },
        }))
    }

    fn asked(sought: Sought) -> Question {
        Question { sought, study: None, series: None, parameters: vec![], limit: 10 }
    }

    #[test]
    fn what_several_sites_have_is_one_result() {
        let said = |site: &str, is_own, results| Said { site: site.into(), is_own, results };
        let merged = merge(
            &asked(Sought::Study),
            vec![
                said("own", true, vec![study("1.2", "A")]),
                said("b", false, vec![study("1.3", "B"), study("1.2", "Other")]),
                said("c", false, vec![study("1.3", "C"), study("1.3", "C again")]),
            ],
            "http://here/federated/dicom-web",
        );
        assert_eq!(merged.len(), 2);
        let of = |at: usize, name: &str| merged[at][name]["Value"].clone();
        assert_eq!(of(0, SOURCES), json!(["own", "b"]));
        assert_eq!(
            (of(0, AVAILABILITY), of(1, AVAILABILITY)),
            (json!(["ONLINE"]), json!(["NEARLINE"]))
        );
        assert_eq!(of(0, "00100010"), json!([{ "Alphabetic": "A" }]), "this archive's word counts");
        assert_eq!(of(1, SOURCES), json!(["b", "c"]));
        assert_eq!(of(1, RETRIEVE_URL), json!(["http://here/federated/dicom-web/studies/1.3"]));
    }

    #[test]
    fn what_another_site_makes_up_is_left_out() {
        let mut question = asked(Sought::Series);
        question.study = Some("1.2".into());
        let mut lie = study("1.2", "A");
        lie.insert("0020000E".into(), json!({ "vr": "UI", "Value": ["1.2.1"] }));
        lie.insert("<script>".into(), json!(1));
        let mut elsewhere = lie.clone();
        elsewhere.insert("0020000D".into(), json!({ "vr": "UI", "Value": ["9.9"] }));
        let nameless = study("1.2", "A");
        let long = object(json!({
            "0020000D": { "Value": ["1.2"] },
            "0020000E": { "Value": ["1".repeat(65)] },
        }));
        let results = vec![elsewhere, nameless, long, lie];
        let merged = merge(&question, vec![Said { site: "b".into(), is_own: false, results }], "");
        assert_eq!(merged.len(), 1);
        assert!(!merged[0].contains_key("<script>"));
        assert_eq!(merged[0][RETRIEVE_URL]["Value"], json!(["/studies/1.2/series/1.2.1"]));
    }
}
