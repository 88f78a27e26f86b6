//! Associations that this server opens: to send objects, and to report storage commitments.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use cairn_dicom::envelope::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
use thiserror::Error;

use super::command::Command;
use super::end::End;
use super::inbound::Inbound;
use super::negotiate::Context;
use super::outbound::Outbound;
use super::pdu::{self, APPLICATION_CONTEXT, Associate, Outcome, Proposal, Role, User};
use super::service::Service;
use super::settings::{Peer, Settings};
use super::transport::{self, Insecure, Reading, Writing};

/// How long a peer may take to be reached.
const CONNECT: Duration = Duration::from_secs(10);
/// Contexts of one association: ids are odd, from 1 to 255.
pub(super) const CONTEXTS_MAX: usize = 128;

/// Why there is no association.
#[derive(Debug, Error)]
pub(crate) enum Unreached {
    /// No connection.
    #[error("it cannot be reached: {0}")]
    Connection(#[from] std::io::Error),
    /// There is no TLS with it.
    #[error(transparent)]
    Insecure(#[from] Insecure),
    /// It said no.
    #[error("it rejects the association (source {0}, reason {1})")]
    Rejected(u8, u8),
    /// It broke off.
    #[error("it breaks off: {0}")]
    Broken(#[from] End),
}

/// A context to be proposed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub(super) class: String,
    pub(super) transfer_syntax: String,
}

/// An open association to a peer.
pub(super) struct Scu {
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) contexts: Vec<Context>,
}

impl Scu {
    /// Opens one, with at most [`CONTEXTS_MAX`] contexts. `roles`: what this side is besides SCU.
    pub(super) fn open(
        settings: &Settings,
        peer: &Peer,
        wanted: &[Wanted],
        roles: Vec<Role>,
    ) -> Result<Self, Unreached> {
        let stream = connect(peer)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(settings.stall))?;
        let (reading, writing) = secured(settings, peer, &stream)?;
        let mut outbound = Outbound::new(writing);
        // Draining closes nothing here: whoever asked for it is drained.
        let mut inbound = Inbound::new(reading, settings.patience(), Arc::default())?;
        let proposals = wanted.iter().take(CONTEXTS_MAX).zip(0_u8..).map(|(wanted, n)| Proposal {
            id: 2 * n + 1,
            abstract_syntax: wanted.class.clone(),
            transfer_syntaxes: vec![wanted.transfer_syntax.clone()],
        });
        let request = Associate {
            version: 1,
            called: peer.title.clone(),
            calling: settings.title.clone(),
            application_context: APPLICATION_CONTEXT.into(),
            contexts: proposals.collect(),
            user: User {
                pdu_bytes_max: settings.pdu_bytes_max,
                implementation_class: IMPLEMENTATION_CLASS_UID.into(),
                implementation_version: IMPLEMENTATION_VERSION_NAME.into(),
                roles,
                ..User::default()
            },
        };
        outbound.pdu(&request.write())?;
        let (kind, body) = inbound.pdu()?;
        match kind {
            pdu::ASSOCIATE_AC => {}
            pdu::ASSOCIATE_RJ => {
                let of = |place: usize| body.get(place).copied().unwrap_or(0);
                return Err(Unreached::Rejected(of(2), of(3)));
            }
            pdu::ABORT => return Err(End::Aborted.into()),
            _ => return Err(End::Unexpected("a PDU that is no answer to a request").into()),
        }
        let answer = Associate::<Outcome>::read(&body).map_err(End::from)?;
        outbound.limit(answer.user.pdu_bytes_max);
        Ok(Self { inbound, outbound, contexts: agreed(&request.contexts, &answer.contexts) })
    }

    /// Waits for the answer to what was sent.
    pub(super) fn answer(&mut self) -> Result<Command, End> {
        let Some((id, command)) = self.inbound.answer()? else {
            return Err(End::Unexpected("the receiver of an association wants to release it"));
        };
        if command.has_data_set() {
            self.inbound.dataset(id).pass_over()?;
        }
        Ok(command)
    }

    /// Ends it in order. What was sent is answered by now, so an error means nothing.
    pub(super) fn release(mut self) {
        let released = self.outbound.pdu(&pdu::short(pdu::RELEASE_RQ, [0; 4]));
        if released.is_ok() {
            let _ = self.inbound.pdu();
        }
        self.outbound.end();
    }

    /// Ends it at once.
    pub(super) fn abort(mut self) {
        let _ = self.outbound.pdu(&pdu::short(pdu::ABORT, [0; 4]));
        self.outbound.end();
    }
}

fn agreed(proposed: &[Proposal], outcomes: &[Outcome]) -> Vec<Context> {
    let accepted = proposed.iter().filter_map(|proposal| {
        let outcome = outcomes.iter().find(|outcome| outcome.id == proposal.id)?;
        let same = proposal.transfer_syntaxes.contains(&outcome.transfer_syntax);
        (outcome.result == pdu::ACCEPTED && same).then(|| Context {
            id: proposal.id,
            service: Service::of(&proposal.abstract_syntax).unwrap_or(Service::Store),
            class: proposal.abstract_syntax.clone(),
            transfer_syntax: outcome.transfer_syntax.clone(),
            takes: true,
        })
    });
    accepted.collect()
}

/// The halves of a connection, over TLS if the peer is to be spoken with so.
fn secured(
    settings: &Settings,
    peer: &Peer,
    stream: &TcpStream,
) -> Result<(Reading, Writing), Unreached> {
    if !peer.tls {
        return Ok(transport::plain(stream)?);
    }
    let config = settings.tls.as_ref().and_then(|tls| tls.client());
    let config = config.ok_or(Insecure::NotSetUp("dimse.tls_trusted names nobody"))?;
    let secured = transport::connect(stream, config, &peer.host, settings.request)?;
    Ok((secured.reading, secured.writing))
}

/// Tries every address of the peer.
fn connect(peer: &Peer) -> std::io::Result<TcpStream> {
    let mut last = None;
    for address in (peer.host.as_str(), peer.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into()))
}
