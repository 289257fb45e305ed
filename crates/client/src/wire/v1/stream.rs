use serde::{Deserialize, Serialize};

/// Header of an answer with events: the offset that it begins with, or would if there were an event.
pub const STREAM_FROM_HEADER: &str = "seachange-stream-from";
/// Header of an answer with events: the first event that the stream held when it was asked for.
pub const STREAM_START_HEADER: &str = "seachange-stream-start";
/// Header of an answer with events: the offset that the stream's next event had when it was asked for.
pub const STREAM_END_HEADER: &str = "seachange-stream-end";

/// A stream as the node that answers has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamRecord {
    /// Its name.
    pub name: String,
    /// The first event that it still holds.
    pub start: u64,
    /// The offset that its next event will have.
    pub end: u64,
    /// Bytes of its files on that node.
    pub bytes: u64,
    /// How many files those are.
    pub segments: u64,
}

/// `GET /v1/streams`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamList {
    /// The index that the answer shows at least.
    pub index: u64,
    /// By name.
    pub streams: Vec<StreamRecord>,
}

/// `POST /v1/streams/{stream}/trim`: lets go of the oldest events, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TrimRequest {
    /// The first event that is kept.
    pub before: u64,
}

/// The answer to [`TrimRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamTrimmed {
    /// The stream.
    pub stream: String,
    /// What was asked for. A stream that began later already stays as it was.
    pub before: u64,
    /// The entry that decided it.
    pub index: u64,
}
