use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::content;

/// How fresh a read must be: `?consistency=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// It shows every command acknowledged before it was asked.
    #[default]
    Linearizable,
    /// It shows what the node that is asked has applied.
    Stale,
}

impl Consistency {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Consistency::Linearizable => "linearizable",
            Consistency::Stale => "stale",
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text that names no consistency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no consistency: give linearizable or stale")]
pub struct InvalidConsistency(pub String);

impl FromStr for Consistency {
    type Err = InvalidConsistency;
    fn from_str(text: &str) -> Result<Self, InvalidConsistency> {
        match text {
            "linearizable" => Ok(Consistency::Linearizable),
            "stale" => Ok(Consistency::Stale),
            other => Err(InvalidConsistency(other.to_owned())),
        }
    }
}

/// The query string of a read that takes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct ConsistencyParameter {
    /// How fresh.
    #[serde(default)]
    pub consistency: Consistency,
}

/// The query string of `GET /v1/apps/{app}/tables/{table}/rows`. Keys are bytes: those that
/// are no text are percent-escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct RowsParameters {
    /// Only keys that begin with this; excludes `start` and `end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// First key, included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Last key, excluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// At most so many rows; the server has its own limit below which it may stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// From the end to the start.
    #[serde(default)]
    pub reverse: bool,
    /// Where the page before ended: its `next`, with all other parameters as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How fresh.
    #[serde(default)]
    pub consistency: Consistency,
}

/// A row: `key` (or `key_base64`), `document` (or `document_base64`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "RowJson", try_from = "RowJson")]
pub struct Row {
    /// The key.
    pub key: Bytes,
    /// The document, in the shape of the version in force.
    pub document: Bytes,
}

/// `GET /v1/apps/{app}/tables/{table}/rows/{key}`: a [`Row`] with the index it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "RowJson", try_from = "RowJson")]
pub struct RowAnswer {
    /// The index that the answer shows.
    pub index: u64,
    /// The row.
    pub row: Row,
}

/// `GET /v1/apps/{app}/tables/{table}/rows`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rows {
    /// The index that the answer shows.
    pub index: u64,
    /// In the order asked for.
    pub rows: Vec<Row>,
    /// Whether there are more beyond the last of these.
    pub more: bool,
    /// If there are more: what to give as `cursor` to go on behind the last of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct RowJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(
        default,
        deserialize_with = "content::present",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    document: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document_base64: Option<String>,
}

#[cfg(feature = "openapi")]
super::schema::shown_as!(Row as "Row" in RowJson);
#[cfg(feature = "openapi")]
super::schema::shown_as!(RowAnswer as "RowAnswer" in RowJson);

impl From<Row> for RowJson {
    fn from(from: Row) -> Self {
        let (key, key_base64) = content::key_of(&from.key);
        let (document, document_base64) = content::value_of(&from.document);
        RowJson {
            index: None,
            key,
            key_base64,
            document,
            document_base64,
        }
    }
}

impl TryFrom<RowJson> for Row {
    type Error = String;
    fn try_from(from: RowJson) -> Result<Self, String> {
        Ok(Row {
            key: content::key_from((from.key, from.key_base64))?.ok_or("a row without a key")?,
            document: content::value_from("document", (from.document, from.document_base64))?,
        })
    }
}

impl From<RowAnswer> for RowJson {
    fn from(from: RowAnswer) -> Self {
        RowJson {
            index: Some(from.index),
            ..from.row.into()
        }
    }
}

impl TryFrom<RowJson> for RowAnswer {
    type Error = String;
    fn try_from(from: RowJson) -> Result<Self, String> {
        Ok(RowAnswer {
            index: from.index.ok_or("a row without an index")?,
            row: from.try_into()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_as_json() {
        let row = |key: &'static [u8], document: &'static [u8]| Row {
            key: key.into(),
            document: document.into(),
        };
        let rows = Rows {
            index: 9,
            rows: vec![row(b"a", b"{\"n\":1}"), row(b"\xff", b"\x01")],
            more: true,
            next: Some("Zv8".into()),
        };
        let text = serde_json::to_string(&rows).unwrap();
        expect_test::expect![[r#"{"index":9,"rows":[{"key":"a","document":{"n":1}},{"key_base64":"/w==","document_base64":"AQ=="}],"more":true,"next":"Zv8"}"#]]
        .assert_eq(&text);
        assert_eq!(serde_json::from_str::<Rows>(&text).unwrap(), rows);

        let answer = RowAnswer {
            index: 9,
            row: row(b"a", b"1"),
        };
        let text = serde_json::to_string(&answer).unwrap();
        expect_test::expect![[r#"{"index":9,"key":"a","document":1}"#]].assert_eq(&text);
        assert_eq!(serde_json::from_str::<RowAnswer>(&text).unwrap(), answer);
    }
}
