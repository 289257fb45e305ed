//! Compares the nodes' digests: the leader marks an entry from time to time, each node says what it had there, and one that
//! differs from a majority stops serving and is rebuilt.

use machine::{Body, Difference, Index, ReportDigest};
use tracing::{debug, warn};

use super::Hands;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let interval = hands.options.scan_interval;
    let mut due = hands.environment.clock.now() + interval;
    while hands.news(&mut seen).await {
        if hands.group.is_leader() && hands.environment.clock.now() >= due {
            due = hands.environment.clock.now() + interval;
            if let Err(error) = hands.cluster.propose(Body::MarkDigest).await {
                debug!(%error, "digests could not be marked; whoever leads tries again");
            }
        }
        report(&hands).await;
        let facts = hands.published.facts();
        let difference = facts.comparison.difference(hands.node, &facts.catalog.voters);
        // What was said in an earlier life of this node says nothing of what it holds now.
        let now = |difference: &Difference| facts.marked == Some((difference.mark, difference.own));
        if let Some(difference) = difference.filter(now) {
            hands.upkeep.condition().diverged(&format!(
                "this node's digest before entry {} is {}, and that of a majority of the voters is {}",
                difference.mark, difference.own, difference.majority
            ));
            return;
        }
    }
}

/// Says what this node had at the mark, unless that is what it has said.
async fn report(hands: &Hands) {
    let facts = hands.published.facts();
    let Some((mark, digest)) = facts.marked.filter(|(mark, _)| *mark == facts.comparison.mark) else {
        return;
    };
    if facts.comparison.found.get(&hands.node) == Some(&digest) {
        return;
    }
    let node = hands.node;
    let body = Body::ReportDigest(ReportDigest { node, mark, digest });
    if let Err(error) = hands.leader.propose(&*hands.cluster, body).await {
        warn!(%error, "this node's digest could not be reported; trying again");
    }
}
