//! Studies of another site, read under a grant.

use bytes::Bytes;
use cairn_ledger::entry::{Purpose, Receipt};
use cairn_ledger::id::StudyId;
use cairn_ledger::limits::SEALED_BYTES_MAX;
use cairn_ledger::opening::Sealed;

use super::client::Client;
use super::connection::Answer;
use super::receipts::RECEIPT_BYTES_MAX;
use super::wire::frames::{Frame, Frames, Malformed, Packed};
use super::wire::loans::LOANS_BYTES_MAX;
use super::wire::record::RECORD_BYTES_MAX;
use super::wire::wants::Wants;
use super::{Error, studies::RECORD_CODING};

/// The greatest codec id that this build decodes.
const CODECS: u8 = 3;

/// A version of a study that a site has, and what it is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Which study.
    pub(crate) study: StudyId,
    /// Which version.
    pub(crate) version: u64,
    /// What for.
    pub(crate) purpose: Purpose,
}

impl Subject {
    fn path(&self, what: &str) -> String {
        let Self { study, version, purpose } = self;
        format!("/studies/{study}/{version}/{what}?purpose={}&codecs={CODECS}", purpose.code())
    }
}

impl Client {
    /// The signed record of a version, unchecked.
    pub(crate) async fn record(&self, subject: &Subject) -> Result<Vec<u8>, Error> {
        let answer = self.get(&subject.path("record")).await?.good().await?;
        let coded = answer.response.headers().contains_key(&RECORD_CODING);
        let bytes = answer.whole(RECORD_BYTES_MAX).await?;
        if !coded {
            return Ok(bytes.to_vec());
        }
        // The frame says how long it is; what does not is not ours.
        let most = zstd::zstd_safe::get_frame_content_size(&bytes).ok().flatten();
        let most = most.and_then(|bytes| usize::try_from(bytes).ok());
        let most = most.filter(|bytes| *bytes <= RECORD_BYTES_MAX);
        let most = most.ok_or_else(|| self.connection.wrong("its record has no length"))?;
        zstd::bulk::decompress(&bytes, most)
            .map_err(|_| self.connection.wrong("its record does not decode"))
    }

    /// The opening of what its owner committed to, sealed to this site.
    pub(crate) async fn opening(&self, subject: &Subject) -> Result<Sealed, Error> {
        let answer = self.get(&subject.path("opening")).await?.good().await?;
        let bytes = answer.whole(SEALED_BYTES_MAX + 16).await?;
        Sealed::decode(&bytes).map_err(|_| self.connection.wrong("its answer is no opening"))
    }

    /// Begins to bring what is wanted of a version.
    pub(crate) async fn chunks(&self, subject: &Subject, wants: &Wants) -> Result<Stream, Error> {
        let answer = self.post(&subject.path("chunks"), wants.encode()).await?.good().await?;
        Ok(Stream { answer, frames: Frames::default(), bytes: 0, client: self.clone() })
    }

    /// What of these chunks the owner lends of its bucket, sealed to this site.
    pub(crate) async fn loans(&self, subject: &Subject, wants: &Wants) -> Result<Bytes, Error> {
        let answer = self.post(&subject.path("loans"), wants.encode()).await?.good().await?;
        answer.whole(LOANS_BYTES_MAX).await
    }

    /// Reports an access that has ended; gives the owner's signature for it, unchecked.
    pub(crate) async fn receipt(&self, receipt: &Receipt) -> Result<Receipt, Error> {
        let answer = self.post("/receipts", receipt.encode()).await?.good().await?;
        let bytes = answer.whole(RECEIPT_BYTES_MAX).await?;
        Receipt::decode(&bytes).map_err(|_| self.connection.wrong("its answer is no receipt"))
    }
}

/// Chunks as they come.
pub(crate) struct Stream {
    answer: Answer,
    frames: Frames,
    bytes: u64,
    client: Client,
}

impl Stream {
    /// The next chunks in the order in which they were asked for; `None` when all came.
    pub(crate) async fn next(&mut self) -> Result<Option<Packed>, Error> {
        loop {
            match self.frames.next() {
                Ok(Some(Frame::Chunks(packed))) => return Ok(Some(packed)),
                Ok(Some(Frame::End)) => {
                    // Reads on to the end of the body, so that the connection can be used again.
                    while self.answer.next().await?.is_some() {}
                    return Ok(None);
                }
                Ok(None) => {}
                Err(Malformed::Stopped) => {
                    let url = self.client.connection.url().to_owned();
                    let why = "it stopped: the grant has ended".to_owned();
                    return Err(Error::Refused { url, status: 403, why });
                }
                Err(malformed) => return Err(self.client.connection.wrong(malformed)),
            }
            let bytes: Bytes = match self.answer.next().await? {
                Some(bytes) => bytes,
                None => return Err(self.client.connection.broken()),
            };
            self.bytes += bytes.len() as u64;
            self.frames.push(&bytes);
        }
    }

    /// Bytes that came so far, those of frames that did not come whole included; counted once.
    pub(crate) fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// What is wrong with what this site sends.
    pub(crate) fn wrong(&self, why: impl std::fmt::Display) -> Error {
        self.client.connection.wrong(why)
    }
}
