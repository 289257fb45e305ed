//! Who looks at the stored rows before a switch, and what that says for it.

use std::collections::BTreeSet;

use super::rehearsal::{choose, is_ready};
use crate::apply::refused;
use crate::{
    AssignVerification, Catalog, ChangeEvent, ChangeId, Decision, Index, NodeId, Rehearsal, Stage, TimeMs, Verified,
    VerifiedRows, limits,
};

/// Who is to look at the rows, if nobody was asked yet, or one that was has not said anything for long.
#[must_use]
pub fn next_verification(catalog: &Catalog, id: ChangeId, leader: NodeId, now: TimeMs) -> Option<AssignVerification> {
    let change = catalog.changes.get(&id).filter(|change| change.stage == Stage::Ready)?;
    if !is_asked_for(catalog, id) {
        return None;
    }
    let nothing = Rehearsal::default();
    let data = &catalog.rehearsals.get(&id).unwrap_or(&nothing).data;
    let late: BTreeSet<NodeId> = match now.0.saturating_sub(data.since.0) >= limits::VERIFICATION_MS_MAX {
        true => data.waiting().collect(),
        false => BTreeSet::new(),
    };
    if !data.nodes.is_empty() && late.is_empty() {
        return None;
    }
    let nodes = choose(catalog, change, leader, |node| late.contains(&node));
    Some(AssignVerification { change: id, nodes })
}

fn is_asked_for(catalog: &Catalog, id: ChangeId) -> bool {
    catalog
        .guarded
        .get(&id)
        .is_some_and(|guarded| guarded.safeguards.verify_data)
}

/// Names the nodes, or says why not.
pub(crate) fn assign(catalog: &mut Catalog, index: Index, time: TimeMs, assign: AssignVerification) -> Decision {
    let id = assign.change;
    let Some(change) = catalog.changes.get(&id) else {
        return refused("unknown_change", format!("there is no change {id}"));
    };
    if change.stage != Stage::Ready || !is_asked_for(catalog, id) {
        return refused("no_rehearsal", format!("change {id} has no rows to look at now"));
    }
    if assign.nodes.is_empty() || !assign.nodes.iter().all(|node| is_ready(change, *node)) {
        return refused(
            "no_rehearsal",
            "only nodes that are ready to run the version can look at rows for it",
        );
    }
    let data = &mut catalog.rehearsals.entry(id).or_default().data;
    // Those that have said something count, whoever is asked in the place of the others.
    data.nodes.retain(|node| data.found.contains_key(node));
    data.nodes.extend(assign.nodes);
    data.since = time;
    Decision::Done { index }
}

/// What a node found.
pub(crate) fn verified(catalog: &mut Catalog, index: Index, time: TimeMs, said: Verified) -> Decision {
    if !said.rows.is_sound() {
        return refused(
            "no_rehearsal",
            "findings of that size are nothing that a node would send",
        );
    }
    let (id, name) = (said.change, catalog.node_name(said.node));
    let data = catalog.rehearsals.get_mut(&id).map(|rehearsal| &mut rehearsal.data);
    let Some(data) = data.filter(|data| !data.nodes.is_empty()) else {
        let reason = format!("nobody was asked to look at rows for change {id}");
        return refused("no_rehearsal", reason);
    };
    if data.nodes.insert(said.node) {
        // It was asked once, and others since: it stands for one of those.
        let instead = data.waiting().find(|node| *node != said.node);
        if let Some(node) = instead {
            data.nodes.remove(&node);
        }
    }
    if data.found.contains_key(&said.node) {
        return Decision::Done { index };
    }
    let what = format!("{name} has brought {}", counted(&said.rows));
    data.found.insert(said.node, said.rows);
    if let Some(change) = catalog.changes.get_mut(&id) {
        change.history.push(ChangeEvent { index, time, what });
    }
    Decision::Done { index }
}

fn counted(rows: &VerifiedRows) -> String {
    let (count, failed) = (rows.rows, rows.failed);
    let mut text = format!("{count} rows into the new shape and back, and {failed} of them did not come through");
    if let Some(first) = rows.samples.first() {
        text += &format!(", the first {:?}: {}", String::from_utf8_lossy(&first.key), first.why);
    }
    text
}

/// What the rows have against the switch, for people.
pub(super) fn blockers(catalog: &Catalog, id: ChangeId) -> Vec<(Option<NodeId>, String)> {
    let nothing = Rehearsal::default();
    let rehearsal = catalog.rehearsals.get(&id).unwrap_or(&nothing);
    let data = &rehearsal.data;
    if !is_asked_for(catalog, id) || data.has_passed() {
        return Vec::new();
    }
    if data.nodes.is_empty() {
        let what = "every stored row is to be brought into the new shape and back: it begins once every voter is ready";
        return vec![(None, what.to_owned())];
    }
    let waiting = data.waiting().map(|node| {
        let name = catalog.node_name(node);
        let what = format!("{name} brings every stored row into the new shape and back, and has not come to the end");
        (Some(node), what)
    });
    let failed = data.found.iter().filter(|(_, rows)| rows.failed > 0 && !data.approved);
    let failed = failed.map(|(node, rows)| {
        let name = catalog.node_name(*node);
        let what = format!(
            "{name} has brought {}: mend the version or the rows, and abort the change; or take it as it is, `change approve {id}`",
            counted(rows)
        );
        (Some(*node), what)
    });
    waiting.chain(failed).collect()
}
