//! A new cluster that begins with the state of another one.

use std::collections::BTreeSet;

use crate::codec::Codec;
use crate::machine::{CATALOG_KEY, SYSTEM_TABLE};
use crate::{Catalog, ClusterId, Node, NodeId, RegisterNode, Row, StateError, TableId};

/// A row of the old cluster as the new one begins with it: the same, but for what the catalog says of cluster and nodes.
/// The new cluster has one node, which gets an id that the old one never gave; it is handed to `founded` beside the row.
///
/// # Errors
/// The catalog cannot be read.
pub fn refound(
    table: TableId,
    key: &[u8],
    row: Row,
    cluster: ClusterId,
    founder: &RegisterNode,
) -> Result<(Row, Option<NodeId>), StateError> {
    if table != SYSTEM_TABLE || key != CATALOG_KEY {
        return Ok((row, None));
    }
    let catalog = Catalog::from_bytes(&row.document);
    let mut catalog = catalog.map_err(|error| StateError(format!("the catalog cannot be read: {error}")))?;
    let node = catalog.node_next;
    catalog.cluster = cluster;
    catalog.node_next.0 += 1;
    let founder = founder.clone();
    catalog.nodes = [(
        node,
        Node {
            nonce: founder.nonce,
            name: founder.name,
            peer_address: founder.peer_address,
            http_address: founder.http_address,
            level_max: founder.level_max,
            binary: founder.binary,
        },
    )]
    .into();
    catalog.voters = BTreeSet::from([node]);
    catalog.learners = BTreeSet::new();
    let document = catalog.to_bytes().into();
    Ok((Row { document, ..row }, Some(node)))
}
