use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::{System, Usage};

/// Linux's `/proc` and `statvfs`.
pub struct RealSystem;

impl System for RealSystem {
    fn usage(&self) -> io::Result<Usage> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // See proc_pid_stat(5). The second field is the name in parentheses, which may hold anything but their end.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |number: usize| -> io::Result<u64> {
            let text = fields.get(number - 3).copied().unwrap_or_default();
            text.parse().map_err(io::Error::other)
        };
        let ticks = field(14)? + field(15)?;
        let second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Usage {
            resident_bytes: field(24)? * rustix::param::page_size() as u64,
            cpu: Duration::from_millis(ticks * 1000 / second),
            // One of them is the directory that is being read.
            files_open: (fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1),
            files_max: files_max()?,
            threads: field(20)?,
        })
    }

    fn disk_bytes(&self, path: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_blocks.saturating_mul(space.f_frsize))
    }
}

/// The soft limit of open files; see proc_pid_limits(5).
fn files_max() -> io::Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).unwrap_or_default();
    // "unlimited" is no number.
    Ok(soft.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_seen_to_use_something() {
        let usage = RealSystem.usage().unwrap();
        assert!(usage.resident_bytes > 100_000, "{usage:?}");
        assert!(usage.files_open > 2 && usage.files_open < usage.files_max, "{usage:?}");
        assert!(usage.threads >= 1, "{usage:?}");
        let free = crate::Disk::free_bytes(&crate::real::RealDisk, Path::new(".")).unwrap();
        assert!(RealSystem.disk_bytes(Path::new(".")).unwrap() >= free);
        assert!(RealSystem.disk_bytes(Path::new("/nothing/there")).is_err());
    }
}
