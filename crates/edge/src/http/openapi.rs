//! `GET /v1/openapi.json`: the API's description, made from the handlers.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, License};

use super::problems::{ANY, problems};
use super::routes::Described;

problems!(Problems: ANY);

/// In the order in which a newcomer meets them.
const TAGS: [(&str, &str); 8] = [
    (
        "commands",
        "Commands change an application's state: applied exactly once, on every node, in one order.",
    ),
    (
        "reads",
        "Rows of tables, and an application's own queries; linearizable unless asked for stale.",
    ),
    (
        "streams",
        "Events that applications emit, in order and without gaps, from any offset on.",
    ),
    (
        "applications",
        "The applications that are installed, their versions and manifests.",
    ),
    (
        "changes",
        "Installing and upgrading applications while they serve, and the way back.",
    ),
    (
        "cluster",
        "Members, status, and everything that happens, as it happens.",
    ),
    ("health", "For load balancers and supervisors."),
    ("about", "The API itself: its description, its errors, and this page."),
];

const ABOUT: &str = "Commands, reads, streams and changes of a Seachange cluster. Every node answers everything: a write \
    that reaches a node which does not lead is passed on to the leader. Errors are problem details (RFC 9457) with a \
    stable `code`; `GET /v1/errors` explains each. The examples work against the application `ledger` of the tour: \
    `seachange app install apps/ledger-1`.";

/// The document.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    let mut document = Described::openapi();
    document.info = InfoBuilder::new()
        .title("Seachange")
        .version(concat!("v1, ", env!("CARGO_PKG_VERSION")))
        .description(Some(ABOUT))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))))
        .build();
    let tags = TAGS
        .iter()
        .map(|(name, about)| TagBuilder::new().name(*name).description(Some(*about)).build());
    document.tags = Some(tags.collect());
    document
}

/// The document as it is served.
pub(crate) fn text() -> Bytes {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        // A document of strings, numbers and maps: that it can be written is a test's business.
        let mut value = serde_json::to_value(document()).unwrap_or_default();
        plain(&mut value);
        serde_json::to_vec(&value).unwrap_or_default().into()
    });
    TEXT.clone()
}

/// Rust's links in descriptions mean nothing outside: [`Row`] becomes `Row`.
fn plain(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("[`") => *text = text.replace("[`", "`").replace("`]", "`"),
        Value::Array(values) => values.iter_mut().for_each(plain),
        Value::Object(fields) => fields.values_mut().for_each(plain),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// This description of the API
///
/// OpenAPI 3.1, made from the handlers themselves.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "about", operation_id = "openapi",
    responses((status = 200, description = "The document.", body = Object), Problems),
)]
pub(super) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text()).into_response()
}
