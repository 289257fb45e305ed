use std::collections::BTreeMap;

use bytes::Bytes;
use machine::{ClusterId, Index, Offset, StateDigest, Term, record};

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The cluster.
    pub cluster: ClusterId,
    /// The last entry whose effects it holds.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The digest as of that entry.
    pub digest: StateDigest,
    /// The members as of that entry, as the node keeps them; opaque here.
    pub members: Bytes,
    /// The streams, by name.
    pub streams: BTreeMap<String, StreamExtent>,
}
record!(Header {
    cluster,
    index,
    term,
    digest,
    members,
    streams
});

/// What there is of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamExtent {
    /// The offset that its next event will have.
    pub end: Offset,
    /// Its segments in order, the last one cut at `end`.
    pub segments: Vec<SegmentExtent>,
}
record!(StreamExtent { end, segments });

/// One segment of a stream, as far as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentExtent {
    /// Offset of its first event.
    pub base: Offset,
    /// How many of the file's bytes count.
    pub bytes: u64,
    /// XXH3 (128 bits) of those.
    pub digest: u128,
}
record!(SegmentExtent { base, bytes, digest });
