use serde::{Deserialize, Serialize};

/// `GET /v1/streams/{stream}/consumers/{name}`: where a named consumer of a stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsumerRecord {
    /// The stream.
    pub stream: String,
    /// The consumer's name.
    pub name: String,
    /// The event that it reads next.
    pub offset: u64,
    /// The first event that the stream still holds.
    pub start: u64,
    /// The offset that the stream's next event will have.
    pub end: u64,
    /// Events that are there and that it has not read.
    pub lag: u64,
    /// Events that were removed before it read them.
    pub missed: u64,
    /// Log time of its last commit, milliseconds since the Unix epoch.
    pub committed_ms: u64,
    /// The version of events that it is pinned to; absent: it gets them as they were emitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_version: Option<u16>,
}

/// `GET /v1/consumers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsumerList {
    /// The index that the answer shows.
    pub index: u64,
    /// By stream and name.
    pub consumers: Vec<ConsumerRecord>,
}

/// `PUT /v1/streams/{stream}/consumers/{name}`: where the consumer stands from now on. One that is not known is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// The event that it reads next.
    pub offset: u64,
    /// Where it must stand before, so that two readers under one name notice each other; absent: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Whether it may go back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

/// The answer to [`CommitRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsumerCommitted {
    /// The stream.
    pub stream: String,
    /// The consumer's name.
    pub name: String,
    /// The event that it reads next.
    pub offset: u64,
    /// The entry of the commit.
    pub index: u64,
}

/// `PUT /v1/streams/{stream}/consumers/{name}/event-version`: in which version the consumer gets events that were emitted in a
/// later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PinRequest {
    /// The version, from 1; null: as they were emitted. It must stand there: nobody is to be unpinned by a slip.
    #[serde(deserialize_with = "Option::deserialize")]
    pub event_version: Option<u16>,
}

/// The answer to [`PinRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsumerPinned {
    /// The stream.
    pub stream: String,
    /// The consumer's name.
    pub name: String,
    /// The version that it is pinned to from now on; null: to none.
    pub event_version: Option<u16>,
    /// The entry that pinned it.
    pub index: u64,
}

/// `DELETE /v1/streams/{stream}/consumers/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsumerRemoved {
    /// The stream.
    pub stream: String,
    /// The consumer's name.
    pub name: String,
    /// The entry that removed it.
    pub index: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_json() {
        let record = ConsumerRecord {
            stream: "ledger.transfers".into(),
            name: "audit".into(),
            offset: 7,
            start: 5,
            end: 10,
            lag: 3,
            missed: 0,
            committed_ms: 9,
            event_version: None,
        };
        let text = serde_json::to_string(&record).unwrap();
        expect_test::expect![[r#"{"stream":"ledger.transfers","name":"audit","offset":7,"start":5,"end":10,"lag":3,"missed":0,"committed_ms":9}"#]]
        .assert_eq(&text);
        let commit: CommitRequest = serde_json::from_str(r#"{"offset":7}"#).unwrap();
        assert_eq!(serde_json::to_string(&commit).unwrap(), r#"{"offset":7}"#);
        assert!(serde_json::from_str::<CommitRequest>(r#"{"offset":7,"rest":true}"#).is_err());
    }
}
