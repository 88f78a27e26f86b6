//! Opening and closing an archive; what its parts share.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_chunker::tree::StudyTree;
use tokio::runtime::Runtime;

use crate::bucket::Bucket;
use crate::catalog::{Catalog, PackNo, PackRow, Seqs, SqliteCatalog, VersionRow};
use crate::config::{IngestConfig, StoreConfig};
use crate::disk::{Disk, OsDisk, create_directories};
use crate::error::{Error, Result};
use crate::ingest::{Ingest, Purpose, is_left, now_ms};
use crate::keys::{PackKey, SiteKey};
use crate::layout::{FORMAT_VERSION, Layout, MARKER_OBJECT, key_object, pack_object};
use crate::metadata::Metadata;
use crate::pack::{Cipher, OpenPack, PackHeader, PackId};
use crate::read::Reader;
use crate::replay;

/// How long a writer waits for the data directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// What every part of an open archive holds on to.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) bucket: Bucket,
    pub(crate) catalog: Box<dyn Catalog>,
    pub(crate) site: SiteKey,
    pub(crate) encrypt: bool,
    pub(crate) read_back: bool,
}

impl Shared {
    /// The cipher of a pack, from its wrapped key in the journal or the bucket.
    pub(crate) fn cipher(&self, pack: PackId) -> Result<Cipher> {
        if !self.encrypt {
            return Ok(Cipher::Plain);
        }
        let path = self.layout.journal_key(pack);
        let wrapped = match std::fs::read(&path) {
            Ok(bytes) => Some(bytes.into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.bucket.get(&key_object(pack))?
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let fault = |why: &str| Error::Key { path: path.clone(), why: why.to_owned() };
        let wrapped =
            wrapped.ok_or_else(|| fault("the pack's key is gone: the pack is shredded"))?;
        let key = self.site.unwrap(pack, &wrapped);
        key.map(Cipher::Gcm)
            .ok_or_else(|| fault("it was wrapped by another site key, or is damaged"))
    }

    /// Makes a pack's data key and stores it, wrapped, beside the journal.
    pub(crate) fn new_cipher(&self, pack: PackId) -> Result<Cipher> {
        if !self.encrypt {
            return Ok(Cipher::Plain);
        }
        let key = PackKey::generate()?;
        let wrapped = self.site.wrap(pack, &key)?;
        let path = self.layout.journal_key(pack);
        self.disk.write_file(&path, &wrapped).map_err(Error::io("write", &path))?;
        Ok(Cipher::Gcm(key))
    }

    /// Begins a pack in the journal.
    pub(crate) fn begin_pack(&self) -> Result<(PackNo, OpenPack)> {
        let pack = PackId::generate()?;
        let created_ms = now_ms();
        let cipher = self.new_cipher(pack)?;
        let path = self.layout.journal_pack(pack);
        let header = PackHeader { pack, cipher: 0, created_ms };
        let open = OpenPack::create(&*self.disk, &path, header, cipher)?;
        // The file's name must be durable before anything in it is acknowledged.
        let journal = self.layout.journal();
        self.disk.sync_directory(&journal).map_err(Error::io("sync", &journal))?;
        Ok((self.catalog.add_pack(pack, created_ms)?, open))
    }

    /// Removes a pack that is condemned, and its key, and tells the catalog. The key last: as long as the
    /// pack is there it can be read.
    pub(crate) fn remove_condemned(&self, pack: &PackRow) -> Result<()> {
        for object in [pack_object(pack.id), key_object(pack.id)] {
            let Some(directory) = self.bucket.directory() else {
                self.bucket.remove(&object)?;
                continue;
            };
            let path = directory.join(object);
            match self.disk.remove(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::io("remove", &path))?,
            }
            if let Some(parent) = path.parent() {
                self.disk.sync_directory(parent).map_err(Error::io("sync", parent))?;
            }
        }
        self.catalog.collection().forget_pack(pack.no)
    }

    /// Moves a sealed pack and its key into the bucket, and tells the catalog.
    pub(crate) fn store_sealed(&self, pack: &PackRow) -> Result<()> {
        let checksum = pack.checksum.ok_or(Error::Internal("a sealed pack has no checksum"))?;
        let key_file = self.layout.journal_key(pack.id);
        if self.encrypt && key_file.exists() {
            let wrapped = std::fs::read(&key_file).map_err(Error::io("read", &key_file))?;
            self.bucket.put(&key_object(pack.id), &wrapped)?;
        }
        let file = self.layout.journal_pack(pack.id);
        let object = pack_object(pack.id);
        // A crash between renaming and telling the catalog leaves the file in the bucket already.
        if file.exists() {
            self.bucket.take_file(
                &*self.disk,
                &file,
                &object,
                pack.bytes,
                &checksum,
                self.read_back,
            )?;
        } else if self.bucket.head(&object)? != Some(pack.bytes) {
            return Err(Error::NotFound { what: "pack", name: pack.id.to_string() });
        }
        self.catalog.store_pack(pack.no)?;
        for path in [file, key_file] {
            match self.disk.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks a pack up.
    pub(crate) fn pack(&self, no: PackNo) -> Result<PackRow> {
        self.catalog.pack(no)
    }
}

/// An open archive.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    metadata: Arc<Metadata>,
    /// Held while this process may write.
    lock: Option<File>,
    /// Another process had the archive when this one opened it to read.
    beside: bool,
    created_key: bool,
    /// Ends last: the bucket's calls run on it.
    _runtime: Calls,
}

/// What the bucket's calls run on. Whoever makes one waits for it, so none is left when this ends; and it
/// is not waited for, since whoever lets a store go may be a task of another runtime, which must not wait.
#[derive(Debug)]
struct Calls(Option<Runtime>);

impl Drop for Calls {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// May the process write?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Takes the data directory for itself; what a crash left behind is replayed.
    Write,
    /// Reads beside a writer; replays first if there is none.
    Read,
}

impl Store {
    /// Opens the archive at `config.data`, making it if it is not there.
    pub fn open(config: &StoreConfig, access: Access) -> Result<Self> {
        Self::open_on(config, access, Arc::new(OsDisk))
    }

    /// [`Store::open`] on another file system; for tests.
    pub fn open_on(config: &StoreConfig, access: Access, disk: Arc<dyn Disk>) -> Result<Self> {
        let layout = Layout { data: config.data.clone() };
        if access == Access::Read && !layout.catalog().exists() && !layout.data.exists() {
            return Err(Error::NotFound {
                what: "archive",
                name: layout.data.display().to_string(),
            });
        }
        if access == Access::Write {
            for directory in [&layout.data, &layout.journal(), &layout.spool()] {
                create_directories(&OsDisk, directory).map_err(Error::io("create", directory))?;
            }
        }
        let lock = lock(&layout, access)?;
        let (shared, created_key, runtime) =
            share(config, access, layout, disk, |layout, bucket| {
                require_catalog(layout, bucket)?;
                embedded(&layout.catalog(), lock.is_some(), access)
            })?;
        if lock.is_some() {
            match recover(&shared) {
                // Who only reads can do without: on a full disk, what the catalog names is still there.
                Err(error) if access == Access::Read => {
                    tracing::warn!(%error, "the journal could not be replayed; reading without");
                }
                other => other?,
            }
        }
        let beside = lock.is_none();
        let lock = lock.filter(|_| access == Access::Write);
        let mut store = Self::of(shared, lock, created_key, runtime);
        store.beside = beside;
        Ok(store)
    }

    /// Takes the archive with an empty catalog beside the real one.
    pub(crate) fn open_to_rebuild(config: &StoreConfig) -> Result<Self> {
        let layout = Layout { data: config.data.clone() };
        let journal = layout.journal();
        create_directories(&OsDisk, &journal).map_err(Error::io("create", &journal))?;
        let lock = lock(&layout, Access::Write)?;
        let (shared, created_key, runtime) =
            share(config, Access::Write, layout, Arc::new(OsDisk), |layout, _| {
                let path = layout.rebuilt_catalog();
                remove_catalog(&path)?;
                embedded(&path, true, Access::Write)
            })?;
        Ok(Self::of(shared, lock, created_key, runtime))
    }

    fn of(shared: Arc<Shared>, lock: Option<File>, created_key: bool, runtime: Runtime) -> Self {
        let reader = Arc::new(Reader::new(Arc::clone(&shared)));
        let metadata = Arc::new(Metadata::new(Arc::clone(&shared), Arc::clone(&reader)));
        let runtime = Calls(Some(runtime));
        Self { shared, reader, metadata, lock, beside: false, created_key, _runtime: runtime }
    }

    /// Puts the rebuilt catalog in the place of the old one and opens the archive with it.
    pub(crate) fn adopt_rebuilt(mut self, config: &StoreConfig) -> Result<Self> {
        let layout = self.shared.layout.clone();
        self.shared.catalog.checkpoint()?;
        let lock = self.lock.take();
        drop(self);
        let (made, old) = (layout.rebuilt_catalog(), layout.catalog());
        for suffix in ["-wal", "-shm"] {
            let stale = with_suffix(&old, suffix);
            if stale.exists() {
                let kept = with_suffix(&with_suffix(&old, ".before-rebuild"), suffix);
                std::fs::rename(&stale, kept).map_err(Error::io("rename", &stale))?;
            }
        }
        if old.exists() {
            let kept = with_suffix(&old, ".before-rebuild");
            OsDisk.rename(&old, &kept).map_err(Error::io("rename", &old))?;
        }
        OsDisk.rename(&made, &old).map_err(Error::io("rename", &made))?;
        remove_catalog(&made)?;
        drop(lock);
        Self::open(config, Access::Write)
    }

    /// Was a new site key made by this opening? Then its file wants a copy in a safe place.
    #[must_use]
    pub fn created_key(&self) -> bool {
        self.created_key
    }

    /// What there is.
    #[must_use]
    pub fn catalog(&self) -> &dyn Catalog {
        &*self.shared.catalog
    }

    /// Gives content back.
    #[must_use]
    pub fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.shared.bucket
    }

    /// Paths under the data directory.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.shared.layout
    }

