//! `POST /v1/apps/{app}/commands/{command}`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use client::wire::{Code, CommandOutcome, CommandReply, SEQUENCE_HEADER, SESSION_HEADER};
use machine::manifest::is_name;
use machine::{Claim, Outcome, Reply, Sequence, SessionId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::extract::{Parameters, UrlPath, UrlQuery};
use super::{Api, decided};
use crate::codes::{self, Refusal};
use crate::router::{Routed, Work};

/// A header that the API promises for later. To ignore it would promise what is not kept.
const IDEMPOTENCY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The query string of a command.
#[derive(Deserialize)]
pub(super) struct CommandParameters {
    /// Version of the command's payload.
    #[serde(default = "first")]
    version: u16,
}

fn first() -> u16 {
    1
}

impl Parameters for CommandParameters {
    const NAMES: &'static [&'static str] = &["version"];
}

pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    UrlPath((application, command)): UrlPath<(String, String)>,
    UrlQuery(parameters): UrlQuery<CommandParameters>,
    request: Request,
) -> Result<Response, Refusal> {
    check_names(&application, &command)?;
    let claim = claim_of(request.headers())?;
    let forward = api
        .take(request, machine::limits::COMMAND_BYTES_MAX, "a command's payload")
        .await?;
    check_json(&forward.body)?;
    let request = machine::Request {
        claim,
        application,
        command,
        version: parameters.version,
        payload: forward.body.clone(),
    };
    let work = Work {
        bytes: request.encoded_bytes_max(),
        repeatable: claim.is_some(),
        time_max: api.limits.request_time_max,
        request: forward,
    };
    match api.router.route(&work, || api.cluster.submit(request.clone())).await? {
        Routed::Here(reply) => answer(reply),
        Routed::Elsewhere(response) => Ok(response),
    }
}

fn answer(reply: Reply) -> Result<Response, Refusal> {
    let (outcome, bytes) = match reply.outcome {
        Outcome::Applied(bytes) => (CommandOutcome::Applied, bytes),
        Outcome::Refused(bytes) => (CommandOutcome::Refused, bytes),
        Outcome::Failed(failure) => return Err(codes::of_failure(&failure, reply.index)),
        Outcome::SessionExpired => return Err(codes::session_expired()),
    };
    let answer = CommandReply {
        index: reply.index.0,
        outcome,
        reply: bytes,
    };
    Ok(decided(reply.index, answer))
}

fn claim_of(headers: &HeaderMap) -> Result<Option<Claim>, Refusal> {
    if headers.contains_key(IDEMPOTENCY_HEADER) {
        return Err(Refusal::malformed(format!(
            "{IDEMPOTENCY_HEADER} is not kept yet: leave it out, or open a session (POST /v1/sessions) and send \
             {SESSION_HEADER} and {SEQUENCE_HEADER}; nothing was done"
        )));
    }
    match (headers.get(SESSION_HEADER), headers.get(SEQUENCE_HEADER)) {
        (None, None) => Ok(None),
        (Some(session), Some(sequence)) => Ok(Some(Claim {
            session: SessionId(number(SESSION_HEADER, session)?),
            sequence: Sequence(number(SEQUENCE_HEADER, sequence)?),
            // The HTTP client has no way to say what it has settled: its replies are kept as long as the window does.
            settled: Sequence(0),
        })),
        (Some(_), None) | (None, Some(_)) => Err(Refusal::malformed(format!(
            "{SESSION_HEADER} and {SEQUENCE_HEADER} go together: send both or neither; nothing was done"
        ))),
    }
}

fn number(header: &str, value: &HeaderValue) -> Result<u64, Refusal> {
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed
        .filter(|number| *number > 0)
        .ok_or_else(|| Refusal::malformed(format!("{header} {value:?} is not a number from 1; nothing was done")))
}

/// Refuses names that nothing can have. Whether something has them is decided where the entry is applied.
fn check_names(application: &str, command: &str) -> Result<(), Refusal> {
    let checks = [
        (Code::UnknownApplication, "application", application),
        (Code::UnknownCommand, "command", command),
    ];
    for (code, what, name) in checks {
        if !is_name(name) {
            return Err(Refusal::new(
                code,
                format!("{name:?} is no name of a {what}: `GET /v1/apps` lists those there are; nothing was done"),
            ));
        }
    }
    Ok(())
}

/// Refuses what no application could read, before it reaches the log.
fn check_json(payload: &Bytes) -> Result<(), Refusal> {
    match serde_json::from_slice::<&RawValue>(payload) {
        Ok(_) => Ok(()),
        Err(error) if payload.is_empty() => Err(Refusal::malformed(format!(
            "the payload is empty ({error}): send the command's JSON, {{}} at least; nothing was done"
        ))),
        Err(error) => Err(Refusal::malformed(format!(
            "the payload is not JSON: {error}; nothing was done"
        ))),
    }
}
