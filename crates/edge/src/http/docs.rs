//! `GET /v1/docs`: a page to read the API's description and to try it. It is whole in this binary, and its policy lets
//! the browser ask nobody but the node that it came from.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use client::wire::Code;

use super::extract::UrlPath;
use super::problems::{ANY, problems};
use crate::codes::Refusal;

problems!(Problems: ANY);
problems!(FileProblems: ANY, &[Code::NotFound]);

const PAGE: &str = include_str!("docs/page.html");
const STYLE: &str = include_str!("docs/page.css");
const SCRIPT: &str = include_str!("docs/page.js");

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// To the page
///
/// Whoever opens a node's address in a browser is led to its page.
#[utoipa::path(
    get, path = "/", tag = "about", operation_id = "start",
    responses((status = 307, description = "To /v1/docs."), Problems),
)]
pub(super) async fn start() -> Redirect {
    Redirect::temporary("/v1/docs")
}

/// This page
#[utoipa::path(
    get, path = "/v1/docs", tag = "about", operation_id = "docs",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"), Problems),
)]
pub(super) async fn page() -> Response {
    asset("text/html; charset=utf-8", PAGE)
}

/// The page's script and style
#[utoipa::path(
    get, path = "/v1/docs/{file}", tag = "about", operation_id = "docs_file",
    params(("file" = String, Path, description = "`page.js` or `page.css`.", example = "page.js")),
    responses((status = 200, description = "The file.", body = String, content_type = "text/javascript"), FileProblems),
)]
pub(super) async fn file(UrlPath(name): UrlPath<String>) -> Result<Response, Refusal> {
    match name.as_str() {
        "page.js" => Ok(asset("text/javascript; charset=utf-8", SCRIPT)),
        "page.css" => Ok(asset("text/css; charset=utf-8", STYLE)),
        other => Err(Refusal::new(
            Code::NotFound,
            format!("the page has no file {other:?}: see `GET /v1/docs`"),
        )),
    }
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // Another release of the node brings another page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}
