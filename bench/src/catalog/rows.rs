//! Rows that look like those of a hospital, made up from a number.

use cairn_chunker::frames::Frames;
use cairn_chunker::id::{ChunkId, DatasetHash};
use cairn_chunker::manifest::{Envelope, Manifest};
use cairn_dicom::attributes::Attributes;
use cairn_store::commit::{InstanceEntry, Outcome, Source};

/// Instances of one study: 8,000 studies for a million.
pub(super) const STUDY_INSTANCES: u64 = 125;
/// Series of one study.
const STUDY_SERIES: u64 = 3;

pub(super) const FAMILIES: &[&str] = &[
    "Müller",
    "Schmidt",
    "Yamada",
    "Sato",
    "O'Neil",
    "García",
    "Nowak",
    "Ivanov",
    "Smith",
    "Jones",
    "Dubois",
    "Rossi",
    "Silva",
    "Larsen",
    "Kim",
    "Nguyen",
    "Okafor",
    "Haddad",
    "Cohen",
    "Lindqvist",
];
pub(super) const GIVEN: &[&str] = &[
    "Jörg", "Anna", "Tarou", "Hanako", "Ann", "José", "Zofia", "Olga", "John", "Mary", "Luc",
    "Giulia", "Rui", "Nils", "Min", "Linh", "Ada", "Omar", "Noa", "Ebba",
];
pub(super) const MODALITIES: &[&str] = &["CT", "MR", "CT", "US", "CR", "MR", "DX", "PT"];

pub(super) fn hash(i: u64, salt: char) -> [u8; 32] {
    *blake3::hash(format!("{salt}{i}").as_bytes()).as_bytes()
}

/// A number below `below` that looks random and is the same for the same `i`.
pub(super) fn draw(i: u64, salt: char, below: u64) -> u64 {
    let [a, b, c, d, ..] = hash(i, salt);
    u64::from(u32::from_le_bytes([a, b, c, d])) % below
}

pub(super) fn pick(from: &[&'static str], i: u64, salt: char) -> &'static str {
    from[draw(i, salt, from.len() as u64) as usize]
}

pub(super) fn study_uid(study: u64) -> String {
    format!("1.2.826.0.1.3680043.10.{}.{study}", 100_000 + draw(study, 'u', 900_000))
}

pub(super) fn series_uid(study: u64, series: u64) -> String {
    format!("{}.{series}", study_uid(study))
}

pub(super) fn patient_id(study: u64) -> String {
    // Two studies a patient.
    format!("P{:07}", draw(study / 2, 'p', 10_000_000))
}

pub(super) fn accession(study: u64) -> String {
    format!("A{:09}", draw(study, 'a', 1_000_000_000))
}

/// Ten years, the days of each used alike.
pub(super) fn date(study: u64) -> String {
    let day = study * 1571 % 3650;
    format!("{}{:02}{:02}", 2016 + day / 365, 1 + day % 365 / 31, 1 + day % 28)
}

pub(super) fn name(study: u64) -> String {
    let (family, given) = (pick(FAMILIES, study / 2, 'f'), pick(GIVEN, study / 2, 'g'));
    let ideographic = if family == "Yamada" { "=山田^太郎" } else { "" };
    format!("{family}{}^{given}{ideographic}", draw(study / 2, 'n', 500))
}

/// A family name without its beginning, in lower case.
pub(super) fn middle(study: u64) -> String {
    pick(FAMILIES, study, 'f').to_lowercase().chars().skip(2).collect()
}

/// The instance with this number.
pub(super) fn instance(i: u64) -> (InstanceEntry, Manifest) {
    let study = i / STUDY_INSTANCES;
    let series = i % STUDY_INSTANCES * STUDY_SERIES / STUDY_INSTANCES;
    let series_uid = series_uid(study, series);
    let sop_instance_uid = format!("{series_uid}.{i}");
    let attributes = Attributes::from_iter([
        (0x0008_0008, "ORIGINAL\\PRIMARY\\AXIAL".to_owned()),
        (0x0008_0016, "1.2.840.10008.5.1.4.1.1.2".to_owned()),
        (0x0008_0018, sop_instance_uid.clone()),
        (0x0008_0020, date(study)),
        (0x0008_0023, date(study)),
        (0x0008_0030, format!("{:02}3000", draw(study, 't', 24))),
        (0x0008_0050, accession(study)),
        (0x0008_0060, pick(MODALITIES, study, 'm').to_owned()),
        (0x0008_0080, "General Hospital".to_owned()),
        (0x0008_0090, "Referrer^Rita".to_owned()),
        (0x0008_1030, "Thorax and abdomen".to_owned()),
        (0x0008_103E, format!("Series {series}")),
        (0x0010_0010, name(study)),
        (0x0010_0020, patient_id(study)),
        (0x0010_0030, "19600229".to_owned()),
        (0x0010_0040, if study.is_multiple_of(2) { "F" } else { "M" }.to_owned()),
        (0x0020_000D, study_uid(study)),
        (0x0020_000E, series_uid.clone()),
        (0x0020_0010, study.to_string()),
        (0x0020_0011, series.to_string()),
        (0x0020_0013, (i % STUDY_INSTANCES).to_string()),
        (0x0028_0010, "512".to_owned()),
        (0x0028_0011, "512".to_owned()),
        (0x0028_0100, "16".to_owned()),
    ]);
    let manifest = Manifest {
        sop_instance_uid,
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
        transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
        dataset_bytes: 526_000,
        dataset_hash: DatasetHash(hash(i, 'd')),
        envelope: Envelope::Inline(Vec::new()),
        chunks: Vec::new(),
        frames: Frames::None,
    };
    let entry = InstanceEntry {
        manifest: ChunkId(hash(i, 'm')),
        study_uid: study_uid(study),
        series_uid,
        flags: 0,
        received_ms: 0,
        source: Source::Import,
        outcome: Outcome::New,
        visible: true,
        attributes,
    };
    (entry, manifest)
}
