//! Before a switch, where it was asked for: brings every row that is stored here into the new shape and back, beside apply, and
//! says in the log what came of it. The leader names who is to.

use machine::{Body, Catalog, ChangeId, Decision, Index, Stage, TimeMs, Verified, VerifiedRows, change, verify_rows};
use tracing::{debug, info, warn};

use super::Hands;
use crate::limits::VERIFICATION_RETRY;

/// Looks at this node's rows.
pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut found: Option<(ChangeId, VerifiedRows)> = None;
    while hands.news(&mut seen).await {
        let catalog = hands.published.catalog();
        let Some(id) = asked(&hands, &catalog) else {
            continue;
        };
        let rows = match found.take().filter(|(known, _)| *known == id) {
            Some((_, rows)) => rows,
            None => match verify(&hands, &catalog, id).await {
                Ok(rows) => rows,
                Err(error) => {
                    warn!(change = %id, error, "the stored rows could not be looked at; trying again");
                    hands.environment.sleep(VERIFICATION_RETRY).await;
                    continue;
                }
            },
        };
        // Also if others were asked meanwhile, since it took so long.
        let (node, said) = (hands.node, rows.clone());
        let body = Body::Verified(Verified {
            node,
            change: id,
            rows: said,
        });
        if let Err(error) = hands.leader.propose(&*hands.cluster, body).await {
            debug!(change = %id, %error, "what was found of the rows could not be reported; trying again");
        }
        found = Some((id, rows));
    }
}

/// Names the nodes that are to look, where this one leads.
pub async fn lead(hands: Hands) {
    let mut seen = Index::default();
    while hands.news(&mut seen).await {
        if hands.group.is_leader() {
            assign(&hands, &hands.published.catalog()).await;
        }
    }
}

/// The change for which this node is to look, and has not said what it found.
fn asked(hands: &Hands, catalog: &Catalog) -> Option<ChangeId> {
    let waits =
        |(_, rehearsal): &(&ChangeId, &machine::Rehearsal)| rehearsal.data.waiting().any(|node| node == hands.node);
    let mut ids = catalog.rehearsals.iter().filter(waits).map(|(id, _)| *id);
    ids.find(|id| {
        catalog
            .changes
            .get(id)
            .is_some_and(|change| change.stage == Stage::Ready)
    })
}

async fn assign(hands: &Hands, catalog: &Catalog) {
    let now = TimeMs(hands.environment.clock.wall_ms());
    let running = catalog.changes.iter().filter(|(_, change)| !change.stage.is_final());
    for (id, _) in running {
        let Some(next) = change::next_verification(catalog, *id, hands.node, now) else {
            continue;
        };
        match hands.cluster.propose(Body::AssignVerification(next)).await {
            Ok(Decision::Refused { reason, .. }) => {
                info!(change = %id, reason, "no rows were to be looked at after all")
            }
            Ok(_) => info!(change = %id, "asked nodes to look at their rows"),
            Err(error) => {
                warn!(change = %id, %error, "could not ask for a look at the rows; whoever leads tries again")
            }
        }
    }
}

async fn verify(hands: &Hands, catalog: &Catalog, id: ChangeId) -> Result<VerifiedRows, String> {
    let (as_of, view) = hands.upkeep.view().await?;
    let (catalog, registry, published) = (catalog.clone(), hands.registry.clone(), hands.published.clone());
    let work = move || {
        let mut converter = registry.host();
        let go_on = || !published.changed.is_closed();
        let mut rows = verify_rows(&catalog, id, &*view, &mut converter, &host::same_document, &go_on)
            .map_err(|error| error.to_string())?;
        rows.as_of = as_of;
        Ok(rows)
    };
    hands.upkeep.work("verify", work).await
}
