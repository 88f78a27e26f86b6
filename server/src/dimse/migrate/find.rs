//! Questions to another archive: C-FIND as SCU (PS3.4 §C.4.1), Study Root.

use std::collections::{BTreeMap, BTreeSet};

use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};
use serde_json::{Map, Value};

use crate::dimse::command::{Command, field, operation};
use crate::dimse::end::End;
use crate::dimse::identifier::{self, Level, QUERY_RETRIEVE_LEVEL, hex, text};
use crate::dimse::negotiate::Context;
use crate::dimse::pull::PullError;
use crate::dimse::scu::{Scu, Wanted};
use crate::dimse::service::{Model, Service};
use crate::dimse::settings::{Peer, Settings};
use crate::dimse::status;

const STUDY_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const STUDY_DATE: u32 = 0x0008_0020;
const MODALITIES_IN_STUDY: u32 = 0x0008_0061;
const PATIENT_ID: u32 = 0x0010_0020;
const BODY_PART: u32 = 0x0018_0015;
const STUDY_INSTANCES: u32 = 0x0020_1208;
const SOP_CLASS_UID: u32 = 0x0008_0016;
const AVAILABLE_TRANSFER_SYNTAX_UID: u32 = 0x0008_3002;
/// Answers to one query: a series of so many images is none.
const ANSWERS_MAX: usize = 1_000_000;

/// Which studies.
#[derive(Debug, Clone, Default)]
pub(in crate::dimse) struct Asked {
    /// Study Date as it is matched: `20100101-20100131`.
    pub(in crate::dimse) dates: Option<String>,
    pub(in crate::dimse) modality: Option<String>,
    pub(in crate::dimse) patient_id: Option<String>,
}

/// A study that the other archive says to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::dimse) struct Remote {
    pub(in crate::dimse) uid: String,
    pub(in crate::dimse) date: String,
    pub(in crate::dimse) patient_id: String,
    pub(in crate::dimse) modalities: Vec<String>,
    /// Number of Study Related Instances, if it says so.
    pub(in crate::dimse) instances: Option<u64>,
}

/// What a query came to.
pub(in crate::dimse) struct Found {
    pub(in crate::dimse) studies: Vec<Remote>,
    /// The other archive ended the query early, with this status.
    pub(in crate::dimse) cut: Option<u16>,
}

/// Images of a study, series by series, and in which classes and syntaxes they are stored.
#[derive(Debug, Default)]
pub(in crate::dimse) struct Contents {
    pub(in crate::dimse) series: BTreeMap<String, BTreeSet<String>>,
    stored: BTreeSet<Wanted>,
    plain: BTreeSet<Wanted>,
}

/// Transfer syntaxes in which images are mostly kept where they are not plain, the more usual first: JPEG
/// lossless and baseline, JPEG 2000, JPEG-LS, RLE, JPEG extended, HTJ2K, MPEG-4 (PS3.5 annex A.4); Explicit
/// VR Big Endian (retired), deflated (annexes A.3, A.5).
const USUAL_SYNTAXES: [&str; 15] = [
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.4.102",
    "1.2.840.10008.1.2.4.103",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
];

impl Contents {
    /// Classes and syntaxes: the stored syntax of each class first, then the plain ones. Where nothing is
    /// known of what is stored, the usual ones follow, so that nothing has to be decoded to
    /// come, which some archives refuse to do.
    pub(in crate::dimse) fn kinds(&self) -> Vec<Wanted> {
        let known: BTreeSet<&str> = self.stored.iter().map(|kind| kind.class.as_str()).collect();
        let unknown: BTreeSet<&str> = self.plain.iter().map(|kind| kind.class.as_str()).collect();
        let usual = USUAL_SYNTAXES.iter().flat_map(|syntax| {
            unknown.difference(&known).map(|class| Wanted {
                class: (*class).to_owned(),
                transfer_syntax: (*syntax).to_owned(),
            })
        });
        let rest = self.plain.difference(&self.stored).cloned();
        self.stored.iter().cloned().chain(rest).chain(usual).collect()
    }
}

/// Studies that match.
pub(in crate::dimse) fn studies(
    settings: &Settings,
    peer: &Peer,
    asked: &Asked,
) -> Result<Found, PullError> {
    let mut finder = Finder::open(settings, peer)?;
    let mut keys = Map::from_iter([(hex(QUERY_RETRIEVE_LEVEL), text("CS", Level::Study.word()))]);
    for (tag, vr, value) in [
        (STUDY_DATE, "DA", &asked.dates),
        (MODALITIES_IN_STUDY, "CS", &asked.modality),
        (PATIENT_ID, "LO", &asked.patient_id),
        (Level::Study.unique_key(), "UI", &None),
        (STUDY_INSTANCES, "IS", &None),
    ] {
        keys.insert(hex(tag), value.as_deref().map_or_else(|| empty(vr), |value| text(vr, value)));
    }
    let (answers, cut) = finder.ask(keys)?;
    finder.close();
    let studies = answers.iter().map(|answer| Remote {
        uid: value(answer, Level::Study.unique_key()),
        date: value(answer, STUDY_DATE),
        patient_id: value(answer, PATIENT_ID),
        modalities: value(answer, MODALITIES_IN_STUDY).split('\\').map(str::to_owned).collect(),
        instances: value(answer, STUDY_INSTANCES).trim().parse().ok(),
    });
    let studies: Vec<Remote> = studies.filter(|study| !study.uid.is_empty()).collect();
    if studies.is_empty()
        && let Some(code) = cut
    {
        return Err(PullError::Query(code));
    }
    Ok(Found { studies, cut })
}

