//! `POST /v1/sessions`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use client::wire::SessionOpened;
use machine::{Body, Decision, Index};

use super::problems::{WRITE, problems};
use super::{Api, decided};
use crate::codes::{self, Refusal};
use crate::limits::DOCUMENT_BODY_BYTES_MAX;
use crate::router::Routed;

problems!(Problems: WRITE);

/// Open a session
///
/// A session makes commands repeatable: one that is sent again with the same session and sequence is not applied again
/// and gets its first answer. It is forgotten after half an hour without use.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "commands", operation_id = "open_session",
    responses((status = 200, description = "The session's id.", body = SessionOpened), Problems),
)]
pub(super) async fn open(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refusal> {
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "this body").await?;
    // A session that was opened and never heard of is forgotten by itself: to open another harms nobody.
    match api.propose(request, Body::OpenSession, true).await? {
        Routed::Here(Decision::SessionOpened(session)) => {
            Ok(decided(Index(session.0), SessionOpened { session: session.0 }))
        }
        Routed::Here(decision) => Err(codes::unexpected(&decision)),
        Routed::Elsewhere(response) => Ok(response),
    }
}
