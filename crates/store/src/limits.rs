//! Every limit and size of this crate in one place.

use std::time::Duration;

/// Bytes of one segment of the log, unless options say otherwise.
pub const LOG_SEGMENT_BYTES: u32 = 16 << 20;
/// Smallest segment of the log that options may ask for.
pub const LOG_SEGMENT_BYTES_MIN: u32 = 4 << 10;
/// Largest segment of the log that options may ask for: positions within one have 32 bits.
pub const LOG_SEGMENT_BYTES_MAX: u32 = 1 << 30;
/// Bytes of recent records that the log keeps in memory, unless options say otherwise.
pub const LOG_CACHE_BYTES: usize = 64 << 20;
/// Bytes after which a round of the log's writer takes no more appends along.
pub const LOG_ROUND_BYTES: usize = 16 << 20;
/// Bytes of the payload of one record.
pub const LOG_RECORD_BYTES_MAX: usize = 256 << 20;
/// Bytes of all payloads of one append.
pub const LOG_APPEND_BYTES_MAX: usize = 512 << 20;
/// Bytes that are zeroed between two syncs when a segment is prepared, so that commits do not wait behind them.
pub const LOG_PREPARE_STEP_BYTES: usize = 1 << 20;
/// Bytes of one read from a segment of the log.
pub const LOG_READ_BYTES: usize = 4 << 20;
/// A sync of the log that takes this long is worth a warning.
pub const LOG_SYNC_SLOW: Duration = Duration::from_millis(500);
/// How long after such a warning the next one is due.
pub const SLOW_AGAIN: Duration = Duration::from_secs(10);

/// Bytes of rows that the state keeps in memory beside what is not yet written, unless options say otherwise.
pub const STATE_CACHE_BYTES: usize = 256 << 20;
/// Bytes that fjall keeps of its own blocks, unless options say otherwise.
pub const FJALL_CACHE_BYTES: u64 = 64 << 20;
/// Bytes that a row takes in memory beside its key and document, roughly.
pub const STATE_ROW_OVERHEAD_BYTES: usize = 96;

/// Bytes after which a stream goes on in its next segment, unless options say otherwise.
pub const STREAM_SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes between two entries of a segment's index in memory.
pub const STREAM_INDEX_BYTES: u64 = 4 << 10;
/// Bytes of one read from a segment of a stream.
pub const STREAM_READ_BYTES: usize = 1 << 20;
/// Bytes that one batch of a stream may say it has; more is damage.
pub const STREAM_BATCH_BYTES_MAX: usize = 1 << 30;

/// Bytes of rows after which a snapshot goes on in its next block. A row that is larger gets a block of its own.
pub const SNAPSHOT_BLOCK_BYTES: usize = 256 << 10;
/// Bytes that one block of a snapshot may say it has; more is damage.
pub const SNAPSHOT_BLOCK_BYTES_MAX: usize = 64 << 20;
/// Bytes that are written to a snapshot between two syncs, so that commits do not wait behind one large one.
pub const SNAPSHOT_SYNC_BYTES: u64 = 8 << 20;

/// Bytes of the notes file.
pub const NOTES_BYTES_MAX: usize = 64 << 10;
/// Bytes of the file that makes a directory a copy for replay.
pub const COPIED_BYTES_MAX: usize = 64 << 10;
/// Bytes of the identity file.
pub const IDENTITY_BYTES_MAX: usize = 4 << 10;
/// Bytes from which on a row lies apart from its key, where compaction does not copy it each time.
pub const FJALL_APART_BYTES: u32 = 1 << 10;
/// The part of a file of such rows that must be written over before what is left of it is copied elsewhere. More takes up
/// more of the disk, less writes more: at a quarter there were a tenth to a quarter fewer writes of 4 KiB a second than at
/// a half.
pub const FJALL_APART_STALE: f32 = 0.5;
/// Bytes of rows that fjall holds in memory before it writes them to a file of their own. Less than a checkpoint, so that
/// between checkpoints a key that is nowhere is told so by filters, not by a search through a large list in memory.
pub const FJALL_MEMTABLE_BYTES: u64 = 8 << 20;
/// Files of newest rows, not compacted yet, past which a checkpoint makes no further one by itself: each is looked through
/// for every row that is read.
pub const FJALL_FILES_MAX: usize = 12;
