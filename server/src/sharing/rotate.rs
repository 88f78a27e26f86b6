//! Replacing the site's own keys.
//!
//! The new secret is on disk before its entry, and the entry is durable before anything is signed with
//! it. Others have to learn of it while this site still shows them the old TLS key, so those that are in
//! touch follow the entry first; the rest find the new key by the log when they come again.

use std::sync::Arc;

use cairn_ledger::keys::SiteSecret;

use super::keys::Keys;
use super::round::blocking;
use super::site::Site;
use crate::error::Result;

impl Site {
    /// Replaces all keys; gives the entry that says so.
    pub(crate) async fn rotate(self: &Arc<Self>) -> Result<u64> {
        let _turn = self.rotating.lock().await;
        self.check_trouble()?;
        let site = Arc::clone(self);
        let (secret, sequence) = blocking(move || site.log_rotation()).await?;
        self.spread(None).await;
        self.followed_by_all().await;
        let site = Arc::clone(self);
        blocking(move || site.adopt_keys(secret)).await?;
        // With its new name for itself, to those who follow it already.
        self.spread(None).await;
        Ok(sequence)
    }

    fn log_rotation(&self) -> Result<(SiteSecret, u64)> {
        let secret = SiteSecret::generate()?;
        let next = self.folder.next_key();
        secret.save(&next)?;
        match self.log.rotate(secret.clone()) {
            Ok(logged) => Ok((secret, logged.link.sequence)),
            Err(error) => {
                // Only what was refused was surely not logged; else the next start finds out.
                if matches!(error, cairn_ledger::Error::Rejected(_)) {
                    super::folder::remove(&next)?;
                }
                Err(error.into())
            }
        }
    }

    fn adopt_keys(&self, secret: SiteSecret) -> Result<()> {
        let old = self.keys();
        self.folder.finish_rotation(old.retired.len())?;
        let mut retired = old.retired.clone();
        retired.push(old.secret.clone());
        let keys = Keys::new(&self.folder, &self.name(), secret, retired)?;
        self.succession.succeed(keys);
        tracing::info!("the site's keys were replaced");
        Ok(())
    }
}
