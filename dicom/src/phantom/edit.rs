//! Corrections to a stored instance, as an archive or a workstation makes them.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::{OpenFileOptions, ReadError, WriteError};

/// Why an instance could not be corrected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhantomError {
    /// The bytes are not a readable DICOM file.
    #[error("the file to correct cannot be read")]
    Read(#[source] Box<ReadError>),
    /// The corrected object cannot be written.
    #[error("the corrected file cannot be written")]
    Write(#[source] Box<WriteError>),
}

/// The file after a patient merge: other Patient's Name, Patient ID and Accession Number,
/// everything else as it was, pixels above all. Written anew, so lengths and encoding may differ
/// elsewhere too.
pub fn correct_demographics(
    part10: &[u8],
    name: &str,
    id: &str,
    accession: &str,
) -> Result<Vec<u8>, PhantomError> {
    let mut object = OpenFileOptions::new()
        .from_reader(part10)
        .map_err(|error| PhantomError::Read(Box::new(error)))?;
    object.put_str(tags::PATIENT_NAME, VR::PN, name);
    object.put_str(tags::PATIENT_ID, VR::LO, id);
    object.put_str(tags::ACCESSION_NUMBER, VR::SH, accession);
    let mut out = Vec::with_capacity(part10.len() + 256);
    object.write_all(&mut out).map_err(|error| PhantomError::Write(Box::new(error)))?;
    Ok(out)
}
