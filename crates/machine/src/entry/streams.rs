//! Entries about streams: where they begin, and where and how their named consumers read them.

use std::collections::BTreeMap;

use crate::{Offset, record};

/// Where a named consumer of a stream stands from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitConsumer {
    /// The stream.
    pub stream: String,
    /// The consumer's name; one that is not known is made.
    pub consumer: String,
    /// The event that it reads next.
    pub offset: Offset,
    /// Where it must stand before, unless it stands at `offset` already; none: anywhere.
    pub expected: Option<Offset>,
    /// Whether it may go back.
    pub reset: bool,
}
record!(CommitConsumer {
    stream,
    consumer,
    offset,
    expected,
    reset
});

/// Forgets a named consumer of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveConsumer {
    /// The stream.
    pub stream: String,
    /// The consumer's name.
    pub consumer: String,
}
record!(RemoveConsumer { stream, consumer });

/// In which version a named consumer of a stream gets events from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinConsumer {
    /// The stream.
    pub stream: String,
    /// The consumer's name.
    pub consumer: String,
    /// The version, from 1, that it gets events in which were emitted in a later one; none: as they were emitted.
    pub version: Option<u16>,
}
record!(PinConsumer {
    stream,
    consumer,
    version
});

/// Where streams begin from now on: events before are gone for good. All of it is done, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrimStreams {
    /// The first event that is kept, by stream. A stream that begins there or later already stays as it is.
    pub starts: BTreeMap<String, Offset>,
}
record!(TrimStreams { starts });
