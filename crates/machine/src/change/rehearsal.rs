//! What a rehearsal does next, and what it says for the switch.

use std::collections::BTreeSet;

use crate::apply::refused;
use crate::{
    Catalog, Change, ChangeEvent, ChangeId, Decision, Findings, Index, NodeId, OpenWindow, Readiness, Rehearsal,
    RehearsalPlan, Rehearsed, Stage, TimeMs, Window, limits,
};

/// So many nodes rehearse, where there are as many beside the leader: what only one finds could be that node's own affair.
const NODES: usize = 2;

/// The window that the leader opens next, if there is to be another one. The leader itself rehearses only where nobody else
/// can: its time is what clients wait for.
#[must_use]
pub fn next_window(catalog: &Catalog, id: ChangeId, leader: NodeId) -> Option<OpenWindow> {
    let change = catalog.changes.get(&id).filter(|change| change.stage == Stage::Ready)?;
    let plan = catalog.rehearsal_plan(id)?;
    let nothing = Rehearsal::default();
    let rehearsal = catalog.rehearsals.get(&id).unwrap_or(&nothing);
    if rehearsal.has_passed(plan) || rehearsal.has_seen_enough(plan) || rehearsal.unlike.is_some() {
        return None;
    }
    Some(OpenWindow {
        change: id,
        after: rehearsal.open.unwrap_or_default(),
        nodes: choose(catalog, change, leader, |node| is_silent(rehearsal, node)),
    })
}

/// Those who are asked next: not one that is `passed_by`, and the leader only where there is nobody else.
pub(super) fn choose(
    catalog: &Catalog,
    change: &Change,
    leader: NodeId,
    passed_by: impl Fn(NodeId) -> bool,
) -> BTreeSet<NodeId> {
    let members = catalog.voters.iter().chain(&catalog.learners).copied();
    let others = members.filter(|node| *node != leader && is_ready(change, *node));
    let chosen: BTreeSet<NodeId> = others.filter(|node| !passed_by(*node)).take(NODES).collect();
    match chosen.is_empty() {
        true => BTreeSet::from([leader]),
        false => chosen,
    }
}

pub(super) fn is_ready(change: &Change, node: NodeId) -> bool {
    matches!(change.readiness.get(&node), Some(Readiness::Ready { .. }))
}

/// Whether a node has had the time of a whole window to say what it found in an earlier one, and has not.
fn is_silent(rehearsal: &Rehearsal, node: NodeId) -> bool {
    let closed = rehearsal.windows.values().filter(|window| window.closed.is_some());
    let waiting = closed.filter(|window| window.nodes.contains(&node) && !window.found.contains_key(&node));
    waiting.count() > 1
}

/// Opens a window, or says why not.
pub(crate) fn open_window(catalog: &mut Catalog, index: Index, time: TimeMs, open: OpenWindow) -> Decision {
    let OpenWindow {
        change: id,
        after,
        nodes,
    } = open;
    let Some(change) = catalog.changes.get(&id) else {
        return refused("unknown_change", format!("there is no change {id}"));
    };
    let stage = change.stage;
    if stage != Stage::Ready || catalog.rehearsal_plan(id).is_none() {
        let reason = format!("change {id} has nothing to rehearse now: it is {}", stage.name());
        return refused("no_rehearsal", reason);
    }
    if nodes.is_empty() || !nodes.iter().all(|node| is_ready(change, *node)) {
        return refused(
            "no_rehearsal",
            "only nodes that are ready to run the version can rehearse it",
        );
    }
    let rehearsal = catalog.rehearsals.entry(id).or_default();
    if rehearsal.open.unwrap_or_default() != after {
        let reason = format!("another window of change {id} is open by now");
        return refused("no_rehearsal", reason);
    }
    close(rehearsal, time);
    // Who has not said what it found by now will not, and may be asked again.
    let is_recent = |closed: TimeMs| time.0.saturating_sub(closed.0) < limits::REHEARSAL_SILENCE_MS;
    rehearsal
        .windows
        .retain(|_, window| window.closed.is_none_or(is_recent));
    rehearsal.since.get_or_insert(time);
    rehearsal.open = Some(index);
    let window = Window {
        nodes,
        ..Window::default()
    };
    rehearsal.windows.insert(index, window);
    while rehearsal.windows.len() > limits::REHEARSAL_WINDOWS_MAX {
        rehearsal.windows.pop_first();
    }
    Decision::Done { index }
}

fn close(rehearsal: &mut Rehearsal, time: TimeMs) {
    let open = rehearsal.open.take().and_then(|open| rehearsal.windows.get_mut(&open));
    if let Some(window) = open {
        window.closed = Some(time);
    }
}

/// The rehearsal of a change that is rehearsed no more: what was found stays.
pub(super) fn end_rehearsal(catalog: &mut Catalog, id: ChangeId) {
    if let Some(rehearsal) = catalog.rehearsals.get_mut(&id) {
        rehearsal.open = None;
        rehearsal.windows.clear();
    }
}

