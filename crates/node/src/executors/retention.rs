//! The leader lets go of the oldest events of streams that hold more than is to be kept.
//!
//! It decides by its own files and clock, but what is applied is only the offset in the entry: the same on every node.

use std::collections::BTreeMap;
use std::time::Duration;

use machine::{Body, Decision, Index, Offset, TrimStreams};
use store::streams::StreamSpan;
use tracing::{info, warn};

use super::Hands;
use crate::limits::RETENTION_INTERVAL;

/// What is kept of each stream. Events go by whole segments, and never the one that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// The oldest segments go as long as so many bytes are left; none: whatever the bytes.
    pub bytes: Option<u64>,
    /// Segments go whose last event is older; none: whatever the age.
    pub age: Option<Duration>,
}

pub async fn run(hands: Hands) {
    if hands.retention == Retention::default() {
        return;
    }
    let mut seen = Index::default();
    let mut due = hands.environment.clock.now();
    while hands.news(&mut seen).await {
        if !hands.group.is_leader() || hands.environment.clock.now() < due {
            continue;
        }
        due = hands.environment.clock.now() + RETENTION_INTERVAL;
        let now_ms = hands.environment.clock.wall_ms();
        let spans = hands.streams.spans();
        let starts: BTreeMap<String, Offset> = spans
            .into_iter()
            .filter_map(|(stream, extent)| Some((stream, hands.retention.start_of(&extent, now_ms)?)))
            .collect();
        if starts.is_empty() {
            continue;
        }
        let told = format!("{starts:?}");
        match hands.cluster.propose(Body::TrimStreams(TrimStreams { starts })).await {
            Ok(Decision::Refused { reason, .. }) => warn!(reason, "streams could not be trimmed"),
            Ok(_) => info!(starts = told, "trimmed streams to what is to be kept"),
            Err(error) => warn!(%error, "could not trim streams; whoever leads tries again"),
        }
    }
}

impl Retention {
    /// Where a stream is to begin, if later than it does.
    fn start_of(&self, extent: &StreamSpan, now_ms: u64) -> Option<Offset> {
        // Those that are trimmed already may be there until the next checkpoint: they do not count.
        let trimmed = extent.segments.partition_point(|segment| segment.base <= extent.start);
        let kept = &extent.segments[trimmed.saturating_sub(1)..];
        let mut bytes: u64 = kept.iter().map(|segment| segment.bytes).sum();
        let mut start = extent.start;
        for pair in kept.windows(2) {
            let rest = bytes - pair[0].bytes;
            let too_many = self.bytes.is_some_and(|most| rest >= most);
            let too_old = self.age.is_some_and(|age| {
                let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                pair[0].last.0.saturating_add(age_ms) < now_ms
            });
            if !too_many && !too_old {
                break;
            }
            bytes = rest;
            start = pair[1].base;
        }
        (start > extent.start).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use machine::TimeMs;
    use store::streams::SegmentSpan;

    use super::*;

    /// Ten events, 100 bytes and ten seconds a segment.
    fn extent(start: u64, segments: u64) -> StreamSpan {
        let segment = |number: u64| SegmentSpan {
            base: Offset(number * 10),
            bytes: 100,
            last: TimeMs((number + 1) * 10_000),
        };
        StreamSpan {
            start: Offset(start),
            end: Offset(segments * 10),
            segments: (0..segments).map(segment).collect(),
        }
    }

    fn kept(bytes: Option<u64>, seconds: Option<u64>, extent: &StreamSpan, now_s: u64) -> Option<u64> {
        let retention = Retention {
            bytes,
            age: seconds.map(Duration::from_secs),
        };
        retention.start_of(extent, now_s * 1000).map(|start| start.0)
    }

    #[test]
    fn the_oldest_segments_go_as_long_as_enough_bytes_are_left() {
        for (bytes, start) in [
            (1, Some(40)),
            (100, Some(40)),
            (101, Some(30)),
            (300, Some(20)),
            (401, None),
        ] {
            assert_eq!(kept(Some(bytes), None, &extent(0, 5), 0), start, "{bytes}");
        }
        assert_eq!(kept(Some(1), None, &extent(0, 1), 0), None, "the last one stays");
        assert_eq!(kept(Some(1), None, &extent(0, 0), 0), None);
    }

    #[test]
    fn segments_go_whose_last_event_is_older() {
        for (now, start) in [
            (15, None),
            (40, Some(10)),
            (41, Some(10)),
            (51, Some(20)),
            (1000, Some(40)),
        ] {
            assert_eq!(kept(None, Some(25), &extent(0, 5), now), start, "{now}");
        }
        assert_eq!(kept(None, Some(u64::MAX), &extent(0, 5), 1000), None);
    }

    #[test]
    fn what_is_trimmed_already_does_not_count() {
        // Two segments are gone for readers, and their files still there: three are left.
        assert_eq!(kept(Some(300), None, &extent(20, 5), 0), None);
        assert_eq!(kept(Some(200), None, &extent(20, 5), 0), Some(30));
        // Cut by hand in the middle of one: that one is still needed.
        assert_eq!(kept(Some(300), None, &extent(25, 5), 0), None);
        assert_eq!(kept(Some(200), None, &extent(25, 5), 0), Some(30));
        assert_eq!(kept(Some(1), None, &extent(50, 5), 0), None);
    }

    #[test]
    fn both_limits_hold_at_once() {
        assert_eq!(kept(Some(300), Some(25), &extent(0, 5), 15), Some(20));
        assert_eq!(kept(Some(300), Some(5), &extent(0, 5), 40), Some(30));
        assert_eq!(kept(None, None, &extent(0, 5), 1000), None);
    }
}
