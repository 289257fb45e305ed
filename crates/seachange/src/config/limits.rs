use super::Error;
use super::file::LimitsFile;

/// Sizes that the operator may set; all else is fixed in each crate's `limits.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one segment of the log, which is laid out on disk as a whole.
    pub log_segment_bytes: u64,
    /// Bytes of rows and entries that are kept in memory.
    pub cache_bytes: u64,
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
}

const MIB: u64 = 1 << 20;

impl Limits {
    pub(super) fn merge(flags: &LimitsFlags, file: &LimitsFile) -> Result<Limits, Error> {
        let limits = Limits {
            log_segment_bytes: flags.log_segment_bytes.or(file.log_segment_bytes).unwrap_or(64 * MIB),
            cache_bytes: flags.cache_bytes.or(file.cache_bytes).unwrap_or(256 * MIB),
        };
        // A segment holds at least one entry of the largest size.
        in_range("log-segment-bytes", limits.log_segment_bytes, 8 * MIB, 1024 * MIB)?;
        in_range("cache-bytes", limits.cache_bytes, 8 * MIB, 1 << 40)?;
        Ok(limits)
    }
}

fn in_range(flag: &'static str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::Limit { flag, value, min, max })
}
