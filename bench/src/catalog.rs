//! `cairn-bench catalog`: is a catalog of very many instances as quick to write and to search as a small
//! one?
//!
//! Rows are made up and go straight into the catalog, without objects: what is measured is the catalog
//! alone, in this process. An instance brings two chunks, as a slice of a CT does.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cairn_chunker::frames::Frames;
use cairn_chunker::id::{ChunkId, DatasetHash};
use cairn_chunker::manifest::{Envelope, Manifest};
use cairn_dicom::attributes::{Attributes, Level};
use cairn_dicom::query::Query;
use cairn_store::catalog::{Batch, Catalog, Location, NewInstance, PackNo, Search, SqliteCatalog};
use cairn_store::commit::{InstanceEntry, Outcome, Source};
use cairn_store::keys::StoredId;
use cairn_store::pack::PackId;
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;

use crate::figures::grouped;
use crate::goals::Goal;
use crate::measure::Bench;
use crate::report::Report;
use crate::table::Table;

/// Instances of one study: 8,000 studies for a million.
const STUDY_INSTANCES: u64 = 125;
/// Series of one study.
const STUDY_SERIES: u64 = 3;
/// Instances of one commit.
const COMMIT_INSTANCES: u64 = 500;
/// How slow a search may be, 95 times of 100.
const P95_MS_MAX: f64 = 50.0;
/// How much slower the last commits may be than the first.
const SLOWER_MAX: f64 = 1.2;
/// A page as OHIF asks for it, and one more to see whether there is more.
const PAGE: u64 = 102;

const FAMILIES: &[&str] = &[
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
const GIVEN: &[&str] = &[
    "Jörg", "Anna", "Tarou", "Hanako", "Ann", "José", "Zofia", "Olga", "John", "Mary", "Luc",
    "Giulia", "Rui", "Nils", "Min", "Linh", "Ada", "Omar", "Noa", "Ebba",
];
const MODALITIES: &[&str] = &["CT", "MR", "CT", "US", "CR", "MR", "DX", "PT"];

/// Fill a catalog with made-up rows, and search it
#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    /// How many instances
    #[arg(long, default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(5_000..=20_000_000))]
    instances: u64,
    /// How many searches of each kind
    #[arg(long, default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    searches: u64,
}

/// How quickly a part of the instances was committed.
#[derive(Debug, Serialize)]
struct Rate {
    what: &'static str,
    instances: u64,
    wall_s: f64,
    /// Of this process: what counts where others keep the machine busy.
    cpu_s: f64,
    instances_per_s: f64,
    cpu_us_per_instance: f64,
}

