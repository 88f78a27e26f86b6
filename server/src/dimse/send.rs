//! Studies to another archive: C-STORE as SCU.

use std::convert::Infallible;
use std::sync::Arc;

use cairn_store::catalog::VersionRow;
use serde::Serialize;

use super::pool::Pool;
use super::settings::{Peer, Settings};
use super::ship::{Fate, Shipment};
use super::status;
use crate::http::App;

/// What became of the objects of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sent {
    /// Objects that the receiver took.
    pub(crate) instances: u64,
    /// Those of them that it took with a warning.
    pub(crate) warnings: u64,
    /// Objects that it does not take.
    pub(crate) failed: u64,
    /// Objects that were not tried: it is out of reach, or somebody asked to end.
    pub(crate) untried: u64,
    /// Statuses of refusals.
    pub(crate) statuses: Vec<String>,
}

/// Sends them; `told` is called now and then with how many have their fate, and says whether to go on.
pub(crate) fn send(
    app: &Arc<App>,
    settings: &Settings,
    peer: &Peer,
    versions: Vec<VersionRow>,
    told: &mut dyn FnMut(usize) -> bool,
) -> Sent {
    let all = versions.len();
    let pool = Arc::new(Pool::default());
    let shipment = Arc::new(Shipment {
        app: Arc::clone(app),
        settings: settings.clone(),
        pool: Arc::clone(&pool),
        peer: peer.clone(),
        originator: None,
    });
    let (mut sent, mut done) = (Sent::default(), 0);
    let mut note = |event| -> Result<bool, Infallible> {
        if let Some((_, fate)) = event {
            done += 1;
            sent.note(fate);
        }
        Ok(told(done))
    };
    match shipment.run(versions, &mut note) {
        Ok(()) => {}
        Err(never) => match never {},
    }
    pool.end();
    sent.untried += (all - done) as u64;
    sent
}

impl Sent {
    fn note(&mut self, fate: Fate) {
        let refusal = match fate {
            Fate::Answered(code) if status::class(code) == "success" => {
                self.instances += 1;
                return;
            }
            Fate::Answered(code) if status::class(code) == "warning" => {
                self.instances += 1;
                self.warnings += 1;
                return;
            }
            Fate::Untried => {
                self.untried += 1;
                return;
            }
            Fate::Answered(code) => format!("{code:04X}"),
            Fate::NotAccepted => "not accepted".into(),
            Fate::Unreadable => "unreadable".into(),
            Fate::Broke => "broke off".into(),
        };
        self.failed += 1;
        if !self.statuses.contains(&refusal) {
            self.statuses.push(refusal);
        }
    }
}
