//! Studies for sites that have a right to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_chunker::codec::Codec;
use cairn_chunker::manifest::{ChunkRef, Manifest};
use cairn_ledger::entry::Purpose;
use cairn_ledger::id::StudyId;
use cairn_store::catalog::VersionRow;
use cairn_store::read::{Coded, Reader};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use super::right::{Reading, refusal};
use super::wire::frames::{self, Group, SMALL_BYTES_MAX};
use super::wire::loans::{self, LentRange, LentRecord, LentUrl};
use super::wire::record::{InstanceRecord, SeriesRecord, StudyRecord};
use super::wire::wants::{WANTS_BYTES_MAX, Want, Wants};
use crate::http::problem::gone;
use crate::http::{Answer, App, Ask, Feed, Problem, Reply};
use crate::sharing::Site;

const OCTETS: &str = "application/octet-stream";
/// How often it is looked whether a right still holds while bytes go out under it.
const RIGHT_EVERY: Duration = Duration::from_millis(500);
/// Level of the compression of records, which are mostly hashes and UIDs that resemble each other.
const RECORD_LEVEL: i32 = 3;
/// Names the coding of a record.
pub(super) const RECORD_CODING: HeaderName = HeaderName::from_static("content-encoding");

/// Who asks for which version of which study.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) key: [u8; 32],
    pub(super) study: StudyId,
    pub(super) version: u64,
}

impl Asked {
    fn reading(&self, ask: &Ask) -> Result<Reading, Problem> {
        let purpose = ask.query.get("purpose").and_then(Purpose::from_code);
        let purpose = purpose.ok_or_else(|| Problem::bad("a purpose has to be named"))?;
        let Self { key, study, version } = *self;
        Ok(Reading { key, study, version, purpose })
    }
}

/// What the version is made of: instances in the order of the record.
struct Content {
    record: StudyRecord,
    versions: Vec<VersionRow>,
}

/// Looks it up.
fn content(app: &App, site: &Site, asked: &Asked) -> Result<Content, Problem> {
    let catalog = app.store.catalog();
    let missing = || Problem::not_found("that version is not here");
    let edition = site.edition(catalog, &asked.study, asked.version);
    let edition = edition.map_err(|error| Problem::internal(error.to_string()))?;
    let edition = edition.ok_or_else(missing)?;
    let mut versions = Vec::new();
    let mut deleted = false;
    catalog.study_versions(&edition.study_uid, true, &mut |version| {
        if edition.seqs.contains(version.seq) {
            deleted |= version.deleted;
            versions.push(version);
        }
        Ok(())
    })?;
    // What was collected and rebuilt since is not even known as deleted.
    if deleted || (versions.len() as u64) < edition.instances {
        return Err(Problem::new(StatusCode::GONE, "the study was deleted"));
    }
    let order =
        |version: &VersionRow| (version.series_uid.clone(), version.sop_instance_uid.clone());
    versions.sort_by_cached_key(order);
    let mut series: Vec<SeriesRecord> = Vec::new();
    for version in &versions {
        let instance = InstanceRecord { leaf: version.leaf(), manifest: version.manifest };
        match series.last_mut().filter(|last| last.series_uid == version.series_uid) {
            Some(last) => last.instances.push(instance),
            None => series.push(SeriesRecord {
                series_uid: version.series_uid.clone(),
                instances: vec![instance],
            }),
        }
    }
    let record = StudyRecord {
        owner: site.id(),
        study: asked.study,
        version: asked.version,
        study_uid: edition.study_uid,
        series,
    };
    if record.root() != edition.root {
        return Err(Problem::internal("a registered version does not have its root any more"));
    }
    Ok(Content { record, versions })
}

