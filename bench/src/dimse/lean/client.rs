//! Who sends, who asks.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::associate::{Agreed, EXPLICIT_LE, Kind, open};
use super::wire::{Command, Event, NO_DATA_SET, Wire, field};
use crate::instances::Instance;
use crate::service::DESTINATION;

/// Kinds of command (PS3.7 §E.1).
pub(super) const C_STORE: u16 = 0x0001;
pub(super) const C_GET: u16 = 0x0010;
pub(super) const C_MOVE: u16 = 0x0021;
/// That a command answers one.
pub(super) const ANSWER: u16 = 0x8000;
/// More answers follow.
const PENDING: u16 = 0xFF00;
/// Study Root, retrieval.
pub(super) const STUDY_GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
pub(super) const STUDY_MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
const DATA_SET_FOLLOWS: u16 = 0;

/// What the instances are sent as.
pub(super) fn kinds<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Vec<Kind> {
    let kind = |one: &Instance| (one.class.clone(), one.transfer_syntax.clone());
    instances.into_iter().map(kind).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Sends instances over one association; each waits for the answer to the one before it. Gives the
/// seconds from the first byte of each to its answer.
pub(in crate::dimse) fn send(port: u16, instances: &[&Instance]) -> Result<Vec<f64>> {
    let mut agreed = open(port, &kinds(instances.iter().copied()), &[])?;
    let mut answers_s = Vec::with_capacity(instances.len());
    for (instance, id) in instances.iter().zip((1..=u16::MAX).cycle()) {
        let begun = Instant::now();
        store(&mut agreed, id, instance)?;
        answers_s.push(begun.elapsed().as_secs_f64());
    }
    agreed.wire.release()?;
    Ok(answers_s)
}

/// Sends an instance and waits for the answer.
pub(super) fn store(agreed: &mut Agreed, id: u16, instance: &Instance) -> Result<()> {
    let kind = (instance.class.clone(), instance.transfer_syntax.clone());
    let context = *agreed.contexts.get(&kind).context("no context for an instance")?;
    let command = Command::default()
        .text(field::CLASS, &instance.class, 0)
        .number(field::KIND, C_STORE)
        .number(field::ID, id)
        .number(field::PRIORITY, 0)
        .number(field::DATA_SET, DATA_SET_FOLLOWS)
        .text(field::INSTANCE, &instance.sop, 0);
    agreed.wire.send(context, &command, Some(instance.dataset()))?;
    let Event::Message(_, answer) = agreed.wire.next()? else { bail!("no answer to a store") };
    ensure!(answer.word(field::ANSWERED_ID)? == id, "the answer is to another message");
    let status = answer.word(field::STATUS)?;
    ensure!(status == 0, "an instance was answered with status {status:04X}");
    Ok(())
}

/// Answers a store whose data set was thrown away.
pub(super) fn stored(wire: &mut Wire, context: u8, request: &Command) -> Result<()> {
    let answer = Command::default()
        .text(field::CLASS, request.uid(field::CLASS)?, 0)
        .number(field::KIND, C_STORE | ANSWER)
        .number(field::ANSWERED_ID, request.word(field::ID)?)
        .number(field::DATA_SET, NO_DATA_SET)
        .number(field::STATUS, 0)
        .text(field::INSTANCE, request.uid(field::INSTANCE)?, 0);
    wire.send(context, &answer, None)
}

/// The identifier that asks for a study, in explicit VR.
fn identifier(study: &str) -> Vec<u8> {
    let mut bytes = b"\x08\x00\x52\x00CS\x06\x00STUDY ".to_vec();
    let length = study.len().next_multiple_of(2);
    bytes.extend(b"\x20\x00\x0d\x00UI");
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(study.as_bytes());
    bytes.resize(bytes.len() + length - study.len(), 0);
    bytes
}

/// Has a study sent here over the association that asks for it, and throws it away.
pub(in crate::dimse) fn get(port: u16, study: &[&Instance]) -> Result<()> {
    let kind = (STUDY_GET.to_owned(), EXPLICIT_LE.to_owned());
    let agreed = open(port, std::slice::from_ref(&kind), &kinds(study.iter().copied()))?;
    let command = Command::default().text(field::CLASS, STUDY_GET, 0).number(field::KIND, C_GET);
    retrieve(agreed, &kind, command, study)
}

/// Has a study sent to [`DESTINATION`].
pub(in crate::dimse) fn request_move(port: u16, study: &[&Instance]) -> Result<()> {
    let kind = (STUDY_MOVE.to_owned(), EXPLICIT_LE.to_owned());
    let agreed = open(port, std::slice::from_ref(&kind), &[])?;
    let command = Command::default().text(field::CLASS, STUDY_MOVE, 0).number(field::KIND, C_MOVE);
    retrieve(agreed, &kind, command, study)
}

fn retrieve(mut agreed: Agreed, kind: &Kind, command: Command, study: &[&Instance]) -> Result<()> {
    let uid = &study.first().context("there is no study")?.study;
    let context = *agreed.contexts.get(kind).context("no context for a request")?;
    let is_move = command.word(field::KIND)? == C_MOVE;
    let command = command.number(field::ID, 1);
    // Elements stand in the order of their numbers.
    let command =
        if is_move { command.text(field::DESTINATION, DESTINATION, b' ') } else { command };
    let command = command.number(field::PRIORITY, 0).number(field::DATA_SET, DATA_SET_FOLLOWS);
    agreed.wire.send(context, &command, Some(&identifier(uid)))?;
    let mut received = 0;
    loop {
        let Event::Message(context, message) = agreed.wire.next()? else {
            bail!("the association ended before the study was there");
        };
        if message.word(field::KIND)? == C_STORE {
            stored(&mut agreed.wire, context, &message)?;
            received += 1;
            continue;
        }
        let status = message.word(field::STATUS)?;
        if status == PENDING {
            continue;
        }
        ensure!(status == 0, "a retrieval was answered with status {status:04X}");
        let sent = usize::from(message.word(field::COMPLETED)?);
        let all = study.len();
        ensure!(sent == all && (is_move || received == all), "{sent} of {all} instances came");
        return agreed.wire.release();
    }
}
