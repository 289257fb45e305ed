//! Bodies of requests, read whole and within their limits.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use client::wire::Code;
use environment::{Environment, timeout};
use http_body_util::BodyExt;

use crate::codes::Refusal;
use crate::limits::{self, Limits};

/// What a path takes as its body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Media {
    /// One JSON value.
    Json,
    /// One JSON object on each line.
    Lines,
}

/// Refuses a body that is announced as something else than the path takes. What says nothing, and what programs say
/// when they are not told what they send (curl's forms, a browser's text), is taken for the right thing: whether it is
/// shows when it is read.
pub(crate) fn check_media(headers: &HeaderMap, media: Media) -> Result<(), Refusal> {
    let Some(announced) = headers.get(header::CONTENT_TYPE) else {
        return match media {
            Media::Json => Ok(()),
            Media::Lines => Err(unsupported("nothing", media)),
        };
    };
    let announced = announced.to_str().unwrap_or_default();
    let kind = announced
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let takes = match media {
        Media::Json => {
            let names = [
                "application/json",
                "text/json",
                "text/plain",
                "application/x-www-form-urlencoded",
            ];
            names.contains(&kind.as_str()) || kind.ends_with("+json")
        }
        Media::Lines => ["application/x-ndjson", "application/ndjson", "application/jsonl"].contains(&kind.as_str()),
    };
    match takes {
        true => Ok(()),
        false => Err(unsupported(announced, media)),
    }
}

fn unsupported(announced: &str, media: Media) -> Refusal {
    let what = match media {
        Media::Json => {
            "send application/json; many commands at once, as application/x-ndjson, go to \
             POST /v1/apps/{app}/commands"
        }
        Media::Lines => {
            "send application/x-ndjson, a command on each line; one command alone goes to \
             POST /v1/apps/{app}/commands/{command}"
        }
    };
    Refusal::new(
        Code::UnsupportedMediaType,
        format!("the content type {announced:?} is not taken here, and nothing was done: {what}"),
    )
}

/// Reads a body of at most `bytes_max`; `what` names it for people, such as "a command's payload".
pub(crate) async fn read(
    environment: &Environment,
    limits: &Limits,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    what: &str,
) -> Result<Bytes, Refusal> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    // A client that asked before it sent is told at once, and sends nothing.
    if announced.is_some_and(|bytes| bytes > bytes_max) && headers.contains_key(header::EXPECT) {
        return Err(too_large(what, bytes_max));
    }
    let mut body = body;
    match timeout(environment, limits.body_time_max, collect(&mut body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Ended::Broken(why))) => Err(Refusal::malformed(format!(
            "the body could not be read: {why}; nothing was done"
        ))),
        Ok(Err(Ended::Past(read))) => {
            // Were the connection closed with bytes unread, the client could lose the answer that says why.
            let rest = discard(&mut body, limits::DISCARD_BYTES_MAX.saturating_sub(read));
            let _ = timeout(environment, limits::DISCARD_TIME_MAX, rest).await;
            Err(too_large(what, bytes_max))
        }
        Err(_) => Err(Refusal::malformed(format!(
            "the body did not arrive within {} s; nothing was done: send it again",
            limits.body_time_max.as_secs()
        ))),
    }
}

enum Ended {
    Broken(String),
    Past(usize),
}

async fn collect(body: &mut Body, bytes_max: usize) -> Result<Bytes, Ended> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Ended::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue; // trailers
        };
        let bytes = first.len() + joined.len() + data.len();
        if bytes > bytes_max {
            return Err(Ended::Past(bytes));
        }
        // Most bodies come in one piece, which is then not copied.
        if first.is_empty() && joined.is_empty() {
            first = data;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&first);
            first = Bytes::new();
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

async fn discard(body: &mut Body, bytes_max: usize) {
    let mut bytes = 0;
    while bytes <= bytes_max {
        match body.frame().await {
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}

fn too_large(what: &str, bytes_max: usize) -> Refusal {
    Refusal::new(
        Code::TooLarge,
        format!("{what} may have {bytes_max} bytes and this one has more; nothing was done"),
    )
}
