//! Chunks read straight from the owner's bucket, where its grant says so and this site's settings allow it.
//!
//! The owner lends ranges of its packs for a short time, and the keys of the records in them, sealed to
//! this site. What comes has to open with its key and to have its name, like everything that the owner
//! sends. A bucket that cannot be reached, or gives something else, is not asked again during this fetch:
//! its owner sends what is left.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use cairn_chunker::codec::{self, Codec};
use cairn_store::bucket::range_header;
use hyper::StatusCode;
use hyper::header::RANGE;
use reqwest::redirect::Policy;
use reqwest::{Client as Http, Response};
use tokio::runtime::Handle;
use url::Url;

use super::error::Error;
use super::lane::{chunk, wants};
use super::plan::Item;
use super::{Fetching, Order};
use crate::peer::wire::frames::SMALL_BYTES_MAX;
use crate::peer::wire::loans::{self, LentRange};
use crate::peer::{self, Client};
use crate::sharing::Site;

/// Time to connect to a bucket.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Time that it may stand still.
const IDLE_PATIENCE: Duration = Duration::from_secs(30);

/// See the [module](self). Shared by the lanes.
pub(super) struct Borrower {
    site: Arc<Site>,
    allowed: Vec<Url>,
    http: Http,
    over: AtomicBool,
    moved: AtomicU64,
}

/// Why a range did not come.
enum Fault {
    /// The bucket's, or the line's: the owner may still send it.
    Bucket(String),
    /// The owner's or this site's: it ends the lane, or the fetch.
    Fetch(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Fetch(error)
    }
}

impl Borrower {
    /// `None`: nothing is borrowed under this order.
    pub(super) fn new(site: &Arc<Site>, order: &Order) -> Option<Self> {
        let allowed = site.buckets().to_vec();
        if allowed.is_empty() || !order.from_bucket {
            return None;
        }
        // Another address than the one that was allowed is not followed.
        let http =
            Http::builder().redirect(Policy::none()).connect_timeout(CONNECT_PATIENCE).build();
        let http = http.inspect_err(|error| tracing::warn!(%error, "no bucket is read")).ok()?;
        let (over, moved) = (AtomicBool::new(false), AtomicU64::new(0));
        Some(Self { site: Arc::clone(site), allowed, http, over, moved })
    }

    /// Bytes that came from the bucket.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    fn end(&self, why: &str) {
        if !self.over.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, "the owner's bucket is not read any more; its server sends");
        }
    }

    async fn ask(&self, range: &LentRange) -> Result<Response, Fault> {
        let url = Url::parse(&range.url.0).ok().filter(|url| is_among(&self.allowed, url));
        let url = url.ok_or_else(|| {
            Fault::Bucket("it is not among those that may be read (sharing.buckets)".into())
        })?;
        // The URL opens something to whoever has it: it stays out of what is logged.
        let told = |error: reqwest::Error| Fault::Bucket(error.without_url().to_string());
        let asked = self.http.get(url).header(RANGE, range_header(&range.bytes)).send();
        let response = match tokio::time::timeout(IDLE_PATIENCE, asked).await {
            Ok(response) => response.map_err(told)?,
            Err(_) => return Err(Fault::Bucket("it does not answer in time".into())),
        };
        match response.status() {
            StatusCode::PARTIAL_CONTENT => Ok(response),
            status => Err(Fault::Bucket(format!("it answers {status}"))),
        }
    }
}

/// Does the URL begin as one of these does?
fn is_among(allowed: &[Url], url: &Url) -> bool {
    let begins = |allowed: &Url| {
        url.origin() == allowed.origin()
            && url.path().strip_prefix(allowed.path()).is_some_and(|rest| {
                allowed.path().ends_with('/') || rest.is_empty() || rest.starts_with('/')
            })
    };
    url.origin().is_tuple() && allowed.iter().any(begins)
}

/// Takes of these what the owner lends. What is left has to be sent by its server.
pub(super) fn borrow(
    fetching: &Fetching,
    client: &Client,
    items: &mut Vec<Item>,
) -> Result<(), Error> {
    let Some(borrower) = &fetching.borrower else { return Ok(()) };
    // Small chunks share their records with others, and are not lent.
    let is_large = |item: &&Item| item.chunk.bytes as usize > SMALL_BYTES_MAX;
    let large: Vec<Item> = items.iter().filter(is_large).copied().collect();
    if borrower.over.load(Ordering::Relaxed) || large.is_empty() {
        return Ok(());
    }
    let Some(ranges) = lent(fetching, borrower, client, &large)? else { return Ok(()) };
    if ranges.is_empty() {
        borrower.end("it lends nothing");
    }
    let mut came = HashSet::new();
    let mut done = Ok(());
    for range in &ranges {
        done = read(fetching, borrower, range, &large, &mut came);
        if done.is_err() {
            break;
        }
    }
    items.retain(|item| !came.contains(&(item.instance, item.index)));
    match done {
        Ok(()) => Ok(()),
        Err(Fault::Fetch(error)) => Err(error),
        Err(Fault::Bucket(why)) => {
            borrower.end(&why);
            Ok(())
        }
    }
}

