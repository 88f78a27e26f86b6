//! DICOMweb (PS3.18): one file, or folder, for each service.

pub(crate) mod capabilities;
pub(crate) mod commitment;
pub(crate) mod delete;
pub(crate) mod stow;
