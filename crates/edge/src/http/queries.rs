//! `POST /v1/apps/{app}/queries/{query}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use client::wire::{ConsistencyParameter, QueryOutcome, QueryReply};
use machine::{Read, ReadValue};
use serde_json::value::RawValue;

use super::extract::{UrlPath, UrlQuery};
use super::{Api, consistency, wrong_value};
use crate::codes::Refusal;

pub(super) async fn ask(
    State(api): State<Arc<Api>>,
    UrlPath((application, query)): UrlPath<(String, String)>,
    UrlQuery(parameters): UrlQuery<ConsistencyParameter>,
    request: Request,
) -> Result<Json<QueryReply>, Refusal> {
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
        ReadValue::Document(_) | ReadValue::Pairs { .. } => return Err(wrong_value()),
    };
    Ok(Json(QueryReply {
        index: answer.index.0,
        outcome,
        answer: bytes,
    }))
}
