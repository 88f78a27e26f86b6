//! Clients that mean harm: they hang, reset, lie about lengths, and send rubbish.
//!
//! Each keeps book of what it sent whole, because a server may store that, and of what the server
//! said it stored. Anything else of theirs must never be visible.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use cairn_dicom::phantom;
use serde::Serialize;

use super::raw::{End, Raw};
use crate::dice::Dice;
use crate::dicomweb::referenced;
use crate::figures::grouped;
use crate::instances::Instance;
use crate::multipart;
use crate::table::Table;

/// Seeds of hostile clients, far from those of good ones.
const SEED: u64 = 1 << 62;
/// How long one hangs at most: more than the server's own patience (20 s and 30 s by default).
const HANG: Duration = Duration::from_secs(40);
/// How long an answer is awaited.
const ANSWER: Duration = Duration::from_secs(40);
/// After the end an answer is awaited this long, so that the run ends.
const GRACE: Duration = Duration::from_secs(5);
/// Between the bytes of a head that trickles.
const TRICKLE: Duration = Duration::from_millis(500);
/// Parts in a request of tiny parts.
const PARTS: usize = 1_000_000;
/// Length of an Accept field.
const ACCEPT_BYTES: usize = 64 << 10;

/// What a hostile client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum Attack {
    HangInHead,
    TrickleHead,
    HangInBody,
    Reset,
    LengthTooLong,
    LengthTooShort,
    LengthHuge,
    MillionParts,
    OneByteChunks,
    BadChunks,
    LongAccept,
    NoBoundary,
    OtherBoundary,
    LongBoundary,
    NoLastBoundary,
    TruncatedInstance,
    NeverReads,
}

const ATTACKS: [(Attack, &str); 17] = [
    (Attack::HangInHead, "hangs in the head"),
    (Attack::TrickleHead, "a byte of the head twice a second"),
    (Attack::HangInBody, "hangs in the body"),
    (Attack::Reset, "resets in the body"),
    (Attack::LengthTooLong, "Content-Length too long"),
    (Attack::LengthTooShort, "Content-Length too short"),
    (Attack::LengthHuge, "Content-Length 2^63 - 1"),
    (Attack::MillionParts, "a million tiny parts"),
    (Attack::OneByteChunks, "chunks of one byte, all good"),
    (Attack::BadChunks, "a chunk without an end"),
    (Attack::LongAccept, "Accept of 64 KB"),
    (Attack::NoBoundary, "no boundary"),
    (Attack::OtherBoundary, "another boundary"),
    (Attack::LongBoundary, "a boundary of 4,000 characters"),
    (Attack::NoLastBoundary, "no last boundary, second part cut"),
    (Attack::TruncatedInstance, "an instance cut in half"),
    (Attack::NeverReads, "never reads the answer"),
];

/// What hostile clients did, and what came of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Attacks {
    /// How often each attack ended in which way.
    ends: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Of instances whose every byte was sent.
    #[serde(skip)]
    pub(super) sent_whole: HashSet<String>,
    /// Of instances that the server said it stored.
    #[serde(skip)]
    pub(super) acknowledged: HashSet<String>,
}

impl Attacks {
    pub(super) fn merge(&mut self, other: Self) {
        for (attack, ends) in other.ends {
            let known = self.ends.entry(attack).or_default();
            for (end, count) in ends {
                *known.entry(end).or_default() += count;
            }
        }
        self.sent_whole.extend(other.sent_whole);
        self.acknowledged.extend(other.acknowledged);
    }

    /// Answers that a server gives only when it is at fault.
    pub(super) fn failures(&self) -> u64 {
        let ends = self.ends.values().flatten();
        ends.filter(|(end, _)| *end == "500" || *end == "502").map(|(_, count)| count).sum()
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(["ATTACK", "COUNT", "ENDS"]);
        for (_, name) in ATTACKS {
            let Some(ends) = self.ends.get(name) else { continue };
            let told = ends.iter().map(|(end, count)| format!("{end}: {}", grouped(*count)));
            let told: Vec<_> = told.collect();
            table.row([name.to_owned(), grouped(ends.values().sum()), told.join(", ")]);
        }
        table
    }
}

