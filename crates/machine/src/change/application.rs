//! The change of one application from one version to another: planned, prepared, switched, finalized or taken back.

use std::collections::BTreeMap;

use super::preconditions;
use crate::apply::refused;
use crate::{
    Application, ApplicationVersion, AutomaticRevert, Catalog, Change, ChangeEvent, ChangeId, ChangeStep, Code,
    Contract, Decision, Guarded, Index, Manifest, Module, NodeReady, PlanApplication, PlanGuarded, Readiness,
    Safeguards, Stage, Step, TRANSFORM, TableId, TimeMs, Version, limits,
};
use crate::{collection, conversion};

/// Plans a change, or says why not.
pub(crate) fn plan_application(catalog: &mut Catalog, index: Index, time: TimeMs, plan: PlanApplication) -> Decision {
    plan_with(catalog, index, time, plan, &Safeguards::default())
}

fn plan_with(
    catalog: &mut Catalog,
    index: Index,
    time: TimeMs,
    plan: PlanApplication,
    safeguards: &Safeguards,
) -> Decision {
    if let Err(refusal) = preconditions::check(catalog, &plan, safeguards) {
        return refusal;
    }
    if safeguards.contract.is_none() {
        forget_contract(catalog, &plan.manifest.application, plan.manifest.version);
    }
    let mut broken = preconditions::dropped_commands(catalog, &plan, safeguards);
    if !broken.is_empty() {
        broken = vec![format!("which drops {}", broken.join(", "))];
    }
    broken.extend(preconditions::broken_events(catalog, &plan, safeguards));
    let PlanApplication {
        manifest,
        code,
        finalize,
    } = plan;
    let (name, to) = (manifest.application.clone(), manifest.version);
    let application = catalog
        .applications
        .entry(name.clone())
        .or_insert_with(Application::planned);
    application.versions.insert(to, ApplicationVersion { manifest, code });
    let from = application.in_force;
    let what = match from {
        Some(from) => format!("planned: {name} from version {from} to version {to}"),
        None => format!("planned: install {name} version {to}"),
    };
    let what = match &safeguards.allow_breaking {
        Some(why) if !broken.is_empty() => format!("{what}, {} ({why})", broken.join("; ")),
        Some(_) | None => what,
    };
    let change = Change {
        application: name,
        from,
        to,
        stage: Stage::Preparing,
        finalize,
        readiness: Default::default(),
        switch_index: None,
        tables_before: Default::default(),
        history: vec![ChangeEvent { index, time, what }],
    };
    catalog.changes.insert(ChangeId(index.0), change);
    forget_oldest(catalog);
    Decision::Planned(ChangeId(index.0))
}

/// Plans a change that looks after itself, or says why not.
pub(crate) fn plan_guarded(catalog: &mut Catalog, index: Index, time: TimeMs, planned: PlanGuarded) -> Decision {
    let PlanGuarded { plan, mut safeguards } = planned;
    if let Err(refusal) = preconditions::check_safeguards(catalog, &plan, &safeguards) {
        return refusal;
    }
    let (name, version) = (plan.manifest.application.clone(), plan.manifest.version);
    let decision = plan_with(catalog, index, time, plan, &safeguards);
    if let Decision::Planned(id) = decision {
        if let Some(contract) = safeguards.contract.take() {
            keep_contract(catalog, &name, version, *contract);
        }
        let guarded = Guarded {
            safeguards,
            ..Guarded::default()
        };
        catalog.guarded.insert(id, guarded);
    }
    decision
}

/// Keeps what a version promises, with the version of what runs its programs.
fn keep_contract(catalog: &mut Catalog, name: &str, version: Version, mut contract: Contract) {
    let transform = catalog.in_force(TRANSFORM).map(|version| version.manifest.version);
    contract.transform = transform.filter(|_| contract.programs().next().is_some());
    let versions = catalog.contracts.entry(name.to_owned()).or_default();
    versions.insert(version, contract);
}

fn forget_contract(catalog: &mut Catalog, name: &str, version: Version) {
    if let Some(versions) = catalog.contracts.get_mut(name) {
        versions.remove(&version);
        if versions.is_empty() {
            catalog.contracts.remove(name);
        }
    }
}

/// A node's report on what a change needs.
pub(crate) fn node_ready(catalog: &mut Catalog, index: Index, time: TimeMs, report: NodeReady) -> Decision {
    let name = catalog.node_name(report.node);
    let Some(change) = catalog.changes.get_mut(&report.change) else {
        return refused("unknown_change", format!("there is no change {}", report.change));
    };
    if change.stage.is_final() {
        return Decision::Done { index };
    }
    let what = match &report.readiness {
        Readiness::Ready { instrumented } => format!("{name} is ready (runs {})", instrumented.short()),
        Readiness::Failed { reason } => format!("{name} cannot run it: {reason}"),
    };
    if change.readiness.get(&report.node) != Some(&report.readiness) {
        change.readiness.insert(report.node, report.readiness);
        change.history.push(ChangeEvent { index, time, what });
    }
    settle_readiness(catalog, index, time);
    Decision::Done { index }
}

