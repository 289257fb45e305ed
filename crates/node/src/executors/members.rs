//! The leader takes in nodes that have registered: as learners first, as voters once they have caught up. A leader that
//! is parked hands over.

use std::time::Duration;

use environment::{Environment, timeout};
use machine::{Index, NodeId};
use tracing::{info, warn};

use super::Hands;
use crate::limits::PROMOTE_LAG_MAX;
use crate::raft::Group;

/// How long a leader may be parked before it hands over: compiling after a restart takes less.
const PARKED_MAX: Duration = Duration::from_secs(1);
/// How long it waits after an attempt before the next.
const HANDOVER_AGAIN: Duration = Duration::from_secs(10);
/// How long a change of members may take: it is answered when it is applied.
const MEMBERS_TIMEOUT: Duration = Duration::from_secs(5);

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let clock = hands.environment.clock.clone();
    let mut parked_until = None;
    while hands.news(&mut seen).await {
        if !hands.group.is_leader() {
            parked_until = None;
            continue;
        }
        if hands.published.facts().parked.is_none() {
            parked_until = None;
            // A change of members under way goes on by itself; here nobody waits for it for ever.
            let taken = timeout(&hands.environment, MEMBERS_TIMEOUT, take_in(&hands)).await;
            if taken.is_err() {
                warn!("a change of members takes long: looking again");
            }
            continue;
        }
        let due = *parked_until.get_or_insert(clock.now() + PARKED_MAX);
        if clock.now() >= due {
            warn!("this leader is parked: handing over");
            hand_over(&hands.environment, &hands.group, hands.node).await;
            parked_until = Some(clock.now() + HANDOVER_AGAIN);
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
                if !has_caught_up(view.last, member.matched) {
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

/// Whether a learner is near enough to the leader's last entry to vote.
fn has_caught_up(last: Index, matched: Option<Index>) -> bool {
    matched.is_some_and(|matched| last.0.saturating_sub(matched.0) <= PROMOTE_LAG_MAX)
}

/// How long a voter may take to begin to lead once asked.
const HANDOVER_ATTEMPT: Duration = Duration::from_secs(1);

/// Asks the voters that are alive to lead, the one whose log has come furthest first; true when one has taken over.
///
/// A leader that has asked takes no more writes until there is a new term. So one that nobody took over from calls an
/// election: it may win it, and is then as good as before.
pub async fn hand_over(environment: &Environment, group: &Group, me: NodeId) -> bool {
    let view = group.view();
    let mut others: Vec<_> = view
        .members
        .iter()
        .filter(|member| member.voter && member.alive && member.node != me)
        .collect();
    others.sort_by_key(|member| std::cmp::Reverse(member.matched));
    let asked = !others.is_empty();
    for member in others {
        info!(to = %member.node, "handing leadership over");
        group.hand_over(member.node).await;
        let gone = async {
            while group.is_leader() {
                environment.sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(environment, HANDOVER_ATTEMPT, gone).await.is_ok() {
            return true;
        }
    }
    if asked {
        group.elect().await;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learner_votes_once_it_lags_no_more_than_it_may() {
        let last = Index(1000);
        assert!(has_caught_up(last, Some(Index(1000 - PROMOTE_LAG_MAX))));
        assert!(!has_caught_up(last, Some(Index(1000 - PROMOTE_LAG_MAX - 1))));
        assert!(has_caught_up(last, Some(Index(2000))));
        assert!(!has_caught_up(Index(0), None), "nothing is known of it");
    }
}