/// The record of a version.
pub(super) async fn record(app: &Arc<App>, site: Arc<Site>, asked: Asked, ask: &Ask) -> Answer {
    let reading = asked.reading(ask)?;
    app.blocking(move |app| {
        reading.permit(&site).map_err(refusal)?;
        let record = content(app, &site, &asked)?.record.sign(site.secret());
        let packed = zstd::bulk::compress(&record, RECORD_LEVEL)
            .map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Reply::ok(OCTETS, packed).header(RECORD_CODING, HeaderValue::from_static("zstd")))
    })
    .await
}

/// The opening of a version's commitment, for who has no grant that it stands in.
pub(super) async fn opening(app: &Arc<App>, site: Arc<Site>, asked: Asked, ask: &Ask) -> Answer {
    let reading = asked.reading(ask)?;
    app.blocking(move |app| {
        let permit = reading.permit(&site).map_err(refusal)?;
        let (catalog, Asked { study, version, .. }) = (app.store.catalog(), asked);
        let sealed = site.seal_for(catalog, &permit.reader, study, version);
        let sealed = sealed.map_err(|error| Problem::internal(error.to_string()))?;
        let missing = || Problem::not_found("that version is not here");
        Ok(Reply::ok(OCTETS, sealed.ok_or_else(missing)?.encode()))
    })
    .await
}

/// Manifests and chunks of a version.
pub(super) async fn chunks(app: &Arc<App>, site: Arc<Site>, asked: Asked, mut ask: Ask) -> Answer {
    let reading = asked.reading(&ask)?;
    let codecs = ask.query.get("codecs").and_then(|id| id.parse().ok()).unwrap_or(0);
    let wants = wants(&mut ask).await?;
    let (own, permitted) = (Arc::clone(app), Arc::clone(&site));
    let content = app
        .blocking(move |app| {
            reading.permit(&permitted).map_err(refusal)?;
            content(app, &permitted, &asked)
        })
        .await?;
    Ok(Reply::stream(OCTETS, None, move |feed| {
        let right = Right { site, reading, looked: Instant::now() };
        let reader = own.store.reader();
        let mut out = Outgoing { feed, reader, codecs, group: Group::default(), right };
        match wants {
            Wants::Manifests(range) => {
                for instance in range {
                    out.manifest(version(&content, instance)?)?;
                }
            }
            Wants::Chunks(wants) => {
                for Want { instance, chunks } in wants {
                    let version = version(&content, instance)?;
                    let manifest = reader.served_manifest(&version.manifest)?;
                    for chunk in chunks {
                        out.chunk(chunk_of(&manifest, chunk)?)?;
                    }
                }
            }
        }
        out.flush()?;
        out.feed.send(frames::end()).map_err(gone)
    }))
}

/// For how long a range of the bucket is lent: what a slow line needs for one. A grant that ends meanwhile
/// does not call it back.
const LOAN_VALID: Duration = Duration::from_secs(120);

/// What of a version's chunks can be read straight from the bucket, and the keys to it.
pub(super) async fn loans(app: &Arc<App>, site: Arc<Site>, asked: Asked, mut ask: Ask) -> Answer {
    let reading = asked.reading(&ask)?;
    let wants = wants(&mut ask).await?;
    app.blocking(move |app| {
        let permit = reading.permit(&site).map_err(refusal)?;
        if !permit.conditions.from_bucket {
            let why = "the grant lets nothing be read from the bucket";
            return Err(Problem::new(StatusCode::FORBIDDEN, why));
        }
        let content = content(app, &site, &asked)?;
        let lent = lend(app.store.reader(), &content, wants)?;
        let Asked { study, version, .. } = asked;
        let sealed = site.seal_loans(&permit.reader, study, version, &loans::encode(&lent));
        Ok(Reply::ok(OCTETS, sealed.map_err(|error| Problem::internal(error.to_string()))?))
    })
    .await
}