/// Moves changes between preparing and ready, after a report or a change of members.
pub(crate) fn settle_readiness(catalog: &mut Catalog, index: Index, time: TimeMs) {
    let voters = catalog.voters.clone();
    for change in catalog.changes.values_mut() {
        let ready = super::report::ready_digest(change, &voters).is_some();
        let (stage, what) = match (change.stage, ready) {
            (Stage::Preparing, true) => (Stage::Ready, "every voter is ready"),
            (Stage::Ready, false) => (Stage::Preparing, "a voter that is not ready has joined"),
            (Stage::Preparing | Stage::Ready, _)
            | (Stage::Switched | Stage::Finalized | Stage::Aborted | Stage::Reverted, _) => continue,
        };
        change.stage = stage;
        change.history.push(ChangeEvent {
            index,
            time,
            what: what.to_owned(),
        });
    }
}

/// Takes a step of a change, or says why not.
pub(crate) fn take_step(catalog: &mut Catalog, index: Index, time: TimeMs, asked: &ChangeStep) -> Decision {
    let Some(change) = catalog.changes.get(&asked.change) else {
        return refused("unknown_change", format!("there is no change {}", asked.change));
    };
    let stage = change.stage;
    let taken = match (asked.step, stage) {
        (Step::Switch, Stage::Preparing | Stage::Ready) => switch(catalog, index, time, asked.change),
        (Step::Finalize, Stage::Switched) => finalize(catalog, time, asked.change),
        (Step::Revert, Stage::Switched) => revert(catalog, index, time, asked.change),
        (Step::Abort, Stage::Preparing | Stage::Ready) => abort(catalog, asked.change),
        (Step::Confirm, Stage::Switched) => confirm(catalog, asked.change),
        (Step::Approve, Stage::Preparing | Stage::Ready) => approve(catalog, asked.change),
        (Step::Switch | Step::Finalize | Step::Revert | Step::Abort | Step::Confirm | Step::Approve, _) => {
            Err(step_refused(asked, change))
        }
    };
    match taken {
        Ok(what) => {
            if let Some(change) = catalog.changes.get_mut(&asked.change) {
                let what = if asked.reason.is_empty() {
                    what
                } else {
                    format!("{what} ({})", asked.reason)
                };
                change.history.push(ChangeEvent { index, time, what });
            }
            Decision::Done { index }
        }
        Err(refusal) => refusal,
    }
}

fn step_refused(asked: &ChangeStep, change: &Change) -> Decision {
    let why = match (asked.step, change.stage) {
        (Step::Revert, Stage::Finalized) => {
            "it is finalized: there is no way back; bring the old rules as a new version"
        }
        (Step::Revert, Stage::Preparing | Stage::Ready) => "it has not switched yet: abort it",
        (Step::Abort, Stage::Switched) => "it has switched already: revert it",
        (Step::Finalize | Step::Confirm, Stage::Preparing | Stage::Ready) => {
            "it has not switched yet: wait, or abort it"
        }
        (Step::Switch | Step::Approve, Stage::Switched) => "it has switched already",
        (Step::Switch | Step::Finalize | Step::Revert | Step::Abort | Step::Confirm | Step::Approve, _) => {
            "it has ended"
        }
    };
    let word = match asked.step {
        Step::Switch => "switch",
        Step::Finalize => "finalize",
        Step::Revert => "revert",
        Step::Abort => "abort",
        Step::Confirm => "confirm",
        Step::Approve => "approve",
    };
    refused(
        "step_refused",
        format!(
            "cannot {word} change {}, which is {}: {why}",
            asked.change,
            change.stage.name()
        ),
    )
}

