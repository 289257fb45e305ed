//! Makes this node known: founds the cluster's log where that is due, and registers name and addresses.

use environment::timeout;
use machine::{Body, Catalog, ClusterId, Genesis, Index, Level, RegisterNode};
use tracing::{info, warn};

use super::Hands;
use crate::limits::ANNOUNCE_AGAIN;

pub async fn run(hands: Hands, register: RegisterNode) {
    let mut seen = Index::default();
    loop {
        let catalog = hands.published.catalog();
        if is_known(&catalog, &hands, &register) {
            return;
        }
        match step(&hands, &catalog, &register).await {
            // A node that lags behind does not see it yet: saying it again and again would only fill the log.
            Ok(true) => drop(
                timeout(
                    &hands.environment,
                    ANNOUNCE_AGAIN,
                    hands
                        .published
                        .changed
                        .until(|| is_known(&hands.published.catalog(), &hands, &register)),
                )
                .await,
            ),
            Ok(false) => {}
            Err(error) => warn!(%error, "this node could not be registered yet"),
        }
        if !hands.news(&mut seen).await {
            return;
        }
    }
}

fn is_known(catalog: &Catalog, hands: &Hands, register: &RegisterNode) -> bool {
    catalog.nodes.get(&hands.node).is_some_and(|node| {
        node.nonce == register.nonce
            && node.name == register.name
            && node.peer_address == register.peer_address
            && node.http_address == register.http_address
            && node.level_max == register.level_max
            && node.binary == register.binary
    })
}

/// True when something was brought into the log.
async fn step(hands: &Hands, catalog: &Catalog, register: &RegisterNode) -> Result<bool, String> {
    if catalog.level == Level(0) {
        if !hands.group.is_leader() {
            return Ok(false);
        }
        let cluster: ClusterId = hands.cluster.status().cluster;
        let founder = register.clone();
        let genesis = Body::Genesis(Genesis {
            cluster,
            level: register.level_max,
            founder,
        });
        hands
            .cluster
            .propose(genesis)
            .await
            .map_err(|error| error.to_string())?;
        info!(cluster = format!("{:x}", cluster.0), "a new cluster has begun");
        return Ok(true);
    }
    if hands.group.leader().is_none() {
        return Ok(false);
    }
    let body = Body::RegisterNode(register.clone());
    hands
        .leader
        .propose(&*hands.cluster, body)
        .await
        .map(|_| true)
        .map_err(|error| error.to_string())
}
