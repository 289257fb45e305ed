//! `GET /v1/streams` and `GET /v1/streams/{stream}`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use client::wire::{Code, EventRecord, EventsParameters, StreamInfo, StreamList};
use futures::FutureExt;
use machine::{Event, EventPage, Offset, ReadError};

use super::Api;
use super::extract::{Parameters, UrlPath, UrlQuery};
use super::feed::{Feed, Form, last_event_id};
use super::problems::{ANY, problems};
use crate::codes::{self, Refusal};
use crate::limits::{EVENT_PAGE_BYTES, FOLLOW_PAUSE, STREAMS_LISTED_MAX};

impl Parameters for EventsParameters {
    const NAMES: &'static [&'static str] = &["from", "limit", "follow"];
}

problems!(ListProblems: ANY, &[Code::Unavailable, Code::TooLarge]);
problems!(ReadProblems: ANY, &[Code::UnknownStream, Code::Unavailable]);

/// All streams
///
/// Those that any kept version of an application emits, each with its end.
#[utoipa::path(
    get, path = "/v1/streams", tag = "streams", operation_id = "list_streams",
    responses((status = 200, description = "By name.", body = StreamList), ListProblems),
)]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<StreamList>, Refusal> {
    // The index is taken first: what the streams show is then never older than it says.
    let index = api.cluster.status().applied.0;
    let catalog = api.cluster.catalog();
    let mut names = BTreeMap::new();
    for (application, known) in &catalog.applications {
        for version in known.versions.values() {
            names.extend(
                version
                    .manifest
                    .streams
                    .iter()
                    .map(|stream| (stream.clone(), application.clone())),
            );
        }
    }
    if names.len() > STREAMS_LISTED_MAX {
        return Err(Refusal::new(
            Code::TooLarge,
            format!(
                "{} streams are more than are listed at once: `GET /v1/apps` names them",
                names.len()
            ),
        ));
    }
    let mut streams = Vec::with_capacity(names.len());
    for (name, application) in names {
        // Nothing lies behind the end of a stream, so that only the end is read.
        match api.cluster.events(name.clone(), Offset(u64::MAX), 0).await {
            Ok(page) => streams.push(StreamInfo {
                name,
                application,
                end: page.end.0,
            }),
            // Its last version was collected a moment ago.
            Err(ReadError::UnknownStream(_)) => {}
            Err(error) => return Err(codes::of_read(&error)),
        }
    }
    Ok(Json(StreamList { index, streams }))
}

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
    let from = Offset(resumed(&headers)?.unwrap_or(parameters.from));
    // The first page is read before the answer begins: an unknown stream is a problem and not an empty body.
    let page = api.cluster.events(stream.clone(), from, EVENT_PAGE_BYTES).await;
    let page = page.map_err(|error| codes::of_read(&error))?;
    let form = Form::of(&headers);
    Ok(form.answer(Reader {
        form,
        stream,
        next: from,
        left: parameters.limit.unwrap_or(u64::MAX),
        // Without `follow` the answer ends where the stream ended when it was asked for, however fast it grows.
        end: (!parameters.follow).then_some(page.end),
        page: Some(page),
        api,
    }))
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
