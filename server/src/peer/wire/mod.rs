//! What sites say to each other about a study: the record of what it is ([`record`]), what of it is
//! wanted ([`wants`]), the bytes ([`frames`]), and what is lent of the bucket instead ([`loans`]). Everything from outside is bounded before memory is
//! taken for it.

pub(crate) mod frames;
pub(crate) mod loans;
pub(crate) mod record;
pub(crate) mod wants;
