//! The one seam to the object store.
//!
//! A bucket is a directory or an S3, Azure or Google container with a prefix. Objects are put once and
//! never changed. A directory is written durably: files and directories are synced, which
//! `object_store` leaves off by default; sealed packs are renamed into it, without a copy, where the
//! file system is the same.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::signer::{HeaderName, HeaderValue, Method, SignedUrlOptions, Signer};
use object_store::{
    ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutOptions, PutPayload, WriteMultipart,
};
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use url::Url;

use crate::disk::{Disk, OsDisk, create_directories};
use crate::error::{Error, Result};

/// Length of one part of an upload.
const PART_BYTES: usize = 8 << 20;
/// Parts of one upload under way at once.
const PARTS_AT_ONCE: usize = 4;

const RANGE: HeaderName = HeaderName::from_static("range");

/// The value of the `Range` header (RFC 9110 §14.2) that [`Bucket::presign`] signs for a range that is not
/// empty.
#[must_use]
pub fn range_header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

/// What signs for this bucket. Azure's signatures (service SAS) cannot name a range, so its buckets lend
/// nothing.
fn signer(
    url: &Url,
    options: &[(String, String)],
) -> object_store::Result<Option<Arc<dyn Signer>>> {
    macro_rules! built {
        ($builder:ty) => {{
            let mut builder = <$builder>::new().with_url(url.to_string());
            for (key, value) in options {
                if let Ok(key) = key.parse() {
                    builder = builder.with_config(key, value);
                }
            }
            Ok(Some(Arc::new(builder.build()?)))
        }};
    }
    match ObjectStoreScheme::parse(url)?.0 {
        ObjectStoreScheme::AmazonS3 => built!(object_store::aws::AmazonS3Builder),
        ObjectStoreScheme::GoogleCloudStorage => {
            built!(object_store::gcp::GoogleCloudStorageBuilder)
        }
        _ => Ok(None),
    }
}

/// See the [module](self). Calls block; they belong on threads that may.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// Where ranges can be lent to others.
    signer: Option<Arc<dyn Signer>>,
    prefix: ObjectPath,
    local: Option<PathBuf>,
    runtime: Handle,
    url: String,
}

impl Bucket {
    /// Opens the bucket at `location`: a directory, `file://…`, `s3://bucket/prefix`, `az://…`,
    /// `gs://…` or `memory://`. `options` win over the environment (`AWS_…`, `AZURE_…`, `GOOGLE_…`).
    pub fn open(location: &str, options: &[(String, String)], runtime: Handle) -> Result<Self> {
        let url = Url::parse(location).ok().filter(|url| {
            location.starts_with(&format!("{}:", url.scheme())) && url.scheme().len() > 1
        });
        match url {
            None => Self::open_directory(Path::new(location), runtime),
            Some(url) if url.scheme() == "file" => {
                let path = url.to_file_path().map_err(|()| Error::Url {
                    why: "a file URL must be an absolute path".into(),
                })?;
                Self::open_directory(&path, runtime)
            }
            Some(url) => Self::open_remote(&url, options, runtime),
        }
    }

