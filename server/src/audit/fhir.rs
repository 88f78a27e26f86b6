//! Lines as AuditEvents of FHIR R4, one JSON object each.

use serde_json::{Value, json};

use super::dicom::{description, name};
use super::event::{Event, Line};
use super::meaning::{Code, is_oid, meaning};

/// DICOM's codes, as FHIR names their system.
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const OBJECT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";

/// The AuditEvent of a line from the system of this name; `None`: there is none for it.
pub(crate) fn resource(line: &Line, source: &str) -> Option<Value> {
    let event = &line.event;
    let meaning = meaning(event)?;
    let mut resource = json!({
        "resourceType": "AuditEvent",
        "type": coding(meaning.event),
        "action": meaning.action.to_string(),
        "recorded": line.at,
        "outcome": meaning.outcome,
        "outcomeDesc": description(event),
        "agent": [
            agent(event),
            { "who": { "display": source }, "requestor": false, "type": { "coding": [coding(("110150", "Application"))] } },
        ],
        "source": {
            "observer": { "display": source },
            "type": [{ "system": SOURCE_TYPE, "code": "4", "display": "Application Server" }],
        },
    });
    if let Some(kind) = meaning.kind {
        resource["subtype"] = json!([coding(kind)]);
    }
    let entities: Vec<Value> = entities(event);
    if !entities.is_empty() {
        resource["entity"] = Value::Array(entities);
    }
    Some(resource)
}

fn coding((code, display): Code) -> Value {
    json!({ "system": DCM, "code": code, "display": display })
}

fn agent(event: &Event) -> Value {
    let mut agent = json!({ "who": { "display": name(event) }, "requestor": true });
    if event.kind == "ae" {
        agent["altId"] = json!(format!("AETITLES={}", event.who));
    }
    if !event.from.is_empty() {
        agent["network"] = json!({ "address": event.from, "type": "2" });
    }
    agent
}

fn entities(event: &Event) -> Vec<Value> {
    let entity = |identifier: Value, name: &str| {
        json!({
            "what": { "identifier": identifier },
            "type": { "system": OBJECT_TYPE, "code": "2", "display": "System Object" },
            "role": { "system": OBJECT_ROLE, "code": "3", "display": "Report" },
            "name": name,
        })
    };
    let studies = event.studies.iter().map(|study| {
        // As imaging studies have their UIDs (FHIR R4, ImagingStudy.identifier).
        let value = if is_oid(study) { format!("urn:oid:{study}") } else { study.clone() };
        entity(json!({ "system": "urn:dicom:uid", "value": value }), "Study")
    });
    let on_ledger = event.ledger_study.iter();
    let on_ledger = on_ledger.map(|id| entity(json!({ "value": id }), "Study on the ledger"));
    let mut entities: Vec<Value> = studies.chain(on_ledger).collect();
    if let (Some(first), Some(instance)) = (entities.first_mut(), &event.instance) {
        first["detail"] = json!([{ "type": "SOP Instance UID", "valueString": instance }]);
    }
    entities
}
