//! From what a peer proposes to what is agreed on (PS3.8 §7.1, PS3.7 annex D).
//!
//! | proposed | answer |
//! |---|---|
//! | a storage class, known or not, private or not | the first transfer syntax that can be stored, decodable or not |
//! | the same with the SCP role (C-GET) | the same, but Explicit before Implicit VR: what is converted loses nothing |
//! | verification, query, retrieval, commitment | Explicit VR Little Endian, else Implicit |
//! | any other class | refused (3) |
//! | what the caller may not do | refused (1) |
//! | no syntax that will do | refused (4) |

use std::collections::{BTreeMap, HashMap};

use cairn_dicom::envelope::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
use cairn_dicom::syntax::{EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};

use super::admission::Admitted;
use super::end::End;
use super::pdu::{
    ABSTRACT_SYNTAX_UNKNOWN, ACCEPTED, APPLICATION_CONTEXT, Associate, Extended, Outcome, Proposal,
    Role, TRANSFER_SYNTAXES_UNKNOWN, USER_REJECTION, User,
};
use super::rules::{Grant, Services};
use super::service::{Service, is_uid};
use super::settings::Settings;

/// Data sets of these are not all of an object: pixels stay with the sender (JPIP), or nothing is
/// stored (real-time video), or there is no data set at all (MIME, XML).
const NOT_STORABLE: &[&str] = &[
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.6.1",
    "1.2.840.10008.1.2.6.2",
    "1.2.840.10008.1.2.7.1",
    "1.2.840.10008.1.2.7.2",
    "1.2.840.10008.1.2.7.3",
];

/// A presentation context that both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) id: u8,
    pub(super) service: Service,
    pub(super) class: String,
    pub(super) transfer_syntax: String,
    /// The peer takes objects under it: it has the SCP role (PS3.7 §D.3.3.4).
    pub(super) takes: bool,
}

/// What queries of one class may use (PS3.4 §C.5.1.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct QueryTerms {
    /// Date and time are matched together.
    pub(super) combined: bool,
    /// Names are matched fuzzily.
    pub(super) fuzzy: bool,
}

/// What is agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) answer: Associate<Outcome>,
    pub(super) contexts: BTreeMap<u8, Context>,
    /// Longest PDU that the peer takes; 0: any.
    pub(super) pdu_bytes_max: u32,
    /// Operations that the peer may have under way at once.
    pub(super) window: u16,
    pub(super) terms: HashMap<String, QueryTerms>,
}

/// Answers a proposal.
///
/// # Errors
/// Context ids that are even or stand there twice (PS3.8 §9.3.2.2).
pub(super) fn agree(
    request: &Associate<Proposal>,
    settings: &Settings,
    admitted: &Admitted,
) -> Result<Agreed, End> {
    let grant = &admitted.grant;
    let mut contexts = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(request.contexts.len());
    for proposal in &request.contexts {
        if proposal.id % 2 == 0 || outcomes.iter().any(|o: &Outcome| o.id == proposal.id) {
            return Err(End::Malformed("a presentation context id is even, or stands there twice"));
        }
        let takes = grant.has(Services::GET)
            && request.user.roles.iter().any(|r| r.scp && r.class == proposal.abstract_syntax);
        let (result, transfer_syntax) = choose(proposal, grant, takes);
        if let (ACCEPTED, Some(service)) = (result, Service::of(&proposal.abstract_syntax)) {
            let context = Context {
                id: proposal.id,
                service,
                class: proposal.abstract_syntax.clone(),
                transfer_syntax: transfer_syntax.clone(),
                takes: takes && service == Service::Store,
            };
            contexts.insert(proposal.id, context);
        }
        outcomes.push(Outcome { id: proposal.id, result, transfer_syntax });
    }
    let (extended, terms) = extended(&request.user.extended);
    let window = window(request.user.window, settings.window_max);
    let user = User {
        pdu_bytes_max: settings.pdu_bytes_max,
        implementation_class: IMPLEMENTATION_CLASS_UID.into(),
        implementation_version: IMPLEMENTATION_VERSION_NAME.into(),
        // This server has one operation of its own under way at a time.
        window: request.user.window.map(|_| (window, 1)),
        roles: roles(&request.user.roles, grant),
        extended,
        identity_taken: admitted.user.is_some()
            && request.user.identity.as_ref().is_some_and(|identity| identity.wants_answer),
        ..User::default()
    };
    let answer = Associate {
        version: 1,
        called: request.called.clone(),
        calling: request.calling.clone(),
        application_context: APPLICATION_CONTEXT.into(),
        contexts: outcomes,
        user,
    };
    let pdu_bytes_max = request.user.pdu_bytes_max;
    Ok(Agreed { answer, contexts, pdu_bytes_max, window, terms })
}

