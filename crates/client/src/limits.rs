//! Every limit of the client.

use std::time::Duration;

use crate::wire;

/// For how long a request is tried, unless the options say otherwise.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Requests in flight at most: a quarter of the cluster's window for one session, so that a repeat is always known.
pub const IN_FLIGHT_MAX: usize = (wire::limits::SESSION_WINDOW / 4) as usize;
/// Commands of one call that go to the driver as one, and give their places among the requests in flight back as one; of
/// a call with more, the next go when there are places for them.
pub const TOGETHER_MAX: usize = IN_FLIGHT_MAX / 4;
/// How far apart the client lets its own outstanding sequences lie; half the cluster's window, so that what another
/// attempt still carries through the network lies inside it too.
pub const SEQUENCE_SPREAD_MAX: u64 = wire::limits::SESSION_WINDOW / 2;
/// For establishing one connection, with the first frame each way.
pub const CONNECT: Duration = Duration::from_secs(1);
/// A connection with requests in flight on which nothing has come for so long is taken for dead. A node answers
/// `no_leader` long before.
pub const SILENCE: Duration = Duration::from_secs(3);
/// An address that failed is not followed as a hint for so long: the node that gave it has not yet heard.
pub const SUSPECT: Duration = Duration::from_millis(500);
/// Redirections by first frames that are followed without a request having been answered in between.
pub const HOPS_MAX: u32 = 2;
/// Pause before the second repeat; the first comes at once.
pub const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Pause before later repeats, at most.
pub const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Bytes that a connection reads at once.
pub const READ_BYTES: usize = 64 << 10;
/// Bytes of frames that are written at once, about.
pub const WRITE_BYTES: usize = 256 << 10;
/// Messages of connections that wait for the driver.
pub const EVENTS_MAX: usize = 64;
/// Messages that the driver takes at once.
pub const BATCH_MAX: usize = 1024;
/// Addresses that the client keeps in mind.
pub const ADDRESSES_MAX: usize = 128;
/// For one attempt of an HTTP request that only reads.
pub const HTTP_READ_ATTEMPT: Duration = Duration::from_secs(10);
/// A followed stream on which nothing has come for so long, not even an empty line, is asked for again elsewhere.
pub const STREAM_SILENCE: Duration = Duration::from_secs(30);
/// Bytes of one HTTP answer, apart from streams.
pub const HTTP_BODY_BYTES_MAX: usize = 64 << 20;
/// Bytes of one line of a stream.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// The pause before repeat number `repeats` (from 1).
#[must_use]
pub fn pause(repeats: u32) -> Duration {
    match repeats {
        0 | 1 => Duration::ZERO,
        more => PAUSE_MIN.saturating_mul(1 << (more - 2).min(8)).min(PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_begin_with_none_and_grow_up_to_the_longest() {
        let pauses: Vec<Duration> = (0..8).map(pause).collect();
        assert_eq!(pauses[..2], [Duration::ZERO; 2]);
        assert_eq!(pauses[2..5], [PAUSE_MIN, PAUSE_MIN * 2, PAUSE_MIN * 4]);
        assert_eq!(pauses[7], PAUSE_MAX);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }
}