/// How long searches of one kind took, in ms.
#[derive(Debug, Serialize)]
struct Latency {
    what: &'static str,
    searches: u64,
    /// Found by one search, on average.
    found: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

/// Measures, and adds tables and goals.
pub(crate) fn run(bench: &Bench<'_>, args: &CatalogArgs, report: &mut Report) -> Result<()> {
    let path = bench.scratch.folder("catalog")?.join("catalog.sqlite");
    let catalog = SqliteCatalog::open(&path)?;
    let rates = fill(&catalog, args.instances)?;
    catalog.checkpoint()?;
    let bytes = std::fs::metadata(&path).context("the catalog's length")?.len();
    let slower = rates[0].instances_per_s / rates[1].instances_per_s;
    report.goal(Goal::at_most("a commit of the last tenth / the first", "x", slower, SLOWER_MAX));
    let slower = rates[1].cpu_us_per_instance / rates[0].cpu_us_per_instance;
    report.goal(Goal::at_most("the same in CPU time", "x", slower, SLOWER_MAX));
    let mut latencies = Vec::new();
    for kind in KINDS {
        let latency = measure(&catalog, args, kind)?;
        let goal = format!("search {}, p95", latency.what);
        report.goal(Goal::at_most(goal, "ms", latency.p95_ms, P95_MS_MAX));
        latencies.push(latency);
    }
    let title = format!(
        "{} instances in {} studies, a catalog of {} bytes",
        grouped(args.instances),
        grouped(args.instances / STUDY_INSTANCES),
        grouped(bytes),
    );
    report.table(&title, &rate_table(&rates));
    report.table("searches, a page of 101", &latency_table(&latencies));
    report.figures("catalog_bytes", &bytes)?;
    report.figures("rates", &rates)?;
    report.figures("searches", &latencies)
}

/// Commits all instances; gives the rates of the first and the last tenth.
fn fill(catalog: &SqliteCatalog, count: u64) -> Result<[Rate; 2]> {
    let pack = catalog.add_pack(PackId([7; 16]), 0)?;
    let tenth = count / 10;
    let rate = |what, range: Range<u64>| -> Result<Rate> {
        let instances = range.end - range.start;
        let (mut wall_s, mut cpu_s) = (0.0, 0.0);
        for start in range.clone().step_by(COMMIT_INSTANCES as usize) {
            let end = range.end.min(start + COMMIT_INSTANCES);
            let (wall, cpu) = commit(catalog, pack, start..end)?;
            wall_s += wall;
            cpu_s += cpu;
        }
        let instances_per_s = instances as f64 / wall_s;
        let cpu_us_per_instance = cpu_s * 1e6 / instances as f64;
        Ok(Rate { what, instances, wall_s, cpu_s, instances_per_s, cpu_us_per_instance })
    };
    let first = rate("first tenth", 0..tenth)?;
    rate("between", tenth..count - tenth)?;
    let last = rate("last tenth", count - tenth..count)?;
    Ok([first, last])
}

/// Commits some instances; gives the seconds that the catalog took, and those of CPU time.
fn commit(catalog: &SqliteCatalog, pack: PackNo, range: Range<u64>) -> Result<(f64, f64)> {
    let made: Vec<_> = range.clone().map(instance).collect();
    let instances: Vec<_> = made
        .iter()
        .zip(range.start + 1..)
        .map(|((entry, manifest), seq)| NewInstance { seq, entry, manifest })
        .collect();
    let location = |i: u64| {
        let place =
            Location { pack, offset: i * 1000, record_bytes: 900, inner: None, bytes: 1000 };
        (StoredId(hash(i, 'c')), place)
    };
    let locations: Vec<_> = (range.start * 2..range.end * 2).map(location).collect();
    let batch = Batch {
        pack,
        pack_bytes: range.end * 2000,
        locations: &locations,
        instances: &instances,
        studies: &[],
        deletions: &[],
        all_recorded: false,
        next_seq: 0,
    };
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    catalog.commit(&batch)?;
    Ok((start.elapsed().as_secs_f64(), cpu_seconds()? - cpu))
}

/// User and system time of this process.
fn cpu_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn hash(i: u64, salt: char) -> [u8; 32] {
    *blake3::hash(format!("{salt}{i}").as_bytes()).as_bytes()
}

/// A number below `below` that looks random and is the same for the same `i`.
fn draw(i: u64, salt: char, below: u64) -> u64 {
    let [a, b, c, d, ..] = hash(i, salt);
    u64::from(u32::from_le_bytes([a, b, c, d])) % below
}

fn pick(from: &[&'static str], i: u64, salt: char) -> &'static str {
    from[draw(i, salt, from.len() as u64) as usize]
}

fn study_uid(study: u64) -> String {
    format!("1.2.826.0.1.3680043.10.{}.{study}", 100_000 + draw(study, 'u', 900_000))
}

fn series_uid(study: u64, series: u64) -> String {
    format!("{}.{series}", study_uid(study))
}

fn patient_id(study: u64) -> String {
    // Two studies a patient.
    format!("P{:07}", draw(study / 2, 'p', 10_000_000))
}

fn accession(study: u64) -> String {
    format!("A{:09}", draw(study, 'a', 1_000_000_000))
}

/// Ten years, the days of each used alike.
fn date(study: u64) -> String {
    let day = study * 1571 % 3650;
    format!("{}{:02}{:02}", 2016 + day / 365, 1 + day % 365 / 31, 1 + day % 28)
}

fn name(study: u64) -> String {
    let (family, given) = (pick(FAMILIES, study / 2, 'f'), pick(GIVEN, study / 2, 'g'));
    let ideographic = if family == "Yamada" { "=山田^太郎" } else { "" };
    format!("{family}{}^{given}{ideographic}", draw(study / 2, 'n', 500))
}

/// A family name without its beginning, in lower case.
fn middle(study: u64) -> String {
    pick(FAMILIES, study, 'f').to_lowercase().chars().skip(2).collect()
}

/// The instance with this number.
fn instance(i: u64) -> (InstanceEntry, Manifest) {
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

/// The study, and maybe series, that a search is within.
type Scope = fn(u64) -> (String, Option<String>);

/// A kind of search: its name, the level, and the parameters of the search about a study.
struct Kind {
    what: &'static str,
    level: Level,
    scope: Option<Scope>,
    parameters: fn(u64) -> Vec<(&'static str, String)>,
}

const fn studies(what: &'static str, parameters: fn(u64) -> Vec<(&'static str, String)>) -> Kind {
    Kind { what, level: Level::Study, scope: None, parameters }
}

const KINDS: &[Kind] = &[
    studies("studies, all", |_| vec![]),
    studies("studies by patient ID", |study| vec![("PatientID", patient_id(study))]),
    studies("studies by patient ID, wild card", |study| {
        vec![("PatientID", format!("{}*", &patient_id(study)[..4]))]
    }),
    studies("studies by name, beginning", |study| {
        vec![("PatientName", format!("{}*", &name(study).chars().take(6).collect::<String>()))]
    }),
    studies("studies by name, middle", |study| {
        vec![("PatientName", format!("*{}", &name(study).chars().skip(2).collect::<String>()))]
    }),
    studies("studies by name, family in the middle", |study| {
        vec![("PatientName", format!("*{}*", middle(study)))]
    }),
    studies("studies by name, fuzzy", |study| {
        vec![("PatientName", pick(GIVEN, study, 'g').to_owned()), ("fuzzymatching", "true".into())]
    }),
    studies("studies by ideographic name", |_| vec![("PatientName", "山田*".into())]),
    studies("studies by accession number", |study| vec![("AccessionNumber", accession(study))]),
    studies("studies by UID", |study| vec![("StudyInstanceUID", study_uid(study))]),
    studies("studies of a day", |study| vec![("StudyDate", date(study))]),
    studies("studies of some years", |study| {
        let year = 2016 + draw(study, 'y', 8);
        vec![("StudyDate", format!("{year}0101-{}1231", year + 2))]
    }),
    studies("studies by modality", |study| {
        vec![("ModalitiesInStudy", pick(MODALITIES, study, 'm').into())]
    }),
    studies("studies by modality that nobody has", |_| vec![("ModalitiesInStudy", "XA".into())]),
    studies("studies by modality, date and name", |study| {
        vec![
            ("ModalitiesInStudy", pick(MODALITIES, study, 'm').into()),
            ("StudyDate", "20180101-20221231".into()),
            ("PatientName", format!("{}*", &pick(FAMILIES, study, 'f'))),
        ]
    }),
    studies("studies, a page far behind", |study| {
        vec![("offset", draw(study, 'o', 4000).to_string())]
    }),
    Kind {
        what: "series of a study",
        level: Level::Series,
        scope: Some(|study| (study_uid(study), None)),
        parameters: |_| vec![],
    },
    Kind {
        what: "series by name, middle",
        level: Level::Series,
        scope: None,
        parameters: |study| vec![("PatientName", format!("*{}*", middle(study)))],
    },
    Kind {
        what: "instances of a series",
        level: Level::Instance,
        scope: Some(|study| (study_uid(study), Some(series_uid(study, 1)))),
        parameters: |_| vec![],
    },
    Kind {
        what: "instances by UID",
        level: Level::Instance,
        scope: None,
        parameters: |study| {
            let sop = format!("{}.{}", series_uid(study, 0), study * STUDY_INSTANCES);
            vec![("SOPInstanceUID", sop)]
        },
    },
    Kind {
        what: "instances by modality and date",
        level: Level::Instance,
        scope: None,
        parameters: |study| {
            let modality = pick(MODALITIES, study, 'm').into();
            vec![("Modality", modality), ("StudyDate", "20200101-20211231".into())]
        },
    },
    Kind {
        what: "instances by patient ID",
        level: Level::Instance,
        scope: None,
        parameters: |study| vec![("PatientID", patient_id(study))],
    },
];

/// Searches about studies drawn at random.
fn measure(catalog: &SqliteCatalog, args: &CatalogArgs, kind: &Kind) -> Result<Latency> {
    let studies = args.instances / STUDY_INSTANCES;
    let (mut times, mut found) = (Vec::new(), 0u64);
    for turn in 0..args.searches {
        let study = draw(turn, 'q', studies);
        let parameters = (kind.parameters)(study);
        let scope = kind.scope.map(|scope| scope(study));
        let start = Instant::now();
        let mut query = Query::all(kind.level);
        if let Some((study, series)) = &scope {
            query = query.in_study(study);
            if let Some(series) = series {
                query = query.in_series(series);
            }
        }
        let query = query.with_parameters(&parameters)?;
        let page = Search { query: &query, after: 0, skip: query.offset, take: PAGE };
        catalog.search(&page, &mut |_| {
            found += 1;
            Ok(())
        })?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    ensure!(found > 0 || kind.what.contains("nobody"), "{}: nothing found", kind.what);
    times.sort_by(f64::total_cmp);
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok(Latency {
        what: kind.what,
        searches: args.searches,
        found: found as f64 / args.searches as f64,
        p50_ms: percentile(50),
        p95_ms: percentile(95),
        p99_ms: percentile(99),
    })
}

fn rate_table(rates: &[Rate]) -> Table {
    let mut table = Table::new(["COMMITS", "INSTANCES", "CATALOG S", "INSTANCES/S", "CPU US EACH"]);
    for rate in rates {
        table.row([
            rate.what.to_owned(),
            grouped(rate.instances),
            format!("{:.2}", rate.wall_s),
            grouped(rate.instances_per_s as u64),
            format!("{:.0}", rate.cpu_us_per_instance),
        ]);
    }
    table
}

fn latency_table(latencies: &[Latency]) -> Table {
    let mut table = Table::new(["SEARCH", "FOUND", "P50 MS", "P95 MS", "P99 MS"]);
    for latency in latencies {
        table.row([
            latency.what.to_owned(),
            format!("{:.1}", latency.found),
            format!("{:.2}", latency.p50_ms),
            format!("{:.2}", latency.p95_ms),
            format!("{:.2}", latency.p99_ms),
        ]);
    }
    table
}
