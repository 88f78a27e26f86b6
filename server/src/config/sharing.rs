//! `[sharing]`: this site among others.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::dimse::fault;
use crate::error::Result;
use crate::sharing::Settings;

/// Most cosignatures that a checkpoint may need: notes carry no more than some sixty.
const WITNESSES_MAX: u64 = 32;

/// `[sharing]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SharingSection {
    /// Address and port at which other sites reach this one, or `none`.
    pub(crate) listen: String,
    /// Under which name `serve` begins this site's ledger if there is none; empty: it does not.
    pub(crate) name: String,
    /// Where other sites reach this one, to be told to their people.
    pub(crate) url: String,
    /// How often other sites are asked for news.
    pub(crate) sync_seconds: u64,
    /// For how long what is known of another site's ledger counts as its latest.
    pub(crate) stale_seconds: u64,
    /// Buckets of other sites that chunks may be read from, by how their URLs begin.
    pub(crate) buckets: Vec<String>,
    /// Sites whose studies are fetched as soon as they are granted; `*`: all that are known.
    pub(crate) prefetch: Vec<String>,
    /// Cosignatures that make a checkpoint of another site count.
    pub(crate) witnesses: u64,
    /// For how long an emergency access of this site may wait for its review before its group opens no
    /// other.
    pub(crate) glass_review_seconds: u64,
    /// In an emergency other sites may ask what a study is called here by its UID.
    pub(crate) glass_by_uid: bool,
}

impl Default for SharingSection {
    fn default() -> Self {
        Self {
            listen: "none".into(),
            name: String::new(),
            url: String::new(),
            sync_seconds: 30,
            stale_seconds: 900,
            buckets: Vec::new(),
            prefetch: Vec::new(),
            witnesses: 1,
            glass_review_seconds: 72 * 3600,
            glass_by_uid: true,
        }
    }
}

impl SharingSection {
    /// Refuses what cannot be used.
    pub(crate) fn check(&self) -> Result<()> {
        let bounds = [
            ("sharing.sync_seconds", self.sync_seconds, 1, 3600),
            ("sharing.stale_seconds", self.stale_seconds, 2, 30 * 86_400),
            ("sharing.witnesses", self.witnesses, 0, WITNESSES_MAX),
            ("sharing.glass_review_seconds", self.glass_review_seconds, 1, 366 * 86_400),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(fault(key, format!("{value} is not between {least} and {most}")));
            }
        }
        if self.stale_seconds < 2 * self.sync_seconds {
            let why =
                "it has to be at least twice sync_seconds, or a healthy site is taken for stale";
            return Err(fault("sharing.stale_seconds", why.into()));
        }
        if !self.name.is_empty() && !cairn_ledger::note::is_key_name(&self.name) {
            let why = format!("{:?} has blanks, a plus sign, or is too long", self.name);
            return Err(fault("sharing.name", why));
        }
        self.address()?;
        self.bucket_urls()?;
        Ok(())
    }

    fn address(&self) -> Result<Option<SocketAddr>> {
        if self.listen == "none" {
            return Ok(None);
        }
        let wrong = |_| {
            let why = format!("{} is not an address and port, or none", self.listen);
            fault("sharing.listen", why)
        };
        self.listen.parse().map(Some).map_err(wrong)
    }

    fn bucket_urls(&self) -> Result<Vec<Url>> {
        let url = |text: &String| {
            let url = Url::parse(text).ok().filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.query().is_none()
                    && url.username().is_empty()
            });
            let why = format!("{text} is not how a URL of a bucket begins: https://HOST/BUCKET");
            url.ok_or_else(|| fault("sharing.buckets", why))
        };
        self.buckets.iter().map(url).collect()
    }

    /// As the site wants it.
    pub(crate) fn settings(&self) -> Result<Settings> {
        self.check()?;
        let named = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(Settings {
            listen: self.address()?,
            name: named(&self.name),
            url: named(&self.url),
            sync: Duration::from_secs(self.sync_seconds),
            stale_seconds: self.stale_seconds,
            buckets: self.bucket_urls()?,
            prefetch: self.prefetch.clone(),
            witnesses: self.witnesses as usize,
            glass_review_seconds: self.glass_review_seconds,
            glass_by_uid: self.glass_by_uid,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let good = SharingSection { listen: "[::1]:8444".into(), ..SharingSection::default() };
        assert_eq!(good.settings().unwrap().listen.unwrap().port(), 8444);
        let none = SharingSection::default().settings().unwrap();
        assert_eq!((none.listen, none.name), (None, None));
        for wrong in [
            SharingSection { listen: "8444".into(), ..good.clone() },
            SharingSection { name: "a b".into(), ..good.clone() },
            SharingSection { witnesses: 100, ..good.clone() },
            SharingSection { sync_seconds: 0, ..good.clone() },
            SharingSection { sync_seconds: 600, ..good.clone() },
            SharingSection { buckets: vec!["s3://bucket".into()], ..good.clone() },
            SharingSection { buckets: vec!["https://a@s3.example/b".into()], ..good.clone() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
