use std::io;

use environment::real::RealDisk;
use environment::{Entry, File, FileLock};

use super::*;

/// The real disk, with as much room as the test says.
struct Tight(AtomicU64);

impl Disk for Tight {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        RealDisk.open(path)
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        RealDisk.create_new(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.0.load(Ordering::Relaxed))
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        RealDisk.lock(path)
    }
}

/// How a node ends that breaks when its disk had so much room when somebody last looked, and has so much now.
fn ending(before: u64, now: u64) -> Option<Ending> {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(Tight(AtomicU64::new(before)));
    let (condition, mut endings) = Condition::read(disk.clone(), directory.path()).expect("no notes yet");
    condition.free_bytes();
    disk.0.store(now, Ordering::Relaxed);
    condition.broken("a write failed".to_owned());
    endings.try_recv().ok()
}

#[test]
fn a_node_without_room_is_to_be_started_again_even_if_there_is_room_by_then() {
    let stops = |ending: Option<Ending>| ending == Some(Ending::Stop("a write failed".to_owned()));
    assert!(stops(ending(u64::MAX, DISK_START_BYTES_MIN)));
    for (before, now) in [
        (u64::MAX, DISK_START_BYTES_MIN - 1),
        (DISK_START_BYTES_MIN - 1, u64::MAX),
    ] {
        let ending = ending(before, now);
        assert!(
            matches!(&ending, Some(Ending::Restart(why)) if why.contains("disk is full")),
            "{ending:?}"
        );
    }
}
