//! A write on its way from this node to the leader, as the HTTP request that it came as.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use client::wire::{Code, Problem, SEQUENCE_HEADER, SESSION_HEADER, TRACE_HEADER, TRACEPARENT_HEADER};
use client::{Begun, Error, Http, HttpRequest, HttpResponse, Lines, Options, Repeat};
use environment::Environment;

use crate::codes::Refusal;
use crate::observe::Notes;

/// Says that a node passed the request on, so that the next one answers and does not pass it on again: two nodes that
/// take each other for the leader would send it to and fro.
pub(crate) const FORWARDED_HEADER: HeaderName = HeaderName::from_static("seachange-forwarded");

/// Value of the header that asks for a command's stages, when it is a node that asks, to add them to its own.
pub(crate) const ASKED_BY_NODE: &str = "node";

/// A write as an HTTP request.
pub(crate) struct Forward {
    pub method: Method,
    /// Path and parameters.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Another node passed it on to here.
    pub from_peer: bool,
    /// What is noted of its way.
    pub notes: Option<Arc<Notes>>,
}

/// What came of passing a write on.
pub(crate) enum Forwarded {
    /// The leader's answer, whatever it is.
    Answered(Response),
    /// It did not take it, and nothing was done.
    NothingDone(String),
    /// It may have been applied.
    Unknown(String),
}

/// What came of passing a batch of writes on.
pub(crate) enum BatchForwarded {
    /// The leader answers it, line by line.
    Begun(Lines),
    /// The leader refused it as a whole, and nothing was done.
    Refused(Refusal),
    /// It did not take it, and nothing was done.
    NothingDone(String),
    /// Any of it may have been applied.
    Unknown(String),
}

/// Headers of a request that mean something to the leader.
const HEADERS_PASSED: [HeaderName; 3] = [
    HeaderName::from_static(SESSION_HEADER),
    HeaderName::from_static(SEQUENCE_HEADER),
    header::CONTENT_TYPE,
];

/// Headers of an answer that are not this connection's to repeat.
const HEADERS_KEPT_BACK: [HeaderName; 4] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::DATE,
];

impl Forward {
    pub fn new(parts: &Parts, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        for name in HEADERS_PASSED {
            if let Some(value) = parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        Forward {
            method: parts.method.clone(),
            target: target.to_owned(),
            headers,
            body,
            from_peer: parts.headers.contains_key(FORWARDED_HEADER),
            notes: parts.extensions.get::<Arc<Notes>>().cloned(),
        }
    }

    /// The same for a part of a batch: with another body, and the sequence of its first command.
    pub fn part(&self, body: Bytes, sequence: Option<u64>) -> Forward {
        let mut headers = self.headers.clone();
        if let Some(sequence) = sequence {
            headers.insert(HeaderName::from_static(SEQUENCE_HEADER), HeaderValue::from(sequence));
        }
        Forward {
            method: self.method.clone(),
            target: self.target.clone(),
            headers,
            body,
            from_peer: self.from_peer,
            notes: self.notes.clone(),
        }
    }

    fn to_request(&self, environment: &Environment) -> HttpRequest {
        let passed = self.headers.iter();
        let as_text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let mut headers: Vec<(String, String)> = passed
            .map(|(name, value)| (name.as_str().to_owned(), as_text(value)))
            .collect();
        headers.push((FORWARDED_HEADER.as_str().to_owned(), "1".to_owned()));
        if let Some(notes) = &self.notes {
            let place = notes.place(&*environment.chance);
            headers.push((TRACE_HEADER.to_owned(), ASKED_BY_NODE.to_owned()));
            headers.push((TRACEPARENT_HEADER.to_owned(), place.to_header()));
        }
        HttpRequest {
            method: self.method.clone(),
            path: self.target.clone(),
            headers,
            body: self.body.clone(),
            repeat: Repeat::IfNotDone,
        }
    }
}

/// Sends a write to the node that leads, once.
pub(crate) async fn forward(environment: &Environment, limit: Duration, address: &str, request: &Forward) -> Forwarded {
    let options = Options::new([address]).named("node").deadline(limit);
    let http = match Http::new(environment.clone(), options) {
        Ok(http) => http,
        Err(error) => return Forwarded::NothingDone(error.to_string()),
    };
    match http.send_to(address, &request.to_request(environment)).await {
        Ok(response) => judge(response),
        Err(Error::Unavailable(why) | Error::Invalid(why)) => Forwarded::NothingDone(why),
        Err(error @ (Error::OutcomeUnknown(_) | Error::Problem(_) | Error::Unreadable { .. })) => {
            Forwarded::Unknown(lost(&error))
        }
    }
}

/// Sends a batch of writes to the node that leads, once.
pub(crate) async fn forward_batch(
    environment: &Environment,
    limit: Duration,
    address: &str,
    request: &Forward,
) -> BatchForwarded {
    let options = Options::new([address]).named("node").deadline(limit);
    let http = match Http::new(environment.clone(), options) {
        Ok(http) => http,
        Err(error) => return BatchForwarded::NothingDone(error.to_string()),
    };
    let response = match http.send_to_for_lines(address, &request.to_request(environment)).await {
        Ok(Begun::Lines(lines)) => return BatchForwarded::Begun(lines),
        Ok(Begun::Whole(response)) => response,
        Err(Error::Unavailable(why) | Error::Invalid(why)) => return BatchForwarded::NothingDone(why),
        Err(error @ (Error::OutcomeUnknown(_) | Error::Problem(_) | Error::Unreadable { .. })) => {
            return BatchForwarded::Unknown(lost(&error));
        }
    };
    match serde_json::from_slice::<Problem>(&response.body) {
        Ok(problem) if is_elsewhere(problem.code) => BatchForwarded::NothingDone(problem.detail),
        Ok(problem) if problem.code.outcome_unknown() => BatchForwarded::Unknown(problem.detail),
        Ok(problem) => BatchForwarded::Refused(Refusal(Box::new(problem))),
        Err(error) => BatchForwarded::Unknown(format!("the leader's answer could not be read ({error})")),
    }
}

/// Whether a code says that the node cannot answer after all, and has done nothing.
pub(crate) fn is_elsewhere(code: Code) -> bool {
    matches!(code, Code::NotLeader | Code::NoLeader | Code::Unavailable)
}

fn lost(error: &Error) -> String {
    format!("the leader's answer was lost ({error})")
}

/// Most answers are the client's. Those that say that the other node cannot answer after all are the router's.
fn judge(response: HttpResponse) -> Forwarded {
    if response.status < 400 {
        return pass_on(response);
    }
    let Ok(problem) = serde_json::from_slice::<Problem>(&response.body) else {
        return pass_on(response);
    };
    if is_elsewhere(problem.code) {
        return Forwarded::NothingDone(problem.detail);
    }
    if problem.code == Code::OutcomeUnknown {
        return Forwarded::Unknown("the leader did not learn the outcome either".into());
    }
    pass_on(response)
}

fn pass_on(response: HttpResponse) -> Forwarded {
    let mut headers = response.headers;
    for name in HEADERS_KEPT_BACK {
        headers.remove(name);
    }
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    Forwarded::Answered((status, headers, Body::from(response.body)).into_response())
}
