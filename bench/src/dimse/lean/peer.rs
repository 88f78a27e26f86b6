//! Who receives and throws away, and who has a study in memory and sends it when asked: what clients,
//! lean ones and DCMTK's, take at least.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::associate::{Agreed, accept, open};
use super::client::{ANSWER, C_GET, C_MOVE, C_STORE, kinds, store, stored};
use super::wire::{Command, Event, NO_DATA_SET, field};
use crate::instances::{Instance, Set};

/// What a peer can send: the largest study of a set, and where to if it is to be moved.
#[derive(Clone)]
pub(in crate::dimse) struct Shelf {
    pub(in crate::dimse) set: Arc<Set>,
    pub(in crate::dimse) destination: Option<u16>,
}

/// A peer that listens, until this process ends; a thread for each association.
pub(in crate::dimse) struct Peer {
    pub(in crate::dimse) port: u16,
}

impl Peer {
    /// `shelf`: what it sends if it is asked to.
    pub(in crate::dimse) fn start(shelf: Option<Shelf>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shelf = shelf.clone();
                std::thread::spawn(move || {
                    if let Err(error) = serve(stream, shelf.as_ref()) {
                        eprintln!("a lean peer: {error:#}");
                    }
                });
            }
        });
        Ok(Self { port })
    }
}

fn serve(stream: TcpStream, shelf: Option<&Shelf>) -> Result<()> {
    let mut agreed = accept(stream)?;
    loop {
        let Event::Message(context, request) = agreed.wire.next()? else { return Ok(()) };
        match request.word(field::KIND)? {
            C_STORE => stored(&mut agreed.wire, context, &request)?,
            kind @ (C_GET | C_MOVE) => {
                let shelf = shelf.context("there is nothing to be sent")?;
                let study = shelf.set.largest_study();
                if kind == C_GET {
                    send(&mut agreed, &study)?;
                } else {
                    let port = shelf.destination.context("there is nobody to send to")?;
                    let mut there = open(port, &kinds(study.iter().copied()), &[])?;
                    send(&mut there, &study)?;
                    there.wire.release()?;
                }
                let answer = Command::default()
                    .text(field::CLASS, request.uid(field::CLASS)?, 0)
                    .number(field::KIND, kind | ANSWER)
                    .number(field::ANSWERED_ID, request.word(field::ID)?)
                    .number(field::DATA_SET, NO_DATA_SET)
                    .number(field::STATUS, 0)
                    .number(field::COMPLETED, study.len() as u16);
                agreed.wire.send(context, &answer, None)?;
            }
            kind => bail!("a command of kind {kind:04X} came"),
        }
    }
}

fn send(agreed: &mut Agreed, study: &[&Instance]) -> Result<()> {
    for (instance, id) in study.iter().zip((1..=u16::MAX).cycle()) {
        store(agreed, id, instance)?;
    }
    Ok(())
}
