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

use super::body::{self, Media};
use super::extract::{Parameters, UrlPath, UrlQuery};
use super::problems::{CALL, WRITE, problems};
use super::{Api, decided};
use crate::codes::{self, Refusal};
use crate::router::{Routed, Work};

/// A header that the API promises for later. To ignore it would promise what is not kept.
const IDEMPOTENCY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

problems!(Problems: WRITE, CALL, &[
    Code::UnknownApplication, Code::UnknownCommand, Code::UnknownCommandVersion, Code::SessionExpired,
]);

/// The query string of a command.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
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

/// Submit a command
///
/// Answers when the command has been applied, with what the application made of it. With a session, it can be sent again
/// without harm: the same session and sequence get the first answer.
#[utoipa::path(
    post, path = "/v1/apps/{app}/commands/{command}", tag = "commands", operation_id = "submit_command",
    params(
        ("app" = String, Path, description = "The application's name.", example = "ledger"),
        ("command" = String, Path, description = "The command's name.", example = "open"),
        CommandParameters,
        ("Seachange-Session" = Option<u64>, Header, description = "The session that the command belongs to."),
        ("Seachange-Sequence" = Option<u64>, Header, description = "Its sequence in the session, from 1."),
    ),
    request_body(content = serde_json::Value, description = "The command's payload, at most 1 MiB.",
        content_type = "application/json", example = json!({"id": "ada", "owner": "Ada Lovelace", "balance": 1050})),
    responses((status = 200, description = "Applied, or refused by the application.", body = CommandReply), Problems),
)]
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    UrlPath((application, command)): UrlPath<(String, String)>,
    UrlQuery(parameters): UrlQuery<CommandParameters>,
    request: Request,
) -> Result<Response, Refusal> {
    check_name(Code::UnknownApplication, "an application", &application)?;
    check_name(Code::UnknownCommand, "a command", &command)?;
    body::check_media(request.headers(), Media::Json)?;
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

/// The session and sequence that the headers name.
pub(super) fn claim_of(headers: &HeaderMap) -> Result<Option<Claim>, Refusal> {
    if headers.contains_key(IDEMPOTENCY_HEADER) {
        return Err(Refusal::malformed(format!(
            "{IDEMPOTENCY_HEADER} is not supported, and to ignore it would break its promise: leave it out, or open a \
             session (POST /v1/sessions) and send {SESSION_HEADER} and {SEQUENCE_HEADER}, under which a repeat gets the \
             first answer; nothing was done"
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

/// Refuses a name that nothing can have. Whether something has it is decided where the entry is applied.
pub(super) fn check_name(code: Code, what: &str, name: &str) -> Result<(), Refusal> {
    match is_name(name) {
        true => Ok(()),
        false => Err(Refusal::new(
            code,
            format!("{name:?} is no name of {what}: `GET /v1/apps` lists those there are; nothing was done"),
        )),
    }
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
