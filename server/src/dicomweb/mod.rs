//! DICOMweb (PS3.18): one file, or folder, for each service.

pub(crate) mod accept;
pub(crate) mod ahead;
mod body;
pub(crate) mod bulkdata;
pub(crate) mod capabilities;
pub(crate) mod commitment;
pub(crate) mod delete;
pub(crate) mod frames;
pub(crate) mod image;
pub(crate) mod metadata;
pub(crate) mod multipart;
mod native_xml;
pub(crate) mod prefetch;
pub(crate) mod qido;
pub(crate) mod rendered;
pub(crate) mod retrieve;
pub(crate) mod room;
pub(crate) mod stow;
pub(crate) mod subject;
pub(crate) mod thumbnail;
pub(crate) mod transcode;
pub(crate) mod undecodable;
mod value;
pub(crate) mod wado_uri;
