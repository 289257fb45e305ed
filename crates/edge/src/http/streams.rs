//! `GET /v1/streams`, `GET /v1/streams/{stream}`, `POST /v1/streams/{stream}/trim`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use client::wire::{
    Code, ConsistencyParameter, EventRecord, EventsParameters, STREAM_END_HEADER, STREAM_START_HEADER, StreamList,
    StreamRecord, StreamTrimmed, TrimRequest,
};
use futures::FutureExt;
use machine::{Body, Consistency, Decision, Event, EventPage, Offset, ReadError, TrimStreams};

use super::extract::{Parameters, UrlPath, UrlQuery};
use super::feed::{Feed, Form, last_event_id};
use super::problems::{ANY, WRITE, problems};
use super::{Api, consumers, decided, parse};
use crate::codes::{self, Refusal};
use crate::limits::{DOCUMENT_BODY_BYTES_MAX, EVENT_PAGE_BYTES, FOLLOW_PAUSE};
use crate::router::Routed;

impl Parameters for EventsParameters {
    const NAMES: &'static [&'static str] = &["from", "consumer", "limit", "follow"];
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

problems!(ReadProblems: ANY, &[Code::UnknownStream, Code::UnknownConsumer, Code::EventsTrimmed, Code::ReadUnconfirmed, Code::Unavailable]);
problems!(TrimProblems: WRITE, &[Code::UnknownStream, Code::OffsetPastEnd]);

/// Read or follow a stream
///
/// Events from an offset on, in order and without gaps: as lines of JSON, or as server-sent events with
/// `Accept: text/event-stream`, where each event's id is its offset. With `Last-Event-ID`, which browsers send by
/// themselves, it goes on behind that event, and `from` does not count.
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
    let (from, page) = first_page(&api, &stream, &parameters, &headers).await?;
    let extent = [
        (STREAM_START_HEADER, HeaderValue::from(page.start.0)),
        (STREAM_END_HEADER, HeaderValue::from(page.end.0)),
    ];
    let form = Form::of(&headers);
    let answer = form.answer(Reader {
        form,
        stream,
        next: from,
        left: parameters.limit.unwrap_or(u64::MAX),
        // Without `follow` the answer ends where the stream ended when it was asked for, however fast it grows.
        end: (!parameters.follow).then_some(page.end),
        page: Some(page),
        api,
    });
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
    match api.propose(request, body, true).await? {
        Routed::Here(Decision::Done { index }) => {
            api.caught_up(index).await;
            let trimmed = StreamTrimmed {
                stream,
                before: asked.before,
                index: index.0,
            };
            Ok(decided(index, trimmed))
        }
        Routed::Here(decision) => Err(codes::unexpected(&decision)),
        Routed::Elsewhere(response) => Ok(response),
    }
}

/// The first events of an answer, and where they begin: behind the last event that the client got, where it says, where
/// the consumer stands, or with the first event that is there.
async fn first_page(
    api: &Api,
    stream: &str,
    parameters: &EventsParameters,
    headers: &HeaderMap,
) -> Result<(Offset, EventPage), Refusal> {
    if parameters.consumer.is_some() && parameters.from.is_some() {
        let why = "both `from` and `consumer` say where to begin: give one of them";
        return Err(Refusal::malformed(why));
    }
    let page = |from| api.cluster.events(stream.to_owned(), from, EVENT_PAGE_BYTES);
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

struct Reader {
    api: Arc<Api>,
    form: Form,
    stream: String,
    next: Offset,
    left: u64,
    end: Option<Offset>,
    page: Option<EventPage>,
}

/// Why a wait for new events ended.
enum Woken {
    Grown,
    Heartbeat,
    Stopped,
}

impl Feed for Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if self.left == 0 || self.end.is_some_and(|end| self.next >= end) {
                return Ok(None);
            }
            let page = match self.page.take() {
                Some(page) => page,
                None => self.read().await?,
            };
            let bytes = self.encode(page.events)?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            if self.end.is_some() {
                return Ok(None);
            }
            match self.wait().await {
                Woken::Grown => {}
                Woken::Stopped => return Ok(None),
                Woken::Heartbeat => return Ok(Some(self.form.heartbeat())),
            }
        }
    }
}

impl Reader {
    async fn read(&self) -> Result<EventPage, String> {
        let page = self
            .api
            .cluster
            .events(self.stream.clone(), self.next, EVENT_PAGE_BYTES);
        page.await.map_err(|error| error.to_string())
    }

    fn encode(&mut self, events: Vec<Event>) -> Result<Bytes, String> {
        let mut out = Vec::new();
        for event in events {
            if self.left == 0 || self.end.is_some_and(|end| event.offset >= end) {
                break;
            }
            self.left -= 1;
            self.next = Offset(event.offset.0 + 1);
            let record = EventRecord {
                offset: event.offset.0,
                time_ms: event.time.0,
                key: event.key,
                value: event.value,
            };
            self.form.put(record.offset, &record, &mut out)?;
        }
        Ok(out.into())
    }

    async fn wait(&self) -> Woken {
        let environment = &self.api.environment;
        let grown = async {
            self.api.cluster.events_beyond(self.stream.clone(), self.next).await;
            // It may also say so because the node stops, again and again: that must not become a busy loop.
            let page = self.read().await;
            if page.is_ok_and(|page| page.events.is_empty()) {
                environment.sleep(FOLLOW_PAUSE).await;
            }
        }
        .fuse();
        let heartbeat = environment.sleep(self.api.limits.heartbeat).fuse();
        let stopped = self.api.stopping.said().fuse();
        futures::pin_mut!(grown, heartbeat, stopped);
        futures::select_biased! {
            () = grown => Woken::Grown,
            () = stopped => Woken::Stopped,
            () = heartbeat => Woken::Heartbeat,
        }
    }
}
