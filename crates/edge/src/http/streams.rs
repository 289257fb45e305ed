//! `GET /v1/streams`, `GET /v1/streams/{stream}`, `POST /v1/streams/{stream}/trim`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use client::wire::{
    Code, ConsistencyParameter, EventRecord, EventsParameters, RECORD_BATCH_MEDIA_TYPE, STREAM_END_HEADER,
    STREAM_FROM_HEADER, STREAM_START_HEADER, StreamList, StreamRecord, StreamTrimmed, TrimRequest,
};
use machine::{Body, Consistency, EventPage, Offset, ReadError, TrimStreams};

use super::events::{self, Span};
use super::extract::{Parameters, UrlPath, UrlQuery};
use super::feed::{self, Form, last_event_id};
use super::problems::{ANY, WRITE, problems};
use super::{Api, consumers, parse};
use crate::codes::{self, Refusal};
use crate::limits::{DOCUMENT_BODY_BYTES_MAX, EVENT_PAGE_BYTES};

impl Parameters for EventsParameters {
    const NAMES: &'static [&'static str] = &["from", "consumer", "limit", "follow", "event_version"];
}

problems!(ListProblems: ANY, &[Code::ReadUnconfirmed, Code::Unavailable]);

/// All streams
///
/// Those that any kept version of an application emits, each with where it begins and ends.
#[utoipa::path(
    get, path = "/v1/streams", tag = "streams", operation_id = "list_streams",
    params(ConsistencyParameter),
    responses((status = 200, description = "By name.", body = StreamList), ListProblems),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    UrlQuery(parameters): UrlQuery<ConsistencyParameter>,
) -> Result<Json<StreamList>, Refusal> {
    let index = api.shown(super::consistency(parameters.consistency)).await?.0;
    let streams = api.cluster.streams().into_iter().map(|(name, status)| StreamRecord {
        name,
        start: status.start.0,
        end: status.end.0,
        bytes: status.bytes,
        segments: status.segments,
    });
    Ok(Json(StreamList {
        index,
        streams: streams.collect(),
    }))
}

problems!(ReadProblems: ANY, &[Code::UnknownStream, Code::UnknownConsumer, Code::EventsTrimmed, Code::EventVersionUnserved, Code::ReadUnconfirmed, Code::Unavailable]);
problems!(TrimProblems: WRITE, &[Code::UnknownStream, Code::OffsetPastEnd]);

/// Read or follow a stream
///
/// Events from an offset on, in order and without gaps: as lines of JSON, or as server-sent events with
/// `Accept: text/event-stream`, where each event's id is its offset. With `Last-Event-ID`, which browsers send by
/// themselves, it goes on behind that event, and `from` does not count. With
/// `Accept: application/vnd.seachange.record-batches` events come as they lie on the node's disk, for programs that read
/// many: as Kafka's record batches (format v2, uncompressed), one behind the other. A batch without records among them
/// says that the node is there.
///
/// Events that were emitted in a later version than `event_version`, or than the one that the consumer is pinned to, are
/// brought down into it by the programs of the application's manifest. Batches come as they lie, so that goes only with JSON.
#[utoipa::path(
    get, path = "/v1/streams/{stream}", tag = "streams", operation_id = "read_stream",
    params(
        ("stream" = String, Path, description = "The stream's name.", example = "ledger.transfers"),
        EventsParameters,
        ("Last-Event-ID" = Option<u64>, Header, description = "The offset of the last event that came."),
    ),
    responses(
        (status = 200, description = "Events.", content(
            (EventRecord = "application/x-ndjson"), (EventRecord = "text/event-stream"),
            (Vec<u8> = "application/vnd.seachange.record-batches"),
        )),
        ReadProblems,
    ),
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    UrlPath(stream): UrlPath<String>,
    UrlQuery(parameters): UrlQuery<EventsParameters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // The first page is read before the answer begins: an unknown stream is a problem and not an empty body.
    let version = version(&api, &stream, &parameters).await?;
    let batches = feed::accepts(&headers, RECORD_BATCH_MEDIA_TYPE);
    if batches && version.is_some() && !feed::accepts(&headers, "application/x-ndjson") {
        let why =
            "record batches hold events as they were emitted: ask for JSON where they are to come in another version";
        return Err(Refusal::malformed(why));
    }
    let batches = batches && version.is_none();
    // Batches are read as they lie: of the events themselves only where the stream begins and ends is looked at.
    let bytes_max = if batches { 1 } else { EVENT_PAGE_BYTES };
    let (from, page) = first_page(&api, &stream, &parameters, (&headers, version), bytes_max).await?;
    let extent = [
        (STREAM_FROM_HEADER, HeaderValue::from(from.0)),
        (STREAM_START_HEADER, HeaderValue::from(page.start.0)),
        (STREAM_END_HEADER, HeaderValue::from(page.end.0)),
    ];
    let span = Span {
        stream,
        next: from,
        left: parameters.limit.unwrap_or(u64::MAX),
        // Without `follow` the answer ends where the stream ended when it was asked for, however fast it grows.
        end: (!parameters.follow).then_some(page.end),
        version,
        api,
    };
    let answer = match batches {
        true => feed::answer(RECORD_BATCH_MEDIA_TYPE, events::Batches { span }),
        false => {
            let form = Form::of(&headers);
            let page = Some(page);
            form.answer(events::Records { span, form, page })
        }
    };
    Ok((extent, answer).into_response())
}

