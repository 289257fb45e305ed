//! `GET /metrics`, `GET /v1/traces`, and what is counted and told of every request.

use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use client::wire::{TRACE_HEADER, Trace, TraceList};

use super::problems::{ANY, problems};
use super::{Api, index_of};
use crate::forward::ASKED_BY_NODE;
use crate::observe::{Answered, Notes, Parent};

/// Prometheus' text format.
const PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TRACE: HeaderName = HeaderName::from_static(TRACE_HEADER);
/// The parts of a route that tell a command.
const COMMANDS: &str = "/commands";

problems!(NoProblems: ANY);

/// What this node counts and times
///
/// In Prometheus' text format; docs/operating.md explains each.
#[utoipa::path(
    get, path = "/metrics", tag = "cluster", operation_id = "metrics",
    responses((status = 200, description = "The page.", body = String, content_type = "text/plain"), NoProblems),
)]
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    ([(header::CONTENT_TYPE, PAGE_TYPE)], api.router.observer.page()).into_response()
}

/// The ways of recent commands
///
/// The last ones that were traced, and the slowest: each with its stages.
#[utoipa::path(
    get, path = "/v1/traces", tag = "cluster", operation_id = "list_traces",
    responses((status = 200, description = "Traces.", body = TraceList), NoProblems),
)]
pub(super) async fn traces(State(api): State<Arc<Api>>) -> Json<TraceList> {
    Json(api.router.observer.traces())
}

/// Around every request.
pub(super) async fn observe(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let observer = &api.router.observer;
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    let is_command = request.method() == Method::POST && route.contains(COMMANDS);
    let names = is_command.then(|| names_of(request.uri().path()));
    let asked = Asked::of(request.headers());
    let parent = Parent::of(request.headers());
    let notes = Arc::new(Notes::new(observer.now(), parent, asked == Asked::ByClient));
    request.extensions_mut().insert(notes.clone());

    let mut response = next.run(request).await;

    let status = response.status().as_u16();
    let took = observer.now() - notes.received;
    observer.measures.route(route).answered(status, took);
    if let Some((application, command)) = names {
        let leader = response.headers_mut().remove(TRACE).and_then(|value| trace_of(&value));
        let trace = observer.command_answered(
            notes.received,
            Some(&notes),
            Answered {
                route,
                application: &application,
                command: &command,
                status,
                index: index_of(response.headers()),
                asked_by_peer: asked == Asked::ByNode,
                leader,
            },
        );
        if let Some(trace) = trace.filter(|_| asked == Asked::ByNode || notes.is_recorded()) {
            answer_with(&trace, &mut response);
        }
    }
    response
}

/// Who wants the stages of a command.
#[derive(PartialEq, Eq)]
enum Asked {
    Not,
    ByClient,
    ByNode,
}

impl Asked {
    fn of(headers: &HeaderMap) -> Asked {
        match headers.get(TRACE).map(HeaderValue::as_bytes) {
            None | Some(b"0" | b"") => Asked::Not,
            Some(value) if value == ASKED_BY_NODE.as_bytes() => Asked::ByNode,
            Some(_) => Asked::ByClient,
        }
    }
}

/// Application and command in `/v1/apps/{app}/commands/{command}`, where they are names.
fn names_of(path: &str) -> (String, String) {
    let mut parts = path.split('/').skip(3).step_by(2);
    let mut name = || {
        let part = parts.next().filter(|part| machine::manifest::is_name(part));
        part.unwrap_or_default().to_owned()
    };
    (name(), name())
}

fn trace_of(value: &HeaderValue) -> Option<Trace> {
    serde_json::from_slice(value.as_bytes()).ok()
}

fn answer_with(trace: &Trace, response: &mut Response) {
    // Names and numbers only: all of it may stand in a header.
    let text = serde_json::to_string(trace).unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(TRACE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_taken_from_a_path() {
        let names = |path| names_of(path);
        let owned = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(names("/v1/apps/ledger/commands/transfer"), owned("ledger", "transfer"));
        assert_eq!(names("/v1/apps/ledger/commands"), owned("ledger", ""));
        assert_eq!(names("/v1/apps/%00/commands/Not a name"), owned("", ""));
    }
}
