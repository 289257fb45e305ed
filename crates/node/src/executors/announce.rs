//! Makes this node known: founds the cluster's log where that is due, and registers name and addresses.

use machine::{Body, Catalog, ClusterId, Genesis, Index, LEVEL_MAX, Level, RegisterNode};
use tracing::{info, warn};

use super::Hands;

pub async fn run(hands: Hands, register: RegisterNode) {
    let mut seen = Index::default();
    loop {
        let catalog = hands.published.catalog();
        if is_known(&catalog, &hands, &register) {
            return;
        }
        if let Err(error) = step(&hands, &catalog, &register).await {
            warn!(%error, "this node could not be registered yet");
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

async fn step(hands: &Hands, catalog: &Catalog, register: &RegisterNode) -> Result<(), String> {
    if catalog.level == Level(0) {
        if !hands.group.is_leader() {
            return Ok(());
        }
        let cluster: ClusterId = hands.cluster.status().cluster;
        let founder = register.clone();
        let genesis = Body::Genesis(Genesis {
            cluster,
            level: LEVEL_MAX,
            founder,
        });
        hands
            .cluster
            .propose(genesis)
            .await
            .map_err(|error| error.to_string())?;
        info!(cluster = format!("{:x}", cluster.0), "a new cluster has begun");
        return Ok(());
    }
    if hands.group.leader().is_none() {
        return Ok(());
    }
    let body = Body::RegisterNode(register.clone());
    hands
        .leader
        .propose(&*hands.cluster, body)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}
