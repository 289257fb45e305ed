//! `GET /v1/consumers`, `GET|PUT|DELETE /v1/streams/{stream}/consumers/{name}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use client::wire::{
    Code, CommitRequest, ConsistencyParameter, ConsumerCommitted, ConsumerList, ConsumerPinned, ConsumerRecord,
    ConsumerRemoved, PinRequest,
};
use machine::{Body, CommitConsumer, Consumer, Offset, PinConsumer, ReadError, RemoveConsumer, StreamStatus};

use super::extract::{UrlPath, UrlQuery};
use super::problems::{ANY, WRITE, problems};
use super::{Api, consistency, parse};
use crate::codes::{self, Refusal};
use crate::limits::DOCUMENT_BODY_BYTES_MAX;

problems!(ListProblems: ANY, &[Code::ReadUnconfirmed, Code::Unavailable]);
problems!(ShowProblems: ANY, &[Code::UnknownStream, Code::UnknownConsumer, Code::ReadUnconfirmed, Code::Unavailable]);
problems!(
    CommitProblems: WRITE,
    &[
        Code::UnknownStream,
        Code::OffsetPastEnd,
        Code::EventsTrimmed,
        Code::ConsumerMoved,
        Code::ConsumerGoesBack,
        Code::TooManyConsumers,
        Code::ConsumerInvalid,
    ],
);
problems!(PinProblems: WRITE, &[Code::UnknownStream, Code::UnknownConsumer, Code::EventVersionUnserved]);
problems!(RemoveProblems: WRITE, &[Code::UnknownStream, Code::UnknownConsumer]);

/// All named consumers
///
/// Each with where it stands and how far it lags behind.
#[utoipa::path(
    get, path = "/v1/consumers", tag = "streams", operation_id = "list_consumers",
    params(ConsistencyParameter),
    responses((status = 200, description = "By stream and name.", body = ConsumerList), ListProblems),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    UrlQuery(parameters): UrlQuery<ConsistencyParameter>,
) -> Result<Json<ConsumerList>, Refusal> {
    let index = api.shown(consistency(parameters.consistency)).await?;
    // The consumers are taken first: none of them then stands beyond the end that is shown beside it.
    let consumers = api.cluster.consumers();
    let streams = api.cluster.streams();
    let catalog = api.cluster.catalog();
    let records = consumers.iter().map(|(stream, name, consumer)| {
        let status = streams.get(stream).copied().unwrap_or_default();
        record((stream, name), consumer, status, catalog.pin(stream, name))
    });
    Ok(Json(ConsumerList {
        index: index.0,
        consumers: records.collect(),
    }))
}

/// One named consumer
#[utoipa::path(
    get, path = "/v1/streams/{stream}/consumers/{name}", tag = "streams", operation_id = "show_consumer",
    params(
        ("stream" = String, Path, description = "The stream's name.", example = "ledger.transfers"),
        ("name" = String, Path, description = "The consumer's name.", example = "audit"),
        ConsistencyParameter,
    ),
    responses((status = 200, description = "Where it stands.", body = ConsumerRecord), ShowProblems),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    UrlPath((stream, name)): UrlPath<(String, String)>,
    UrlQuery(parameters): UrlQuery<ConsistencyParameter>,
) -> Result<Json<ConsumerRecord>, Refusal> {
    api.shown(consistency(parameters.consistency)).await?;
    let consumer = find(&api, &stream, &name)?;
    let status = api.cluster.streams().get(&stream).copied().unwrap_or_default();
    let pin = api.cluster.catalog().pin(&stream, &name);
    Ok(Json(record((&stream, &name), consumer, status, pin)))
}

/// Commit a consumer's place
///
/// All events before the offset are done with. Forward only, unless `reset` says otherwise; with `expected` only if the
/// consumer stands there. The first commit makes the consumer.
#[utoipa::path(
    put, path = "/v1/streams/{stream}/consumers/{name}", tag = "streams", operation_id = "commit_consumer",
    params(
        ("stream" = String, Path, description = "The stream's name.", example = "ledger.transfers"),
        ("name" = String, Path, description = "The consumer's name.", example = "audit"),
    ),
    request_body(content = CommitRequest, example = json!({"offset": 120})),
    responses((status = 200, description = "It stands there.", body = ConsumerCommitted), CommitProblems),
)]
pub(super) async fn commit(
    State(api): State<Arc<Api>>,
    UrlPath((stream, name)): UrlPath<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a commit").await?;
    let asked: CommitRequest = parse(&request.body, "a commit, {\"offset\", \"expected\", \"reset\"}")?;
    let body = Body::CommitConsumer(CommitConsumer {
        stream: stream.clone(),
        consumer: name.clone(),
        offset: Offset(asked.offset),
        expected: asked.expected.map(Offset),
        reset: asked.reset,
    });
    // Sent twice it is found done, unless it goes back from anywhere: that could undo what came between.
    let repeatable = !asked.reset || asked.expected.is_some();
    api.done(request, body, repeatable, |index| ConsumerCommitted {
        stream,
        name,
        offset: asked.offset,
        index: index.0,
    })
    .await
}