fn choose(proposal: &Proposal, grant: &Grant, takes: bool) -> (u8, String) {
    let offered = &proposal.transfer_syntaxes;
    let has = |uid: &str| offered.iter().any(|offered| offered == uid);
    let service = Service::of(&proposal.abstract_syntax);
    // Who may not store may still be sent what it retrieves.
    let may = |service| grant.has(Services::from(service)) || takes && service == Service::Store;
    if service.is_some_and(|service| !may(service)) {
        return (USER_REJECTION, IMPLICIT_LE.into());
    }
    let chosen = match service {
        // The transfer syntax of a refused context means nothing, but has to stand there.
        None => return (ABSTRACT_SYNTAX_UNKNOWN, IMPLICIT_LE.into()),
        Some(Service::Store) => {
            let is_storable = |uid: &&String| is_uid(uid) && !NOT_STORABLE.contains(&uid.as_str());
            let first = offered.iter().find(is_storable).map(String::as_str);
            match first {
                Some(IMPLICIT_LE | EXPLICIT_BE) if takes && has(EXPLICIT_LE) => Some(EXPLICIT_LE),
                first => first,
            }
        }
        Some(_) => [EXPLICIT_LE, IMPLICIT_LE].into_iter().find(|uid| has(uid)),
    };
    match chosen {
        Some(uid) => (ACCEPTED, uid.to_owned()),
        None => (TRANSFER_SYNTAXES_UNKNOWN, IMPLICIT_LE.into()),
    }
}

/// The requestor may be what it proposes: SCU of everything, SCP of storage (PS3.7 §D.3.3.4).
fn roles(proposed: &[Role], grant: &Grant) -> Vec<Role> {
    let granted = proposed.iter().map(|role| {
        let service = Service::of(&role.class);
        Role {
            class: role.class.clone(),
            scu: role.scu && service.is_none_or(|service| grant.has(service.into())),
            scp: role.scp && service == Some(Service::Store) && grant.has(Services::GET),
        }
    });
    granted.collect()
}

/// At most what is proposed, where 0 is any number (PS3.7 §D.3.3.3). Without a proposal it is one.
fn window(proposed: Option<(u16, u16)>, max: u16) -> u16 {
    match proposed {
        None => 1,
        Some((0, _)) => max,
        Some((invoked, _)) => invoked.min(max),
    }
}