    /// Metadata of series.
    #[must_use]
    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The tree over a study's visible instances: its root names their content.
    pub fn study_tree(&self, study_uid: &str) -> Result<StudyTree> {
        crate::ingest::studies::study_tree(self.catalog(), study_uid)
    }

    /// The same with the sequence numbers of the versions that it is made of: what is shared of a study is
    /// these, whatever is received later.
    pub fn study_content(&self, study_uid: &str) -> Result<(StudyTree, Seqs)> {
        crate::ingest::studies::study_content(self.catalog(), study_uid)
    }

    /// Is a version in the archive for good (A2): its commit and all that it names in the bucket?
    pub fn is_archived(&self, version: &VersionRow) -> Result<bool> {
        let stored = |no| self.catalog().pack(no).map(|pack| pack.state.is_archived());
        // Packs go to the bucket in order, so its chunks are there with its commit; to be sure costs
        // little.
        if !stored(version.commit_pack)? {
            return Ok(false);
        }
        let mut seen = version.commit_pack;
        let manifest = self.reader.served_manifest(&version.manifest)?;
        let chunks = manifest.all_chunks().map(|chunk| chunk.id);
        for id in std::iter::once(version.manifest).chain(chunks) {
            let pack = self.reader.locate(&id)?.pack;
            if pack != seen && !stored(pack)? {
                return Ok(false);
            }
            seen = pack;
        }
        Ok(true)
    }