/// What a node found in a window. It counts once all nodes of the window have said the same.
pub(crate) fn rehearsed(catalog: &mut Catalog, index: Index, time: TimeMs, said: Rehearsed) -> Decision {
    if !said.findings.is_sound() {
        return refused(
            "no_rehearsal",
            "findings of that size are nothing that a node would send",
        );
    }
    let (name, id) = (catalog.node_name(said.node), said.change);
    let plan = catalog.rehearsal_plan(id).cloned();
    let Some((rehearsal, plan)) = catalog.rehearsals.get_mut(&id).zip(plan) else {
        return refused("no_rehearsal", format!("change {id} is not rehearsed"));
    };
    let before = rehearsal.has_seen_enough(&plan);
    let Some(window) = rehearsal.windows.get_mut(&said.window) else {
        // It counts already, or is too long ago.
        return Decision::Done { index };
    };
    let Some(closed) = window.closed.filter(|_| window.nodes.contains(&said.node)) else {
        let reason = format!(
            "{name} does not rehearse in window {}, or it is still open",
            said.window
        );
        return refused("no_rehearsal", reason);
    };
    window.found.entry(said.node).or_insert(said.findings);
    if window.found.len() < window.nodes.len() {
        return Decision::Done { index };
    }
    let mut all = rehearsal
        .windows
        .remove(&said.window)
        .unwrap_or_default()
        .found
        .into_values();
    let first = all.next().unwrap_or_default();
    let mut news = Vec::new();
    if all.any(|other| other.digest != first.digest) {
        rehearsal.unlike = Some(said.window);
        news.push(format!("{}; it cannot switch", unlike(said.window)));
    } else {
        let differed = rehearsal.found.differed;
        rehearsal.until = rehearsal.until.max(Some(closed));
        rehearsal.found.fold(first);
        if differed == 0 && rehearsal.found.differed > 0 {
            news.push(first_difference(&rehearsal.found));
        }
        if !before && rehearsal.has_seen_enough(&plan) {
            news.push(format!("rehearsed: {}", counted(&rehearsal.found)));
        }
    }
    if let Some(change) = catalog.changes.get_mut(&id) {
        let events = news.into_iter().map(|what| ChangeEvent { index, time, what });
        change.history.extend(events);
    }
    Decision::Done { index }
}

/// What the rehearsal has against the switch, for people.
pub(super) fn blockers(catalog: &Catalog, id: ChangeId) -> Vec<String> {
    let Some(plan) = catalog.rehearsal_plan(id) else {
        return Vec::new();
    };
    let nothing = Rehearsal::default();
    let rehearsal = catalog.rehearsals.get(&id).unwrap_or(&nothing);
    if rehearsal.has_passed(plan) {
        return Vec::new();
    }
    let mut blockers = Vec::new();
    if let Some(window) = rehearsal.unlike {
        blockers.push(format!("{}: mend the version, and abort the change", unlike(window)));
    }
    let found = &rehearsal.found;
    if rehearsal.waits_for_approval(plan) {
        blockers.push(format!(
            "{}: abort the change and mend the version; or say so where that is how it should be, `change approve {id}`",
            counted(found)
        ));
    }
    if blockers.is_empty() {
        blockers.push(under_way(catalog, rehearsal, plan));
    }
    blockers
}

fn under_way(catalog: &Catalog, rehearsal: &Rehearsal, plan: &RehearsalPlan) -> String {
    let mut seen = Vec::new();
    if plan.commands > 0 {
        seen.push(format!("{} of {} commands", rehearsal.found.commands, plan.commands));
    }
    if plan.for_ms > 0 {
        let (lasted, whole) = (rehearsal.lasted_ms() / 1000, plan.for_ms.div_ceil(1000));
        seen.push(format!("{lasted} of {whole} s"));
    }
    let open = rehearsal.open.and_then(|open| rehearsal.windows.get(&open));
    let nodes: Vec<String> = open
        .into_iter()
        .flat_map(|window| &window.nodes)
        .map(|node| catalog.node_name(*node))
        .collect();
    let on = match nodes.is_empty() {
        true => "it begins once every voter is ready".to_owned(),
        false => format!("on {}", nodes.join(" and ")),
    };
    format!("rehearsed so far: {}, {on}", seen.join(" and "))
}

pub(super) fn unlike(window: Index) -> String {
    format!(
        "two nodes came to different ends on the same commands, from entry {window} on: the version is not deterministic"
    )
}

fn counted(found: &Findings) -> String {
    let Findings {
        commands,
        differed,
        expected,
        trapped,
        ..
    } = found;
    let mut text = format!("of {commands} commands {differed} came out otherwise than in the version in force");
    if *trapped > 0 {
        text += &format!(", {trapped} of them in a trap");
    }
    if *expected > 0 {
        text += &format!(", and {expected} only as was expected");
    }
    text
}

fn first_difference(found: &Findings) -> String {
    match found.samples.first() {
        Some(sample) => format!(
            "rehearsal: command {} of entry {} comes out otherwise: {}",
            sample.command, sample.index, sample.what
        ),
        None => "rehearsal: a command comes out otherwise".to_owned(),
    }
}
