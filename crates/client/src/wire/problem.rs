use serde::{Deserialize, Serialize};

use super::Code;

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// An error as the body of an HTTP answer: problem details of RFC 9457, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Where the node that answered explains the code: `/v1/errors/{code}`.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The code's title.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// For people: what, why, and what to do.
    #[serde(default)]
    pub detail: String,
    /// What programs go by.
    pub code: Code,
    /// `HOST:PORT` of the leader's HTTP, if that is where to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_http: Option<String>,
    /// The entry at which a command failed, if it came that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The first event that the stream still holds, where one before it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_offset: Option<u64>,
}

fn about_blank() -> String {
    "about:blank".into()
}

impl Problem {
    /// A problem of that code.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem {
            kind: code.path(),
            title: code.title().into(),
            status: code.http_status(),
            detail: detail.into(),
            code,
            leader_http: None,
            index: None,
            first_offset: None,
        }
    }

    /// With the entry at which the command failed.
    #[must_use]
    pub fn at(mut self, index: u64) -> Self {
        self.index = Some(index);
        self
    }

    /// With the leader's address.
    #[must_use]
    pub fn with_leader(mut self, leader_http: Option<String>) -> Self {
        self.leader_http = leader_http;
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.detail.as_str() {
            "" => write!(formatter, "{} ({})", self.title, self.code),
            detail => write!(formatter, "{detail} ({})", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_is_read_as_unrecognised() {
        let problem: Problem = serde_json::from_str(r#"{"status":499,"code":"from_the_future","detail":"x"}"#).unwrap();
        assert_eq!(problem.code, Code::Unrecognised);
        assert_eq!(problem.detail, "x");
    }

    #[test]
    fn as_json() {
        let problem = Problem::new(Code::RowNotFound, "table accounts has no row \"x\"");
        expect_test::expect![[r#"{"type":"/v1/errors/row_not_found","title":"The table has no such row","status":404,"detail":"table accounts has no row \"x\"","code":"row_not_found"}"#]]
        .assert_eq(&serde_json::to_string(&problem).unwrap());
    }
}
