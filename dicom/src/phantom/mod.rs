//! Synthetic studies that look like real ones: for the demo, the tests and the benchmarks.
//!
//! Owns the making of instances whose headers are as long and as rich as a scanner's, and whose
//! pixels compress as real ones do: a CT slice about 2.5 times with plain zstd 3 and 3.8 times with
//! prediction, an MR slice about 1.9 and 2.8 times. Everything follows from a seed: the same call
//! gives the same bytes, on the same kind of machine. All UIDs are in the 2.25 arc.
//!
//! Makes files one at a time; nothing holds a whole study. Refuses nothing: this is no place to
//! look for damaged or hostile input. No person, device or hospital named here exists.

mod csa;
mod edit;
mod giant;
mod header;
mod image;
mod report;
mod rng;
mod slices;
mod small;
#[cfg(test)]
mod tests;
mod views;

pub use edit::{PhantomError, correct_demographics};
pub use giant::GiantCine;
pub use report::structured_report;
pub use slices::{ct, mr};
pub use small::many_small;
pub use views::{mammography, ultrasound_cine};

/// One file of a synthetic study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhantomFile {
    /// Relative path, unique within what one call makes, as `CT/IM0001.dcm`.
    pub name: String,
    /// The whole file: preamble, File Meta Information and data set.
    pub bytes: Vec<u8>,
}

/// Whom a synthetic study shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// Patient's Name (0010,0010).
    pub name: String,
    /// Patient ID (0010,0020).
    pub id: String,
    /// Patient's Birth Date (0010,0030), as `19620417`.
    pub birth_date: String,
    /// Patient's Sex (0010,0040).
    pub sex: String,
}

impl Default for Patient {
    fn default() -> Self {
        Self::of_seed(0)
    }
}

impl Patient {
    /// The patient in all studies of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        const FAMILY: [&str; 8] =
            ["Steinmann", "Achterberg", "Quarry", "Moorland", "Tarn", "Fellside", "Becker", "Rigg"];
        const GIVEN: [(&str, &str); 6] = [
            ("Anna Maria", "F"),
            ("Jonas", "M"),
            ("Ingrid", "F"),
            ("Peter Paul", "M"),
            ("Ruth", "F"),
            ("Emil", "M"),
        ];
        let pick = |label: &str, count: u64| rng::derive(seed, label, 0) % count;
        let (given, sex) = GIVEN[pick("given name", 6) as usize];
        let (year, month, day) = (pick("year", 60), pick("month", 12), pick("day", 28));
        Self {
            name: format!("{}^{given}", FAMILY[pick("family name", 8) as usize]),
            id: format!("PH{:08}", pick("patient id", 100_000_000)),
            birth_date: format!("{:04}{:02}{:02}", 1940 + year, month + 1, day + 1),
            sex: sex.to_owned(),
        }
    }
}

/// All kinds of study of one patient. With `scale` 1: 40 CT slices of 512 x 512, 24 MR slices of
/// 256 x 256, a cine of 24 frames, two mammograms and a report on the CT; 45 MB. A higher scale
/// gives as many times the slices, frames and views.
pub fn demo_studies(seed: u64, scale: u32) -> impl Iterator<Item = PhantomFile> {
    let scale = scale.max(1);
    ct(seed, 40 * scale, 512)
        .chain(mr(seed, 24 * scale, 256))
        .chain(std::iter::once_with(move || ultrasound_cine(seed, 24 * scale, 400)))
        .chain(mammography(seed, 2 * scale, 1664, 1280))
        .chain(std::iter::once_with(move || structured_report(seed)))
}
