//! The leader lets versions go that nobody can call any more, and deletes modules that nothing needs: theirs, those of changes that
//! were given up, and those that were sent and never planned with.

use std::sync::Arc;

use machine::{Body, Catalog, Decision, DropModule, Index, NodeId, TimeMs};
use tracing::{info, warn};

use super::Hands;
use crate::limits::COLLECTION_INTERVAL;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut due = hands.environment.clock.now();
    let mut settled = None;
    let mut failed = String::new();
    while hands.news(&mut seen).await {
        let now = hands.environment.clock.now();
        if !hands.group.is_leader() || now < due {
            continue;
        }
        due = now + COLLECTION_INTERVAL;
        let catalog = hands.published.catalog();
        if !is_known_to_all(&catalog, hands.node) {
            continue;
        }
        let time = TimeMs(hands.environment.clock.wall_ms());
        let Some((body, what)) = next(&catalog, time, &mut settled) else {
            continue;
        };
        match hands.cluster.propose(body).await {
            Ok(Decision::Refused { reason, .. }) => info!(what, reason, "not done after all"),
            Ok(_) => info!(what, "done"),
            Err(error) => {
                let text = format!("{what}: {error}");
                if text != failed {
                    warn!(what, %error, "not done; whoever leads tries again");
                    failed = text;
                }
            }
        }
    }
}

/// Whether every member has this node's binary: these entries come by themselves, and an older one would stop at them.
fn is_known_to_all(catalog: &Catalog, leader: NodeId) -> bool {
    let binary = |node: &NodeId| catalog.nodes.get(node).map(|node| &node.binary);
    let members = catalog.voters.union(&catalog.learners);
    members.into_iter().all(|member| binary(member) == binary(&leader))
}

/// One of them, and what it does, for people. `settled` is the catalog that has no version to let go.
fn next(catalog: &Arc<Catalog>, time: TimeMs, settled: &mut Option<Arc<Catalog>>) -> Option<(Body, String)> {
    if settled.as_ref().is_none_or(|settled| !Arc::ptr_eq(settled, catalog)) {
        if let Some(asked) = catalog.to_let_go() {
            let what = format!("letting version {} of {} go", asked.version, asked.application);
            return Some((Body::LetGo(asked), what));
        }
        *settled = Some(catalog.clone());
    }
    let module = catalog.module_to_drop(time)?;
    let what = format!("deleting module {module}, which nothing needs");
    Some((Body::DropModule(DropModule { module }), what))
}

#[cfg(test)]
mod tests {
    use machine::{Level, Node};

    use super::*;

    #[test]
    fn nothing_is_let_go_as_long_as_a_member_has_another_binary() {
        let node = |nonce: u64, binary: &str| Node {
            nonce,
            name: String::new(),
            peer_address: String::new(),
            http_address: String::new(),
            level_max: Level(1),
            binary: binary.to_owned(),
        };
        let mut catalog = Catalog {
            nodes: [(NodeId(1), node(1, "0.2.0")), (NodeId(2), node(2, "0.1.0"))].into(),
            voters: [NodeId(1)].into(),
            ..Catalog::default()
        };
        assert!(is_known_to_all(&catalog, NodeId(1)), "the other is no member");
        catalog.learners = [NodeId(2)].into();
        assert!(!is_known_to_all(&catalog, NodeId(1)));
        catalog.nodes.insert(NodeId(2), node(2, "0.2.0"));
        assert!(is_known_to_all(&catalog, NodeId(1)));
        catalog.voters.insert(NodeId(3));
        assert!(!is_known_to_all(&catalog, NodeId(1)), "of one nobody knows it yet");
    }
}
