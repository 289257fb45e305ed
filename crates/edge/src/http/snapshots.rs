//! `POST /v1/snapshots`, `GET /v1/snapshots/{index}/files/{file}`, `POST /v1/verify`: what this node has on its own disk.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use client::wire::{Code, PieceParameters, SnapshotFile, SnapshotRecord, VerifyRecord};
use machine::Index;

use super::Api;
use super::extract::{Parameters, UrlPath, UrlQuery};
use super::problems::{ANY, problems};
use crate::codes::{self, Refusal};

impl Parameters for PieceParameters {
    const NAMES: &'static [&'static str] = &["from"];
}

problems!(MakeProblems: ANY, &[Code::ReadUnconfirmed, Code::DiskDamaged, Code::Unavailable]);
problems!(PieceProblems: ANY, &[Code::UnknownSnapshot, Code::Unavailable]);
problems!(VerifyProblems: ANY, &[Code::DiskDamaged, Code::Unavailable]);

/// Make a snapshot
///
/// Everything as of one index, as files at the node that is asked, which goes on serving while it is made. It shows
/// every command acknowledged before; one that is new enough is given again. It may take long.
#[utoipa::path(
    post, path = "/v1/snapshots", tag = "cluster", operation_id = "make_snapshot",
    responses((status = 200, description = "Its files.", body = SnapshotRecord), MakeProblems),
)]
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

/// Read a file of a snapshot
///
/// From a byte on, about a mebibyte at a time; an empty answer is its end.
#[utoipa::path(
    get, path = "/v1/snapshots/{index}/files/{file}", tag = "cluster", operation_id = "read_snapshot",
    params(
        ("index" = u64, Path, description = "The snapshot's index."),
        ("file" = String, Path, description = "The file's name, its slashes escaped as `%2F`."),
        PieceParameters,
    ),
    responses(
        (status = 200, description = "Its bytes.", body = Vec<u8>, content_type = "application/octet-stream"),
        PieceProblems,
    ),
)]
pub(super) async fn piece(
    State(api): State<Arc<Api>>,
    UrlPath((index, file)): UrlPath<(u64, String)>,
    UrlQuery(parameters): UrlQuery<PieceParameters>,
) -> Result<Response, Refusal> {
    let piece = api.cluster.snapshot_piece(Index(index), file, parameters.from).await;
    let bytes = piece.map_err(|error| codes::of_read(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// Check a node's disk
///
/// Reads everything that the node which is asked has on its disk, and checks it. Damage ends the node. It may take long.
#[utoipa::path(
    post, path = "/v1/verify", tag = "cluster", operation_id = "verify",
    responses((status = 200, description = "All is in order.", body = VerifyRecord), VerifyProblems),
)]
pub(super) async fn verify(State(api): State<Arc<Api>>) -> Result<Json<VerifyRecord>, Refusal> {
    let scanned = api.cluster.scan_disk().await.map_err(|error| codes::of_read(&error))?;
    Ok(Json(VerifyRecord {
        name: api.cluster.catalog().node_name(api.cluster.status().node),
        index: scanned.index.0,
        rows: scanned.rows,
    }))
}
