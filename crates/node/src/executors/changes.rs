//! The leader takes the steps of changes that are due; whoever leads next goes on from what the log says.

use std::collections::BTreeMap;

use machine::{Body, Catalog, ChangeId, ChangeStep, Decision, Index, Stage, TimeMs, change};
use tracing::{info, warn};

use super::Hands;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut told = stages(&hands.published.catalog());
    while hands.news(&mut seen).await {
        told = tell(&hands, told);
        if !hands.group.is_leader() {
            continue;
        }
        let facts = hands.published.facts();
        // A deadline is one of log time, which stands still where nothing is written.
        let now = TimeMs(hands.environment.clock.wall_ms());
        if facts
            .catalog
            .deadline()
            .is_some_and(|deadline| facts.time < deadline && deadline <= now)
            && let Err(error) = hands.cluster.propose(Body::Tick).await
        {
            warn!(%error, "could not let log time go on; whoever leads tries again");
        }
        let running: Vec<_> = facts
            .catalog
            .changes
            .iter()
            .filter(|(_, change)| !change.stage.is_final())
            .collect();
        for (id, _) in running {
            let Some(step) = change::report(&facts.catalog, *id, facts.time).due else {
                continue;
            };
            let body = Body::ChangeStep(ChangeStep {
                change: *id,
                step,
                reason: String::new(),
            });
            match hands.cluster.propose(body).await {
                Ok(Decision::Refused { reason, .. }) => info!(change = %id, reason, "a step was not due after all"),
                Ok(_) => info!(change = %id, ?step, "took a step"),
                Err(error) => warn!(change = %id, %error, "could not take a step; whoever leads tries again"),
            }
        }
    }
}

fn stages(catalog: &Catalog) -> BTreeMap<ChangeId, Stage> {
    catalog.changes.iter().map(|(id, change)| (*id, change.stage)).collect()
}

/// Tells of each change that has come to another stage, on every node, whoever took the step.
fn tell(hands: &Hands, told: BTreeMap<ChangeId, Stage>) -> BTreeMap<ChangeId, Stage> {
    let facts = hands.published.facts();
    for (id, change) in &facts.catalog.changes {
        if told.get(id) != Some(&change.stage) {
            info!(
                node = %hands.node,
                index = %facts.applied,
                change = %id,
                application = change.application,
                version = %change.to,
                stage = ?change.stage,
                "a change has come to a stage"
            );
        }
    }
    stages(&facts.catalog)
}
