//! The leader takes the steps of changes that are due; whoever leads next goes on from what the log says.

use machine::{Body, ChangeStep, Decision, Index, change};
use tracing::{info, warn};

use super::Hands;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    while hands.news(&mut seen).await {
        if !hands.group.is_leader() {
            continue;
        }
        let facts = hands.published.facts();
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
