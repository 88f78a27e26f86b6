//! Searches as viewers ask them, and how long they take.

use std::time::Instant;

use anyhow::{Result, ensure};
use cairn_dicom::attributes::Level;
use cairn_dicom::query::Query;
use cairn_store::catalog::{Catalog, Search, SqliteCatalog};
use serde::Serialize;

use super::CatalogArgs;
use super::rows::{
    FAMILIES, GIVEN, MODALITIES, STUDY_INSTANCES, accession, date, draw, middle, name, patient_id,
    pick, series_uid, study_uid,
};
use crate::table::Table;

/// A page as OHIF asks for it, and one more to see whether there is more.
const PAGE: u64 = 102;

/// How long searches of one kind took, in ms.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) what: &'static str,
    searches: u64,
    /// Found by one search, on average.
    found: f64,
    p50_ms: f64,
    pub(super) p95_ms: f64,
    p99_ms: f64,
}

/// The study, and maybe series, that a search is within.
type Scope = fn(u64) -> (String, Option<String>);

/// A kind of search: its name, the level, and the parameters of the search about a study.
pub(super) struct Kind {
    what: &'static str,
    level: Level,
    scope: Option<Scope>,
    parameters: fn(u64) -> Vec<(&'static str, String)>,
}

const fn studies(what: &'static str, parameters: fn(u64) -> Vec<(&'static str, String)>) -> Kind {
    Kind { what, level: Level::Study, scope: None, parameters }
}

pub(super) const KINDS: &[Kind] = &[
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
pub(super) fn measure(catalog: &SqliteCatalog, args: &CatalogArgs, kind: &Kind) -> Result<Latency> {
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
        let (skip, rows_max) = (query.offset, u64::MAX);
        let page = Search { query: &query, after: 0, skip, take: PAGE, rows_max };
        catalog.search(&page, &mut |_| {
            found += 1;
            Ok(())
        })?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    // A small catalog has nothing far behind.
    let may_miss = kind.what.contains("nobody") || kind.what.contains("far behind");
    ensure!(found > 0 || may_miss, "{}: nothing found", kind.what);
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

pub(super) fn latency_table(latencies: &[Latency]) -> Table {
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
