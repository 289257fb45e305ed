use serde::{Deserialize, Serialize};

use crate::wire::Code;

/// `GET /v1/errors/{code}`: what a code means, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorInfo {
    /// What programs go by.
    pub code: Code,
    /// The same in the framed client protocol.
    pub number: u16,
    /// The HTTP status of an answer with this code.
    pub status: u16,
    /// The `type` of a problem with this code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short text for people.
    pub title: String,
    /// What has happened.
    pub meaning: String,
    /// What to do about it.
    pub advice: String,
    /// What a program may do by itself: `no` (the same request gives the same answer), `elsewhere` (repeat at another
    /// node, nothing was done), `later` (repeat after a pause, nothing was done) or `same_claim` (repeat only what reads,
    /// or carries the same session and sequence).
    pub retry: String,
    /// Whether the request may have taken effect all the same.
    pub outcome_unknown: bool,
}

/// `GET /v1/errors`: every code there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorList {
    /// By number.
    pub errors: Vec<ErrorInfo>,
}

impl From<Code> for ErrorInfo {
    fn from(code: Code) -> Self {
        ErrorInfo {
            code,
            number: code.number(),
            status: code.http_status(),
            kind: code.path(),
            title: code.title().into(),
            meaning: code.meaning().into(),
            advice: code.advice().into(),
            retry: code.retry().name().into(),
            outcome_unknown: code.outcome_unknown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page for people is this table: `UPDATE_EXPECT=1` writes it anew.
    #[test]
    fn the_page_of_errors_shows_the_table() {
        let mut page = String::from(PAGE_HEAD);
        for code in Code::ALL {
            let error = ErrorInfo::from(*code);
            page += &format!(
                "\n## `{}`\n\n{}. HTTP status {}, number {} in frames; retry: {}.\n\n{}\n\n*What to do:* {}\n",
                error.code, error.title, error.status, error.number, error.retry, error.meaning, error.advice
            );
        }
        expect_test::expect_file!["../../../../../docs/errors.md"].assert_eq(&page);
    }

    const PAGE_HEAD: &str = "# Errors

Every error of the public API, with what it means and what to do about it. Each has a stable code, which never comes to
mean something else. HTTP answers carry it in a problem (RFC 9457, `application/problem+json`) whose `type` leads to the
same text at any node: `GET /v1/errors/{code}`, and all of them under `GET /v1/errors`. Frames carry its number.

*retry* says what a program may do by itself: **no**: the same request gives the same answer; **elsewhere**: nothing was
done, repeat at another node; **later**: nothing was done, repeat after a pause; **same_claim**: it may have been done,
repeat only what reads, or what carries the same session and sequence.

This page is made from the table in `crates/client/src/wire/code.rs`; a test keeps them the same.
";
}