/// A hostile client.
pub(super) struct Attacker {
    host: String,
    deadline: Instant,
    dice: Dice,
    next: usize,
    next_seed: u64,
    attacks: Attacks,
}

impl Attacker {
    pub(super) fn new(index: u32, url: &str, deadline: Instant) -> Self {
        let next_seed = SEED + (u64::from(index) << 32);
        Self {
            host: url.trim_start_matches("http://").to_owned(),
            deadline,
            dice: Dice::new(next_seed),
            // Each begins with another attack.
            next: index as usize,
            next_seed,
            attacks: Attacks::default(),
        }
    }

    /// One attack after the other until the deadline.
    pub(super) fn play(mut self) -> Attacks {
        while Instant::now() < self.deadline {
            let (attack, name) = ATTACKS[self.next % ATTACKS.len()];
            self.next += 1;
            let end = match Raw::connect(&self.host) {
                Ok(raw) => self.attack(attack, raw).name(),
                Err(_) => "no connection".to_owned(),
            };
            *self.attacks.ends.entry(name).or_default().entry(end).or_default() += 1;
        }
        self.attacks
    }

    fn attack(&mut self, attack: Attack, mut raw: Raw) -> End {
        match attack {
            Attack::HangInHead => {
                raw.send(b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Ty");
                raw.answer(self.until(HANG))
            }
            Attack::TrickleHead => self.trickle(raw),
            Attack::HangInBody => {
                let body = self.half_body();
                raw.send(&head("", &format!("Content-Length: {}\r\n", body.len() * 2)));
                raw.send(&body);
                raw.answer(self.until(HANG))
            }
            Attack::Reset => self.reset(raw),
            Attack::LengthTooLong | Attack::LengthHuge => {
                let body = self.half_body();
                let huge = attack == Attack::LengthHuge;
                let length = if huge { i64::MAX as usize } else { body.len() + 100_000 };
                raw.send(&head("", &format!("Content-Length: {length}\r\n")));
                raw.send(&body);
                raw.finish();
                raw.answer(self.until(ANSWER))
            }
            Attack::LengthTooShort => {
                let instance = self.instance();
                let body = multipart::body([&*instance.bytes]);
                raw.send(&head("", &format!("Content-Length: {}\r\n", body.len() / 2)));
                raw.send(&body);
                raw.answer(self.until(ANSWER))
            }
            Attack::MillionParts => {
                let kind = "multipart/related; type=\"application/dicom\"; boundary=b";
                let mut body = b"--b\r\n\r\nx\r\n".repeat(PARTS);
                body.extend_from_slice(b"--b--\r\n");
                raw.send(&head(kind, &format!("Content-Length: {}\r\n", body.len())));
                raw.send(&body);
                raw.answer(self.until(ANSWER))
            }
            Attack::OneByteChunks => self.one_byte_chunks(raw),
            Attack::BadChunks => {
                raw.send(&head("", "Transfer-Encoding: chunked\r\n"));
                raw.send(b"fffffffffffffff0\r\n");
                raw.send(&self.half_body());
                raw.send(b"\r\nzz\r\n");
                raw.finish();
                raw.answer(self.until(ANSWER))
            }
            Attack::LongAccept => {
                let accept = "application/x-nothing;q=0.1, ".repeat(ACCEPT_BYTES / 29);
                let request = "GET /dicom-web/studies?limit=1 HTTP/1.1\r\nHost: x\r\n";
                let request = format!("{request}Accept: {accept}application/dicom+json\r\n\r\n");
                raw.send(request.as_bytes());
                raw.answer(self.until(ANSWER))
            }
            Attack::NoBoundary | Attack::OtherBoundary | Attack::LongBoundary => {
                self.bad_boundary(attack, raw)
            }
            Attack::NoLastBoundary => {
                let body = self.half_body();
                self.post(raw, &body)
            }
            Attack::TruncatedInstance => {
                let instance = self.instance();
                let body = multipart::body([&instance.bytes[..instance.bytes.len() / 2]]);
                self.post(raw, &body)
            }
            Attack::NeverReads => {
                let path = "/dicom-web/instances?includefield=all&limit=1000";
                raw.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
                raw.wait_unread();
                std::thread::sleep(self.until(HANG / 8).saturating_duration_since(Instant::now()));
                End::Left
            }
        }
    }

    /// An instance of 6 to 18 KB with a UID of its own, whose fate is open.
    fn instance(&mut self) -> Instance {
        self.next_seed += 1;
        let mut files = phantom::many_small(self.next_seed, 1);
        let instance = files.next().and_then(|file| Instance::of(file.bytes));
        instance.unwrap_or_else(|| unreachable!("a phantom is an instance"))
    }

    /// A body of one whole instance and a part of another one, without an end.
    fn half_body(&mut self) -> Vec<u8> {
        let (whole, cut) = (self.instance(), self.instance());
        let mut body = Vec::new();
        multipart::part(&mut body, &whole.bytes);
        multipart::part(&mut body, &cut.bytes);
        let cut_bytes = 100 + self.dice.below(cut.bytes.len() as u64 - 200) as usize;
        body.truncate(body.len() - cut_bytes);
        self.attacks.sent_whole.insert(whole.sop);
        body
    }

    /// Sends a body of the right length, and reads the answer.
    fn post(&mut self, mut raw: Raw, body: &[u8]) -> End {
        raw.send(&head("", &format!("Content-Length: {}\r\n", body.len())));
        raw.send(body);
        let end = raw.answer(self.until(ANSWER));
        self.note(&end);
        end
    }

    /// Takes down what the server says that it stored.
    fn note(&mut self, end: &End) {
        if let End::Answer(200..300, body) = end {
            self.attacks.acknowledged.extend(referenced(body));
        }
    }

    fn trickle(&mut self, mut raw: Raw) -> End {
        let until = self.until(HANG);
        let request = b"GET /dicom-web/studies HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter();
        for byte in request.chain(std::iter::repeat(&b'a')) {
            if Instant::now() > until || !raw.send(&[*byte]) {
                break;
            }
            std::thread::sleep(TRICKLE);
        }
        raw.answer(Instant::now() + GRACE)
    }

    fn reset(&mut self, mut raw: Raw) -> End {
        let body = self.half_body();
        let length = format!("Content-Length: {}\r\n", body.len() * 2);
        raw.send(&head("", &format!("{length}Expect: 100-continue\r\n")));
        raw.wait_unread();
        raw.send(&body);
        drop(raw);
        End::Left
    }

    /// Odd, and allowed (RFC 9112 §7.1): it has to be stored.
    fn one_byte_chunks(&mut self, mut raw: Raw) -> End {
        let instance = self.instance();
        let body = multipart::body([&*instance.bytes]);
        let chunks: Vec<u8> =
            body.iter().flat_map(|&byte| [b'1', b'\r', b'\n', byte, b'\r', b'\n']).collect();
        self.attacks.sent_whole.insert(instance.sop);
        raw.send(&head("", "Transfer-Encoding: chunked\r\n"));
        raw.send(&chunks);
        raw.send(b"0\r\n\r\n");
        let end = raw.answer(self.until(ANSWER));
        self.note(&end);
        end
    }

    fn bad_boundary(&mut self, attack: Attack, mut raw: Raw) -> End {
        let kind = match attack {
            Attack::NoBoundary => "multipart/related; type=\"application/dicom\"".to_owned(),
            Attack::OtherBoundary => {
                "multipart/related; type=\"application/dicom\"; boundary=elsewhere".to_owned()
            }
            _ => format!(
                "multipart/related; type=\"application/dicom\"; boundary={}",
                "b".repeat(4000)
            ),
        };
        let instance = self.instance();
        let body = multipart::body([&*instance.bytes]);
        raw.send(&head(&kind, &format!("Content-Length: {}\r\n", body.len())));
        raw.send(&body);
        let end = raw.answer(self.until(ANSWER));
        self.note(&end);
        end
    }

    /// So long from now, but not far beyond the end.
    fn until(&self, most: Duration) -> Instant {
        (Instant::now() + most).min(self.deadline.max(Instant::now()) + GRACE)
    }
}

/// The head of a store; an empty `kind` is the right one.
fn head(kind: &str, fields: &str) -> Vec<u8> {
    let right = multipart::content_type();
    let kind = if kind.is_empty() { &right } else { kind };
    let request = "POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nAccept: application/dicom+json";
    format!("{request}\r\nContent-Type: {kind}\r\n{fields}\r\n").into_bytes()
}