/// PS3.4 tables C.5-1 to C.5-3: relational queries, combined date and time matching, fuzzy matching,
/// timezone, enhanced multi-frame conversion. Queries are relational in any case.
fn extended(proposed: &[Extended]) -> (Vec<Extended>, HashMap<String, QueryTerms>) {
    let (mut answers, mut terms) = (Vec::new(), HashMap::new());
    for item in proposed {
        let known = match Service::of(&item.class) {
            Some(Service::Find(_)) => 3,
            Some(Service::Move(_) | Service::Get(_)) => 1,
            _ => continue,
        };
        let wants = |place: usize| item.information.get(place) == Some(&1);
        let information = (0..item.information.len())
            .map(|place| u8::from(place < known && wants(place)))
            .collect();
        terms.insert(item.class.clone(), QueryTerms { combined: wants(1), fuzzy: wants(2) });
        answers.push(Extended { class: item.class.clone(), information });
    }
    (answers, terms)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const JPEG: &str = "1.2.840.10008.1.2.4.50";

    fn request(contexts: &[(&str, &[&str])]) -> Associate<Proposal> {
        let contexts = contexts.iter().zip(0..).map(|((class, syntaxes), n): (_, u8)| Proposal {
            id: 2 * n + 1,
            abstract_syntax: (*class).to_owned(),
            transfer_syntaxes: syntaxes.iter().map(|uid| (*uid).to_owned()).collect(),
        });
        Associate {
            version: 1,
            called: "CAIRN".into(),
            calling: "X".into(),
            application_context: APPLICATION_CONTEXT.into(),
            contexts: contexts.collect(),
            user: User::default(),
        }
    }

    fn agreed(request: &Associate<Proposal>, grant: Grant) -> Result<Agreed, End> {
        agree(request, &Settings::default(), &Admitted { grant, user: None })
    }

    fn results(request: &Associate<Proposal>) -> Vec<(u8, String)> {
        let agreed = agreed(request, Grant::all()).unwrap();
        agreed.answer.contexts.into_iter().map(|c| (c.result, c.transfer_syntax)).collect()
    }

    #[test]
    fn behaviour_28_each_context_has_an_answer_of_its_own() {
        let private = "1.2.840.113619.5.2";
        let asked = request(&[
            (CT, &[JPEG]),
            (CT, &[IMPLICIT_LE, EXPLICIT_LE]),
            ("1.3.46.670589.5.0.1", &[private]),
            ("1.2.840.10008.5.1.4.31", &[IMPLICIT_LE]),
            (CT, &["1.2.840.10008.1.2.4.94"]),
            (CT, &[]),
            ("1.2.840.10008.1.1", &[EXPLICIT_BE, IMPLICIT_LE]),
            ("1.2.840.10008.5.1.4.1.2.2.1", &[IMPLICIT_LE, EXPLICIT_LE]),
            ("1.2.840.10008.5.1.4.1.2.2.1", &[EXPLICIT_BE]),
        ]);
        let expected = [
            (0, JPEG),
            (0, IMPLICIT_LE),
            (0, private),
            (3, IMPLICIT_LE),
            (4, IMPLICIT_LE),
            (4, IMPLICIT_LE),
            (0, IMPLICIT_LE),
            (0, EXPLICIT_LE),
            (4, IMPLICIT_LE),
        ];
        assert_eq!(results(&asked), expected.map(|(n, uid)| (n, uid.to_owned())));
    }

    #[test]
    fn behaviour_33_a_receiver_of_c_get_has_its_role() {
        let mut asked = request(&[(CT, &[IMPLICIT_LE, EXPLICIT_LE])]);
        asked.user.roles = vec![
            Role { class: CT.into(), scu: true, scp: true },
            Role { class: "1.2.840.10008.1.1".into(), scu: true, scp: true },
        ];
        let agreed = agreed(&asked, Grant::all()).unwrap();
        assert_eq!(agreed.contexts[&1].transfer_syntax, EXPLICIT_LE);
        assert!(agreed.contexts[&1].takes);
        assert_eq!(
            agreed.answer.user.roles.iter().map(|r| r.scp).collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn behaviour_29_windows_and_context_ids() {
        assert_eq!(window(None, 16), 1);
        assert_eq!(window(Some((0, 0)), 16), 16);
        assert_eq!(window(Some((1, 1)), 16), 1);
        assert_eq!(window(Some((99, 1)), 16), 16);
        let mut twice = request(&[(CT, &[JPEG]), (CT, &[JPEG])]);
        twice.contexts[1].id = 1;
        assert!(agreed(&twice, Grant::all()).is_err());
        twice.contexts[1].id = 2;
        assert!(agreed(&twice, Grant::all()).is_err());
    }

    #[test]
    fn extended_negotiation_is_answered_byte_by_byte() {
        let find = "1.2.840.10008.5.1.4.1.2.1.1";
        let item = |class: &str, information: &[u8]| Extended {
            class: class.into(),
            information: information.into(),
        };
        let (answers, terms) = extended(&[item(find, &[1, 1, 0, 1, 1]), item(CT, &[1])]);
        assert_eq!(answers, [item(find, &[1, 1, 0, 0, 0])]);
        assert_eq!(terms[find], QueryTerms { combined: true, fuzzy: false });
    }
}
