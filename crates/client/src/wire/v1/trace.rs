use serde::{Deserialize, Serialize};

/// Header of a command: `1` asks for the stages of its way, which come back under the same name as JSON ([`Trace`]).
pub const TRACE_HEADER: &str = "seachange-trace";
/// Header of a command: the trace that it is part of (<https://www.w3.org/TR/trace-context/>). Asks for its stages too.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// The way of one command through a node, and through the leader where that is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trace {
    /// Thirty-two hexadecimal digits; the caller's, if it gave one.
    pub trace_id: String,
    /// Sixteen hexadecimal digits: the span of this request in that trace.
    pub span_id: String,
    /// The caller's span, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// The node that answered the client.
    pub node: u64,
    /// How the command came: a route of the HTTP API, or a kind of frame.
    pub route: String,
    /// The application; empty where the command was not understood.
    pub application: String,
    /// The command.
    pub command: String,
    /// The status of the answer, as HTTP has them.
    pub status: u16,
    /// The entry in which the command was applied, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Whether the session had the answer already from an earlier request, whose entry that was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// When it was received: milliseconds since the Unix epoch, by the node's own clock.
    pub received_ms: u64,
    /// Microseconds from its receipt to its answer.
    pub total_us: u64,
    /// The stages, in the order in which they began. Some of them overlap.
    pub stages: Vec<TraceStage>,
}

/// One stage of a command's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TraceStage {
    /// Which.
    pub stage: StageName,
    /// The node on which it happened, where that is not the one that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// Microseconds from the receipt of the command to the beginning of the stage.
    pub at_us: u64,
    /// Microseconds that it took.
    pub us: u64,
}

/// The stages of a command's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Read, understood, and found to belong here, or to another node.
    Routed,
    /// Held back because no leader was known, or none took it.
    Held,
    /// Passed on to the leader, until its answer was here.
    Forwarded,
    /// Waiting to be packed into an entry.
    Queued,
    /// The entry was written to the leader's own log and made durable there.
    Appended,
    /// The entry was replicated until a majority had it.
    Committed,
    /// The entry waited for those before it to be applied.
    Waited,
    /// The entry, with all the commands packed into it, was applied.
    Applied,
    /// The reply found its way back.
    Answered,
}

impl StageName {
    /// Every stage, in order.
    pub const ALL: [StageName; 9] = [
        StageName::Routed,
        StageName::Held,
        StageName::Forwarded,
        StageName::Queued,
        StageName::Appended,
        StageName::Committed,
        StageName::Waited,
        StageName::Applied,
        StageName::Answered,
    ];

    /// As it stands in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StageName::Routed => "routed",
            StageName::Held => "held",
            StageName::Forwarded => "forwarded",
            StageName::Queued => "queued",
            StageName::Appended => "appended",
            StageName::Committed => "committed",
            StageName::Waited => "waited",
            StageName::Applied => "applied",
            StageName::Answered => "answered",
        }
    }
}

/// `GET /v1/traces`: commands that this node has answered lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TraceList {
    /// The slowest of the last minutes, slowest first.
    pub slowest: Vec<Trace>,
    /// Those that were asked for, were slow, or were picked by chance, newest first.
    pub recent: Vec<Trace>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_one_name_everywhere() {
        for stage in StageName::ALL {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }
}
