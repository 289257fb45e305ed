use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::content;
use crate::wire::Code;

/// The media type of a batch and of its answers: one JSON object on each line.
pub const BATCH_MEDIA_TYPE: &str = "application/x-ndjson";

/// One line of `POST /v1/apps/{app}/commands`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchCommand {
    /// The command's name.
    pub command: String,
    /// Version of the command's payload.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub version: u16,
    /// The payload, any JSON.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub payload: Box<RawValue>,
}

fn first() -> u16 {
    1
}

fn is_first(version: &u16) -> bool {
    *version == first()
}

/// What came of one command of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BatchOutcome {
    /// Done.
    Applied,
    /// The application declined it; nothing was changed.
    Refused,
    /// It could not be run, or was not tried; nothing was changed by it. `code` says why.
    Failed,
    /// It may have been applied, or may still be. `code` says why that is not known.
    Unknown,
}

/// One line of the answer to a batch: the outcome of the command on the same line of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "BatchAnswerJson", try_from = "BatchAnswerJson")]
pub struct BatchAnswer {
    /// The command's line in the request, from 1.
    pub line: u64,
    /// What came of it.
    pub outcome: BatchOutcome,
    /// The entry in which it was applied, refused or failed, if it came that far.
    pub index: Option<u64>,
    /// The application's reply, or why it declined.
    pub reply: Bytes,
    /// Why it failed, or why its outcome is unknown.
    pub code: Option<Code>,
    /// The same for people.
    pub detail: String,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = BatchAnswer))]
struct BatchAnswerJson {
    /// The command's line in the request, from 1.
    line: u64,
    /// What came of it.
    outcome: BatchOutcome,
    /// The entry in which it was applied, refused or failed, if it came that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    /// The application's reply, or why it declined, when it is JSON.
    #[serde(
        default,
        deserialize_with = "content::present",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    reply: Option<Box<RawValue>>,
    /// The same when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_base64: Option<String>,
    /// Why it failed, or why its outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    detail: String,
}

#[cfg(feature = "openapi")]
super::schema::shown_as!(BatchAnswer as "BatchAnswer" in BatchAnswerJson);

impl From<BatchAnswer> for BatchAnswerJson {
    fn from(from: BatchAnswer) -> Self {
        let (reply, reply_base64) = content::value_of(&from.reply);
        BatchAnswerJson {
            line: from.line,
            outcome: from.outcome,
            index: from.index,
            reply,
            reply_base64,
            code: from.code,
            detail: from.detail,
        }
    }
}

impl TryFrom<BatchAnswerJson> for BatchAnswer {
    type Error = String;
    fn try_from(from: BatchAnswerJson) -> Result<Self, String> {
        Ok(BatchAnswer {
            line: from.line,
            outcome: from.outcome,
            index: from.index,
            reply: content::value_from("reply", (from.reply, from.reply_base64))?,
            code: from.code,
            detail: from.detail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &BatchAnswer, json: &str) {
        let text = serde_json::to_string(answer).unwrap();
        assert_eq!(text, json);
        assert_eq!(serde_json::from_str::<BatchAnswer>(&text).unwrap(), *answer);
    }

    #[test]
    fn answers_as_json() {
        let applied = BatchAnswer {
            line: 1,
            outcome: BatchOutcome::Applied,
            index: Some(7),
            reply: Bytes::from_static(b"null"),
            code: None,
            detail: String::new(),
        };
        check(&applied, r#"{"line":1,"outcome":"applied","index":7,"reply":null}"#);
        let failed = BatchAnswer {
            line: 2,
            outcome: BatchOutcome::Failed,
            index: None,
            reply: Bytes::new(),
            code: Some(Code::Overloaded),
            detail: "full".into(),
        };
        check(
            &failed,
            r#"{"line":2,"outcome":"failed","code":"overloaded","detail":"full"}"#,
        );
    }

    #[test]
    fn a_misspelt_field_is_refused_by_name() {
        let line = r#"{"command":"open","verison":2,"payload":{}}"#;
        let error = serde_json::from_str::<BatchCommand>(line).unwrap_err();
        assert!(error.to_string().contains("verison"), "{error}");
    }
}
