//! A rehearsal as the API takes it and shows it.

use client::wire::{Code, DifferenceRecord, RehearsalRecord, RehearsalRequest};
use machine::{Catalog, ChangeId, Expected, RehearsalPlan};

use crate::codes::Refusal;

pub(super) fn read(asked: RehearsalRequest) -> Result<RehearsalPlan, Refusal> {
    let refuse = |why: String| Refusal::new(Code::ChangeRefused, format!("{why}; nothing was done"));
    let expected: Result<Vec<Expected>, String> = asked.expected.iter().map(|text| text.parse()).collect();
    Ok(RehearsalPlan {
        commands: asked.commands.unwrap_or(0),
        for_ms: asked.for_ms.unwrap_or(0),
        one_in: asked.one_in.unwrap_or(1),
        differences_max: asked.differences_max.unwrap_or(0),
        expected: expected.map_err(refuse)?,
    })
}

/// That of a change, if one was asked for.
pub(super) fn record(catalog: &Catalog, id: ChangeId) -> Option<RehearsalRecord> {
    let plan = catalog.rehearsal_plan(id)?;
    let rehearsal = catalog.rehearsals.get(&id).cloned().unwrap_or_default();
    let open = rehearsal.open.and_then(|open| rehearsal.windows.get(&open));
    let nodes = open.into_iter().flat_map(|window| &window.nodes);
    let found = &rehearsal.found;
    let samples = found.samples.iter().map(|sample| DifferenceRecord {
        index: sample.index.0,
        place: sample.place,
        command: sample.command.clone(),
        what: sample.what.clone(),
    });
    Some(RehearsalRecord {
        asked: RehearsalRequest {
            commands: (plan.commands > 0).then_some(plan.commands),
            for_ms: (plan.for_ms > 0).then_some(plan.for_ms),
            one_in: (plan.one_in > 1).then_some(plan.one_in),
            differences_max: (plan.differences_max > 0).then_some(plan.differences_max),
            expected: plan.expected.iter().map(Expected::to_string).collect(),
        },
        commands: found.commands,
        lasted_ms: rehearsal.lasted_ms(),
        differed: found.differed,
        expected: found.expected,
        trapped: found.trapped,
        nodes: nodes.map(|node| catalog.node_name(*node)).collect(),
        unlike: rehearsal.unlike.is_some(),
        approved: rehearsal.approved,
        passed: rehearsal.has_passed(plan),
        samples: samples.collect(),
    })
}
