//! Words of the command line for what the ledger has numbers for.

use cairn_ledger::entry::{
    BreakGlassReason, Outcome, Purpose, ReviewVerdict, RevokeReason, TombstoneReason, Verdict,
};

use super::Fault;
use crate::error::Result;

/// Purposes, by their HL7 v3 codes.
pub(crate) const PURPOSES: [&str; 4] = ["TREAT", "ETREAT", "HRESCH", "PATRQT"];

/// Reasons to revoke.
pub(crate) const REASONS: [&str; 6] = [
    "unspecified",
    "treatment-ended",
    "consent-withdrawn",
    "mistake",
    "key-compromise",
    "replaced",
];

pub(super) fn purpose(word: &str) -> Result<Purpose> {
    let known = || PURPOSES.join(", ");
    Ok(Purpose::from_code(word).ok_or_else(|| Fault::Word {
        what: "the purpose",
        word: word.to_owned(),
        known: known(),
    })?)
}

pub(super) fn revoke_reason(word: &str) -> Result<RevokeReason> {
    let named = RevokeReason::ALL.iter().find(|reason| reason_word(**reason) == word);
    Ok(named.copied().ok_or_else(|| Fault::Word {
        what: "the reason",
        word: word.to_owned(),
        known: REASONS.join(", "),
    })?)
}

/// Reasons to break the glass.
pub(crate) const GLASS_REASONS: [&str; 3] = ["emergency", "owner-unreachable", "disaster"];

/// What a review finds.
pub(crate) const REVIEWS: [&str; 2] = ["justified", "unjustified"];

pub(super) fn glass_reason(word: &str) -> Result<BreakGlassReason> {
    let named = BreakGlassReason::ALL.iter().find(|reason| glass_word(**reason) == word);
    let (word, known) = (word.to_owned(), GLASS_REASONS.join(", "));
    Ok(named.copied().ok_or(Fault::Word { what: "the reason", word, known })?)
}

pub(super) fn review_verdict(word: &str) -> Result<ReviewVerdict> {
    let named = ReviewVerdict::ALL.iter().find(|verdict| review_word(**verdict) == word);
    let (word, known) = (word.to_owned(), REVIEWS.join(", "));
    Ok(named.copied().ok_or(Fault::Word { what: "the verdict", word, known })?)
}

pub(super) fn reason_word(reason: RevokeReason) -> &'static str {
    match reason {
        RevokeReason::Unspecified => "unspecified",
        RevokeReason::TreatmentEnded => "treatment-ended",
        RevokeReason::ConsentWithdrawn => "consent-withdrawn",
        RevokeReason::Mistake => "mistake",
        RevokeReason::KeyCompromise => "key-compromise",
        RevokeReason::Replaced => "replaced",
    }
}

pub(super) fn glass_word(reason: BreakGlassReason) -> &'static str {
    match reason {
        BreakGlassReason::Emergency => "emergency",
        BreakGlassReason::OwnerUnreachable => "owner-unreachable",
        BreakGlassReason::Disaster => "disaster",
    }
}

pub(super) fn tombstone_word(reason: TombstoneReason) -> &'static str {
    match reason {
        TombstoneReason::Unspecified => "unspecified",
        TombstoneReason::RetentionEnded => "retention-ended",
        TombstoneReason::Mistake => "mistake",
        TombstoneReason::Erasure => "erasure",
    }
}

pub(super) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Findings => "findings",
        Verdict::Failed => "failed",
    }
}

pub(super) fn review_word(verdict: ReviewVerdict) -> &'static str {
    match verdict {
        ReviewVerdict::Justified => "justified",
        ReviewVerdict::Unjustified => "unjustified",
    }
}

pub(super) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Verified => "verified",
        Outcome::Partial => "partial",
        Outcome::Mismatch => "mismatch",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn words_are_those_that_help_texts_list() {
        for word in REASONS {
            assert_eq!(reason_word(revoke_reason(word).unwrap()), word);
        }
        for word in PURPOSES {
            assert_eq!(purpose(word).unwrap().code(), word);
        }
        assert!(purpose("treat").is_err() && revoke_reason("").is_err());
    }
}