/// The switch itself: what is checked here is checked on every node at this very entry.
fn switch(catalog: &mut Catalog, index: Index, time: TimeMs, id: ChangeId) -> Result<String, Decision> {
    let blockers = super::report(catalog, id, time).blockers;
    if let Some(blocker) = blockers.first() {
        return Err(refused(
            "change_blocked",
            format!("change {id} cannot switch: {}", blocker.what),
        ));
    }
    let missing = || refused("unknown_change", format!("change {id} names a version that is gone"));
    let change = catalog.changes.get_mut(&id).ok_or_else(missing)?;
    let application = catalog.applications.get_mut(&change.application).ok_or_else(missing)?;
    change.tables_before = take_over(application, &mut catalog.table_next, index, change.to).ok_or_else(missing)?;
    change.switch_index = Some(index);
    // An installation has nothing to go back to.
    let ends_here = change.finalize || change.from.is_none();
    change.stage = if ends_here { Stage::Finalized } else { Stage::Switched };
    application.reversible = (!ends_here).then_some(id);
    catalog.removed.remove(&change.application);
    let (name, from, to) = (change.application.clone(), change.from, change.to);
    collection::take_up(catalog, &name, to);
    if let Some(guarded) = catalog.guarded.get_mut(&id).filter(|_| !ends_here) {
        let within = guarded.safeguards.confirm_within_ms;
        guarded.deadline = within.map(|within| TimeMs(time.0.saturating_add(within)));
    }
    let last = if ends_here { "; finalized" } else { "" };
    let what = format!("switched: version {to} answers from entry {} on{last}", index.next());
    super::rehearsal::end_rehearsal(catalog, id);
    if ends_here {
        conversion::begin(catalog, time, &name, from);
    }
    Ok(what)
}

/// A version that is kept answers from the entry after `index` on. Gives the tables of the version before.
fn take_over(
    application: &mut Application,
    table_next: &mut TableId,
    index: Index,
    to: Version,
) -> Option<BTreeMap<String, TableId>> {
    let manifest = &application.versions.get(&to)?.manifest;
    let before = std::mem::take(&mut application.tables);
    for table in &manifest.tables {
        let known = before.get(&table.name).copied();
        let table_id = known.unwrap_or(*table_next);
        if known.is_none() {
            table_next.0 += 1;
        }
        application.tables.insert(table.name.clone(), table_id);
    }
    application.in_force = Some(to);
    application.history.push((index, to));
    Some(before)
}

/// A version takes over without a change: for a machine that asks what would have been. What runs of the application's
/// changes ends.
pub(crate) fn force(
    catalog: &mut Catalog,
    index: Index,
    (manifest, contract): (Manifest, Contract),
    code: Code,
) -> Result<(), Decision> {
    let (name, to) = (manifest.application.clone(), manifest.version);
    match catalog.running_change(&name).map(|(id, change)| (id, change.stage)) {
        Some((id, Stage::Preparing | Stage::Ready)) => drop(abort(catalog, id)?),
        Some((id, Stage::Switched)) => drop(finalize(catalog, TimeMs(0), id)?),
        Some((_, Stage::Finalized | Stage::Aborted | Stage::Reverted)) | None => {}
    }
    if let Code::Wasm { module, .. } = &code {
        // Its bytes never came through this log: whoever forces it has them.
        let here = Module {
            bytes_total: 0,
            bytes_here: 0,
            since: TimeMs(0),
        };
        catalog.modules.entry(*module).or_insert(here);
    }
    let plan = PlanApplication {
        manifest,
        code,
        finalize: true,
    };
    // Whoever asks what would have been may ask it of a version that breaks clients, too.
    let safeguards = Safeguards {
        allow_breaking: Some("to try it".to_owned()),
        contract: (!contract.is_empty()).then(|| Box::new(contract)),
        ..Safeguards::default()
    };
    preconditions::check(catalog, &plan, &safeguards)?;
    let PlanApplication { manifest, code, .. } = plan;
    if let Some(contract) = safeguards.contract {
        keep_contract(catalog, &name, to, *contract);
    }
    collection::take_up(catalog, &name, to);
    let application = catalog.applications.entry(name).or_insert_with(Application::planned);
    application.versions.insert(to, ApplicationVersion { manifest, code });
    application.reversible = None;
    take_over(application, &mut catalog.table_next, index, to);
    Ok(())
}

fn confirm(catalog: &mut Catalog, id: ChangeId) -> Result<String, Decision> {
    let waiting = catalog.guarded.get_mut(&id).and_then(|guarded| guarded.deadline.take());
    match waiting {
        Some(_) => Ok("confirmed: it stays switched; the way back stays open".to_owned()),
        None => Err(refused(
            "step_refused",
            format!("change {id} waits for nobody to confirm it: finalize it, or leave it as it is"),
        )),
    }
}

fn approve(catalog: &mut Catalog, id: ChangeId) -> Result<String, Decision> {
    let plan = catalog.rehearsal_plan(id).cloned();
    let rehearsal = catalog.rehearsals.entry(id).or_default();
    if let Some(window) = rehearsal.unlike {
        let reason = format!(
            "{}: abort the change, and mend the version",
            super::rehearsal::unlike(window)
        );
        return Err(refused("step_refused", reason));
    }
    let mut approved = Vec::new();
    if plan.is_some_and(|plan| rehearsal.waits_for_approval(&plan)) {
        rehearsal.approved = true;
        approved.push("what comes out otherwise in its rehearsal");
    }
    if rehearsal.data.has_failed() && !rehearsal.data.approved {
        rehearsal.data.approved = true;
        approved.push("rows that do not come through");
    }
    if approved.is_empty() {
        let reason =
            format!("nothing of change {id} waits to be approved of: `change show {id}` says what it waits for");
        return Err(refused("step_refused", reason));
    }
    Ok(format!("approved: {}", approved.join(", and ")))
}

