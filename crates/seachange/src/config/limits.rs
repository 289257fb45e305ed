use std::time::Duration;

use node::UpkeepOptions;

use super::Error;
use super::file::LimitsFile;

/// Sizes that the operator may set; all else is fixed in each crate's `limits.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one segment of the log, which is laid out on disk as a whole.
    pub log_segment_bytes: u64,
    /// Bytes of rows and entries that are kept in memory.
    pub cache_bytes: u64,
    /// Bytes of entries applied after which the next snapshot is made.
    pub snapshot_log_bytes: u64,
    /// Entries kept in the log behind the newest snapshot.
    pub log_keep_entries: u64,
    /// Bytes of snapshot and log that are kept so that replay can cross a change, at most.
    pub replay_keep_bytes: u64,
    /// Seconds between two scans of everything on disk.
    pub scan_seconds: u64,
    /// Bytes that must be free on the disk: below it the node takes no writes.
    pub disk_reserve_bytes: u64,
    /// Bytes of each stream that are kept at least, while older events go; none: all.
    pub stream_retain_bytes: Option<u64>,
    /// How long events are kept; none: for ever.
    pub stream_retain: Option<Duration>,
}

/// The settings of [`Limits`] as flags.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LimitsFlags {
    /// Bytes of one segment of the log [default: 67108864]
    #[arg(long, env = "SEACHANGE_LOG_SEGMENT_BYTES", value_name = "BYTES")]
    pub log_segment_bytes: Option<u64>,
    /// Bytes of rows kept in memory [default: 268435456]
    #[arg(long, env = "SEACHANGE_CACHE_BYTES", value_name = "BYTES")]
    pub cache_bytes: Option<u64>,
    /// Bytes of entries after which the next snapshot is made, and the log before it let go [default: 268435456]
    #[arg(long, env = "SEACHANGE_SNAPSHOT_LOG_BYTES", value_name = "BYTES")]
    pub snapshot_log_bytes: Option<u64>,
    /// Entries kept in the log behind the newest snapshot: a node that missed no more needs none [default: 10000]
    #[arg(long, env = "SEACHANGE_LOG_KEEP_ENTRIES", value_name = "ENTRIES")]
    pub log_keep_entries: Option<u64>,
    /// Bytes of the snapshot from before a change, and of the log behind it, that are kept for replay; 0 keeps none for that
    /// [default: 1073741824]
    #[arg(long, env = "SEACHANGE_REPLAY_KEEP_BYTES", value_name = "BYTES")]
    pub replay_keep_bytes: Option<u64>,
    /// Seconds between two scans of everything on disk [default: 3600]
    #[arg(long, env = "SEACHANGE_SCAN_SECONDS", value_name = "SECONDS")]
    pub scan_seconds: Option<u64>,
    /// Bytes that must be free on the disk: below it the node takes no writes [default: 268435456]
    #[arg(long, env = "SEACHANGE_DISK_RESERVE_BYTES", value_name = "BYTES")]
    pub disk_reserve_bytes: Option<u64>,
    /// Bytes of each stream to keep: its oldest files of 64 MiB go as long as so many are left; 0 keeps all [default: 0]
    #[arg(long, env = "SEACHANGE_STREAM_RETAIN_BYTES", value_name = "BYTES")]
    pub stream_retain_bytes: Option<u64>,
    /// Hours to keep events: files of a stream whose last event is older go; 0 keeps all [default: 0]
    #[arg(long, env = "SEACHANGE_STREAM_RETAIN_HOURS", value_name = "HOURS")]
    pub stream_retain_hours: Option<u64>,
}

/// A hundred years.
const HOURS_MAX: u64 = 100 * 365 * 24;
const MIB: u64 = 1 << 20;

impl Limits {
    pub(super) fn merge(flags: &LimitsFlags, file: &LimitsFile) -> Result<Limits, Error> {
        // 0 says "no limit", so that a flag can take back what the file says.
        let limit = |flag: Option<u64>, file: Option<u64>| flag.or(file).filter(|limit| *limit > 0);
        let hours = limit(flags.stream_retain_hours, file.stream_retain_hours);
        let limits = Limits {
            log_segment_bytes: flags.log_segment_bytes.or(file.log_segment_bytes).unwrap_or(64 * MIB),
            cache_bytes: flags.cache_bytes.or(file.cache_bytes).unwrap_or(256 * MIB),
            snapshot_log_bytes: flags
                .snapshot_log_bytes
                .or(file.snapshot_log_bytes)
                .unwrap_or(256 * MIB),
            log_keep_entries: flags.log_keep_entries.or(file.log_keep_entries).unwrap_or(10_000),
            replay_keep_bytes: flags.replay_keep_bytes.or(file.replay_keep_bytes).unwrap_or(1024 * MIB),
            scan_seconds: flags.scan_seconds.or(file.scan_seconds).unwrap_or(3600),
            disk_reserve_bytes: flags
                .disk_reserve_bytes
                .or(file.disk_reserve_bytes)
                .unwrap_or(256 * MIB),
            stream_retain_bytes: limit(flags.stream_retain_bytes, file.stream_retain_bytes),
            stream_retain: hours.map(|hours| Duration::from_secs(hours.saturating_mul(3600))),
        };
        // A segment holds at least one entry of the largest size.
        in_range("log-segment-bytes", limits.log_segment_bytes, 8 * MIB, 1024 * MIB)?;
        in_range("cache-bytes", limits.cache_bytes, 8 * MIB, 1 << 40)?;
        in_range("snapshot-log-bytes", limits.snapshot_log_bytes, 1 << 10, 1 << 40)?;
        in_range("log-keep-entries", limits.log_keep_entries, 0, 1 << 40)?;
        in_range("replay-keep-bytes", limits.replay_keep_bytes, 0, 1 << 40)?;
        in_range("scan-seconds", limits.scan_seconds, 1, 366 * 24 * 3600)?;
        // Less would not hold the next segments of the log and the next checkpoint.
        in_range("disk-reserve-bytes", limits.disk_reserve_bytes, 16 * MIB, 1 << 40)?;
        in_range("stream-retain-hours", hours.unwrap_or(0), 0, HOURS_MAX)?;
        Ok(limits)
    }

    /// What a node keeps itself sound with.
    #[must_use]
    pub fn upkeep(&self) -> UpkeepOptions {
        UpkeepOptions {
            snapshot_log_bytes: self.snapshot_log_bytes,
            log_keep_entries: self.log_keep_entries,
            replay_keep_bytes: self.replay_keep_bytes,
            scan_interval: Duration::from_secs(self.scan_seconds),
            disk_reserve_bytes: self.disk_reserve_bytes,
        }
    }
}

pub(super) fn in_range(flag: &'static str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::Limit { flag, value, min, max })
}
