use std::io;
use std::path::{Path, PathBuf};

/// One thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// An open file. All calls block; positions are bytes from its start.
pub trait File: Send + Sync {
    /// Fills `buffer` from `offset` and gives how many bytes there were (fewer only at the end of the file).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when the file's bytes, and its length if it grew, would survive a loss of power.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or grows (with zeros).
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Says that nobody is likely to read it soon, so that the memory in which the system keeps a copy of it may serve for
    /// something else. A hint: what was not synced stays, and reading goes on as before.
    fn forget_copy(&self) {}
    /// Whether it holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Held while a directory belongs to one process; dropping it lets go.
pub trait FileLock: Send + Sync {}

/// Files and directories. All calls block.
pub trait Disk: Send + Sync {
    /// Opens an existing file to read and write.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Creates a file that must not exist, to read and write. Durable after [`Disk::sync_dir`] of its directory.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Creates the directory and those above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Replaces `to` by `from`, at once.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// What lies in a directory, sorted by path.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Whether anything lies at `path`.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Returns when creations, renames and removals in the directory would survive a loss of power.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes that can still be written to the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Takes the lock file at `path`, created if need be; `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

impl dyn Disk {
    /// The whole of a small file, refused past `bytes_max`.
    ///
    /// # Errors
    /// What the disk says; `InvalidData` when the file is larger than `bytes_max`.
    pub fn read_whole(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let bytes = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if bytes > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} has {bytes} bytes, more than the {bytes_max} it may have",
                    path.display()
                ),
            ));
        }
        let mut buffer = vec![0; bytes];
        let read = file.read_at(&mut buffer, 0)?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Writes a small file whole and durably: either the old or the new bytes are there after a crash.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let fresh = path.with_extension("new");
        if self.exists(&fresh)? {
            self.remove_file(&fresh)?;
        }
        let file = self.create_new(&fresh)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        self.rename(&fresh, path)?;
        match path.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }
}
