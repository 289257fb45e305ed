//! `POST /v1/snapshots`, `GET /v1/snapshots/{index}/files/{file}`, `POST /v1/verify`: what this node has on its own disk.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use client::wire::{PieceParameters, SnapshotFile, SnapshotRecord, VerifyRecord};
use machine::Index;

use super::Api;
use super::extract::{Parameters, UrlPath, UrlQuery};
use crate::codes::{self, Refusal};

impl Parameters for PieceParameters {
    const NAMES: &'static [&'static str] = &["from"];
}

pub(super) async fn make(State(api): State<Arc<Api>>) -> Result<Json<SnapshotRecord>, Refusal> {
    let listing = api.cluster.snapshot().await.map_err(|error| codes::of_read(&error))?;
    let files = listing.files.into_iter().map(|file| SnapshotFile {
        name: file.name,
        bytes: file.bytes,
    });
    Ok(Json(SnapshotRecord {
        cluster: format!("{:016x}", listing.cluster.0),
        index: listing.index.0,
        digest: listing.digest.to_string(),
        files: files.collect(),
    }))
}

pub(super) async fn piece(
    State(api): State<Arc<Api>>,
    UrlPath((index, file)): UrlPath<(u64, String)>,
    UrlQuery(parameters): UrlQuery<PieceParameters>,
) -> Result<Response, Refusal> {
    let piece = api.cluster.snapshot_piece(Index(index), file, parameters.from).await;
    let bytes = piece.map_err(|error| codes::of_read(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

pub(super) async fn verify(State(api): State<Arc<Api>>) -> Result<Json<VerifyRecord>, Refusal> {
    let scanned = api.cluster.scan_disk().await.map_err(|error| codes::of_read(&error))?;
    Ok(Json(VerifyRecord {
        name: api.cluster.catalog().node_name(api.cluster.status().node),
        index: scanned.index.0,
        rows: scanned.rows,
    }))
}