/// Body parts of the series of a study.
pub(in crate::dimse) fn body_parts(
    settings: &Settings,
    peer: &Peer,
    study: &str,
) -> Result<BTreeSet<String>, PullError> {
    let mut finder = Finder::open(settings, peer)?;
    let mut keys = keys(Level::Series, study, None);
    keys.insert(hex(BODY_PART), empty("CS"));
    let (answers, _) = finder.ask(keys)?;
    finder.close();
    Ok(answers.iter().map(|answer| value(answer, BODY_PART)).collect())
}

/// What a study holds.
pub(in crate::dimse) fn contents(
    settings: &Settings,
    peer: &Peer,
    study: &str,
) -> Result<Contents, PullError> {
    let mut finder = Finder::open(settings, peer)?;
    let mut contents = Contents::default();
    for series in finder.all(keys(Level::Series, study, None))? {
        let series = value(&series, Level::Series.unique_key());
        let mut uids = BTreeSet::new();
        for image in finder.all(keys(Level::Image, study, Some(&series)))? {
            uids.insert(value(&image, Level::Image.unique_key()));
            let class = value(&image, SOP_CLASS_UID);
            if Service::of(&class) != Some(Service::Store) {
                continue;
            }
            let of = |uid: &str| Wanted { class: class.clone(), transfer_syntax: uid.into() };
            let available = value(&image, AVAILABLE_TRANSFER_SYNTAX_UID);
            contents.stored.extend(available.split('\\').filter(|uid| !uid.is_empty()).map(of));
            contents.plain.extend([of(EXPLICIT_LE), of(IMPLICIT_LE)]);
        }
        contents.series.insert(series, uids);
    }
    finder.close();
    Ok(contents)
}

/// Keys that name a study, or one of its series, and ask for what is at this level.
pub(in crate::dimse) fn keys(
    level: Level,
    study: &str,
    series: Option<&str>,
) -> Map<String, Value> {
    let series = series.map_or_else(|| empty("UI"), |uid| text("UI", uid));
    let mut keys = Map::from_iter([
        (hex(QUERY_RETRIEVE_LEVEL), text("CS", level.word())),
        (hex(Level::Study.unique_key()), text("UI", study)),
        (hex(Level::Series.unique_key()), series),
    ]);
    if level == Level::Image {
        for tag in [Level::Image.unique_key(), SOP_CLASS_UID, AVAILABLE_TRANSFER_SYNTAX_UID] {
            keys.insert(hex(tag), empty("UI"));
        }
    }
    keys
}

/// Keys that name what is to be sent: a study, or one of its series.
pub(in crate::dimse) fn named(study: &str, series: Option<&str>) -> Map<String, Value> {
    let level = if series.is_some() { Level::Series } else { Level::Study };
    let mut keys = keys(level, study, series);
    if series.is_none() {
        keys.remove(&hex(Level::Series.unique_key()));
    }
    keys
}

fn empty(vr: &str) -> Value {
    serde_json::json!({ "vr": vr })
}

fn value(object: &Map<String, Value>, tag: u32) -> String {
    object.get(&hex(tag)).map(identifier::values).unwrap_or_default()
}

/// An association over which questions are asked.
struct Finder {
    scu: Scu,
    context: Context,
}

type Answers = (Vec<Map<String, Value>>, Option<u16>);

impl Finder {
    fn open(settings: &Settings, peer: &Peer) -> Result<Self, PullError> {
        let wanted = [EXPLICIT_LE, IMPLICIT_LE]
            .map(|uid| Wanted { class: STUDY_ROOT_FIND.into(), transfer_syntax: uid.into() });
        let scu = Scu::open(settings, peer, &wanted, Vec::new())?;
        let context = scu.contexts.iter().find(|c| c.service == Service::Find(Model::Study));
        let Some(context) = context.cloned() else {
            scu.release();
            return Err(PullError::NotOffered("C-FIND (Study Root)"));
        };
        Ok(Self { scu, context })
    }

    fn close(self) {
        self.scu.release();
    }

    /// All answers to a query; one that ended early is an error.
    fn all(&mut self, keys: Map<String, Value>) -> Result<Vec<Map<String, Value>>, PullError> {
        match self.ask(keys)? {
            (answers, None) => Ok(answers),
            (_, Some(code)) => Err(PullError::Query(code)),
        }
    }

    /// Answers to a query, and its status if that is no success.
    fn ask(&mut self, keys: Map<String, Value>) -> Result<Answers, PullError> {
        let Self { scu, context } = self;
        let command = Command::new(operation::FIND)
            .with_uid(field::AFFECTED_CLASS, &context.class)
            .number(field::MESSAGE_ID, 1)
            .number(field::PRIORITY, 0)
            .with_data_set();
        let data = identifier::encode(keys, &context.transfer_syntax)?;
        scu.outbound.message(context.id, &command, &data)?;
        let mut found = Vec::new();
        loop {
            let next = scu.inbound.answer()?;
            let why = "the other side releases an association that it did not ask for";
            let (id, answer) = next.ok_or(End::Unexpected(why))?;
            if answer.has_data_set() {
                let bytes = scu.inbound.identifier(id)?;
                if found.len() < ANSWERS_MAX {
                    found.extend(identifier::read(bytes, &context.transfer_syntax));
                }
            }
            match answer.get(field::STATUS).unwrap_or(u16::MAX) {
                code if status::class(code) == "pending" => {}
                status::SUCCESS => return Ok((found, None)),
                code => return Ok((found, Some(code))),
            }
        }
    }
}