/// Pin a consumer to a version of events
///
/// It then gets events that were emitted in a later version in this one, as the application's manifest says how. A version of the
/// application that could not give it any more is refused, unless it says that it breaks readers, and why.
#[utoipa::path(
    put, path = "/v1/streams/{stream}/consumers/{name}/event-version", tag = "streams", operation_id = "pin_consumer",
    params(
        ("stream" = String, Path, description = "The stream's name.", example = "ledger.transfers"),
        ("name" = String, Path, description = "The consumer's name.", example = "audit"),
    ),
    request_body(content = PinRequest, example = json!({"event_version": 1})),
    responses((status = 200, description = "It is pinned.", body = ConsumerPinned), PinProblems),
)]
pub(super) async fn pin(
    State(api): State<Arc<Api>>,
    UrlPath((stream, name)): UrlPath<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a pin").await?;
    let asked: PinRequest = parse(&request.body, "a pin, {\"event_version\"}")?;
    let body = Body::PinConsumer(PinConsumer {
        stream: stream.clone(),
        consumer: name.clone(),
        version: asked.event_version,
    });
    api.done(request, body, true, |index| ConsumerPinned {
        stream,
        name,
        event_version: asked.event_version,
        index: index.0,
    })
    .await
}

/// Remove a consumer
#[utoipa::path(
    delete, path = "/v1/streams/{stream}/consumers/{name}", tag = "streams", operation_id = "remove_consumer",
    params(
        ("stream" = String, Path, description = "The stream's name.", example = "ledger.transfers"),
        ("name" = String, Path, description = "The consumer's name.", example = "audit"),
    ),
    responses((status = 200, description = "It is gone.", body = ConsumerRemoved), RemoveProblems),
)]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    UrlPath((stream, name)): UrlPath<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "this body").await?;
    let body = Body::RemoveConsumer(RemoveConsumer {
        stream: stream.clone(),
        consumer: name.clone(),
    });
    // A second removal would be refused because of the first: not to be sent twice.
    api.done(request, body, false, |index| ConsumerRemoved {
        stream,
        name,
        index: index.0,
    })
    .await
}

/// The consumer as this node has it.
pub(super) fn find(api: &Api, stream: &str, name: &str) -> Result<Consumer, Refusal> {
    if let Some(consumer) = api.cluster.consumers().get(stream, name) {
        return Ok(consumer);
    }
    if !api.cluster.streams().contains_key(stream) {
        return Err(codes::of_read(&ReadError::UnknownStream(stream.to_owned())));
    }
    Err(Refusal::new(
        Code::UnknownConsumer,
        format!("stream {stream} has no consumer {name:?}: `GET /v1/consumers` lists them, and a commit makes one"),
    ))
}

/// Why a stream could not be read from where a consumer stands.
pub(super) fn of_read(error: &ReadError, name: &str, stands: Offset) -> Refusal {
    let ReadError::EventsTrimmed { stream, start } = error else {
        return codes::of_read(error);
    };
    let missed = start.0.saturating_sub(stands.0);
    let detail = format!(
        "consumer {name} stands at {stands}, and stream {stream} begins at {start}: {missed} events were removed before \
         it read them. Put it where you want to go on (a commit of {start} or later; seachange consumer reset {stream} \
         {name} --to start)"
    );
    Refusal::new(Code::EventsTrimmed, detail).with_first_offset(*start)
}

fn record(
    (stream, name): (&str, &str),
    consumer: Consumer,
    status: StreamStatus,
    event_version: Option<u16>,
) -> ConsumerRecord {
    let (offset, start, end) = (consumer.offset.0, status.start.0, status.end.0);
    ConsumerRecord {
        stream: stream.to_owned(),
        name: name.to_owned(),
        offset,
        start,
        end,
        lag: end.saturating_sub(offset.max(start)),
        missed: start.saturating_sub(offset),
        committed_ms: consumer.committed.0,
        event_version,
    }
}