fn lend(reader: &Reader, content: &Content, wants: Wants) -> Result<Vec<LentRange>, Problem> {
    let Wants::Chunks(wants) = wants else {
        return Err(Problem::bad("chunks alone are lent"));
    };
    let mut chunks = Vec::new();
    for Want { instance, chunks: places } in wants {
        let manifest = reader.served_manifest(&version(content, instance)?.manifest)?;
        for place in places {
            chunks.push(chunk_of(&manifest, place)?);
        }
    }
    let lent = (0..).zip(reader.lend(&chunks)?);
    let lent = lent.filter_map(|(place, loan)| Some(LentRecord { place, loan: loan? }));
    let mut ranges = Vec::new();
    for (pack, bytes, records) in loans::ranges(lent.collect()) {
        // Where a bucket cannot lend, the server sends.
        if let Some(url) = reader.presign(pack, &bytes, LOAN_VALID)? {
            ranges.push(LentRange { url: LentUrl(url.into()), pack, bytes, records });
        }
    }
    Ok(ranges)
}

async fn wants(ask: &mut Ask) -> Result<Wants, Problem> {
    let body = ask.body.whole(WANTS_BYTES_MAX as u64).await?;
    Wants::decode(&body).map_err(|_| Problem::bad("the list of what is wanted cannot be read"))
}

fn version(content: &Content, instance: u32) -> Result<&VersionRow, Problem> {
    let version = content.versions.get(instance as usize);
    version.ok_or_else(|| Problem::bad("the study has fewer instances"))
}

fn chunk_of(manifest: &Manifest, chunk: u32) -> Result<ChunkRef, Problem> {
    let chunk = manifest.all_chunks().nth(chunk as usize);
    chunk.copied().ok_or_else(|| Problem::bad("the instance has fewer chunks"))
}

/// A right that is looked at again as time goes by.
struct Right {
    site: Arc<Site>,
    reading: Reading,
    looked: Instant,
}

/// Chunks on their way.
struct Outgoing<'a> {
    feed: &'a mut Feed,
    reader: &'a Arc<Reader>,
    /// The greatest codec id that the other side knows.
    codecs: u8,
    group: Group,
    right: Right,
}

impl Outgoing<'_> {
    fn manifest(&mut self, version: &VersionRow) -> Result<(), Problem> {
        let bytes = self.reader.chunk(&version.manifest)?;
        self.plain(&bytes)
    }

    fn chunk(&mut self, chunk: ChunkRef) -> Result<(), Problem> {
        self.still_granted()?;
        let Coded { codec, payload } = self.reader.coded(&chunk)?;
        let small = chunk.bytes as usize <= SMALL_BYTES_MAX;
        if codec == Codec::Stored && small {
            return self.plain(&payload);
        }
        if codec.id() > self.codecs {
            let plain = self.reader.chunk(&chunk.id)?;
            return self.plain(&plain);
        }
        self.flush()?;
        self.send(frames::one(codec, chunk.bytes, &payload))
    }

    fn plain(&mut self, chunk: &Bytes) -> Result<(), Problem> {
        self.still_granted()?;
        if self.group.is_full_for(chunk.len()) {
            self.flush()?;
        }
        self.group.add(chunk);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Problem> {
        let group = self.group.take().map_err(|error| Problem::internal(error.to_string()))?;
        group.map_or(Ok(()), |group| self.send(group))
    }

    fn send(&mut self, parts: [Bytes; 2]) -> Result<(), Problem> {
        parts.into_iter().try_for_each(|part| self.feed.send(part).map_err(gone))
    }

    /// A revocation takes effect at once, in the middle of a stream too.
    fn still_granted(&mut self) -> Result<(), Problem> {
        if self.right.looked.elapsed() < RIGHT_EVERY {
            return Ok(());
        }
        self.right.looked = Instant::now();
        match self.right.reading.permit(&self.right.site) {
            Ok(_) => Ok(()),
            Err(denial) => {
                // The other side is told that it is not the line.
                self.feed.send(frames::stopped()).map_err(gone)?;
                Err(refusal(denial))
            }
        }
    }
}
