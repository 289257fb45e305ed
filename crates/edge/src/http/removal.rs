//! `POST /v1/apps/{app}/remove` and `POST /v1/apps/{app}/purge`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use client::wire::{ApplicationPurged, ApplicationRemoved, Code, RemovalRequest};
use machine::{Body, PurgeApplication, RemoveApplication};

use super::body::{self, Media};
use super::extract::UrlPath;
use super::problems::{WRITE, problems};
use super::{Api, parse_or_nothing};
use crate::codes::Refusal;
use crate::limits::DOCUMENT_BODY_BYTES_MAX;

problems!(Problems: WRITE, &[Code::UnknownApplication, Code::ChangeRefused]);

/// Remove an application
///
/// It takes no commands and answers no queries from that entry on. Its rows and events stay: installed again, it has them.
#[utoipa::path(
    post, path = "/v1/apps/{app}/remove", tag = "applications", operation_id = "remove_application",
    params(("app" = String, Path, description = "The application's name.", example = "ledger")),
    request_body(content = Option<RemovalRequest>, description = "Why; may be left out.", example = json!({"reason": "moved"})),
    responses((status = 200, description = "The entry that removed it.", body = ApplicationRemoved), Problems),
)]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    UrlPath(application): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    body::check_media(request.headers(), Media::Json)?;
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a removal").await?;
    let asked: RemovalRequest = parse_or_nothing(&request.body, "a removal, {\"reason\"} or nothing")?;
    let body = Body::RemoveApplication(RemoveApplication {
        application: application.clone(),
        reason: asked.reason.unwrap_or_default(),
    });
    api.done(request, body, false, |index| ApplicationRemoved {
        application,
        index: index.0,
    })
    .await
}

/// Purge a removed application
///
/// Deletes a bounded number of its rows for good, so that nobody waits for it: ask again until it is gone, with its events and
/// its consumers.
#[utoipa::path(
    post, path = "/v1/apps/{app}/purge", tag = "applications", operation_id = "purge_application",
    params(("app" = String, Path, description = "The application's name.", example = "ledger")),
    responses((status = 200, description = "Whether it is gone.", body = ApplicationPurged), Problems),
)]
pub(super) async fn purge(
    State(api): State<Arc<Api>>,
    UrlPath(application): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a purge").await?;
    let body = Body::PurgeApplication(PurgeApplication {
        application: application.clone(),
    });
    api.done(request, body, false, |index| {
        let gone = !api.cluster.catalog().removed.contains_key(&application);
        ApplicationPurged {
            application,
            index: index.0,
            gone,
        }
    })
    .await
}
