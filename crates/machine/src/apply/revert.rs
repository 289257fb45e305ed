//! Changes that go back by themselves, as their plan asked for.

use crate::codec::Codec;
use crate::entry::RequestView;
use crate::machine::{Machine, Stop, World};
use crate::{AutomaticRevert, Catalog, ChangeId, FailureCode, Guarded, Index, Outcome, Upcast, Version, change};

use super::Tables;
use super::requests::{Keep, takes};

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

    /// What the version before the change in force makes of a command on which the version in force failed with `code`, if the
    /// change goes back in that case and that version does better; it is in force again then. Else none.
    pub(super) fn answer_as_before(
        &mut self,
        (index, place): (Index, usize),
        code: FailureCode,
        request: &RequestView<'_>,
        world: &mut World<'_>,
    ) -> Result<Option<Outcome>, Stop> {
        let catalog = self.catalog.clone();
        let Some(before) = Before::of(&catalog, request) else {
            return Ok(None);
        };
        if !before.guarded.safeguards.revert_on_trap {
            return Ok(None);
        }
        let outcome = match before.call(self, (index, place), request, world, Keep::Effects)? {
            Outcome::Failed(_) | Outcome::SessionExpired => return Ok(None),
            // A payload that is none for the old version either says nothing against the new one's program.
            refused @ Outcome::Refused(_) if code == FailureCode::CastFailed => return Ok(Some(refused)),
            outcome @ (Outcome::Applied(_) | Outcome::Refused(_)) => outcome,
        };
        let id = before.change;
        let (old, new) = (before.tables.version.manifest.version, to(&catalog, id));
        let why = format!(
            "taken back by itself: version {new} trapped on command {} of entry {index}, and version {old} did not",
            request.command
        );
        let place = place as u64;
        self.take_back(id, AutomaticRevert { index, place }, &why);
        Ok(Some(outcome))
    }

    /// Counts a command that the version in force refused, if the change in force is watched for that and the version
    /// before would have applied it. With one more than may be, that version is in force again, and this is its answer.
    pub(super) fn count_refusal(
        &mut self,
        index: Index,
        place: usize,
        request: &RequestView<'_>,
        world: &mut World<'_>,
    ) -> Result<Option<Outcome>, Stop> {
        let catalog = self.catalog.clone();
        let Some(before) = Before::of(&catalog, request) else {
            return Ok(None);
        };
        let Some(max) = before.guarded.safeguards.refusals_max else {
            return Ok(None);
        };
        let is_last = before.guarded.refusals >= max;
        let keep = if is_last { Keep::Effects } else { Keep::Nothing };
        let outcome = match before.call(self, (index, place), request, world, keep)? {
            Outcome::Failed(_) | Outcome::Refused(_) | Outcome::SessionExpired => return Ok(None),
            outcome @ Outcome::Applied(_) => outcome,
        };
        let id = before.change;
        let refusals = before.guarded.refusals + 1;
        if let Some(guarded) = self.catalog_mut().guarded.get_mut(&id) {
            guarded.refusals = refusals;
        }
        // What nodes counted alike is part of what they compare.
        id.encode(&mut self.trail);
        refusals.encode(&mut self.trail);
        if !is_last {
            return Ok(None);
        }
        let (old, new) = (before.tables.version.manifest.version, to(&catalog, id));
        let why = format!(
            "taken back by itself: version {new} has refused {refusals} commands that version {old} would have applied, the \
             last one command {} of entry {index}",
            request.command
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

/// The change in force, and the version before it.
struct Before<'c> {
    change: ChangeId,
    guarded: &'c Guarded,
    tables: Tables<'c>,
    /// What brings the command into a version that this one takes.
    upcasts: Vec<&'c Upcast>,
}

impl<'c> Before<'c> {
    /// None where the version before does not take the command: one that is the new version's own says nothing for the old
    /// one.
    fn of(catalog: &'c Catalog, request: &RequestView<'_>) -> Option<Before<'c>> {
        let (change, guarded) = catalog.guard_of(request.application)?;
        let tables = Tables::before(catalog, change)?;
        let upcasts = takes(&tables, request).ok()?;
        Some(Before {
            change,
            guarded,
            tables,
            upcasts,
        })
    }

    fn call(
        &self,
        machine: &mut Machine,
        at: (Index, usize),
        request: &RequestView<'_>,
        world: &mut World<'_>,
        keep: Keep,
    ) -> Result<Outcome, Stop> {
        machine.call(&self.tables, at, request, &self.upcasts, world, keep)
    }
}

fn to(catalog: &Catalog, change: ChangeId) -> Version {
    catalog
        .changes
        .get(&change)
        .map_or_else(Version::default, |change| change.to)
}
