//! What is visible at the end, beside what was acknowledged.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::hostile::Attacks;
use super::tally::Tally;
use crate::dicomweb::uids;
use crate::web::{JSON, Web};

/// Instances on a page of the listing.
const PAGE: usize = 1000;
/// Pages at most: ten million instances.
const PAGES_MAX: usize = 10_000;
/// Faults that are told; all are counted.
const FAULTS_KEPT: usize = 10;

/// What the listing came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Inventory {
    pub(super) visible: u64,
    /// Acknowledged and not visible.
    pub(super) missing: u64,
    /// Visible, and neither acknowledged nor sent whole.
    pub(super) unknown: u64,
    /// Visible though not acknowledged, because all of it was sent.
    pub(super) sent_whole: u64,
    pub(super) faults: Vec<String>,
}

/// Lists every instance.
pub(super) fn take(web: &Web, tally: &Tally, attacks: &Attacks) -> Result<Inventory> {
    let visible = list(web)?;
    let mut inventory = Inventory { visible: visible.len() as u64, ..Inventory::default() };
    for uid in tally.acknowledged.iter().chain(&attacks.acknowledged) {
        if !visible.contains(uid) {
            inventory.missing += 1;
            inventory.fault(format!("{uid} was acknowledged and is not visible"));
        }
    }
    for uid in &visible {
        if tally.acknowledged.contains(uid) || attacks.acknowledged.contains(uid) {
            continue;
        }
        if attacks.sent_whole.contains(uid) {
            inventory.sent_whole += 1;
        } else {
            inventory.unknown += 1;
            inventory.fault(format!("{uid} is visible and was never sent whole"));
        }
    }
    Ok(inventory)
}

impl Inventory {
    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_KEPT {
            self.faults.push(fault);
        }
    }
}

/// SOP Instance UIDs of the whole archive, page by page.
fn list(web: &Web) -> Result<HashSet<String>> {
    let mut visible = HashSet::new();
    for _ in 0..PAGES_MAX {
        let path = format!("/instances?limit={PAGE}&offset={}", visible.len());
        let page = uids(&web.read(&path, JSON)?.body, "00080018")?;
        if page.is_empty() {
            return Ok(visible);
        }
        let (before, found) = (visible.len(), page.len());
        visible.extend(page);
        ensure!(visible.len() == before + found, "a page repeats what was on another");
    }
    anyhow::bail!("the listing does not end")
}
