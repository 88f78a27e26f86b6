//! What two sides agree on before they speak (PS3.8 §7.1), by dicom-ul.

use std::collections::BTreeMap;
use std::net::TcpStream;

use anyhow::{Result, bail};
use dicom_ul::Pdu;
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason, RequestorRoles, UserVariableItem, read_pdu, write_pdu,
};

use super::wire::{PDU_BYTES_MAX, Wire};
use crate::service::AE_TITLE;

const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
pub(super) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
const TITLE: &str = "LEAN";
/// An implementation has to have a name: one in the arc for UUIDs.
const IMPLEMENTATION: &str = "2.25.97283120163451986543219873";

/// A class, and the transfer syntax under which it is sent.
pub(super) type Kind = (String, String);

/// An association.
pub(super) struct Agreed {
    pub(super) wire: Wire,
    /// Contexts by what is sent under them.
    pub(super) contexts: BTreeMap<Kind, u8>,
}

fn write(pdu: &Pdu) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu)?;
    Ok(bytes)
}

fn user(roles: impl Iterator<Item = UserVariableItem>) -> Vec<UserVariableItem> {
    let mut user = vec![
        UserVariableItem::MaxLength(PDU_BYTES_MAX),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION.into()),
    ];
    user.extend(roles);
    user
}

/// The longest PDU that the other side takes; of no limit this one makes its own.
fn limit(user: &[UserVariableItem]) -> usize {
    let said = user.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(bytes) if *bytes > 0 => Some(*bytes),
        _ => None,
    });
    said.unwrap_or(PDU_BYTES_MAX).min(PDU_BYTES_MAX) as usize
}

/// Opens an association for each of `kinds`; `received`: those that the other side may send here.
pub(super) fn open(port: u16, kinds: &[Kind], received: &[Kind]) -> Result<Agreed> {
    let proposed: Vec<_> = kinds.iter().chain(received).zip((1_u8..).step_by(2)).collect();
    let roles = received.iter().map(|(class, _)| {
        // It receives, and sends nothing.
        let role = RequestorRoles { scu: false, scp: true };
        UserVariableItem::ScuScpRoleSelectionSubItem(class.clone(), role)
    });
    let request = AssociationRQ {
        protocol_version: 1,
        calling_ae_title: TITLE.into(),
        called_ae_title: AE_TITLE.into(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: proposed
            .iter()
            .map(|((class, syntax), id)| PresentationContextProposed {
                id: *id,
                abstract_syntax: class.clone(),
                transfer_syntaxes: vec![syntax.clone()],
            })
            .collect(),
        user_variables: user(roles),
    };
    let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", port))?)?;
    wire.raw(&write(&Pdu::AssociationRQ(request))?)?;
    let pdu = wire.pdu()?;
    let Some(Pdu::AssociationAC(answer)) = read_pdu(&pdu[..], 1 << 20, false)? else {
        bail!("the association is refused");
    };
    wire.pdu_bytes_max = limit(&answer.user_variables);
    let mut contexts = BTreeMap::new();
    for (kind, id) in proposed {
        let accepted = answer.presentation_contexts.iter().any(|context| {
            context.id == id && context.reason == PresentationContextResultReason::Acceptance
        });
        if !accepted {
            bail!("{} in {} is refused", kind.0, kind.1);
        }
        contexts.insert(kind.clone(), id);
    }
    Ok(Agreed { wire, contexts })
}

/// Accepts whatever is proposed: in explicit VR if that is offered, as most sets have it, else in the
/// first transfer syntax.
pub(super) fn accept(stream: TcpStream) -> Result<Agreed> {
    let mut wire = Wire::new(stream)?;
    let pdu = wire.pdu()?;
    let Some(Pdu::AssociationRQ(request)) = read_pdu(&pdu[..], 1 << 20, false)? else {
        bail!("no association is asked for");
    };
    wire.pdu_bytes_max = limit(&request.user_variables);
    let mut contexts = BTreeMap::new();
    let results = request.presentation_contexts.iter().map(|proposed| {
        let syntaxes = &proposed.transfer_syntaxes;
        let explicit = syntaxes.iter().find(|syntax| *syntax == EXPLICIT_LE);
        let chosen = explicit.or(syntaxes.first()).cloned().unwrap_or_default();
        contexts.insert((proposed.abstract_syntax.clone(), chosen.clone()), proposed.id);
        PresentationContextResult {
            id: proposed.id,
            reason: PresentationContextResultReason::Acceptance,
            transfer_syntax: chosen,
        }
    });
    let presentation_contexts = results.collect();
    let is_role =
        |item: &&UserVariableItem| matches!(item, UserVariableItem::ScuScpRoleSelectionSubItem(..));
    let roles: Vec<_> = request.user_variables.iter().filter(is_role).cloned().collect();
    let answer = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title,
        called_ae_title: request.called_ae_title,
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts,
        user_variables: user(roles.into_iter()),
    };
    wire.raw(&write(&Pdu::AssociationAC(answer))?)?;
    Ok(Agreed { wire, contexts })
}
