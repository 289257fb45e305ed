//! `GET /v1/status`, `GET /healthz`, `GET /readyz`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use client::wire;
use client::wire::{Health, Member};
use environment::timeout;

use super::Api;
use super::problems::{ANY, problems};
use crate::limits::{READY_LAG_MAX, READY_TIME_MAX};

problems!(ShowProblems: ANY);
problems!(AliveProblems: ANY);
problems!(ReadyProblems: ANY);

/// A node's view of itself and its cluster
///
/// Role, leader, term, how far its log and its state have come, the digest of its state, and the members.
#[utoipa::path(
    get, path = "/v1/status", tag = "cluster", operation_id = "show_status",
    responses((status = 200, description = "As the node that is asked sees it.", body = wire::Status), ShowProblems),
)]
pub(super) async fn show(State(api): State<Arc<Api>>) -> Json<wire::Status> {
    Json(of_node(&api))
}

/// The status in the API's words.
pub(super) fn of_node(api: &Api) -> wire::Status {
    let status = api.cluster.status();
    let catalog = api.cluster.catalog();
    let members = status.members.iter().map(|member| {
        let known = catalog.nodes.get(&member.node);
        Member {
            node: member.node.0,
            name: catalog.node_name(member.node),
            http_address: known.map(|node| node.http_address.clone()).unwrap_or_default(),
            peer_address: known.map(|node| node.peer_address.clone()).unwrap_or_default(),
            voter: member.voter,
            leader: status.leader == Some(member.node),
            matched: member.matched.map(|index| index.0),
            binary: known.map(|node| node.binary.clone()).unwrap_or_default(),
        }
    });
    wire::Status {
        node: status.node.0,
        name: catalog.node_name(status.node),
        cluster: format!("{:016x}", status.cluster.0),
        binary: api.binary.clone(),
        role: show_role(status.role),
        term: status.term.0,
        leader: status.leader.map(|leader| leader.0),
        leader_http: status.leader.and_then(|leader| api.router.address(leader)),
        last: status.last.0,
        committed: status.committed.0,
        applied: status.applied.0,
        digest: status.digest.to_string(),
        level: status.level.0,
        members: members.collect(),
        parked: status.parked,
    }
}

/// Why the node, by what it knows of itself, cannot serve.
fn not_ready(api: &Api) -> Option<String> {
    let status = api.cluster.status();
    let lag = status.committed.0.saturating_sub(status.applied.0);
    if api.stopping.is_said() {
        Some("the node stops".to_owned())
    } else if let Some(parked) = status.parked {
        Some(format!("the node is parked at index {}: {parked}", status.applied))
    } else if status.leader.is_none() {
        Some("no leader is known: a majority of the voters must be up and reach each other".to_owned())
    } else if lag > READY_LAG_MAX {
        Some(format!(
            "the node is {lag} entries behind what is committed, and catches up"
        ))
    } else {
        None
    }
}

/// A node that is cut off from the others takes the last leader that it has heard of for the leader, for as long as it
/// is: only an answer says that it is not.
async fn unconfirmed(api: &Api) -> Option<String> {
    match timeout(&api.environment, READY_TIME_MAX, api.cluster.read_index()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!(
            "no leader confirmed within {} ms that this node reaches it and a majority of the voters",
            READY_TIME_MAX.as_millis()
        )),
    }
}

/// The health of a moment ago is nobody's business.
type HealthHeaders = [(HeaderName, &'static str); 1];
const NOT_KEPT: HealthHeaders = [(header::CACHE_CONTROL, "no-store")];

fn show_role(role: machine::Role) -> wire::Role {
    match role {
        machine::Role::Leader => wire::Role::Leader,
        machine::Role::Follower => wire::Role::Follower,
        machine::Role::Candidate => wire::Role::Candidate,
        machine::Role::Learner => wire::Role::Learner,
    }
}

/// Whether the process lives
///
/// For whoever restarts what is dead (a Kubernetes `livenessProbe`). It is true also of a node that waits for a leader,
/// catches up or is parked: to restart it would not help.
#[utoipa::path(
    get, path = "/healthz", tag = "health", operation_id = "alive",
    responses((status = 200, description = "It answers.", body = Health), AliveProblems),
)]
pub(super) async fn alive() -> (HealthHeaders, Json<Health>) {
    (NOT_KEPT, Json(Health { ok: true, reason: None }))
}

/// Whether the node can serve
///
/// For whoever spreads requests (a load balancer, a Kubernetes `readinessProbe`): 503 with the reason when the node is
/// parked, knows no leader or does not reach it and a majority, lags behind, or stops.
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "ready",
    responses(
        (status = 200, description = "Send requests here.", body = Health, example = json!({"ok": true})),
        (status = 503, description = "Send them elsewhere; `reason` says why.", body = Health,
         example = json!({"ok": false, "reason": "the node stops"})),
        ReadyProblems,
    ),
)]
pub(super) async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, HealthHeaders, Json<Health>) {
    let reason = match not_ready(&api) {
        None => unconfirmed(&api).await,
        reason => reason,
    };
    let code = match reason {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let health = Health {
        ok: reason.is_none(),
        reason,
    };
    (code, NOT_KEPT, Json(health))
}
