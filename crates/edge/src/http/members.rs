//! `GET /v1/members`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use client::wire::MemberList;

use super::problems::{ANY, problems};
use super::{Api, status};

problems!(Problems: ANY);

/// The members
///
/// As the node that is asked sees them; how far each one's log reaches is known to the leader only.
#[utoipa::path(
    get, path = "/v1/members", tag = "cluster", operation_id = "list_members",
    responses((status = 200, description = "By id.", body = MemberList), Problems),
)]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<MemberList> {
    let status = status::of_node(&api);
    Json(MemberList {
        index: status.applied,
        term: status.term,
        leader: status.leader,
        members: status.members,
    })
}
