//! `POST /v1/entries/{entry}/skip` and `GET /v1/entries/skipped`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use client::wire::{Code, SkipDecided, SkipRequest, SkippedEntry, SkippedList};
use machine::{Body, Index, SkipEntry, Skipped};

use super::body::{self, Media};
use super::extract::UrlPath;
use super::problems::{ANY, WRITE, problems};
use super::{Api, parse_or_nothing};
use crate::codes::Refusal;
use crate::limits::DOCUMENT_BODY_BYTES_MAX;

problems!(ListProblems: ANY);
problems!(SkipProblems: WRITE, &[Code::SkipRefused]);

/// Skip an entry
///
/// For an entry at which the program itself fails, and that has stopped the leader twice: every node passes it by in the same
/// way, its commands are answered with `entry_skipped`, and the fact is kept for ever.
#[utoipa::path(
    post, path = "/v1/entries/{entry}/skip", tag = "cluster", operation_id = "skip_entry",
    params(("entry" = u64, Path, description = "The entry's index.", example = 812)),
    request_body(content = Option<SkipRequest>, description = "Why; may be left out.", example = json!({"reason": "a panic"})),
    responses((status = 200, description = "The entry that decides it.", body = SkipDecided), SkipProblems),
)]
pub(super) async fn skip(
    State(api): State<Arc<Api>>,
    UrlPath(entry): UrlPath<u64>,
    request: Request,
) -> Result<Response, Refusal> {
    body::check_media(request.headers(), Media::Json)?;
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a decision").await?;
    let asked: SkipRequest = parse_or_nothing(&request.body, "a decision to skip an entry, {\"reason\"} or nothing")?;
    let body = Body::SkipEntry(SkipEntry {
        entry: Index(entry),
        reason: asked.reason.unwrap_or_default(),
    });
    // Decided twice, it is skipped once.
    api.done(request, body, true, |index| SkipDecided { entry, index: index.0 })
        .await
}

/// Entries that were skipped
///
/// Kept for ever, since nothing else tells why an entry of the log did nothing.
#[utoipa::path(
    get, path = "/v1/entries/skipped", tag = "cluster", operation_id = "list_skipped",
    responses((status = 200, description = "In the order of the log.", body = SkippedList), ListProblems),
)]
pub(super) async fn skipped(State(api): State<Arc<Api>>) -> Json<SkippedList> {
    // The status is taken first: what the catalog shows is then never older than the index says.
    let index = api.cluster.status().applied.0;
    let catalog = api.cluster.catalog();
    let entries = catalog.skipped.iter().map(|(entry, skipped)| record(*entry, skipped));
    Json(SkippedList {
        index,
        entries: entries.collect(),
    })
}

fn record(entry: Index, skipped: &Skipped) -> SkippedEntry {
    SkippedEntry {
        entry: entry.0,
        decided_by: skipped.by.0,
        time_ms: skipped.time.0,
        commands: skipped.commands,
        digest: skipped.digest.to_string(),
        reason: skipped.reason.clone(),
    }
}
