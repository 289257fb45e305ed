use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use environment::Environment;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

/// Size of the small file system: enough for all that a node writes in a run.
const SIZE: &str = "192m";
/// Bytes that an almost full disk has left: below the reserve, and above its half, so that the node takes nothing from
/// clients and everything from its leader.
const ALMOST_FULL_BYTES: u64 = 12 << 20;
/// What is written at once.
const BLOCK_BYTES: usize = 1 << 20;

/// A file system in memory that hangs nowhere in the tree: it is reached through this process's descriptor of it, and is
/// gone with the last process that uses it, however this one ends.
pub struct SmallDisk {
    mount: OwnedFd,
}

impl SmallDisk {
    /// Makes one.
    ///
    /// # Errors
    /// Why not; most often it takes more rights than this process has.
    pub fn make() -> std::io::Result<SmallDisk> {
        let kind = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&kind, "size", SIZE)?;
        fsconfig_create(&kind)?;
        let mount = fsmount(&kind, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        let disk = SmallDisk { mount };
        // Where /proc is not what it should be, that shows here and not in the middle of the run.
        std::fs::create_dir(disk.data())?;
        Ok(disk)
    }

    fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.mount.as_raw_fd()))
    }

    /// Where the node's data lies.
    pub fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    fn ballast(&self) -> PathBuf {
        self.root().join("ballast")
    }

    /// Fills it, down to a little or to nothing, and gives how many bytes are free then.
    pub fn fill(&self, whole: bool, environment: &Environment) -> std::io::Result<u64> {
        let free = || environment.disk.free_bytes(&self.root());
        let left = if whole { 0 } else { ALMOST_FULL_BYTES };
        let mut ballast = File::options().append(true).create(true).open(self.ballast())?;
        let block = vec![0; BLOCK_BYTES];
        loop {
            let more = usize::try_from(free()?.saturating_sub(left)).unwrap_or(usize::MAX);
            if more == 0 {
                return free();
            }
            match ballast.write_all(&block[..more.min(BLOCK_BYTES)]) {
                Err(error) if error.kind() == ErrorKind::StorageFull => return free(),
                written => written?,
            }
        }
    }

    /// Makes room again.
    pub fn empty(&self) -> std::io::Result<()> {
        match std::fs::remove_file(self.ballast()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
