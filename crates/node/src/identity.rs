//! Whose a data directory is: found in it, or asked for and written into it.

use environment::Environment;
use machine::codec::Codec;
use machine::{ClusterId, LEVEL_MAX, NodeId, RegisterNode};
use store::format::identity::{self, StoredIdentity};
use tracing::info;

use crate::calls::Proposed;
use crate::limits::PEER_CALL_TIMEOUT;
use crate::node::{Config, StartError};
use crate::peer::frames::{self, Frame, Hello, Kind};

/// How often a node that joins asks again.
const JOIN_ATTEMPTS: u32 = 30;

/// The identity of the data directory, and whether this node is to found its cluster.
///
/// # Errors
/// The disk failed, the file cannot be used, or the cluster could not be joined.
pub async fn of(config: &Config, environment: &Environment) -> Result<(StoredIdentity, bool), StartError> {
    let store = |error: store::format::Error| StartError::Store(error.to_string());
    let stored = identity::read(&*environment.disk, &config.data).map_err(store)?;
    if let Some(stored) = stored.filter(|stored| stored.node != NodeId(0)) {
        check_cluster(config, environment, stored).await?;
        // Founding again does nothing where it has been done, and finishes it where a crash came in between.
        return Ok((stored, stored.node == NodeId(1)));
    }
    let nonce = stored.map_or_else(|| environment.chance.next_u64(), |stored| stored.nonce);
    let (cluster, node) = match &config.join {
        None => (ClusterId(environment.chance.next_u64() | 1), NodeId(1)),
        Some(address) => {
            // Kept before asking, so that asking again after a crash gives the same id.
            let asking = StoredIdentity {
                cluster: ClusterId(0),
                node: NodeId(0),
                nonce,
            };
            identity::write(&*environment.disk, &config.data, &asking).map_err(store)?;
            join(config, environment, address, nonce).await?
        }
    };
    let identity = StoredIdentity { cluster, node, nonce };
    identity::write(&*environment.disk, &config.data, &identity).map_err(store)?;
    Ok((identity, config.join.is_none()))
}

/// A node that was told to join goes on without asking, because whom it joined may be gone; but whoever answers there
/// must not be of another cluster: the directory is then not the one that was meant.
async fn check_cluster(config: &Config, environment: &Environment, stored: StoredIdentity) -> Result<(), StartError> {
    let Some(address) = &config.join else {
        return Ok(());
    };
    let Ok((_, welcome)) = crate::peer::connect(environment, address, &stranger()).await else {
        return Ok(());
    };
    if welcome.cluster == stored.cluster {
        return Ok(());
    }
    Err(StartError::OtherCluster {
        data: config.data.clone(),
        found: format!("{:x}", stored.cluster.0),
        address: address.clone(),
        wanted: format!("{:x}", welcome.cluster.0),
    })
}

/// The hello of a node that does not say of which cluster it is.
fn stranger() -> Hello {
    Hello {
        version_min: frames::VERSION_MIN,
        version_max: frames::VERSION_MAX,
        cluster: ClusterId(0),
        node: NodeId(0),
        level_max: LEVEL_MAX,
        peer_address: String::new(),
    }
}

async fn join(
    config: &Config,
    environment: &Environment,
    address: &str,
    nonce: u64,
) -> Result<(ClusterId, NodeId), StartError> {
    let mut why = String::new();
    for _ in 0..JOIN_ATTEMPTS {
        match ask(config, environment, address, nonce).await {
            Ok((cluster, node)) => {
                info!(%node, cluster = format!("{:x}", cluster.0), "joined a cluster");
                return Ok((cluster, node));
            }
            Err(error) => why = error,
        }
        environment.sleep(std::time::Duration::from_millis(500)).await;
    }
    Err(StartError::Join {
        address: address.to_owned(),
        why,
    })
}

async fn ask(
    config: &Config,
    environment: &Environment,
    address: &str,
    nonce: u64,
) -> Result<(ClusterId, NodeId), String> {
    let text = |error: std::io::Error| error.to_string();
    let connected = crate::peer::connect(environment, address, &stranger()).await;
    let (mut stream, welcome) = connected.map_err(text)?;
    let register = RegisterNode {
        nonce,
        name: config.name.clone(),
        peer_address: config.peer_address.clone(),
        http_address: config.http_address.clone(),
        level_max: config.level_max,
        binary: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let call = async {
        frames::write(
            &mut stream,
            &Frame {
                kind: Kind::Join,
                id: 1,
                body: register.to_bytes().into(),
            },
        )
        .await?;
        frames::read(&mut stream).await
    };
    let answer = environment::timeout(environment, PEER_CALL_TIMEOUT, call).await;
    let answer = answer.map_err(|_| "no answer in time".to_owned())?.map_err(text)?;
    let answer = answer.ok_or_else(|| "the connection was closed".to_owned())?;
    if answer.kind != Kind::Answer {
        return Err(String::from_utf8_lossy(&answer.body).into_owned());
    }
    match Proposed::from_bytes(&answer.body).map_err(|error| error.to_string())? {
        Proposed::Registered(node) => Ok((welcome.cluster, node)),
        Proposed::Refused(reason) => Err(reason),
        Proposed::Done(_) => Err("the cluster gave no node id".to_owned()),
    }
}