/// What the owner lends; `None` if it lends no more.
fn lent(
    fetching: &Fetching,
    borrower: &Borrower,
    client: &Client,
    items: &[Item],
) -> Result<Option<Vec<LentRange>>, Error> {
    let asked = fetching.runtime.block_on(client.loans(&fetching.subject, &wants(items)));
    let sealed = match asked {
        Ok(sealed) => sealed,
        Err(peer::Error::Refused { why, .. }) => {
            borrower.end(&why);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    fetching.moved.fetch_add(sealed.len() as u64, Ordering::Relaxed);
    let version = (fetching.subject.study, fetching.subject.version);
    let plain = borrower.site.unseal_loans(&fetching.record.owner, &sealed, version);
    let plain = plain.map_err(|_| Error::Lie("what it lends is not sealed to this site"))?;
    let ranges = loans::decode(&plain, items.len());
    ranges.map(Some).map_err(|_| Error::Lie("what it lends cannot be read"))
}

/// Reads a range, and gives each chunk in it to the plan.
fn read(
    fetching: &Fetching,
    borrower: &Borrower,
    range: &LentRange,
    items: &[Item],
    came: &mut HashSet<(u32, u32)>,
) -> Result<(), Fault> {
    let runtime = &fetching.runtime;
    let response = runtime.block_on(borrower.ask(range))?;
    let mut incoming = Incoming { response, buffer: BytesMut::new(), at: range.bytes.start };
    for record in &range.records {
        let end = record.loan.offset + u64::from(record.loan.record_bytes);
        while incoming.end() < end {
            let bytes = incoming.more(runtime, range.bytes.end)?;
            borrower.moved.fetch_add(bytes, Ordering::Relaxed);
            fetching.moved.fetch_add(bytes, Ordering::Relaxed);
            fetching.alive();
            if fetching.plan.is_over() || (fetching.interrupted)() {
                return Err(Error::Interrupted.into());
            }
        }
        let bytes = incoming.take(record.loan.offset, record.loan.record_bytes as usize);
        let item = items.get(record.place as usize).ok_or(Error::Lie("it lends another chunk"))?;
        let coded = record.loan.open(&bytes, &item.chunk);
        let coded = coded.map_err(|why| Fault::Bucket(why.to_owned()))?;
        let plain: Bytes = match coded.codec {
            Codec::Stored => coded.payload,
            codec => codec::decode(codec, &coded.payload, item.chunk.bytes as usize)
                .map_err(|_| Error::Lie("a chunk does not decode"))?
                .into(),
        };
        chunk(fetching, item, &plain)?;
        came.insert((item.instance, item.index));
    }
    Ok(())
}

/// A range as it comes.
struct Incoming {
    response: Response,
    buffer: BytesMut,
    /// Place in the pack of the first byte in the buffer.
    at: u64,
}

impl Incoming {
    fn end(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    /// Waits for more; says how much came.
    fn more(&mut self, runtime: &Handle, range_end: u64) -> Result<u64, Fault> {
        let next = async { tokio::time::timeout(IDLE_PATIENCE, self.response.chunk()).await };
        let piece = match runtime.block_on(next) {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => return Err(Fault::Bucket("it sends less than was asked for".into())),
            Ok(Err(error)) => return Err(Fault::Bucket(error.without_url().to_string())),
            Err(_) => return Err(Fault::Bucket("it stands still".into())),
        };
        if self.end() + piece.len() as u64 > range_end {
            return Err(Fault::Bucket("it sends more than was asked for".into()));
        }
        self.buffer.extend_from_slice(&piece);
        Ok(piece.len() as u64)
    }

    /// Bytes that are there, from a place that is not before the last one taken.
    fn take(&mut self, offset: u64, bytes: usize) -> Bytes {
        self.buffer.advance((offset - self.at) as usize);
        self.at = offset + bytes as u64;
        self.buffer.split_to(bytes).freeze()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_buckets_that_were_named_are_read() {
        let allowed: Vec<Url> = ["https://s3.example/hospital-a", "http://10.0.0.1:9000/b/"]
            .map(|url| Url::parse(url).unwrap())
            .to_vec();
        let read = |url: &str| is_among(&allowed, &Url::parse(url).unwrap());
        assert!(read("https://s3.example/hospital-a/packs/07.pack?X-Amz-Signature=07"));
        assert!(read("https://s3.example:443/hospital-a"));
        assert!(read("http://10.0.0.1:9000/b/packs/07.pack"));
        for other in [
            "https://s3.example/hospital-ab/packs/07.pack",
            "https://s3.example/",
            "https://s3.example/hospital-a/../other/07.pack",
            "http://s3.example/hospital-a/07.pack",
            "https://s3.example:8443/hospital-a/07.pack",
            "https://s3.example@other.example/hospital-a/07.pack",
            "http://10.0.0.1:9000/b",
            "http://127.0.0.1/latest/meta-data",
            "file:///hospital-a/07.pack",
        ] {
            assert!(!read(other), "{other}");
        }
    }
}
