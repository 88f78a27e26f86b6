//! The sheet that a patient takes home: read, written, and shown.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cairn_ledger::id::{SiteId, StudyId};
use cairn_store::disk::{Disk, OsDisk};
use clap::Args;

use super::text_of;
use crate::error::{Error, Result};
use crate::output::{Align, Table, clean, time};
use crate::sharing::Fault;
use crate::sharing::patients::{Sheet, SheetStudy};

/// Which study of which sheet.
#[derive(Debug, Args)]
pub(super) struct Meant {
    /// The sheet
    #[arg(long, value_name = "FILE")]
    pub(super) sheet: PathBuf,
    /// The study: the beginning of its name on the ledger, or its Study Instance UID
    #[arg(long, value_name = "STUDY")]
    pub(super) study: String,
}

impl Meant {
    /// Reads the sheet and finds the study.
    pub(super) fn read(&self) -> Result<(Sheet, SheetStudy)> {
        let sheet = read(&self.sheet)?;
        let named = |study: &&SheetStudy| {
            study.study.starts_with(&self.study.to_ascii_lowercase())
                || study.study_uid.as_deref() == Some(self.study.as_str())
        };
        let mut meant = sheet.studies.iter().filter(named);
        let (first, more) = (meant.next().cloned(), meant.next().is_some());
        match first.filter(|_| !more && !self.study.is_empty()) {
            Some(study) => Ok((sheet, study)),
            None => Err(Fault::Patient("the sheet has no such study, or several".into()).into()),
        }
    }
}

impl Sheet {
    /// Whose sheet it is.
    pub(super) fn owner(&self) -> Result<SiteId> {
        let fault = || Fault::Patient("the sheet does not say of which site it is".into());
        Ok(SiteId::from_hex(&self.site).ok_or_else(fault)?)
    }
}

impl SheetStudy {
    /// Its name on the ledger.
    pub(super) fn id(&self) -> Result<StudyId> {
        let fault = || Fault::Patient("the sheet's study has no name".into());
        Ok(StudyId::from_hex(&self.study).ok_or_else(fault)?)
    }
}

pub(super) fn read(file: &Path) -> Result<Sheet> {
    let fault = || Fault::File { file: file.display().to_string(), why: "it is no sheet".into() };
    Ok(serde_json::from_str(&text_of(file)?).map_err(|_| fault())?)
}

/// Writes a sheet, for its owner alone; in the place of an earlier one.
pub(super) fn write(file: &Path, sheet: &Sheet) -> Result<()> {
    let fault = |error: serde_json::Error| Fault::Patient(error.to_string());
    let text = serde_json::to_string_pretty(sheet).map_err(fault)? + "\n";
    let file = std::path::absolute(file).map_err(Error::io("find", file))?;
    let new = file.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &new)(error));
        }
        _ => {}
    }
    cairn_store::keys::write_private(&new, &text)?;
    OsDisk.rename(&new, &file).map_err(Error::io("rename", &new))
}

/// For people.
pub(super) fn told(sheet: &Sheet) -> String {
    let mut text = format!("at {}, {}\n\n", clean(&sheet.name), time(sheet.told * 1000));
    for study in &sheet.studies {
        let asked = if study.required { "; granted with your signature only" } else { "" };
        let what = [&study.date, &study.modalities, &study.description].map(|part| clean(part));
        let what: Vec<String> = what.into_iter().filter(|part| !part.is_empty()).collect();
        let what = if what.is_empty() { "not here any more".to_owned() } else { what.join(" ") };
        let name: String = clean(&study.study).chars().take(16).collect();
        let _ = writeln!(text, "{name}  {what}{asked}");
        text += &grants(study);
        for seen in &study.seen {
            let (who, when) = (clean(&seen.site_name), time(seen.began * 1000));
            let _ = writeln!(text, "  read by {who}, {when}: {}", clean(&seen.how));
        }
        text.push('\n');
    }
    text
}

fn grants(study: &SheetStudy) -> String {
    if study.grants.is_empty() {
        return "  nobody else may read it\n".into();
    }
    let mut table = Table::new(&[
        ("  GRANT", Align::Right),
        ("SITE", Align::Left),
        ("FOR", Align::Left),
        ("UNTIL", Align::Left),
        ("STATE", Align::Left),
        ("BY", Align::Left),
    ]);
    for grant in &study.grants {
        let state = match (grant.revoked, grant.is_usable) {
            (Some(_), _) => "revoked",
            (None, true) => "may read",
            (None, false) => "may not read",
        };
        table.row(vec![
            grant.grant.to_string(),
            clean(&grant.site_name),
            grant.purpose.clone(),
            time(grant.expires * 1000),
            state.into(),
            if grant.by_consent { "your signature".into() } else { "the hospital".into() },
        ]);
    }
    table.render()
}
