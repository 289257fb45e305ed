//! `POST /v1/apps/{app}/queries/{query}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use client::wire::{Code, ConsistencyParameter, QueryOutcome, QueryReply};
use machine::{Read, ReadValue};
use serde_json::value::RawValue;

use super::body::{self, Media};
use super::extract::{UrlPath, UrlQuery};
use super::problems::{CALL, READ, problems};
use super::{Api, consistency};
use crate::codes::{self, Refusal};

problems!(Problems: READ, CALL, &[Code::UnknownQuery, Code::TooLarge, Code::UnsupportedMediaType]);

/// Ask a query
///
/// The application's own question: it changes nothing, and is answered at the node that is asked.
#[utoipa::path(
    post, path = "/v1/apps/{app}/queries/{query}", tag = "reads", operation_id = "ask_query",
    params(
        ("app" = String, Path, description = "The application's name.", example = "ledger"),
        ("query" = String, Path, description = "The query's name.", example = "total"),
        ConsistencyParameter,
    ),
    request_body(content = serde_json::Value, description = "The query's payload; may be left out.",
        content_type = "application/json", example = json!({})),
    responses((status = 200, description = "Answered, or declined by the application.", body = QueryReply), Problems),
)]
pub(super) async fn ask(
    State(api): State<Arc<Api>>,
    UrlPath((application, query)): UrlPath<(String, String)>,
    UrlQuery(parameters): UrlQuery<ConsistencyParameter>,
    request: Request,
) -> Result<Json<QueryReply>, Refusal> {
    body::check_media(request.headers(), Media::Json)?;
    let request = api
        .take(request, machine::limits::COMMAND_BYTES_MAX, "a query's payload")
        .await?;
    // Many queries ask for nothing in particular and come without a payload.
    if !request.body.is_empty()
        && let Err(error) = serde_json::from_slice::<&RawValue>(&request.body)
    {
        return Err(Refusal::malformed(format!("the payload is not JSON: {error}")));
    }
    let read = Read::Query {
        application,
        query,
        payload: request.body,
    };
    let answer = api.read(read, consistency(parameters.consistency)).await?;
    let (outcome, bytes) = match answer.value {
        ReadValue::Answer(bytes) => (QueryOutcome::Answered, bytes),
        ReadValue::Refused(bytes) => (QueryOutcome::Refused, bytes),
        ReadValue::Document(_) | ReadValue::Pairs { .. } | ReadValue::Usage(_) => return Err(codes::wrong_value()),
    };
    Ok(Json(QueryReply {
        index: answer.index.0,
        outcome,
        answer: bytes,
    }))
}
