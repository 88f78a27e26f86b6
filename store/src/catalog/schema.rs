//! The tables.

/// Version of the schema, kept in `user_version`.
pub(super) const SCHEMA_VERSION: i64 = 9;
/// The version before [`OUTBOX`], which is brought up to date in place.
pub(super) const WITHOUT_OUTBOX: i64 = 2;
/// The version before [`EDITIONS`], likewise.
pub(super) const WITHOUT_EDITIONS: i64 = 3;
/// The version before [`ENTRUSTED`], likewise.
pub(super) const WITHOUT_ENTRUSTED: i64 = 4;
/// The version before [`NAMES`](super::names::NAMES), likewise.
pub(super) const WITHOUT_NAMES: i64 = 5;
/// The version before [`BUCKET_KEYS`](super::names::BUCKET_KEYS), likewise.
pub(super) const WITHOUT_BUCKET_KEYS: i64 = 6;
/// The version before [`NUMBERED_BY`](super::names::NUMBERED_BY), likewise.
pub(super) const WITHOUT_NUMBERED_BY: i64 = 7;
/// The version before [`TOLD`](super::names::TOLD), likewise.
pub(super) const WITHOUT_TOLD: i64 = 8;

/// Widths are chosen for what repeats by the million: a chunk takes some 60 bytes with its name, a version 130.
pub(super) const SCHEMA: &str = "
CREATE TABLE pack (
    -- Stays when the pack goes: it is never used again.
    no       INTEGER PRIMARY KEY,
    id       BLOB NOT NULL UNIQUE,
    state    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    checksum BLOB,
    created  INTEGER NOT NULL
);
-- Where chunks lie; inner is NULL where the record is the chunk. Rows stand in the order of arrival,
-- and are found by name through the runs of [`super::names`].
CREATE TABLE chunk (
    no     INTEGER PRIMARY KEY,
    id     BLOB NOT NULL,
    pack   INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    record INTEGER NOT NULL,
    inner  INTEGER,
    bytes  INTEGER NOT NULL
);
CREATE TABLE study (
    no INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    patient_name TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    sex TEXT NOT NULL,
    date TEXT NOT NULL,
    time TEXT NOT NULL,
    accession TEXT NOT NULL,
    id TEXT NOT NULL,
    description TEXT NOT NULL,
    referring TEXT NOT NULL,
    -- Every patient and study attribute, those above included.
    attributes BLOB NOT NULL,
    -- The date as the number YYYYMMDD; 0 where it is none.
    day INTEGER NOT NULL
);
-- What studies are searched by. A study is written seldom beside its instances.
CREATE INDEX study_by_patient ON study (patient_id);
CREATE INDEX study_by_accession ON study (accession);
CREATE INDEX study_by_day ON study (day);
-- Each group of the patient's name, folded: no case, no accents.
CREATE TABLE study_name (
    name TEXT NOT NULL,
    study INTEGER NOT NULL,
    PRIMARY KEY (name, study)
) WITHOUT ROWID;
CREATE TABLE series (
    no INTEGER PRIMARY KEY,
    study INTEGER NOT NULL,
    uid TEXT NOT NULL,
    modality TEXT NOT NULL,
    number TEXT NOT NULL,
    description TEXT NOT NULL,
    body_part TEXT NOT NULL,
    date TEXT NOT NULL,
    time TEXT NOT NULL,
    -- Every series attribute, those above included.
    attributes BLOB NOT NULL,
    -- Visible instances and the length of their data sets, so that no list has to count.
    instances INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- Sequence number of what last changed what is visible: what is derived from it is as old.
    changed INTEGER NOT NULL,
    UNIQUE (study, uid)
);
CREATE INDEX series_by_uid ON series (uid);
CREATE INDEX series_by_modality ON series (modality, study);
-- UIDs that repeat: SOP classes and transfer syntaxes.
CREATE TABLE term (
    no INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE
);
CREATE TABLE instance (
    no INTEGER PRIMARY KEY,
    series INTEGER NOT NULL,
    uid TEXT NOT NULL,
    number TEXT NOT NULL,
    -- Sequence number of the version that is shown; 0: all of it was deleted.
    visible INTEGER NOT NULL,
    -- Instance attributes of the version that is shown.
    attributes BLOB NOT NULL
);
-- By UID they are found as chunks are by name.
CREATE INDEX instance_of_series ON instance (series);
CREATE TABLE version (
    instance INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    class    INTEGER NOT NULL,
    syntax   INTEGER NOT NULL,
    manifest BLOB NOT NULL,
    dataset  BLOB NOT NULL,
    bytes    INTEGER NOT NULL,
    pixels   BLOB NOT NULL,
    frames   INTEGER NOT NULL,
    flags    INTEGER NOT NULL,
    outcome  INTEGER NOT NULL,
    received INTEGER NOT NULL,
    -- The pack that holds its commit: once that is in the bucket, so is all that it names.
    pack     INTEGER NOT NULL,
    -- Sequence number of the deletion that covers it; 0: none.
    deleted  INTEGER NOT NULL,
    PRIMARY KEY (instance, seq)
) WITHOUT ROWID;
-- Deletions: what they cover has a smaller sequence number. Empty: all of them.
CREATE TABLE tombstone (
    study   TEXT NOT NULL,
    series  TEXT NOT NULL,
    sop     TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (study, series, sop, seq)
) WITHOUT ROWID;
-- What each study's content was called, version by version.
CREATE TABLE study_record (
    study    INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    root     BLOB NOT NULL,
    previous BLOB,
    instances INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    PRIMARY KEY (study, version)
) WITHOUT ROWID;
-- Storage commitments asked for: not part of the archive, and not rebuilt with it.
CREATE TABLE commitment (
    uid     TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    -- NULL: not known yet.
    result  TEXT,
    created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
-- The bucket whose packs this catalog knows.
CREATE TABLE bucket (id TEXT NOT NULL);
-- Every study's content has a record as of this sequence number.
INSERT INTO counter VALUES ('next_seq', 1), ('recorded_seq', 1);
";

/// What [`WITHOUT_NAMES`] has, and this schema has not.
pub(super) const UNINDEXED: &str = "
DROP INDEX chunk_by_key;
DROP INDEX instance_by_key;
ALTER TABLE chunk DROP COLUMN key;
ALTER TABLE instance DROP COLUMN key;
";

/// What is owed to others. See [`super::outbox`].
pub(super) const OUTBOX: &str = "
CREATE TABLE arrival (
    no       INTEGER PRIMARY KEY,
    study    TEXT NOT NULL,
    series   TEXT NOT NULL,
    source   INTEGER NOT NULL,
    calling  TEXT NOT NULL,
    called   TEXT NOT NULL,
    -- Sequence numbers as ranges: 17-93,95.
    seqs     TEXT NOT NULL,
    received INTEGER NOT NULL
);
CREATE TABLE parcel (
    -- Never used again: whoever tried one that is gone must not take a later one for it.
    no        INTEGER PRIMARY KEY AUTOINCREMENT,
    route     TEXT NOT NULL,
    peer      TEXT NOT NULL,
    study     TEXT NOT NULL,
    series    TEXT NOT NULL,
    seqs      TEXT NOT NULL,
    instances INTEGER NOT NULL,
    priority  INTEGER NOT NULL,
    tries     INTEGER NOT NULL,
    status    INTEGER NOT NULL,
    added     INTEGER NOT NULL,
    due       INTEGER NOT NULL
);
CREATE INDEX parcel_by_peer ON parcel (peer, priority DESC, no);
CREATE INDEX parcel_by_study ON parcel (study);
CREATE TABLE undelivered (
    no       INTEGER PRIMARY KEY,
    route    TEXT NOT NULL,
    peer     TEXT NOT NULL,
    study    TEXT NOT NULL,
    series   TEXT NOT NULL,
    seqs     TEXT NOT NULL,
    instances INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    tries    INTEGER NOT NULL,
    status   INTEGER NOT NULL,
    added    INTEGER NOT NULL,
    failed   INTEGER NOT NULL
);
-- Rules, and the sequence number from which each counts.
CREATE TABLE route (
    name  TEXT PRIMARY KEY,
    since INTEGER NOT NULL
) WITHOUT ROWID;
-- Studies whose priors a rule has looked for.
CREATE TABLE priors (
    route TEXT NOT NULL,
    study TEXT NOT NULL,
    begun INTEGER NOT NULL,
    PRIMARY KEY (route, study)
) WITHOUT ROWID;
";

/// Tables of [`OUTBOX`], which a rebuild takes over.
pub(super) const OUTBOX_TABLES: [&str; 5] = ["arrival", "parcel", "undelivered", "route", "priors"];

/// What is shared with other sites, and what came from them. See [`super::editions`].
pub(super) const EDITIONS: &str = "
CREATE TABLE edition (
    -- The name on the ledger, and the version there.
    study     BLOB NOT NULL,
    version   INTEGER NOT NULL,
    uid       TEXT NOT NULL,
    -- Of the first version: what its name was made from.
    salt      BLOB,
    root      BLOB NOT NULL,
    blinding  BLOB NOT NULL,
    -- Versions of instances that it is made of, as ranges: 17-93,95.
    seqs      TEXT NOT NULL,
    instances INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    -- NULL: not on the ledger, as far as is known.
    sequence  INTEGER,
    created   INTEGER NOT NULL,
    PRIMARY KEY (study, version)
) WITHOUT ROWID;
CREATE INDEX edition_by_uid ON edition (uid);
CREATE TABLE fetched (
    owner     BLOB NOT NULL,
    study     BLOB NOT NULL,
    version   INTEGER NOT NULL,
    root      BLOB NOT NULL,
    -- Empty until it is known.
    uid       TEXT NOT NULL,
    purpose   INTEGER NOT NULL,
    -- The entry under which it came.
    right_site     BLOB NOT NULL,
    right_sequence INTEGER NOT NULL,
    right_leaf     BLOB NOT NULL,
    number    INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    outcome   INTEGER NOT NULL,
    instances INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    moved     INTEGER NOT NULL,
    saved     INTEGER NOT NULL,
    began     INTEGER NOT NULL,
    ended     INTEGER NOT NULL,
    PRIMARY KEY (owner, study, version)
) WITHOUT ROWID;
CREATE INDEX fetched_by_uid ON fetched (uid);
";

/// What a collection goes by. See [`super::collection`].
pub(super) const COLLECTION: &str = "
-- Entries of commits that were not applied, since something of them is missing.
CREATE TABLE IF NOT EXISTS left_out (
    seq      INTEGER PRIMARY KEY,
    manifest BLOB NOT NULL
);
";

/// Tables of [`EDITIONS`], which a rebuild takes over.
pub(super) const EDITION_TABLES: [&str; 2] = ["edition", "fetched"];

/// What came from other sites and may not be kept. See [`super::entrusted`].
pub(super) const ENTRUSTED: &str = "
-- Versions that are entrusted, as their commits say.
CREATE TABLE IF NOT EXISTS entrusted (
    instance INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (instance, seq)
) WITHOUT ROWID;
-- Versions whose commits say so, and that may be kept all the same: no commit says that.
CREATE TABLE IF NOT EXISTS kept (seq INTEGER PRIMARY KEY);
";

/// The table of [`ENTRUSTED`] that a rebuild takes over.
pub(super) const KEPT_TABLE: &str = "kept";
