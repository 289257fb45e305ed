use std::fmt;

use serde::Serialize;

use crate::json;

/// The application's answer to a command or query that it carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(Vec<u8>);

impl Reply {
    /// A reply written as JSON; the usual last line of a handler: `Reply::json(&receipt)`.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Reply, Refusal> {
        json::to_json(value).map(Reply)
    }

    /// The empty reply: done, nothing to tell. Clients of the HTTP API see `null`.
    #[must_use]
    pub fn empty() -> Reply {
        Reply(Vec::new())
    }

    /// A reply of bytes that are the application's own affair.
    #[must_use]
    pub fn bytes(bytes: Vec<u8>) -> Reply {
        Reply(bytes)
    }

    /// The reply's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The reply's bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The application declines: nothing that the call wrote or emitted takes effect, and the caller is told why.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal(Vec<u8>);

/// How [`Refusal::new`] and [`Refusal::coded`] look on the wire.
#[derive(Serialize)]
struct Reason<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    reason: &'a str,
}

impl Refusal {
    /// `{"reason":…}`: what is wrong, for people.
    #[must_use]
    pub fn new(reason: impl AsRef<str>) -> Refusal {
        let reason = reason.as_ref();
        Refusal::json(&Reason { code: None, reason })
    }

    /// `{"code":…,"reason":…}`: a stable name for programs beside the text for people.
    #[must_use]
    pub fn coded(code: &str, reason: impl AsRef<str>) -> Refusal {
        let (code, reason) = (Some(code), reason.as_ref());
        Refusal::json(&Reason { code, reason })
    }

    /// A refusal with a body of the application's own.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Refusal {
        // Not by way of `encode`, whose error is a refusal again.
        let body = serde_json::to_vec(value);
        Refusal(body.unwrap_or_else(|_| br#"{"code":"not_json","reason":"the application refused"}"#.to_vec()))
    }

    /// The refusal's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The refusal's bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Refusal({self})")
    }
}

impl std::error::Error for Refusal {}
