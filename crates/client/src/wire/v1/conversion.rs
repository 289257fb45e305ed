use serde::{Deserialize, Serialize};

/// How far the rows of one table have come into the newest shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversionRecord {
    /// The table.
    pub table: String,
    /// The shape that its rows come to have.
    pub to: u16,
    /// Rows that were looked at.
    pub looked: u64,
    /// Those that were converted: the others had the shape.
    pub converted: u64,
    /// Those that could not be, and lie as they did.
    pub failed: u64,
    /// The key of the last row that was looked at, as text.
    pub reached: String,
    /// Log time at which it began, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Log time at which all rows were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_ms: Option<u64>,
    /// Whether it waits for an operator.
    pub paused: bool,
    /// Rows a second, at most.
    pub rows_per_second: u64,
    /// Some of the rows that could not be converted.
    pub samples: Vec<UnconvertedRow>,
}

/// A row that could not be converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnconvertedRow {
    /// Its key, as text.
    pub key: String,
    /// Why not.
    pub why: String,
}

/// `POST /v1/apps/{app}/conversion`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConversionRequest {
    /// Whether it waits; left out: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Rows a second, at most; left out: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_second: Option<u64>,
}

/// The answer to [`ConversionRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversionSteered {
    /// The entry.
    pub index: u64,
}

/// What a node found when it brought every stored row into the new shape and back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifiedRecord {
    /// The node's name.
    pub node: String,
    /// As of which entry.
    pub as_of: u64,
    /// Rows of tables that change their shape.
    pub rows: u64,
    /// Those that did not come through.
    pub failed: u64,
    /// Whether an operator has said that this is as it should be.
    #[serde(default)]
    pub approved: bool,
    /// Some of these.
    pub samples: Vec<UnconvertedRow>,
}
