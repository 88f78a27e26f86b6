//! What sites say to each other about a study: the record of what it is ([`record`]), what of it is
//! wanted ([`wants`]), and the bytes ([`frames`]). Everything from outside is bounded before memory is
//! taken for it.

pub(crate) mod frames;
pub(crate) mod record;
pub(crate) mod wants;
