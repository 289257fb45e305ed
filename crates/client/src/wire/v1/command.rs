use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::content;

/// Header of a command: the session it belongs to. Goes with [`SEQUENCE_HEADER`].
pub const SESSION_HEADER: &str = "seachange-session";
/// Header of a command: its sequence in the session, from 1. Goes with [`SESSION_HEADER`].
pub const SEQUENCE_HEADER: &str = "seachange-sequence";

/// What an application made of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// Done.
    Applied,
    /// Declined; nothing was changed.
    Refused,
}

/// `POST /v1/apps/{app}/commands/{command}`: the application's reply. In JSON the reply stands in `reply`, or in
/// `reply_base64` when it is no JSON, or nowhere when it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "CommandReplyJson", try_from = "CommandReplyJson")]
pub struct CommandReply {
    /// The entry in which the command was applied; a repeat gives the first one's.
    pub index: u64,
    /// What the application made of it.
    pub outcome: CommandOutcome,
    /// The application's reply, or why it declined.
    pub reply: Bytes,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = CommandReply))]
struct CommandReplyJson {
    index: u64,
    outcome: CommandOutcome,
    #[serde(
        default,
        deserialize_with = "content::present",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    reply: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_base64: Option<String>,
}

#[cfg(feature = "openapi")]
super::schema::shown_as!(CommandReply as "CommandReply" in CommandReplyJson);

impl From<CommandReply> for CommandReplyJson {
    fn from(from: CommandReply) -> Self {
        let (reply, reply_base64) = content::value_of(&from.reply);
        CommandReplyJson {
            index: from.index,
            outcome: from.outcome,
            reply,
            reply_base64,
        }
    }
}

impl TryFrom<CommandReplyJson> for CommandReply {
    type Error = String;
    fn try_from(from: CommandReplyJson) -> Result<Self, String> {
        Ok(CommandReply {
            index: from.index,
            outcome: from.outcome,
            reply: content::value_from("reply", (from.reply, from.reply_base64))?,
        })
    }
}

/// What an application made of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QueryOutcome {
    /// Answered.
    Answered,
    /// Declined.
    Refused,
}

/// `POST /v1/apps/{app}/queries/{query}`: the application's answer, in `answer` or `answer_base64`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "QueryReplyJson", try_from = "QueryReplyJson")]
pub struct QueryReply {
    /// The index that the answer shows.
    pub index: u64,
    /// What the application made of it.
    pub outcome: QueryOutcome,
    /// The answer, or why it declined.
    pub answer: Bytes,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = QueryReply))]
struct QueryReplyJson {
    index: u64,
    outcome: QueryOutcome,
    #[serde(
        default,
        deserialize_with = "content::present",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    answer: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer_base64: Option<String>,
}

#[cfg(feature = "openapi")]
super::schema::shown_as!(QueryReply as "QueryReply" in QueryReplyJson);

impl From<QueryReply> for QueryReplyJson {
    fn from(from: QueryReply) -> Self {
        let (answer, answer_base64) = content::value_of(&from.answer);
        QueryReplyJson {
            index: from.index,
            outcome: from.outcome,
            answer,
            answer_base64,
        }
    }
}

impl TryFrom<QueryReplyJson> for QueryReply {
    type Error = String;
    fn try_from(from: QueryReplyJson) -> Result<Self, String> {
        Ok(QueryReply {
            index: from.index,
            outcome: from.outcome,
            answer: content::value_from("answer", (from.answer, from.answer_base64))?,
        })
    }
}

/// `POST /v1/sessions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionOpened {
    /// The session's id.
    pub session: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &'static [u8], json: &str) {
        let reply = CommandReply {
            index: 7,
            outcome: CommandOutcome::Applied,
            reply: Bytes::from_static(reply),
        };
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(text, json);
        let back: CommandReply = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), json);
    }

    #[test]
    fn a_reply_is_shown_as_json_when_it_is_json() {
        check(b"{\"a\": 1}", r#"{"index":7,"outcome":"applied","reply":{"a": 1}}"#);
        check(b"null", r#"{"index":7,"outcome":"applied","reply":null}"#);
        check(b"", r#"{"index":7,"outcome":"applied"}"#);
        check(
            b"{\n\"a\":\r\n1}",
            r#"{"index":7,"outcome":"applied","reply":{ "a":  1}}"#,
        );
        check(b"\xff\x00", r#"{"index":7,"outcome":"applied","reply_base64":"/wA="}"#);
        check(
            b"not json",
            r#"{"index":7,"outcome":"applied","reply_base64":"bm90IGpzb24="}"#,
        );
    }

    #[test]
    fn two_forms_of_one_reply_are_refused() {
        let both = r#"{"index":7,"outcome":"applied","reply":1,"reply_base64":""}"#;
        assert!(serde_json::from_str::<CommandReply>(both).is_err());
    }
}