    fn open_directory(path: &Path, runtime: Handle) -> Result<Self> {
        create_directories(&OsDisk, path).map_err(Error::io("create", path))?;
        let path = path.canonicalize().map_err(Error::io("open", path))?;
        let store = LocalFileSystem::new_with_prefix(&path)
            .map_err(Error::bucket("open", path.display()))?
            .with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            signer: None,
            prefix: ObjectPath::default(),
            url: path.display().to_string(),
            local: Some(path),
            runtime,
        })
    }

    fn open_remote(url: &Url, options: &[(String, String)], runtime: Handle) -> Result<Self> {
        let from_environment = std::env::vars().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let ours = ["aws_", "azure_", "google_"].iter().any(|start| name.starts_with(start));
            (ours && !value.is_empty()).then_some((name, value))
        });
        let mut all: Vec<(String, String)> = from_environment.collect();
        all.extend(options.iter().cloned());
        let endpoint =
            all.iter().rev().find(|(name, _)| name == "aws_endpoint" || name == "aws_endpoint_url");
        if endpoint.is_some_and(|(_, value)| value.starts_with("http://")) {
            all.push(("aws_allow_http".into(), "true".into()));
        }
        let signer = signer(url, &all).map_err(|error| Error::Url { why: error.to_string() })?;
        let (store, prefix) = object_store::parse_url_opts(url, all)
            .map_err(|error| Error::Url { why: error.to_string() })?;
        let (store, url) = (store.into(), url.to_string());
        Ok(Self { store, signer, prefix, local: None, runtime, url })
    }

    /// The directory, if the bucket is one.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.local.as_deref()
    }

    /// Where the bucket is, for people.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    fn path(&self, object: &str) -> ObjectPath {
        object.split('/').fold(self.prefix.clone(), ObjectPath::join)
    }

    /// Puts a small object unless it is there; `false` if it was.
    pub fn put_new(&self, object: &str, bytes: &[u8]) -> Result<bool> {
        let payload = PutPayload::from(bytes.to_vec());
        let path = self.path(object);
        let create = PutOptions::from(PutMode::Create);
        match self.runtime.block_on(self.store.put_opts(&path, payload.clone(), create)) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            // Some servers know no conditions; these objects have random names or one writer.
            Err(object_store::Error::NotImplemented { .. }) => {
                if self.get(object)?.is_some() {
                    return Ok(false);
                }
                self.runtime
                    .block_on(self.store.put(&path, payload))
                    .map_err(Error::bucket("put", object))?;
                Ok(true)
            }
            Err(error) => Err(Error::bucket("put", object)(error)),
        }
    }

    /// Puts a small object, replacing an equal one of an earlier try.
    pub fn put(&self, object: &str, bytes: &[u8]) -> Result<()> {
        let payload = PutPayload::from(bytes.to_vec());
        self.runtime
            .block_on(self.store.put(&self.path(object), payload))
            .map_err(Error::bucket("put", object))?;
        Ok(())
    }

    /// Reads a small object; `None` if it is not there.
    pub fn get(&self, object: &str) -> Result<Option<Bytes>> {
        let path = self.path(object);
        let read = async { self.store.get(&path).await?.bytes().await };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::bucket("get", object)(error)),
        }
    }

    /// Reads a part of an object.
    pub fn get_range(&self, object: &str, range: Range<u64>) -> Result<Bytes> {
        self.runtime
            .block_on(self.store.get_range(&self.path(object), range))
            .map_err(Error::bucket("read", object))
    }

    /// A URL under which whoever has it may read this range of an object and nothing else, with a `Range`
    /// header that says just that, for so long. `None` where a bucket cannot lend like that.
    pub fn presign(
        &self,
        object: &str,
        range: &Range<u64>,
        valid: Duration,
    ) -> Result<Option<Url>> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let header = HeaderValue::try_from(range_header(range))
            .map_err(|_| Error::Internal("a range makes no header"))?;
        let options = SignedUrlOptions::default().with_signed_header(RANGE, header);
        let path = self.path(object);
        let signed = signer.signed_url_opts(Method::GET, &path, valid, &options);
        self.runtime.block_on(signed).map(Some).map_err(Error::bucket("lend", object))
    }

    /// Removes an object; all is well if it is not there.
    pub fn remove(&self, object: &str) -> Result<()> {
        match self.runtime.block_on(self.store.delete(&self.path(object))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::bucket("remove", object)(error)),
        }
    }

    /// Length of an object; `None` if it is not there.
    pub fn head(&self, object: &str) -> Result<Option<u64>> {
        match self.runtime.block_on(self.store.head(&self.path(object))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::bucket("look up", object)(error)),
        }
    }

    /// Names and lengths of all objects under `prefix`.
    pub fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        let under = self.path(prefix);
        let listed = self.store.list(Some(&under)).map_ok(|meta| {
            let name = meta.location.as_ref();
            let own = name.strip_prefix(self.prefix.as_ref()).unwrap_or(name);
            (own.trim_start_matches('/').to_owned(), meta.size)
        });
        let mut all: Vec<_> =
            self.runtime.block_on(listed.try_collect()).map_err(Error::bucket("list", prefix))?;
        all.sort();
        Ok(all)
    }

    /// Moves a complete, synced local file into the bucket under `object`.
    ///
    /// Into a directory on the same file system by renaming; else by an upload, after which the file
    /// is still there. With `read_back`, all of an upload is read and compared with `checksum`.
    pub fn take_file(
        &self,
        disk: &dyn Disk,
        file: &Path,
        object: &str,
        bytes: u64,
        checksum: &[u8; 32],
        read_back: bool,
    ) -> Result<()> {
        if let Some(directory) = &self.local {
            let target = directory.join(object);
            if let Some(parent) = target.parent() {
                create_directories(disk, parent).map_err(Error::io("create", parent))?;
            }
            match disk.rename(file, &target) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {}
                Err(error) => return Err(Error::io("rename", file)(error)),
            }
        }
        self.runtime.block_on(self.upload(file, object))?;
        self.check_upload(object, bytes, checksum, read_back)
    }

    async fn upload(&self, file: &Path, object: &str) -> Result<()> {
        let mut source = tokio::fs::File::open(file).await.map_err(Error::io("read", file))?;
        let fault = |error| Error::bucket("put", object)(error);
        let started = self.store.put_multipart(&self.path(object)).await.map_err(fault)?;
        let mut upload = WriteMultipart::new_with_chunk_size(started, PART_BYTES);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let got = source.read(&mut buffer).await.map_err(Error::io("read", file))?;
            if got == 0 {
                break;
            }
            upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(fault)?;
            upload.write(&buffer[..got]);
        }
        upload.finish().await.map_err(fault)?;
        Ok(())
    }

    fn check_upload(
        &self,
        object: &str,
        bytes: u64,
        checksum: &[u8; 32],
        read_back: bool,
    ) -> Result<()> {
        let there = self.head(object)?;
        let mut same = there == Some(bytes);
        if same && read_back {
            let mut hasher = blake3::Hasher::new();
            let path = self.path(object);
            let read = async {
                let mut stream = self.store.get(&path).await?.into_stream();
                while let Some(part) = stream.try_next().await? {
                    hasher.update(&part);
                }
                Ok(())
            };
            self.runtime.block_on(read).map_err(Error::bucket("read back", object))?;
            same = hasher.finalize().as_bytes() == checksum;
        }
        if same {
            return Ok(());
        }
        let source = format!("{object} is not what was sent").into();
        Err(Error::bucket("keep", object)(object_store::Error::Generic { store: "bucket", source }))
    }
}
