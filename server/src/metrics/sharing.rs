//! Figures of sharing. Labels are names of sites, which a person has compared.

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::{Declare, signed};
use crate::sharing::Figures;

/// The own ledger, and how far those of others are followed.
pub(crate) struct SharingMetrics {
    entries: IntGauge,
    published: IntGauge,
    stopped: IntGauge,
    mirrored: IntGaugeVec,
    age: GaugeVec,
    suspended: IntGaugeVec,
    failures: IntCounterVec,
    given_back: IntCounter,
    referred: IntCounter,
    prefetched: IntCounter,
    glass: IntGaugeVec,
    glass_blocking: IntGauge,
}

impl SharingMetrics {
    pub(super) fn new(add: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            entries: add.gauge("cairn_ledger_entries", "Entries of this site's ledger.")?,
            published: add.gauge(
                "cairn_ledger_published_entries",
                "Entries under the checkpoint that other sites follow.",
            )?,
            stopped: add.gauge(
                "cairn_ledger_stopped",
                "1: others have seen another history of this site's ledger; nothing is added to it.",
            )?,
            mirrored: add.gauges(
                "cairn_sharing_mirrored_entries",
                "Entries of another site's ledger that are followed here.",
                &["site"],
            )?,
            age: add.numbers(
                "cairn_sharing_mirror_age_seconds",
                "For how long it is not known that this is a site's latest; -1: it never was.",
                &["site"],
            )?,
            suspended: add.gauges(
                "cairn_sharing_findings",
                "1: a site's ledger was caught at what no honest one does, and is not used.",
                &["site"],
            )?,
            failures: add.counters(
                "cairn_sharing_sync_failures_total",
                "Rounds with a site that did not go well.",
                &["site"],
            )?,
            given_back: add.counter(
                "cairn_sharing_given_back_instances_total",
                "Instances deleted because a grant ended that lets nobody keep a copy.",
            )?,
            referred: add.counter(
                "cairn_sharing_referred_studies_total",
                "Studies that were granted to another site because a rule says so.",
            )?,
            prefetched: add.counter(
                "cairn_sharing_prefetched_studies_total",
                "Studies of other sites that were fetched before anybody asked for them.",
            )?,
            glass: add.gauges(
                "cairn_glass_unreviewed",
                "Emergency accesses that nobody has reviewed: by others to this site's studies, by this \
                 site to theirs.",
                &["by"],
            )?,
            glass_blocking: add.gauge(
                "cairn_glass_blocking",
                "Of those by this site the ones that keep a group from opening another.",
            )?,
        })
    }

    /// So many instances were deleted, as the grants that they came by have ended.
    pub(crate) fn gave_back(&self, instances: u64) {
        self.given_back.inc_by(instances);
    }

    /// A rule has granted a study.
    pub(crate) fn referred(&self) {
        self.referred.inc();
    }

    /// A study came before anybody asked for it.
    pub(crate) fn prefetched(&self) {
        self.prefetched.inc();
    }

    /// What is so at this moment.
    pub(crate) fn show(&self, figures: &Figures) {
        self.entries.set(signed(figures.entries));
        self.published.set(signed(figures.published));
        self.stopped.set(figures.is_stopped.into());
        self.glass.with_label_values(&["others"]).set(signed(figures.glass.suffered));
        self.glass.with_label_values(&["this_site"]).set(signed(figures.glass.broken));
        self.glass_blocking.set(signed(figures.glass.blocking));
        // Sites that are peers no more leave their figures.
        self.mirrored.reset();
        self.age.reset();
        self.suspended.reset();
        for peer in &figures.peers {
            let site = &[peer.name.as_str()];
            self.mirrored.with_label_values(site).set(signed(peer.entries));
            let age = peer.fresh_seconds.map_or(-1.0, |seconds| seconds as f64);
            self.age.with_label_values(site).set(age);
            self.suspended.with_label_values(site).set(peer.is_suspended.into());
            let failures = self.failures.with_label_values(site);
            failures.inc_by(peer.failures.saturating_sub(failures.get()));
        }
    }
}
