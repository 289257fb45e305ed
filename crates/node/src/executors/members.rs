//! The leader takes in nodes that have registered: as learners first, as voters once they have caught up. A leader that
//! is parked hands over.

use machine::{Index, NodeId};
use tracing::{info, warn};

use super::Hands;
use crate::limits::PROMOTE_LAG_MAX;

/// Rounds of waiting between two attempts of a parked leader to hand over.
const HANDOVER_ROUNDS: u32 = 50;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut rounds_until_handover = 5;
    while hands.news(&mut seen).await {
        if !hands.group.is_leader() {
            rounds_until_handover = 5;
            continue;
        }
        take_in(&hands).await;
        if hands.published.facts().parked.is_none() {
            rounds_until_handover = 5;
        } else if rounds_until_handover == 0 {
            rounds_until_handover = HANDOVER_ROUNDS;
            hand_over(&hands).await;
        } else {
            rounds_until_handover -= 1;
        }
    }
}

async fn take_in(hands: &Hands) {
    let catalog = hands.published.catalog();
    let view = hands.group.view();
    if view.joint {
        // Only one that a former leader left: this one does its changes one after the other, to the end.
        if let Err(error) = hands.group.settle_members().await {
            warn!(%error, "a change of members could not be finished yet");
        }
        return;
    }
    for (node, known) in &catalog.nodes {
        let result = match view.members.iter().find(|member| member.node == *node) {
            None => hands
                .group
                .add_learner(*node, &known.peer_address)
                .await
                .map(|()| "a node joins as a learner"),
            Some(member) if member.voter => continue,
            Some(member) => {
                let lag = view.last.0.saturating_sub(member.matched.unwrap_or_default().0);
                if member.matched.is_none() || lag > PROMOTE_LAG_MAX {
                    continue;
                }
                hands
                    .group
                    .promote(*node)
                    .await
                    .map(|()| "a node has caught up and votes")
            }
        };
        match result {
            Ok(what) => info!(%node, name = known.name, what),
            Err(error) => warn!(%node, %error, "a node could not be taken in yet"),
        }
        // The membership has changed: look at it afresh before the next one.
        return;
    }
}

async fn hand_over(hands: &Hands) {
    let view = hands.group.view();
    if let Some(to) = successor(&view, hands.node) {
        warn!(%to, "this leader is parked: handing over");
        hands.group.hand_over(to).await;
    }
}

/// The voter whose log has come furthest.
pub fn successor(view: &crate::raft::View, me: NodeId) -> Option<NodeId> {
    let others = view.members.iter().filter(|member| member.voter && member.node != me);
    others.max_by_key(|member| member.matched).map(|member| member.node)
}
