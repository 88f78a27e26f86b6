//! One TLS connection, read by one thread while others write.
//!
//! rustls keeps both directions in one state, under a lock that is never held while a socket is waited
//! for: a peer that does not read must not keep this side from reading, or both might wait for ever.
//! So a writer encrypts under that lock, lets go of it, and then sends. Records go out in the order in
//! which they were encrypted, because whoever encrypts holds the lock of what is sent.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::Connection;

use super::{acknowledge_now, is_not_yet};
use crate::dimse::limits::READ_BYTES;

/// What of the buffer for records is kept between messages.
const SENDING_KEPT_BYTES: usize = 512 << 10;

/// See the [module](self).
pub(in crate::dimse) struct Secure {
    socket: TcpStream,
    state: Mutex<Connection>,
    /// Records on their way out. Its lock is taken before that of the state.
    sending: Mutex<Vec<u8>>,
}

/// The half that is read.
pub(in crate::dimse) struct SecureReading {
    secure: Arc<Secure>,
    /// Records as they came.
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Secure {
    pub(super) fn new(socket: TcpStream, mut state: Connection) -> Arc<Self> {
        // A writer takes out at once what it put in: nothing piles up, and a write is never cut short.
        state.set_buffer_limit(None);
        Arc::new(Self { socket, state: Mutex::new(state), sending: Mutex::default() })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Connection> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut state = self.state();
            state.writer().write_all(bytes)?;
            take_records(&mut state, &mut sending)?;
        }
        self.send(&mut sending)
    }

    /// Sends what the protocol itself has to say, unless somebody sends already: then it goes out with
    /// the next message. A reader never waits for a writer.
    pub(super) fn flush(&self) -> io::Result<()> {
        let Ok(mut sending) = self.sending.try_lock() else { return Ok(()) };
        take_records(&mut self.state(), &mut sending)?;
        self.send(&mut sending)
    }

    pub(super) fn close(&self) {
        self.state().send_close_notify();
        // The peer may be gone.
        let _ = self.flush();
    }

    fn send(&self, sending: &mut Vec<u8>) -> io::Result<()> {
        let sent = (&self.socket).write_all(sending);
        sending.clear();
        sending.shrink_to(SENDING_KEPT_BYTES);
        sent
    }
}

fn take_records(state: &mut Connection, sending: &mut Vec<u8>) -> io::Result<()> {
    while state.wants_write() {
        state.write_tls(sending)?;
    }
    Ok(())
}

impl SecureReading {
    pub(super) fn new(secure: &Arc<Secure>) -> Self {
        let buffer = vec![0; READ_BYTES].into();
        Self { secure: Arc::clone(secure), buffer, from: 0, to: 0 }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.secure.socket
    }

    /// Reads from the socket, once; 0: the peer closed it.
    ///
    /// # Errors
    /// Those of the socket; none may have come in time.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        acknowledge_now(&self.secure.socket);
        let got = (&self.secure.socket).read(&mut self.buffer)?;
        (self.from, self.to) = (0, got);
        Ok(got)
    }

    /// Gives some of what was read to the protocol; false if there is none.
    pub(super) fn feed(&mut self) -> Result<bool, rustls::Error> {
        let mut state = self.secure.state();
        let mut records = &self.buffer[self.from..self.to];
        if records.is_empty() {
            // What was wrong before is so still.
            return state.process_new_packets().map(|_| false);
        }
        // Reading from memory does not fail, and there is room: nothing decrypted waits to be taken.
        let taken = state.read_tls(&mut records).unwrap_or(0);
        if taken == 0 {
            return Err(rustls::Error::General("records were not taken".into()));
        }
        self.from += taken;
        state.process_new_packets().map(|_| true)
    }

    /// The first byte that was read last: for a word on what a peer speaks instead of TLS.
    pub(super) fn first_byte(&self) -> Option<u8> {
        self.buffer[..self.to].first().copied()
    }

    /// What is decrypted already; `WouldBlock` if nothing is.
    fn decrypted(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.secure.state().reader().read(out);
            if !is_not_yet(&read) {
                return read;
            }
            let fed = self.feed().map_err(|error| {
                // An alert that tells of it.
                let _ = self.secure.flush();
                io::Error::new(io::ErrorKind::InvalidData, error)
            })?;
            if !fed {
                return read;
            }
        }
    }

    /// Waits for the socket once at most, so that who reads can look at its deadlines: a record may
    /// trickle in byte by byte.
    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.decrypted(out);
        if !is_not_yet(&read) {
            return read;
        }
        if self.fill()? == 0 {
            return Ok(0);
        }
        let read = self.decrypted(out);
        self.secure.flush()?;
        read
    }

    pub(super) fn is_due(&mut self) -> bool {
        loop {
            // Nothing is taken out by reading into no room, but what there is becomes known.
            let read = self.peek();
            if !is_not_yet(&read) {
                return true;
            }
            let _ = self.socket().set_nonblocking(true);
            let filled = self.fill();
            let _ = self.socket().set_nonblocking(false);
            match filled {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Is anything decrypted, or the connection over?
    fn peek(&mut self) -> io::Result<()> {
        loop {
            let peeked = {
                let mut state = self.secure.state();
                let mut reader = state.reader();
                io::BufRead::fill_buf(&mut reader).map(|_| ())
            };
            if !is_not_yet(&peeked) {
                return peeked;
            }
            if !self.feed().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                return peeked;
            }
        }
    }
}