    /// Bytes that a process beside this one acknowledged and that may not be in the catalog yet: what
    /// is in its spool. Zero where this process replayed the spool itself. A bound from above: a file
    /// of the spool outlives what is in it by a second or so.
    #[must_use]
    pub fn unseen_bytes(&self) -> u64 {
        if self.beside { crate::ingest::spooled_bytes(&self.shared) } else { 0 }
    }

    /// Starts to take objects in. One at a time.
    pub fn ingest(&self, config: IngestConfig) -> Result<Ingest> {
        if self.lock.is_none() {
            return Err(Error::Locked { path: self.shared.layout.lock() });
        }
        let purpose = Purpose::Receive(Arc::clone(&self.metadata));
        Ingest::start(Arc::clone(&self.shared), purpose, config)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Only tidies: what is not checkpointed is in the write-ahead log.
            let _ = self.shared.catalog.tidy();
        }
    }
}

/// Makes what a crash left part of the archive: the journal, then the spool.
fn recover(shared: &Arc<Shared>) -> Result<()> {
    replay::replay(shared)?;
    if is_left(shared)? {
        Ingest::absorb(Arc::clone(shared))?;
        // The pack that took it is still open.
        replay::replay(shared)?;
    }
    Ok(())
}

/// Opens everything that an archive rests on.
fn share(
    config: &StoreConfig,
    access: Access,
    layout: Layout,
    disk: Arc<dyn Disk>,
    open_catalog: impl FnOnce(&Layout, &Bucket) -> Result<Box<dyn Catalog>>,
) -> Result<(Arc<Shared>, bool, Runtime)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("cairn-bucket")
        .enable_all()
        .build()
        .map_err(Error::io("start threads for", &layout.data))?;
    let location = match &config.bucket {
        Some(url) => url.clone(),
        None => layout.default_bucket().display().to_string(),
    };
    let bucket = Bucket::open(&location, &config.bucket_options, runtime.handle().clone())?;
    let key_file = config.key_file.clone().unwrap_or_else(|| layout.default_key());
    let (site, created_key) = site_key(&key_file, &bucket, access)?;
    let id = mark(&bucket, &site, &key_file, config.encrypt, access)?;
    let catalog = open_catalog(&layout, &bucket)?;
    if let Some(known) = catalog.bind_bucket(&id)? {
        let why =
            format!("{} is not the bucket of this data directory, which is {known}", bucket.url());
        return Err(Error::Url { why });
    }
    let shared = Arc::new(Shared {
        layout,
        disk,
        bucket,
        catalog,
        site,
        encrypt: config.encrypt,
        read_back: config.read_back,
    });
    Ok((shared, created_key, runtime))
}