/// Takes a change back that must not stay: `from` answers from that command on. `why` is for people.
pub(crate) fn revert_by_itself(catalog: &mut Catalog, id: ChangeId, at: AutomaticRevert, time: TimeMs, why: &str) {
    // The version that took over at an entry answers from the next one on, or from a command of this one on.
    let took_over = match at.place {
        0 => Index(at.index.0.saturating_sub(1)),
        _ => at.index,
    };
    let Ok(what) = revert(catalog, took_over, time, id) else {
        return;
    };
    if let Some(change) = catalog.changes.get_mut(&id) {
        let what = match at.place {
            0 => what,
            place => format!("{what}, and for what is left of this entry from command {place} on"),
        };
        change.history.push(ChangeEvent {
            index: at.index,
            time,
            what: format!("{why}; {what}"),
        });
    }
    if let Some(guarded) = catalog.guarded.get_mut(&id) {
        guarded.reverted = Some(at);
    }
}

/// Changes that nobody confirmed in time, as of `time`.
pub(crate) fn overdue(catalog: &Catalog, time: TimeMs) -> Vec<ChangeId> {
    let overdue = |guarded: &Guarded| guarded.deadline.is_some_and(|deadline| deadline <= time);
    let ids = catalog.guarded.iter().filter(|(_, guarded)| overdue(guarded));
    ids.map(|(id, _)| *id).collect()
}

fn finalize(catalog: &mut Catalog, time: TimeMs, id: ChangeId) -> Result<String, Decision> {
    let change = end(catalog, id, Stage::Finalized)?;
    let (name, from, to) = (change.application.clone(), change.from, change.to);
    if let Some(application) = catalog.applications.get_mut(&name) {
        application.reversible = None;
    }
    conversion::begin(catalog, time, &name, from);
    Ok(format!("finalized: version {to} is here to stay"))
}

fn revert(catalog: &mut Catalog, index: Index, time: TimeMs, id: ChangeId) -> Result<String, Decision> {
    let change = end(catalog, id, Stage::Reverted)?;
    let (name, tables, from) = (change.application.clone(), change.tables_before.clone(), change.from);
    let reverted = change.to;
    let Some((application, from)) = catalog.applications.get_mut(&name).zip(from) else {
        return Err(refused(
            "step_refused",
            format!("change {id} has nothing to go back to"),
        ));
    };
    application.in_force = Some(from);
    let gone = std::mem::replace(&mut application.tables, tables);
    if let Some(change) = catalog.changes.get_mut(&id) {
        // Tables that only the version has that is taken back are known by this alone, until the application is purged.
        change.tables_before.extend(gone);
    }
    application.reversible = None;
    application.history.push((index, from));
    conversion::begin_again(catalog, time, &name, reverted);
    Ok(format!(
        "reverted: version {from} answers from entry {} on",
        index.next()
    ))
}

fn abort(catalog: &mut Catalog, id: ChangeId) -> Result<String, Decision> {
    let change = end(catalog, id, Stage::Aborted)?;
    let (name, to) = (change.application.clone(), change.to);
    let mut forgotten = false;
    if let Some(application) = catalog.applications.get_mut(&name) {
        if !application.history.iter().any(|(_, version)| *version == to) {
            application.versions.remove(&to);
            forgotten = true;
        }
        if application.versions.is_empty() {
            catalog.applications.remove(&name);
        }
    }
    if forgotten {
        forget_contract(catalog, &name, to);
    }
    Ok("aborted: nothing has changed".to_owned())
}

fn end(catalog: &mut Catalog, id: ChangeId, stage: Stage) -> Result<&Change, Decision> {
    if let Some(guarded) = catalog.guarded.get_mut(&id) {
        guarded.deadline = None;
    }
    super::rehearsal::end_rehearsal(catalog, id);
    match catalog.changes.get_mut(&id) {
        Some(change) => {
            change.stage = stage;
            Ok(change)
        }
        None => Err(refused("unknown_change", format!("there is no change {id}"))),
    }
}

fn forget_oldest(catalog: &mut Catalog) {
    while catalog.changes.len() > limits::CHANGES_KEPT_MAX {
        let Some(oldest) = catalog
            .changes
            .iter()
            .find(|(_, change)| change.stage.is_final())
            .map(|(id, _)| *id)
        else {
            return;
        };
        catalog.changes.remove(&oldest);
        catalog.guarded.remove(&oldest);
        catalog.rehearsals.remove(&oldest);
    }
}
