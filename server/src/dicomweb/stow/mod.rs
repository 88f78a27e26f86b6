//! STOW-RS.

use std::sync::Arc;

use crate::http::{Answer, App, Ask, Problem};

/// Stores.
pub(crate) async fn store(_app: &Arc<App>, _study: Option<String>, _ask: Ask) -> Answer {
    Err(Problem::not_implemented())
}
