//! The query of a URL: names and values, decoded once.

use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// Parameters that hold media types (PS3.18 §8.3.3.1, §9.1.2.2.1).
const MEDIA_TYPES: [&str; 2] = ["accept", "contentType"];

/// Parameters of a request, in order; a name may come more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `a=1&b=2`. `+` is a space: Python's dicomweb-client and every browser encode as forms do,
    /// and all of them write a plus as `%2B`. In media types, which people write by hand, it stays.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(std::borrow::Cow::into_owned)
                .map_err(|_| Problem::bad("a query parameter is not UTF-8"))
        };
        let parts = text.unwrap_or("").split('&').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decoded(&name.replace('+', " "))?;
            let value = if MEDIA_TYPES.contains(&name.as_str()) {
                value.replace(";+", "; ").replace(",+", ", ")
            } else {
                value.replace('+', " ")
            };
            let value = decoded(&value)?;
            Ok((name, value))
        });
        Ok(Self { pairs: pairs.collect::<Result<_, Problem>>()? })
    }

    /// All parameters.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_decoded_once() {
        let query = Query::parse(Some("PatientName=M%C3%BCl%25er%2A&a=1=2&&b&a=+")).unwrap();
        assert_eq!(query.get("PatientName"), Some("Mül%er*"));
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("1=2"), Some(""), None));
        assert_eq!(query.pairs().last(), Some(&("a".into(), " ".into())));
        assert!(Query::parse(Some("a=%FF")).is_err());
    }

    #[test]
    fn a_plus_is_a_space_but_in_media_types() {
        let query = Query::parse(Some(
            "PatientName=Moby+Dick&d=1%2B2&accept=application/dicom+json;+q=1&contentType=image/svg+xml",
        ));
        let query = query.unwrap();
        assert_eq!(query.get("PatientName"), Some("Moby Dick"));
        assert_eq!(query.get("d"), Some("1+2"));
        assert_eq!(query.get("accept"), Some("application/dicom+json; q=1"));
        assert_eq!(query.get("contentType"), Some("image/svg+xml"));
    }
}
