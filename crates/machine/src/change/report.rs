//! What a change waits for, and what its next step is.

use std::collections::BTreeSet;

use crate::{Blocker, Catalog, Change, ChangeId, Digest, NodeId, Readiness, Stage, Step, TimeMs};

/// What a change waits for, and the step that is due once it waits for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Empty when nothing is in the way.
    pub blockers: Vec<Blocker>,
    /// The step that the leader takes by itself now.
    pub due: Option<Step>,
}

/// Looks at a change as of `now` (log time). A change that has ended, or is not there, waits for nothing.
#[must_use]
pub fn report(catalog: &Catalog, id: ChangeId, now: TimeMs) -> Report {
    let Some(change) = catalog.changes.get(&id) else {
        return Report::default();
    };
    match change.stage {
        Stage::Preparing | Stage::Ready => {}
        Stage::Switched | Stage::Finalized | Stage::Aborted | Stage::Reverted => return Report::default(),
    }
    let mut blockers = blockers(catalog, change, now);
    // Nothing is rehearsed before every voter is ready, so as long as one is not, that is what it waits for.
    if blockers.is_empty() {
        let since = catalog.rehearsals.get(&id).and_then(|rehearsal| rehearsal.since);
        let rehearsal = super::rehearsal::blockers(catalog, id)
            .into_iter()
            .map(|what| (None, what));
        let data = super::verification::blockers(catalog, id);
        blockers.extend(rehearsal.chain(data).map(|(node, what)| Blocker {
            node,
            since: since.unwrap_or(now),
            what,
        }));
    }
    let due = blockers.is_empty().then_some(Step::Switch);
    Report { blockers, due }
}

fn blockers(catalog: &Catalog, change: &Change, now: TimeMs) -> Vec<Blocker> {
    let planned = change.history.first().map_or(now, |event| event.time);
    let waited_s = now.0.saturating_sub(planned.0) / 1000;
    let mut blockers: Vec<Blocker> = Vec::new();
    let mut block = |node, what: String| {
        blockers.push(Blocker {
            node,
            since: planned,
            what,
        })
    };
    if catalog.voters.is_empty() {
        block(None, "the cluster has no voters yet".to_owned());
    }
    for voter in &catalog.voters {
        let name = catalog.node_name(*voter);
        match change.readiness.get(voter) {
            Some(Readiness::Ready { .. }) => {}
            Some(Readiness::Failed { reason }) => block(
                Some(*voter),
                format!(
                    "{name} cannot run version {}: {reason}; mend that node, or abort the change",
                    change.to
                ),
            ),
            None => block(
                Some(*voter),
                format!(
                    "{name} has not reported that it can run version {}, for {waited_s} s so far; \
                     it may be compiling, behind or down: start it, or abort the change",
                    change.to
                ),
            ),
        }
    }
    if blockers.is_empty() && ready_digest(change, &catalog.voters).is_none() {
        let what =
            "the voters instrumented the module to different bytes; run the same binary on all, or abort the change";
        blockers.push(Blocker {
            node: None,
            since: planned,
            what: what.to_owned(),
        });
    }
    blockers
}

/// What all voters would run, if all are ready and agree.
pub(crate) fn ready_digest(change: &Change, voters: &BTreeSet<NodeId>) -> Option<Digest> {
    let mut agreed = None;
    for voter in voters {
        match change.readiness.get(voter)? {
            Readiness::Ready { instrumented } if agreed.is_none_or(|agreed| agreed == *instrumented) => {
                agreed = Some(*instrumented);
            }
            Readiness::Ready { .. } | Readiness::Failed { .. } => return None,
        }
    }
    agreed
}
