//! Lines as DICOM audit messages (PS3.15 §A.5.1), one XML document each, without a line break.
//!
//! No patient is named: the schema does not ask for one, and the log has none. What the standard's own
//! templates want of a query is left out, since what was searched for is not kept.

use std::fmt::Write;

use quick_xml::escape::escape;

use super::event::{Event, Line};
use super::meaning::{Code, Meaning, meaning};

const STUDY_UID: Code = ("110180", "Study Instance UID");
const NODE_ID: Code = ("110182", "Node ID");
const APPLICATION: Code = ("110150", "Application");
const DESTINATION: Code = ("110152", "Destination Role ID");
const SOURCE: Code = ("110153", "Source Role ID");

/// The message of a line from the system of this name; `None`: the standard has none for it.
pub(crate) fn message(line: &Line, source: &str) -> Option<String> {
    let event = &line.event;
    let meaning = meaning(event)?;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><AuditMessage>");
    identification(&mut out, line, &meaning);
    // Who brings objects is where they come from; who reads them is where they go.
    let (theirs, ours) = match meaning.action {
        'C' => (SOURCE, DESTINATION),
        'R' => (DESTINATION, SOURCE),
        _ => (APPLICATION, APPLICATION),
    };
    asker(&mut out, event, theirs);
    let _ = write!(
        out,
        "<ActiveParticipant UserID=\"{}\" UserIsRequestor=\"false\">{}</ActiveParticipant>",
        escape(source),
        coded("RoleIDCode", ours)
    );
    let _ = write!(
        out,
        "<AuditSourceIdentification AuditSourceID=\"{}\"><AuditSourceTypeCode csd-code=\"4\"/>\
         </AuditSourceIdentification>",
        escape(source)
    );
    objects(&mut out, event);
    out.push_str("</AuditMessage>");
    Some(out)
}

fn identification(out: &mut String, line: &Line, meaning: &Meaning) {
    let Meaning { event, kind, action, outcome } = meaning;
    let _ = write!(
        out,
        "<EventIdentification EventActionCode=\"{action}\" EventDateTime=\"{}\" \
         EventOutcomeIndicator=\"{outcome}\">{}{}",
        escape(&line.at),
        coded("EventID", *event),
        kind.map(|kind| coded("EventTypeCode", kind)).unwrap_or_default()
    );
    let description = description(&line.event);
    if !description.is_empty() {
        let _ = write!(
            out,
            "<EventOutcomeDescription>{}</EventOutcomeDescription>",
            escape(&description)
        );
    }
    out.push_str("</EventIdentification>");
}

/// The operation, its answer, and why it was refused.
pub(super) fn description(event: &Event) -> String {
    let words = [event.op.as_str(), &event.target, &event.status, &event.why];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Who asked. Somebody has to be named.
fn asker(out: &mut String, event: &Event, role: Code) {
    let name = name(event);
    let _ = write!(out, "<ActiveParticipant UserID=\"{}\" ", escape(name));
    if event.kind == "ae" {
        // PS3.15 §A.5.2.1.2.
        let _ = write!(out, "AlternativeUserID=\"AETITLES={}\" ", escape(&event.who));
    }
    out.push_str("UserIsRequestor=\"true\"");
    if !event.from.is_empty() {
        let from = escape(&event.from);
        let _ = write!(out, " NetworkAccessPointID=\"{from}\" NetworkAccessPointTypeCode=\"2\"");
    }
    let _ = write!(out, ">{}</ActiveParticipant>", coded("RoleIDCode", role));
}

/// The best name that there is.
pub(super) fn name(event: &Event) -> &str {
    let names = [event.user.as_str(), &event.who, &event.kind];
    names.into_iter().find(|name| !name.is_empty()).unwrap_or("cairn")
}

fn objects(out: &mut String, event: &Event) {
    for study in &event.studies {
        let contents = event.instance.as_deref().map_or_else(String::new, |instance| {
            format!(
                "<ParticipantObjectDescription><SOPClass NumberOfInstances=\"1\"><Instance UID=\"{}\"/>\
                 </SOPClass></ParticipantObjectDescription>",
                escape(instance)
            )
        });
        object(out, study, STUDY_UID, "Study", &contents);
    }
    // Another site names a study as its ledger does.
    if let Some(study) = &event.ledger_study {
        object(out, study, NODE_ID, "Study on the ledger", "");
    }
}

/// A system object in the role of a report, which is what DICOM has for studies (PS3.15 §A.5.3).
fn object(out: &mut String, id: &str, kind: Code, name: &str, contents: &str) {
    let _ = write!(
        out,
        "<ParticipantObjectIdentification ParticipantObjectID=\"{}\" ParticipantObjectTypeCode=\"2\" \
         ParticipantObjectTypeCodeRole=\"3\">{}<ParticipantObjectName>{name}</ParticipantObjectName>\
         {contents}</ParticipantObjectIdentification>",
        escape(id),
        coded("ParticipantObjectIDTypeCode", kind)
    );
}

fn coded(element: &str, (code, meaning): Code) -> String {
    format!(
        "<{element} csd-code=\"{code}\" codeSystemName=\"DCM\" displayName=\"{meaning}\" \
         originalText=\"{meaning}\"/>"
    )
}
