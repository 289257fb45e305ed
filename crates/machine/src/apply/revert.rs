//! Changes that go back by themselves, as their plan asked for.

use crate::codec::Codec;
use crate::entry::RequestView;
use crate::machine::{Machine, Stop, World};
use crate::{AutomaticRevert, ChangeId, Index, Outcome, change};

use super::Tables;
use super::requests::takes;

impl Machine {
    /// Takes back what nobody confirmed until now, before anything of the entry at `index` is applied.
    pub(super) fn take_back_overdue(&mut self, index: Index) {
        if self.deadline.is_none_or(|deadline| deadline > self.position.time) {
            return;
        }
        let at = AutomaticRevert { index, place: 0 };
        for id in change::overdue(&self.catalog, self.position.time) {
            let why = "nobody has confirmed it in time";
            self.trail.clear();
            self.take_back(id, at, why);
            self.position.digest.chain(&self.trail);
        }
    }

    /// What the version before the change in force makes of a command on which the version in force trapped, if the
    /// change goes back in that case and that version does better; it is in force again then. Else none.
    pub(super) fn answer_as_before(
        &mut self,
        index: Index,
        place: usize,
        request: &RequestView<'_>,
        world: &mut World<'_>,
    ) -> Result<Option<Outcome>, Stop> {
        let catalog = self.catalog.clone();
        let application = catalog.applications.get(request.application);
        let Some(id) = application.and_then(|application| application.reversible) else {
            return Ok(None);
        };
        if !catalog.reverts_on_trap(id) {
            return Ok(None);
        }
        let Some(tables) = Tables::before(&catalog, id) else {
            return Ok(None);
        };
        // A command that is the new version's own says nothing for the old one.
        if takes(&tables.version.manifest, request).is_err() {
            return Ok(None);
        }
        let outcome = match self.call(&tables, index, place, request, world)? {
            Outcome::Failed(_) | Outcome::SessionExpired => return Ok(None),
            outcome @ (Outcome::Applied(_) | Outcome::Refused(_)) => outcome,
        };
        let why = format!(
            "taken back by itself: version {} trapped on command {} of entry {index}, and version {} did not",
            catalog
                .in_force(request.application)
                .map_or_else(Default::default, |version| version.manifest.version),
            request.command,
            tables.version.manifest.version,
        );
        let place = place as u64;
        self.take_back(id, AutomaticRevert { index, place }, &why);
        Ok(Some(outcome))
    }

    fn take_back(&mut self, id: ChangeId, at: AutomaticRevert, why: &str) {
        let time = self.position.time;
        change::revert_by_itself(self.catalog_mut(), id, at, time, why);
        self.deadline = self.catalog.deadline();
        // What nodes decided alike is part of what they compare.
        id.encode(&mut self.trail);
        at.encode(&mut self.trail);
    }
}
