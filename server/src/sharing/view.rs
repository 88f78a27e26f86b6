//! What a mirrored log says, to be read at any moment.
//!
//! Following a log takes as long as the network does, and holds its mirror meanwhile; questions are
//! answered at every request and cannot wait for that. So what was followed is kept a second time: a
//! view is brought up to date after its mirror, entry by entry, under a lock that nobody holds for long.

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::SignedEntry;
use cairn_ledger::evidence::Finding;
use cairn_ledger::federation::Member;
use cairn_ledger::mirror::Mirror;
use cairn_ledger::state::SiteState;

/// See the [module](self).
pub(super) struct View {
    pub(super) state: SiteState,
    /// The last checkpoint that was followed, without cosignatures.
    pub(super) head: Option<SignedCheckpoint>,
    /// Until when it is known to be the latest, in seconds since the epoch.
    pub(super) fresh_at: Option<u64>,
    pub(super) finding: Option<Finding>,
}

impl View {
    pub(super) fn of(mirror: &Mirror) -> Self {
        let member = mirror.member();
        Self {
            state: member.state.clone(),
            head: mirror.head().cloned(),
            fresh_at: member.fresh_at,
            finding: member.finding.cloned(),
        }
    }

    /// Brings it up to the mirror.
    pub(super) fn follow(&mut self, mirror: &Mirror) {
        let reader = mirror.reader();
        let new = self.state.next()..reader.size();
        // They were checked when the mirror took them in.
        let applied = reader.for_each(new, &mut |_, bytes| {
            Ok(self.state.apply_known(&SignedEntry::decode(bytes)?)?)
        });
        if applied.is_err() {
            *self = Self::of(mirror);
            return;
        }
        let member = mirror.member();
        self.head = mirror.head().cloned();
        self.fresh_at = member.fresh_at;
        self.finding = member.finding.cloned();
    }

    pub(super) fn member(&self) -> Member<'_> {
        Member { state: &self.state, fresh_at: self.fresh_at, finding: self.finding.as_ref() }
    }
}
