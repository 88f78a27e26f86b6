//! One study: what of it is here, and how the rest comes.

use std::collections::BTreeSet;

use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};
use cairn_store::catalog::Catalog;
use cairn_store::ingest::Ingest;

use super::find::{self, Contents, Remote};
use crate::dimse::command::{Command, field, operation};
use crate::dimse::end::End;
use crate::dimse::identifier;
use crate::dimse::pull::{PullError, Pulled, get};
use crate::dimse::scu::{Scu, Wanted};
use crate::dimse::service::Service;
use crate::dimse::settings::{Peer, Settings};
use crate::dimse::status;

const STUDY_ROOT_MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";

/// What became of a study.
#[derive(Debug, Default)]
pub(in crate::dimse) struct Taken {
    pub(in crate::dimse) pulled: Pulled,
    /// All of it was here before.
    pub(in crate::dimse) was_held: bool,
}

/// Has what is missing of a study sent with C-GET.
pub(in crate::dimse) fn study(
    settings: &Settings,
    peer: &Peer,
    catalog: &dyn Catalog,
    ingest: &Ingest,
    remote: &Remote,
) -> Result<Taken, PullError> {
    missing(settings, peer, catalog, remote, &mut |contents, series| {
        get(settings, peer, ingest, &contents.kinds(), &remote.uid, series)
    })
}

/// Has what is missing of a study moved to this archive, under `own` title.
pub(super) fn study_moved(
    settings: &Settings,
    peer: &Peer,
    catalog: &dyn Catalog,
    remote: &Remote,
    own: &str,
) -> Result<Taken, PullError> {
    missing(settings, peer, catalog, remote, &mut |_, series| {
        moved(settings, peer, own, &remote.uid, series)
    })
}

/// Has a study sent, or the series that is named.
type Bring<'a> = &'a mut dyn FnMut(&Contents, Option<&str>) -> Result<Pulled, PullError>;

/// Calls `bring` for what is missing: the whole study, or some of its series.
fn missing(
    settings: &Settings,
    peer: &Peer,
    catalog: &dyn Catalog,
    remote: &Remote,
    bring: Bring<'_>,
) -> Result<Taken, PullError> {
    let mut here = 0;
    catalog.studies(Some(&remote.uid), &mut |row| {
        here = row.instances;
        Ok(())
    })?;
    let held = Taken { was_held: true, ..Taken::default() };
    if here > 0 && remote.instances == Some(here) {
        return Ok(held);
    }
    let contents = find::contents(settings, peer, &remote.uid)?;
    let mut lacking = Vec::new();
    for (series, images) in &contents.series {
        let mut known = BTreeSet::new();
        catalog.series_versions(&remote.uid, series, &mut |version| {
            known.insert(version.sop_instance_uid);
            Ok(())
        })?;
        if !images.is_subset(&known) {
            lacking.push(series.as_str());
        }
    }
    // An archive that lists no series is asked for the study all the same.
    if lacking.is_empty() && !contents.series.is_empty() {
        return Ok(held);
    }
    let mut taken = Taken::default();
    if lacking.len() == contents.series.len() {
        taken.pulled = bring(&contents, None)?;
        return Ok(taken);
    }
    for series in lacking {
        taken.pulled.add(&bring(&contents, Some(series))?);
    }
    Ok(taken)
}

/// C-MOVE (PS3.4 §C.4.2) to this archive.
fn moved(
    settings: &Settings,
    peer: &Peer,
    own: &str,
    study: &str,
    series: Option<&str>,
) -> Result<Pulled, PullError> {
    let wanted = [EXPLICIT_LE, IMPLICIT_LE]
        .map(|uid| Wanted { class: STUDY_ROOT_MOVE.into(), transfer_syntax: uid.into() });
    let mut scu = Scu::open(settings, peer, &wanted, Vec::new())?;
    let context = scu.contexts.iter().find(|c| matches!(c.service, Service::Move(_))).cloned();
    let Some(context) = context else {
        scu.release();
        return Err(PullError::NotOffered("C-MOVE (Study Root)"));
    };
    let command = Command::new(operation::MOVE)
        .with_uid(field::AFFECTED_CLASS, &context.class)
        .number(field::MESSAGE_ID, 1)
        .with_text(field::MOVE_DESTINATION, own)
        .number(field::PRIORITY, 0)
        .with_data_set();
    let data = identifier::encode(find::named(study, series), &context.transfer_syntax)?;
    scu.outbound.message(context.id, &command, &data)?;
    loop {
        let why = "the other side releases an association that it did not ask for";
        let (id, answer) = scu.inbound.answer()?.ok_or(End::Unexpected(why))?;
        if answer.has_data_set() {
            scu.inbound.dataset(id).pass_over()?;
        }
        let code = answer.get(field::STATUS).unwrap_or(u16::MAX);
        if status::class(code) == "pending" {
            continue;
        }
        scu.release();
        let of = |element| answer.get(element).map_or(0, u64::from);
        return Ok(Pulled {
            instances: of(field::COMPLETED) + of(field::WARNING),
            failed: of(field::FAILED),
            status: code,
            ..Pulled::default()
        });
    }
}
