//! `GET /v1/errors` and `GET /v1/errors/{code}`: the table of errors, which the `type` of every problem leads to.

use axum::Json;
use client::wire::{Code, ErrorInfo, ErrorList};

use super::extract::UrlPath;
use super::problems::{ANY, problems};
use crate::codes::Refusal;

problems!(ListProblems: ANY);
problems!(ShowProblems: ANY, &[Code::NotFound]);

/// Every error code
///
/// What each means, what to do about it, and what a program may do by itself.
#[utoipa::path(
    get, path = "/v1/errors", tag = "about", operation_id = "list_errors",
    responses((status = 200, description = "By number.", body = ErrorList), ListProblems),
)]
pub(super) async fn list() -> Json<ErrorList> {
    Json(ErrorList {
        errors: Code::ALL.iter().copied().map(ErrorInfo::from).collect(),
    })
}

/// One error code
///
/// The `type` of a problem leads here.
#[utoipa::path(
    get, path = "/v1/errors/{code}", tag = "about", operation_id = "show_error",
    params(("code" = Code, Path, description = "The code.", example = "outcome_unknown")),
    responses((status = 200, description = "What it means and what to do.", body = ErrorInfo), ShowProblems),
)]
pub(super) async fn show(UrlPath(name): UrlPath<String>) -> Result<Json<ErrorInfo>, Refusal> {
    match Code::from_name(&name) {
        Some(code) => Ok(Json(code.into())),
        None => Err(Refusal::new(
            Code::NotFound,
            format!("there is no error code {name:?}: `GET /v1/errors` lists them all"),
        )),
    }
}
