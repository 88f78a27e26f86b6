//! DICOMweb (PS3.18): one file, or folder, for each service.

// Handlers that use the rest land one by one.
#![allow(dead_code, unused_imports)]

pub(crate) mod accept;
pub(crate) mod capabilities;
pub(crate) mod commitment;
pub(crate) mod delete;
pub(crate) mod multipart;
pub(crate) mod qido;
pub(crate) mod stow;
