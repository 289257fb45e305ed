//! What the disk itself gives: a loop of one write and one fdatasync.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The file is filled before, so that a sync writes no metadata.
const FILE_BYTES: usize = 64 << 20;

/// Values a second where `in_flight` values of so many bytes are written and synced together, and the median time of
/// one write with its sync.
pub fn limit(place: &Path, bytes: usize, in_flight: usize, length: Duration) -> anyhow::Result<(f64, Duration)> {
    let mut file: File = tempfile::tempfile_in(place)?;
    file.write_all(&vec![0; FILE_BYTES])?;
    file.sync_all()?;
    let block = vec![b'.'; bytes * in_flight];
    let (began, mut at, mut times) = (Instant::now(), 0, Vec::new());
    while began.elapsed() < length {
        let before = Instant::now();
        file.write_all_at(&block, at as u64)?;
        file.sync_data()?;
        times.push(before.elapsed());
        at += block.len();
        if at + block.len() > FILE_BYTES {
            at = 0;
        }
    }
    let per_second = (times.len() * in_flight) as f64 / began.elapsed().as_secs_f64();
    times.sort_unstable();
    Ok((per_second, times[times.len() / 2]))
}
