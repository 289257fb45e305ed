use environment::Moment;
use environment::measure::{Counter, Histogram, Rarely};

use super::writer::Placed;
use crate::limits::{LOG_SYNC_SLOW, SLOW_AGAIN};

/// What the log's writer has counted and timed since the log was opened.
#[derive(Debug)]
pub struct LogMeasures {
    /// One write of a round.
    pub write: Histogram,
    /// One fdatasync of a round.
    pub sync: Histogram,
    /// Records of a round.
    pub round_records: Histogram,
    /// Bytes written, frames included.
    pub bytes: Counter,
    slow: Rarely,
}

impl Default for LogMeasures {
    fn default() -> Self {
        LogMeasures {
            write: Histogram::seconds(),
            sync: Histogram::seconds(),
            round_records: Histogram::counts(),
            bytes: Counter::default(),
            slow: Rarely::every(SLOW_AGAIN),
        }
    }
}

impl LogMeasures {
    /// Notes a round, which began to be written at `begun`, was written at `written` and durable at `synced`.
    pub(super) fn round(&self, placed: &[Placed], bytes: usize, begun: Moment, written: Moment, synced: Moment) {
        self.write.time(written - begun);
        self.sync.time(synced - written);
        let records = placed.iter().filter(|placed| matches!(placed, Placed::Record(..)));
        self.round_records.size(records.count());
        self.bytes.add(bytes as u64);
        // A slow disk is slow again and again: one line tells of many.
        if synced - written >= LOG_SYNC_SLOW
            && let Some(also) = self.slow.happened(synced)
        {
            let took_ms = (synced - written).as_millis();
            tracing::warn!(
                took_ms,
                bytes,
                also_since_the_last_line = also,
                "the disk was slow to make the log durable (fdatasync): every command waits for it"
            );
        }
    }
}