/// The catalog of a single node. Who only reads has the lock, if at all, for a moment.
fn embedded(path: &Path, locked: bool, access: Access) -> Result<Box<dyn Catalog>> {
    if !locked {
        return Ok(Box::new(SqliteCatalog::open_beside(path)?));
    }
    let catalog = SqliteCatalog::open(path)?;
    Ok(Box::new(if access == Access::Write { catalog.kept_alone() } else { catalog }))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove_catalog(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let path = with_suffix(path, suffix);
        if path.exists() {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// A writer must have the lock; a reader takes it if it is free, so that it can replay.
fn lock(layout: &Layout, access: Access) -> Result<Option<File>> {
    let path = layout.lock();
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if access == Access::Read => return Ok(None),
            // Whoever reads holds it for a moment only, to replay.
            Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path }),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
    }
}

/// Loads the site key, or makes one for a new archive.
fn site_key(path: &Path, bucket: &Bucket, access: Access) -> Result<(SiteKey, bool)> {
    if path.exists() {
        return Ok((SiteKey::load(path)?, false));
    }
    let fault = |why: &str| Error::Key { path: path.to_owned(), why: why.into() };
    if bucket.get(MARKER_OBJECT)?.is_some() {
        return Err(fault(
            "it is missing, and the bucket was written under it; bring it back from its safe copy",
        ));
    }
    if access == Access::Read {
        return Err(fault("it is missing"));
    }
    let key = SiteKey::generate()?;
    key.save(path)?;
    Ok((key, true))
}

/// Marks a new bucket, or checks that an old one is this site's. Returns the bucket's own name, by
/// which a catalog knows it again.
fn mark(
    bucket: &Bucket,
    site: &SiteKey,
    key_file: &Path,
    encrypt: bool,
    access: Access,
) -> Result<String> {
    let marker = serde_json::json!({
        "format": FORMAT_VERSION,
        "site": site.fingerprint(),
        "bucket": PackId::generate()?.to_string(),
        "encrypted": encrypt,
    });
    let fault = |why: String| Error::Key { path: key_file.to_owned(), why };
    let mut found = bucket.get(MARKER_OBJECT)?;
    if found.is_none() {
        if access == Access::Read {
            return Err(Error::NotFound { what: "archive", name: bucket.url().to_owned() });
        }
        bucket.put_new(MARKER_OBJECT, marker.to_string().as_bytes())?;
        found = bucket.get(MARKER_OBJECT)?;
    }
    let found: serde_json::Value = serde_json::from_slice(&found.unwrap_or_default())
        .map_err(|_| fault(format!("{} has a marker that cannot be read", bucket.url())))?;
    for (field, is) in [
        ("format", "of another format version"),
        ("site", "of another site: its packs were written under another key"),
        ("encrypted", "set up with the other encryption setting"),
    ] {
        if found[field] != marker[field] {
            return Err(fault(format!("the bucket {} is {is}", bucket.url())));
        }
    }
    Ok(found["bucket"].as_str().unwrap_or_default().to_owned())
}

/// An archive whose catalog is gone must be rebuilt, not begun anew over its packs.
fn require_catalog(layout: &Layout, bucket: &Bucket) -> Result<()> {
    let path = layout.catalog();
    if path.exists() || bucket.list(crate::layout::PACKS_PREFIX)?.is_empty() {
        return Ok(());
    }
    Err(Error::Catalog {
        action: "be opened",
        source: format!(
            "{} is missing though the bucket holds packs; run: cairn rebuild",
            path.display()
        )
        .into(),
    })
}
