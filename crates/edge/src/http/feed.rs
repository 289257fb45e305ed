//! Answers that go on: records as lines of JSON, or as server-sent events when the client asks for those.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde::Serialize;

use crate::codes::Refusal;

/// The header with which a client of server-sent events resumes.
const LAST_EVENT_HEADER: &str = "last-event-id";

/// The id of the last record that the client has seen, if it says so.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get(LAST_EVENT_HEADER) else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(last) => Ok(Some(last)),
        None => Err(Refusal::malformed(format!(
            "{LAST_EVENT_HEADER} {value:?} is no number: send the id of the last record that came"
        ))),
    }
}

/// The form in which records are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object on each line.
    Lines,
    /// Server-sent events.
    Events,
}

/// Records one after the other.
pub(super) trait Feed: Send + 'static {
    /// The next bytes of the body: records in their form, or a sign of life; none at the end.
    ///
    /// # Errors
    /// The feed broke off: the connection is cut, so that nobody takes what came for all there is.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, String>> + Send;
}

impl Form {
    /// What the client's `Accept` asks for.
    pub fn of(headers: &HeaderMap) -> Form {
        match accepts(headers, "text/event-stream") {
            true => Form::Events,
            false => Form::Lines,
        }
    }

    /// Appends one record; `id` is what a client sends back as Last-Event-ID to go on behind it.
    pub fn put(self, id: u64, record: &impl Serialize, out: &mut Vec<u8>) -> Result<(), String> {
        if self == Form::Events {
            out.extend_from_slice(format!("id: {id}\ndata: ").as_bytes());
        }
        serde_json::to_writer(&mut *out, record).map_err(|error| error.to_string())?;
        out.extend_from_slice(match self {
            Form::Lines => b"\n",
            Form::Events => b"\n\n",
        });
        Ok(())
    }

    /// What says, while there is nothing else to say, that the connection lives: a comment, or an empty line.
    pub fn heartbeat(self) -> Bytes {
        Bytes::from_static(match self {
            Form::Lines => b"\n",
            Form::Events => b": still here\n\n",
        })
    }

    /// The answer whose body is the feed.
    pub fn answer(self, feed: impl Feed) -> Response {
        let media_type = match self {
            Form::Lines => "application/x-ndjson",
            Form::Events => "text/event-stream",
        };
        answer(media_type, feed)
    }
}

/// Whether the client's `Accept` names that type.
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(media_type))
}

/// The answer whose body is the feed.
pub(super) fn answer(media_type: &'static str, feed: impl Feed) -> Response {
    let chunks = stream::unfold(Some(feed), |feed| async {
        let mut feed = feed?;
        match feed.next().await {
            Ok(bytes) => Some((Ok(bytes?), Some(feed))),
            Err(reason) => {
                tracing::debug!(reason, "a feed broke off");
                Some((Err(reason), None))
            }
        }
    });
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(chunks)).into_response()
}
