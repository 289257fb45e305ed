//! The leader deletes modules that nothing needs any more: of versions that nobody can go back to, of changes that were given up,
//! and those that were sent and never planned with.

use machine::{Body, Decision, DropModule, Index, TimeMs};
use tracing::{info, warn};

use super::Hands;
use crate::limits::COLLECTION_INTERVAL;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut due = hands.environment.clock.now();
    while hands.news(&mut seen).await {
        let now = hands.environment.clock.now();
        if !hands.group.is_leader() || now < due {
            continue;
        }
        due = now + COLLECTION_INTERVAL;
        let time = TimeMs(hands.environment.clock.wall_ms());
        let Some(module) = hands.published.catalog().module_to_drop(time) else {
            continue;
        };
        match hands.cluster.propose(Body::DropModule(DropModule { module })).await {
            Ok(Decision::Refused { reason, .. }) => info!(%module, reason, "a module was not deleted after all"),
            Ok(_) => info!(%module, "deleted a module that nothing needs"),
            Err(error) => warn!(%module, %error, "could not delete a module; whoever leads tries again"),
        }
    }
}