/// Trim a stream
///
/// Removes its events before an offset, on every node. Nobody can read them from then on.
#[utoipa::path(
    post, path = "/v1/streams/{stream}/trim", tag = "streams", operation_id = "trim_stream",
    params(("stream" = String, Path, description = "The stream's name.", example = "ledger.transfers")),
    request_body(content = TrimRequest, example = json!({"before": 100})),
    responses((status = 200, description = "It begins there, or later.", body = StreamTrimmed), TrimProblems),
)]
pub(super) async fn trim(
    State(api): State<Arc<Api>>,
    UrlPath(stream): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a trimming").await?;
    let asked: TrimRequest = parse(&request.body, "a trimming, {\"before\"}")?;
    let body = Body::TrimStreams(TrimStreams {
        starts: [(stream.clone(), Offset(asked.before))].into(),
    });
    api.done(request, body, true, |index| StreamTrimmed {
        stream,
        before: asked.before,
        index: index.0,
    })
    .await
}

/// The version that the reader asks for, or that its consumer is pinned to.
async fn version(api: &Api, stream: &str, parameters: &EventsParameters) -> Result<Option<u16>, Refusal> {
    match (parameters.event_version, &parameters.consumer) {
        (Some(0), _) => Err(Refusal::malformed("`event_version` counts from 1")),
        (Some(version), _) => Ok(Some(version)),
        (None, Some(name)) => {
            // It may have been pinned just now.
            api.shown(Consistency::Linearizable).await?;
            Ok(api.cluster.catalog().pin(stream, name))
        }
        (None, None) => Ok(None),
    }
}

/// The first events of an answer, and where they begin: behind the last event that the client got, where it says, where
/// the consumer stands, or with the first event that is there.
async fn first_page(
    api: &Api,
    stream: &str,
    parameters: &EventsParameters,
    (headers, version): (&HeaderMap, Option<u16>),
    bytes_max: usize,
) -> Result<(Offset, EventPage), Refusal> {
    if parameters.consumer.is_some() && parameters.from.is_some() {
        let why = "both `from` and `consumer` say where to begin: give one of them";
        return Err(Refusal::malformed(why));
    }
    let page = |from| api.cluster.events(stream.to_owned(), from, bytes_max, version);
    if let Some(from) = resumed(headers)?.or(parameters.from).map(Offset) {
        let page = page(from).await.map_err(|error| codes::of_read(&error))?;
        return Ok((from, page));
    }
    if let Some(name) = &parameters.consumer {
        // A place that is older than the last commit would give events again that are done with.
        api.shown(Consistency::Linearizable).await?;
        let from = consumers::find(api, stream, name)?.offset;
        let page = page(from)
            .await
            .map_err(|error| consumers::of_read(&error, name, from))?;
        return Ok((from, page));
    }
    let mut from = Offset(0);
    loop {
        match page(from).await {
            Ok(page) => return Ok((from, page)),
            // It may be trimmed again and again meanwhile, but each time further.
            Err(ReadError::EventsTrimmed { start, .. }) if start > from => from = start,
            Err(error) => return Err(codes::of_read(&error)),
        }
    }
}

/// The offset behind the last event that the client has seen, if it says so.
fn resumed(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    match last_event_id(headers)? {
        None => Ok(None),
        Some(last) => last.checked_add(1).map(Some).ok_or_else(|| {
            Refusal::malformed("no event can be the last: send the id of the last event that came as last-event-id")
        }),
    }
}
