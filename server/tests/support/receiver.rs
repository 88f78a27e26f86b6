//! An application entity that takes what it is sent: objects and reports of storage commitment.

#![allow(dead_code, clippy::unwrap_used)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver as Messages, Sender, channel};
use std::time::Duration;

use dicom_ul::Pdu;
use dicom_ul::pdu::{
    AssociationAC, PresentationContextResult, PresentationContextResultReason as Reason,
    UserVariableItem, write_pdu,
};

use super::dimse::{Client, Message, number};

/// Listens until the test ends.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    messages: Messages<(String, Message)>,
    opened: Arc<AtomicUsize>,
}

impl Receiver {
    /// Accepts contexts in these transfer syntaxes, and answers with the status that `status` gives.
    pub(crate) fn start(
        syntaxes: &'static [&'static str],
        status: impl Fn(&Message) -> u16 + Send + Clone + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), syntaxes, usize::MAX, status)
    }

    /// The same on a port that was chosen before.
    pub(crate) fn at(
        port: u16,
        syntaxes: &'static [&'static str],
        status: impl Fn(&Message) -> u16 + Send + Clone + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        Self::on(listener, syntaxes, usize::MAX, status)
    }

    /// One that closes its first two associations instead of answering their message of this number.
    pub(crate) fn breaking(syntaxes: &'static [&'static str], after: usize) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), syntaxes, after, |_| 0)
    }

    fn on(
        listener: TcpListener,
        syntaxes: &'static [&'static str],
        answers: usize,
        status: impl Fn(&Message) -> u16 + Send + Clone + 'static,
    ) -> Self {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let address = listener.local_addr().unwrap();
        let (told, messages) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, status) = (told.clone(), status.clone());
                let before = count.fetch_add(1, Ordering::SeqCst);
                let answers = if before < 2 { answers } else { usize::MAX };
                std::thread::spawn(move || serve(stream, syntaxes, answers, &status, &told));
            }
        });
        Self { address, messages, opened }
    }

    /// The next message that came, and the transfer syntax of its context.
    pub(crate) fn next(&self) -> (String, Message) {
        self.messages.recv_timeout(Duration::from_secs(30)).expect("a message was due")
    }

    /// Connections so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// What came so far.
    pub(crate) fn all(&self) -> Vec<(String, Message)> {
        self.messages.try_iter().collect()
    }
}

fn serve(
    stream: TcpStream,
    syntaxes: &[&str],
    answers: usize,
    status: &dyn Fn(&Message) -> u16,
    told: &Sender<(String, Message)>,
) {
    let mut client = Client::over(stream);
    let Some(Pdu::AssociationRQ(request)) = client.pdu() else { panic!("a request was due") };
    let results = request.presentation_contexts.iter().map(|context| {
        let takes = |uid: &&String| syntaxes.is_empty() || syntaxes.contains(&uid.as_str());
        let found = context.transfer_syntaxes.iter().find(takes);
        PresentationContextResult {
            id: context.id,
            reason: if found.is_some() {
                Reason::Acceptance
            } else {
                Reason::TransferSyntaxesNotSupported
            },
            transfer_syntax: found.cloned().unwrap_or_else(|| "1.2.840.10008.1.2".into()),
        }
    });
    let answer = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: request.application_context_name.clone(),
        presentation_contexts: results.collect(),
        user_variables: vec![
            UserVariableItem::MaxLength(16384),
            UserVariableItem::ImplementationClassUID("1.2.3".into()),
        ],
    };
    client.accepted = answer.clone();
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &Pdu::AssociationAC(answer)).unwrap();
    client.raw(&bytes);
    let mut answered = 0;
    while let Some(message) = client.message_or_end() {
        answered += 1;
        if answered >= answers {
            return;
        }
        let syntax = client.syntax(message.context).unwrap().to_owned();
        let answer = [
            (0x0002, message.command[&0x0002].clone()),
            (0x0100, number(message.number(0x0100) | 0x8000)),
            (0x0120, number(message.number(0x0110))),
            (0x0800, number(0x0101)),
            (0x0900, number(status(&message))),
            (0x1000, message.command[&0x1000].clone()),
        ];
        // Before it is answered: whoever hears of the answer asks what came.
        let context = message.context;
        let _ = told.send((syntax, message));
        client.command(context, &answer);
    }
    client.raw(&[6, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
}
