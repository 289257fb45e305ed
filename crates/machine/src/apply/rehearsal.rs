//! A command tried under the version that is to come, from the very state that it is applied to.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::requests::{Played, ended, raise, takes};
use super::{CommandContext, Effects, Tables};
use crate::entry::RequestView;
use crate::event_contract::{EVENT_VERSION_FIRST, bring_down};
use crate::machine::{Machine, Stop, World};
use crate::{
    ApplicationVersion, Call, Catalog, Change, ChangeId, End, Failure, FailureCode, Index, Lossy, Manifest, Miscast,
    Misuse, Outcome, StateError, TableId, Trial,
};

/// Tables that only the new version has get their ids when it takes over. Until then they are these and those below, which
/// no table ever has, so that they are empty.
const NOT_YET: TableId = TableId(u32::MAX);

impl Machine {
    /// Tries a command under the version that a change will bring, if this node is to do so now. `real` is how it ended under
    /// the version in force; nothing of that has reached the state yet.
    pub(super) fn rehearse(
        &self,
        request: &RequestView<'_>,
        (index, place): (Index, usize),
        (tables, real): (&Tables<'_>, &Played<'_>),
        world: &mut World<'_>,
    ) {
        let catalog = &*self.catalog;
        let Some(rehearser) = world.rehearser.as_deref_mut() else {
            return;
        };
        let Some((id, change, window)) = open_window(catalog, request.application) else {
            return;
        };
        if !rehearser.wants(id, window, index, place) {
            return;
        }
        let ids = ids_to_come(catalog, change, tables);
        let Some(to_come) = Tables::to_come(catalog, change, &ids) else {
            return;
        };
        let (applications, converter) = rehearser.hosts();
        let seed = (index.0, place as u64);
        let read = &*world.txn;
        let raised = match takes(&to_come, request) {
            Ok(upcasts) => raise(&to_come, &upcasts, request, &mut *converter),
            Err(failure) => Ok(Err(failure)),
        };
        let mut context = CommandContext::writing(&to_come, read, converter, self.position.time, index, seed);
        let manifest = &to_come.version.manifest;
        let outcome = match raised {
            Err(stop) => Err(why(&stop)),
            Ok(Err(failure)) => Ok(Outcome::Failed(failure)),
            Ok(Ok(raised)) => {
                let as_it_is = (request.version, Bytes::copy_from_slice(request.payload));
                let (version, payload) = raised.unwrap_or(as_it_is);
                let call = Call::Apply {
                    command: request.command,
                    version,
                    payload: &payload,
                };
                let outcome = applications.call(manifest, &to_come.version.code, call, &mut context);
                outcome.map_err(Stop::from).and_then(ended).map_err(|stop| why(&stop))
            }
        };
        let end = outcome.and_then(|outcome| seen_from_before(&mut context, tables.version, outcome));
        match end {
            Ok((new, lossy)) => rehearser.tried(Trial {
                change: id,
                index,
                place,
                command: request.command,
                real: real.end(tables),
                new,
                lossy,
                declared: to_come.contract().map_or(&[], |contract| &contract.differences),
                transform: to_come.transform(),
            }),
            Err(error) => rehearser.failed(id, &error),
        }
    }

    /// Opens the window that the catalog says was opened by the entry at `index`, and knows whether any is open.
    pub(super) fn settle_rehearsals(&mut self, index: Index, world: &mut World<'_>) {
        if let Some(rehearser) = world.rehearser.as_deref_mut() {
            for (id, rehearsal) in &self.catalog.rehearsals {
                let plan = self.catalog.rehearsal_plan(*id);
                if let Some((window, plan)) = rehearsal.windows.get(&index).zip(plan) {
                    rehearser.open(*id, index, &window.nodes, plan);
                }
            }
        }
        self.rehearsing = self.catalog.is_rehearsing();
    }
}

/// Stream, key and value.
type EventSeen = (String, Option<Bytes>, Bytes);

/// What would stop the node in apply only ends this trial.
fn why(stop: &Stop) -> StateError {
    StateError(stop.reason().to_owned())
}

/// The window of that application's change that is open.
fn open_window<'c>(catalog: &'c Catalog, application: &str) -> Option<(ChangeId, &'c Change, Index)> {
    let (id, change) = catalog.running_change(application)?;
    Some((id, change, catalog.rehearsals.get(&id)?.open?))
}

/// The tables of the new version: those that are there, and ids for those that are not.
fn ids_to_come(catalog: &Catalog, change: &Change, tables: &Tables<'_>) -> BTreeMap<String, TableId> {
    let application = catalog.applications.get(&change.application);
    let version = application.and_then(|application| application.versions.get(&change.to));
    let names = version.into_iter().flat_map(|version| &version.manifest.tables);
    let ids = names.zip(0..).map(|(table, place)| {
        let known = tables.id(&table.name);
        (table.name.clone(), known.unwrap_or(TableId(NOT_YET.0 - place)))
    });
    ids.collect()
}

