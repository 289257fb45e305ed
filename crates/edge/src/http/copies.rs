//! `POST /v1/copies` and what belongs to it: a node's snapshots and log in bounded pieces, to be replayed elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use client::wire::{Code, CopiedSnapshot, CopyRecord, EntriesParameters, PieceParameters};
use machine::{CopyId, Index, ReadError};

use super::Api;
use super::extract::{Parameters, UrlPath, UrlQuery};
use super::problems::{ANY, problems};
use crate::codes::{self, Refusal};

impl Parameters for EntriesParameters {
    const NAMES: &'static [&'static str] = &["from"];
}

problems!(BeginProblems: ANY, &[Code::CopyUnderWay, Code::Unavailable]);
problems!(SnapshotProblems: ANY, &[Code::UnknownCopy, Code::UnknownSnapshot, Code::Unavailable]);
problems!(EntriesProblems: ANY, &[Code::UnknownCopy, Code::EntriesPurged, Code::Unavailable]);
problems!(EndProblems: ANY, &[Code::UnknownCopy]);

/// Begin a copy for replay
///
/// Says which snapshots the node that is asked has, which entries its log holds, and what its digest is, all as of now, and
/// names the copy that the following requests belong to. A node gives one copy at a time; one that is asked for nothing
/// for half a minute has ended. `seachange replay --from` does all of this.
#[utoipa::path(
    post, path = "/v1/copies", tag = "cluster", operation_id = "begin_copy",
    responses((status = 200, description = "What there is.", body = CopyRecord), BeginProblems),
)]
pub(super) async fn begin(State(api): State<Arc<Api>>) -> Result<Json<CopyRecord>, Refusal> {
    let listing = api.cluster.begin_copy().await.map_err(|error| codes::of_read(&error))?;
    let snapshots = listing.snapshots.iter().map(|snapshot| CopiedSnapshot {
        index: snapshot.index.0,
        digest: snapshot.digest.to_string(),
        bytes: snapshot.bytes,
    });
    Ok(Json(CopyRecord {
        copy: format!("{:016x}", listing.copy.0),
        cluster: format!("{:016x}", listing.cluster.0),
        node: listing.node.0,
        name: api.cluster.catalog().node_name(listing.node),
        first: listing.first.0,
        last: listing.last.0,
        applied: listing.applied.0,
        digest: listing.digest.to_string(),
        snapshot_format: listing.snapshot_format,
        snapshots: snapshots.collect(),
    }))
}

/// Copy a snapshot
///
/// The bytes of its file from a byte on, about a mebibyte at a time; an empty answer is its end.
#[utoipa::path(
    get, path = "/v1/copies/{copy}/snapshots/{index}", tag = "cluster", operation_id = "copy_snapshot",
    params(
        ("copy" = String, Path, description = "The copy, as it was named when it began."),
        ("index" = u64, Path, description = "The snapshot's index."),
        PieceParameters,
    ),
    responses(
        (status = 200, description = "Its bytes.", body = Vec<u8>, content_type = "application/octet-stream"),
        SnapshotProblems,
    ),
)]
pub(super) async fn snapshot(
    State(api): State<Arc<Api>>,
    UrlPath((copy, index)): UrlPath<(String, u64)>,
    UrlQuery(parameters): UrlQuery<PieceParameters>,
) -> Result<Response, Refusal> {
    let copy = parse(&copy)?;
    let piece = api.cluster.copy_snapshot(copy, Index(index), parameters.from).await;
    bytes(piece)
}

/// Copy entries of the log
///
/// From an entry on, about a mebibyte at a time and one entry at least; an empty answer is the end. Each entry is a frame as
/// it lies in the log: a header of 32 bytes, little-endian (length of the payload u32, CRC-32C u32, index u64, term u64, zero
/// u32, 1 u8, kind u8, zero u16), the payload, and zeros up to a multiple of 8 bytes. The checksum is over the frame's
/// offset in the answer (u32), the length, and everything behind the checksum.
#[utoipa::path(
    get, path = "/v1/copies/{copy}/log", tag = "cluster", operation_id = "copy_log",
    params(("copy" = String, Path, description = "The copy, as it was named when it began."), EntriesParameters),
    responses(
        (status = 200, description = "Frames.", body = Vec<u8>, content_type = "application/octet-stream"),
        EntriesProblems,
    ),
)]
pub(super) async fn entries(
    State(api): State<Arc<Api>>,
    UrlPath(copy): UrlPath<String>,
    UrlQuery(parameters): UrlQuery<EntriesParameters>,
) -> Result<Response, Refusal> {
    let copy = parse(&copy)?;
    bytes(api.cluster.copy_entries(copy, Index(parameters.from)).await)
}

/// End a copy
///
/// Another one may begin then. To end one that has ended is no error.
#[utoipa::path(
    delete, path = "/v1/copies/{copy}", tag = "cluster", operation_id = "end_copy",
    params(("copy" = String, Path, description = "The copy, as it was named when it began.")),
    responses((status = 204, description = "It has ended."), EndProblems),
)]
pub(super) async fn end(State(api): State<Arc<Api>>, UrlPath(copy): UrlPath<String>) -> Result<StatusCode, Refusal> {
    api.cluster.end_copy(parse(&copy)?);
    Ok(StatusCode::NO_CONTENT)
}

fn bytes(given: Result<Bytes, ReadError>) -> Result<Response, Refusal> {
    let bytes = given.map_err(|error| codes::of_read(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// What is no name of a copy is none that is under way.
fn parse(copy: &str) -> Result<CopyId, Refusal> {
    let id = u64::from_str_radix(copy, 16).ok().map(CopyId);
    id.ok_or_else(|| codes::of_read(&ReadError::UnknownCopy))
}
