use serde::Deserialize;

use crate::{Refusal, json};

/// A client's command.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// The command's name, one of those that the manifest lists.
    pub name: &'a str,
    /// Version of the payload, one of those that the manifest lists for the command.
    pub version: u16,
    /// The payload as the client sent it.
    pub payload: &'a [u8],
}

impl<'a> Command<'a> {
    /// The payload, read as JSON. Texts of `T` may borrow from it.
    ///
    /// # Errors
    /// It is malformed, with what is wrong and where. Fields that `T` does not have are passed over, unless `T` says
    /// `#[serde(deny_unknown_fields)]`.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, Refusal> {
        json::decode(self.payload, || format!("the payload of command {}", self.name))
    }

    /// The refusal for a command that the application does not know, although its manifest names it.
    #[must_use]
    pub fn unknown(&self) -> Refusal {
        Refusal::coded(
            "unknown_command",
            format!(
                "the manifest names command {} in version {}, but the application does not handle it: correct either",
                self.name, self.version
            ),
        )
    }
}

/// A reader's question.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The query's name, one of those that the manifest lists.
    pub name: &'a str,
    /// The payload as the reader sent it; may be empty.
    pub payload: &'a [u8],
}

impl<'a> Query<'a> {
    /// The payload, read as JSON. Texts of `T` may borrow from it.
    ///
    /// # Errors
    /// It is malformed, with what is wrong and where.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, Refusal> {
        json::decode(self.payload, || format!("the payload of query {}", self.name))
    }

    /// The refusal for a query that the application does not know, although its manifest names it.
    #[must_use]
    pub fn unknown(&self) -> Refusal {
        Refusal::coded(
            "unknown_query",
            format!(
                "the manifest names query {}, but the application does not handle it: correct either",
                self.name
            ),
        )
    }
}

/// One document on its way from one shape into another.
#[derive(Debug, Clone, Copy)]
pub struct Migration<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The shape that the document has.
    pub from: u16,
    /// The shape that is wanted.
    pub to: u16,
    /// The row's key; it stays.
    pub key: &'a [u8],
    /// The document in shape `from`.
    pub document: &'a [u8],
}

impl<'a> Migration<'a> {
    /// The document, read as JSON.
    ///
    /// # Errors
    /// It is not a `T`.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, Refusal> {
        json::decode(self.document, || {
            format!(
                "the document under {} in table {}, shape {},",
                String::from_utf8_lossy(self.key),
                self.table,
                self.from
            )
        })
    }

    /// The refusal for a conversion that the application does not know, although its manifest names it.
    #[must_use]
    pub fn unknown(&self) -> Refusal {
        Refusal::coded(
            "unknown_migration",
            format!(
                "the application does not convert documents of table {} from shape {} to shape {}: correct its manifest \
                 or its `migrate`",
                self.table, self.from, self.to
            ),
        )
    }
}