/// What the new version did, in the shapes of the one before; and the documents that change on the way there and back.
fn seen_from_before<'a>(
    context: &mut CommandContext<'a>,
    before: &'a ApplicationVersion,
    outcome: Outcome,
) -> Result<(End, Vec<Lossy>), StateError> {
    let effects = context.take_effects();
    let tables = context.tables();
    let mut lossy = Vec::new();
    let mut end = End {
        events: Vec::new(),
        rows: BTreeMap::new(),
        outcome,
    };
    if !matches!(end.outcome, Outcome::Applied(_)) {
        return Ok((end, lossy));
    }
    end.events = match events_from_before(context, before, &effects) {
        Ok(events) => events,
        Err(Miscast::Stop(stop)) => return Err(why(&stop)),
        Err(Miscast::Failed(detail)) => {
            let failure = Failure::new(FailureCode::CastFailed, detail);
            return Ok((failed(failure), Vec::new()));
        }
    };
    for (id, key, row) in effects.writes.all() {
        let Some((name, old)) = tables
            .name(id)
            .and_then(|name| Some((name, before.manifest.table(name)?)))
        else {
            continue;
        };
        let place = (name.to_owned(), Bytes::copy_from_slice(key));
        let Some(row) = row else {
            end.rows.insert(place, None);
            continue;
        };
        if row.shape == old.shape {
            end.rows.insert(place, Some(row.document.clone()));
            continue;
        }
        let down = match context.convert(before, name, key, &row.document, (row.shape, old.shape)) {
            Ok(down) => down,
            Err(Misuse::State(error)) => return Err(error),
            Err(Misuse::Failed(failure)) => return Ok((failed(failure), Vec::new())),
        };
        let again = match context.convert(tables.version, name, key, &down, (old.shape, row.shape)) {
            Ok(again) => again,
            Err(Misuse::State(error)) => return Err(error),
            Err(Misuse::Failed(Failure { detail, .. })) => Bytes::from(detail),
        };
        if again != row.document {
            lossy.push(Lossy {
                table: place.0.clone(),
                key: place.1.clone(),
                wrote: row.document.clone(),
                reads: again,
            });
        }
        end.rows.insert(place, Some(down));
    }
    Ok((end, lossy))
}

fn failed(failure: Failure) -> End {
    End {
        outcome: Outcome::Failed(failure),
        events: Vec::new(),
        rows: BTreeMap::new(),
    }
}

/// What the new version emitted, in the versions of the one before, where a program brings it down.
fn events_from_before(
    context: &mut CommandContext<'_>,
    before: &ApplicationVersion,
    effects: &Effects,
) -> Result<Vec<EventSeen>, Miscast> {
    let tables = context.tables();
    let manifest = &tables.version.manifest;
    let mut events = events_of(effects, manifest);
    let (Some(contract), Some(transform)) = (tables.contract(), tables.transform()) else {
        return Ok(events);
    };
    let known = tables.contract_of(before.manifest.version);
    for (stream, _, value) in &mut events {
        let (from, to) = (
            contract.events.version_of(stream),
            known.map_or(EVENT_VERSION_FIRST, |known| known.events.version_of(stream)),
        );
        let Some(casts) = contract.events.downcasts_of(stream, from, to) else {
            continue;
        };
        *value = bring_down(transform, &casts, value, context.converter())?;
    }
    Ok(events)
}

fn events_of(effects: &Effects, manifest: &Manifest) -> Vec<EventSeen> {
    let events = effects.events.iter().map(|(place, (key, value))| {
        let stream = manifest.streams.get(place).cloned().unwrap_or_default();
        (stream, key.map(Bytes::copy_from_slice), Bytes::copy_from_slice(value))
    });
    events.collect()
}

impl Played<'_> {
    /// All of it, for somebody who keeps it.
    fn end(&self, tables: &Tables<'_>) -> End {
        let mut end = End {
            outcome: self.outcome.clone(),
            events: Vec::new(),
            rows: BTreeMap::new(),
        };
        if matches!(self.outcome, Outcome::Applied(_)) {
            end.events = events_of(self.effects, &tables.version.manifest);
            let rows = self.effects.writes.all().filter_map(|(id, key, row)| {
                let place = (tables.name(id)?.to_owned(), Bytes::copy_from_slice(key));
                Some((place, row.as_ref().map(|row| row.document.clone())))
            });
            end.rows = rows.collect();
        }
        end
    }
}
