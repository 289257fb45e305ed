//! A disk on which nothing changes: what is written stays in memory, over files that stay as they are.
//!
//! Opening a log or a list of snapshots mends what a crash left behind. Whoever only wants to read a directory opens them
//! on this, and the mending goes no further than here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use environment::{Disk, Entry, File, FileLock};
use parking_lot::Mutex;

/// The disk, over another. Clones share it.
#[derive(Clone)]
pub struct Untouched {
    under: Arc<dyn Disk>,
    over: Arc<Mutex<Over>>,
}

/// What was changed, in memory.
#[derive(Default)]
struct Over {
    files: BTreeMap<PathBuf, Bytes>,
    directories: BTreeSet<PathBuf>,
    removed: BTreeSet<PathBuf>,
}

/// The bytes of a file that was written to; handles share them.
type Bytes = Arc<Mutex<Vec<u8>>>;

impl Untouched {
    /// Over the files of `under`.
    pub fn new(under: Arc<dyn Disk>) -> Untouched {
        Untouched {
            under,
            over: Arc::default(),
        }
    }

    fn is_removed(over: &Over, path: &Path) -> bool {
        path.ancestors().any(|above| over.removed.contains(above))
    }
}

impl Disk for Untouched {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let over = self.over.lock();
        if over.files.contains_key(path) {
            return Ok(self.handle(path, None));
        }
        if Untouched::is_removed(&over, path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        drop(over);
        Ok(self.handle(path, Some(self.under.open(path)?)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        if self.exists(path)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.over.lock().files.insert(path.to_owned(), Bytes::default());
        Ok(self.handle(path, None))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if !self.exists(path)? {
            let above = path.ancestors().map(Path::to_owned);
            self.over.lock().directories.extend(above);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.bytes_of(from)?;
        let mut over = self.over.lock();
        over.files.remove(from);
        over.removed.insert(from.to_owned());
        over.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if !self.exists(path)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut over = self.over.lock();
        over.files.remove(path);
        over.removed.insert(path.to_owned());
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut over = self.over.lock();
        over.files.retain(|file, _| !file.starts_with(path));
        over.directories.retain(|directory| !directory.starts_with(path));
        over.removed.insert(path.to_owned());
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let over = self.over.lock();
        let is_made = over.directories.contains(path);
        let mut found: BTreeMap<PathBuf, bool> = BTreeMap::new();
        if !Untouched::is_removed(&over, path) {
            match self.under.list(path) {
                Ok(entries) => found.extend(entries.into_iter().map(|entry| (entry.path, entry.is_dir))),
                Err(error) if error.kind() == io::ErrorKind::NotFound && is_made => {}
                Err(error) => return Err(error),
            }
        }
        found.retain(|path, _| !Untouched::is_removed(&over, path));
        let within = |inner: &&PathBuf| inner.parent() == Some(path);
        found.extend(over.files.keys().filter(within).map(|file| (file.clone(), false)));
        found.extend(over.directories.iter().filter(within).map(|made| (made.clone(), true)));
        let entries = found.into_iter().map(|(path, is_dir)| Entry { path, is_dir });
        Ok(entries.collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let over = self.over.lock();
        if over.files.contains_key(path) || over.directories.contains(path) {
            return Ok(true);
        }
        Ok(!Untouched::is_removed(&over, path) && self.under.exists(path)?)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.under.free_bytes(path)
    }

    /// Takes a lock that is there. Where there is no such file, no node has ever run, and none is made.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        if self.under.exists(path)? {
            self.under.lock(path)
        } else {
            Ok(Box::new(NobodyElse))
        }
    }
}

struct NobodyElse;

impl FileLock for NobodyElse {}

impl Untouched {
    fn handle(&self, path: &Path, under: Option<Box<dyn File>>) -> Box<dyn File> {
        Box::new(UntouchedFile {
            disk: self.clone(),
            path: path.to_owned(),
            under,
        })
    }

    /// The bytes of a file in memory, read from under it when they are first asked for.
    fn bytes_of(&self, path: &Path) -> io::Result<Bytes> {
        let mut over = self.over.lock();
        if let Some(bytes) = over.files.get(path) {
            return Ok(bytes.clone());
        }
        if Untouched::is_removed(&over, path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = self.under.open(path)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        let bytes = Bytes::new(Mutex::new(bytes));
        over.files.insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

struct UntouchedFile {
    disk: Untouched,
    path: PathBuf,
    under: Option<Box<dyn File>>,
}

impl UntouchedFile {
    /// What was written, if anything was.
    fn over(&self) -> Option<Bytes> {
        self.disk.over.lock().files.get(&self.path).cloned()
    }
}

impl File for UntouchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match (self.over(), &self.under) {
            (None, Some(under)) => under.read_at(buffer, offset),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
            (Some(bytes), _) => {
                let bytes = bytes.lock();
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = bytes.get(from..).unwrap_or_default();
                let read = rest.len().min(buffer.len());
                buffer[..read].copy_from_slice(&rest[..read]);
                Ok(read)
            }
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let whole = self.disk.bytes_of(&self.path)?;
        let mut whole = whole.lock();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from + bytes.len();
        if whole.len() < end {
            whole.resize(end, 0);
        }
        whole[from..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let whole = self.disk.bytes_of(&self.path)?;
        whole
            .lock()
            .resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        match (self.over(), &self.under) {
            (Some(bytes), _) => Ok(bytes.lock().len() as u64),
            (None, Some(under)) => under.len(),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use environment::real::RealDisk;

    use super::*;

    fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn what_is_written_is_seen_and_nothing_is_touched() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("kept"), b"0123456789").unwrap();
        std::fs::write(at("gone"), b"x").unwrap();
        let before = files(directory.path());
        let disk = Untouched::new(Arc::new(RealDisk));
        let disk: &dyn Disk = &disk;

        let (reader, writer) = (disk.open(&at("kept")).unwrap(), disk.open(&at("kept")).unwrap());
        writer.write_all_at(b"ab", 9).unwrap();
        assert_eq!(disk.read_whole(&at("kept"), 100).unwrap(), b"012345678ab");
        let mut tail = [0; 8];
        assert_eq!(
            reader.read_at(&mut tail, 8).unwrap(),
            3,
            "a handle from before sees it too"
        );
        assert_eq!(&tail[..3], b"8ab");
        writer.set_len(3).unwrap();
        assert_eq!(reader.len().unwrap(), 3);

        disk.remove_file(&at("gone")).unwrap();
        assert!(disk.open(&at("gone")).is_err() && !disk.exists(&at("gone")).unwrap());
        assert!(disk.remove_file(&at("gone")).is_err());
        disk.write_whole(&at("new"), b"new").unwrap();
        assert!(disk.create_new(&at("new")).is_err());
        disk.create_dir_all(&at("a/b")).unwrap();
        assert_eq!(disk.list(&at("a/b")).unwrap(), []);
        let listed = disk.list(directory.path()).unwrap();
        let names: Vec<_> = listed.iter().map(|entry| (entry.path.clone(), entry.is_dir)).collect();
        assert_eq!(names, [(at("a"), true), (at("kept"), false), (at("new"), false)]);
        disk.remove_dir_all(&at("a")).unwrap();
        assert!(!disk.exists(&at("a/b")).unwrap());
        drop(disk.lock(&at("lock")).unwrap());
        assert_eq!(files(directory.path()), before);
    }

    #[test]
    fn a_lock_that_is_held_is_respected() {
        let directory = tempfile::tempdir().unwrap();
        let (path, real): (_, Arc<dyn Disk>) = (directory.path().join("lock"), Arc::new(RealDisk));
        let disk = Untouched::new(real.clone());
        let held = real.lock(&path).unwrap();
        assert!(disk.lock(&path).is_err());
        drop(held);
        assert!(disk.lock(&path).is_ok());
    }
}
