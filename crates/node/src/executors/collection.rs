//! The leader lets versions go that nobody can call any more, and deletes modules that nothing needs: theirs, those of changes that
//! were given up, and those that were sent and never planned with.

use machine::{Body, Catalog, Decision, DropModule, Index, TimeMs};
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
        let Some((body, what)) = next(&hands.published.catalog(), time) else {
            continue;
        };
        match hands.cluster.propose(body).await {
            Ok(Decision::Refused { reason, .. }) => info!(what, reason, "not done after all"),
            Ok(_) => info!(what, "done"),
            Err(error) => warn!(what, %error, "not done; whoever leads tries again"),
        }
    }
}

/// One of them, and what it does, for people.
fn next(catalog: &Catalog, time: TimeMs) -> Option<(Body, String)> {
    if let Some(asked) = catalog.to_let_go() {
        let what = format!("letting version {} of {} go", asked.version, asked.application);
        return Some((Body::LetGo(asked), what));
    }
    let module = catalog.module_to_drop(time)?;
    let what = format!("deleting module {module}, which nothing needs");
    Some((Body::DropModule(DropModule { module }), what))
}
