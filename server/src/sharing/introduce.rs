//! Getting to know another site: who answers at an address, and whether its log leads to the key that
//! it shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_ledger::entry::{Body, SignedEntry};
use cairn_ledger::id::SiteId;
use cairn_ledger::state::SiteState;
use serde::{Deserialize, Serialize};

use super::peering::Peering;
use super::record::{Record, digits};
use super::round::{ANSWER_PATIENCE, ask};
use super::site::Site;
use super::{Fault, Fingerprint};
use crate::clock::now;
use crate::error::Result;
use crate::peer::Client;

/// How long a log may be followed for its keys.
const LEAD_PATIENCE: Duration = Duration::from_secs(600);
/// Entries that are asked for at once.
const ENTRIES_ONCE: u64 = 1024;

/// Who answers at an address, and who asks: both are compared by people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Introduction {
    /// Where.
    pub(crate) url: String,
    /// The other site's id.
    pub(crate) site: String,
    /// The origin of its log.
    pub(crate) name: String,
    /// The TLS key that it showed.
    pub(crate) tls_key: String,
    /// What its people read out.
    pub(crate) fingerprint: String,
    /// Is it a peer already?
    pub(crate) is_known: bool,
    /// This site's name.
    pub(crate) own_name: String,
    /// This site's id.
    pub(crate) own_site: String,
    /// What the people here read out.
    pub(crate) own_fingerprint: String,
}

/// Somebody who answered.
struct Met {
    site: SiteId,
    name: String,
    tls_key: [u8; 32],
    state: SiteState,
}

impl Site {
    /// Who answers at `url`?
    pub(crate) async fn meet(self: &Arc<Self>, url: &str) -> Result<Introduction> {
        let met = self.greet(&Client::new(&self.identity()?, url, None)?, url).await?;
        Ok(Introduction {
            url: url.to_owned(),
            site: met.site.to_string(),
            name: met.name,
            tls_key: digits(&met.tls_key),
            fingerprint: Fingerprint::of(&met.site, &met.tls_key).to_string(),
            is_known: self.peering(&met.site).is_ok(),
            own_name: self.name(),
            own_site: self.id().to_string(),
            own_fingerprint: self.fingerprint().to_string(),
        })
    }

    async fn greet(&self, client: &Client, url: &str) -> Result<Met> {
        let hello = ask(url, ANSWER_PATIENCE, client.hello()).await?;
        let mut state = SiteState::default();
        state.apply(&hello.join).map_err(cairn_ledger::Error::from)?;
        let (Some(site), Body::Join(join)) = (state.site(), &hello.join.entry().body) else {
            return Err(Fault::UnboundKey(url.to_owned()).into());
        };
        if site == self.id() {
            return Err(Fault::Oneself.into());
        }
        Ok(Met { site, name: join.origin.clone(), tls_key: hello.tls_key, state })
    }

    /// Makes who answers at `url` a peer, if it is who was compared. One that is a peer already is
    /// reached there from now on.
    pub(crate) async fn add_peer(
        self: &Arc<Self>,
        url: &str,
        compared: Fingerprint,
    ) -> Result<SiteId> {
        let client = Client::new(&self.identity()?, url, None)?;
        let mut met = self.greet(&client, url).await?;
        let shown = Fingerprint::of(&met.site, &met.tls_key);
        if shown != compared {
            return Err(Fault::OtherFingerprint { shown: shown.to_string() }.into());
        }
        let taken =
            |peering: &Arc<Peering>| peering.site != met.site && peering.record().name == met.name;
        if met.name == self.name() || self.peerings().iter().any(taken) {
            return Err(Fault::NameTaken(met.name).into());
        }
        lead_to(&mut met.state, &client, &met.name, met.tls_key).await?;
        let record = Record::new(&met.name, url, met.state.key_history(), now());
        let record = record.ok_or_else(|| Fault::UnboundKey(met.name.clone()))?;
        record.save(&self.folder, &met.site)?;
        if let Ok(known) = self.peering(&met.site) {
            known.set_record(record);
        } else {
            let (site, quorum) = (met.site, self.quorum()?);
            let folder = self.folder.clone();
            let opened = move || Ok(Peering::open(&folder, site, record, quorum));
            self.adopt(&super::round::blocking(opened).await?);
        }
        tracing::info!(peer = met.name, "a site was added");
        Ok(met.site)
    }
}

/// A peer shows a key that is not on record: does its log lead there from what is known of it?
pub(super) async fn learn_keys(site: &Arc<Site>, peering: &Arc<Peering>) -> Result<()> {
    let record = peering.record();
    let client = Client::new(&site.identity()?, &record.url, None)?;
    let met = site.greet(&client, &record.name).await?;
    if met.site != peering.site {
        return Err(Fault::UnboundKey(record.name).into());
    }
    let followed = site.with_view(&peering.site, |view| view.state.clone());
    let mut state = followed.filter(|state| state.site().is_some()).unwrap_or(met.state);
    lead_to(&mut state, &client, &record.name, met.tls_key).await?;
    if let Some(new) = record.with_keys(state.key_history()) {
        new.save(&site.folder, &peering.site)?;
        peering.set_record(new);
        tracing::info!(peer = record.name, "a site has replaced its keys");
    }
    Ok(())
}

/// Follows a log from `state` until it binds this TLS key. Each entry is signed with the key in force
/// before it, so nobody else can have led there.
async fn lead_to(
    state: &mut SiteState,
    client: &Client,
    name: &str,
    tls_key: [u8; 32],
) -> Result<()> {
    let is_there = |state: &SiteState| state.keys().is_some_and(|keys| keys.tls == tls_key);
    if is_there(state) {
        return Ok(());
    }
    let until = Instant::now() + LEAD_PATIENCE;
    let published = ask(name, ANSWER_PATIENCE, client.checkpoint()).await?.checkpoint().size;
    while !is_there(state) {
        let next = state.next();
        // Its last entries may not be published yet, since this site has to cosign them first and does
        // not know its key: of those it is not known how many there are.
        let end = if next < published { published.min(next + ENTRIES_ONCE) } else { next + 1 };
        let entries = ask(name, ANSWER_PATIENCE, client.entries(next..end)).await?;
        if entries.is_empty() || Instant::now() > until {
            return Err(Fault::UnboundKey(name.to_owned()).into());
        }
        for entry in entries.iter().take((end - next) as usize) {
            let applied = SignedEntry::decode(entry).map(|signed| state.apply(&signed));
            applied?.map_err(cairn_ledger::Error::from)?;
        }
    }
    Ok(())
}
