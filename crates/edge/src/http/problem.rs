//! Errors as HTTP answers: problem details of RFC 9457.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use client::wire::{Code, PROBLEM_MEDIA_TYPE, Problem, Retry};

use super::INDEX_HEADER;
use crate::codes::Refusal;

/// Seconds after which a client may ask again what was refused for now.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_MEDIA_TYPE)], json(&self.0)).into_response();
        if let Some(index) = self.0.index {
            response.headers_mut().insert(INDEX_HEADER, index.into());
        }
        if self.0.code.retry() == Retry::Later {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

fn json(problem: &Problem) -> Vec<u8> {
    // Strings and numbers only: it cannot fail, and if it did the status would still say what matters.
    serde_json::to_vec(problem).unwrap_or_default()
}

/// A whole HTTP answer as bytes, for a connection whose other end has not spoken HTTP (yet).
pub(crate) fn bare(detail: &str) -> Vec<u8> {
    let body = json(&Problem::new(Code::Malformed, detail));
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM_MEDIA_TYPE}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}
