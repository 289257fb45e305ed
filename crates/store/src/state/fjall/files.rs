//! The tables that fjall keeps as files, and its files of large rows: written once, read many times, and never changed.
//! What it reads of them it keeps in memory, so damage to one may be seen by nobody until a restart, unless the file itself
//! is read again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use crate::limits::STREAM_READ_BYTES;
use crate::state::Error;

/// The directory of files of large rows within that of a keyspace.
pub(super) const LARGE_ROWS: &str = "blobs";
/// The directories of such files within that of a keyspace.
const DIRECTORIES: [&str; 2] = ["tables", LARGE_ROWS];

/// What each file was when it was last read: its bytes, and their sum.
#[derive(Default)]
pub(super) struct KnownFiles(BTreeMap<PathBuf, (u64, u128)>);

impl KnownFiles {
    /// Reads all files again; one that is new is only noted.
    pub(super) fn check(&mut self, directory: &Path) -> Result<(), Error> {
        let store = |path: &Path, error: &io::Error| Error::Store {
            directory: directory.to_owned(),
            detail: format!("{}: {error}", path.display()),
        };
        let mut files = Vec::new();
        list(directory, false, &mut files).map_err(|error| store(directory, &error))?;
        let mut now = BTreeMap::new();
        for path in files {
            let (bytes, sum) = match hash(&path) {
                Ok(read) => read,
                // Compaction has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(store(&path, &error)),
            };
            // One that has grown was still being written when it was read before.
            let has_changed = |before: &(u64, u128)| bytes <= before.0 && (bytes, sum) != *before;
            if self.0.get(&path).is_some_and(has_changed) {
                return Err(Error::Damaged {
                    directory: directory.to_owned(),
                    detail: format!("{} has changed, and such a file never does", path.display()),
                });
            }
            now.insert(path, (bytes, sum));
        }
        self.0 = now;
        Ok(())
    }
}

fn list(directory: &Path, is_ours: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let is_ours = DIRECTORIES.iter().any(|name| entry.file_name() == *name);
            list(&entry.path(), is_ours, files)?;
        } else if is_ours {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn hash(path: &Path) -> io::Result<(u64, u128)> {
    let mut file = File::open(path)?;
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; STREAM_READ_BYTES];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hasher.digest128())),
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_still_being_written_grows_and_one_that_is_damaged_does_not() {
        let directory = tempfile::tempdir().unwrap();
        for name in DIRECTORIES {
            let files = directory.path().join(name);
            std::fs::create_dir(&files).unwrap();
            let write = |bytes: &[u8]| std::fs::write(files.join("0"), bytes).unwrap();
            let mut known = KnownFiles::default();
            for bytes in [&b""[..], b"some", b"some more", b"some more"] {
                write(bytes);
                known.check(directory.path()).unwrap();
            }
            for bytes in [&b"some mora"[..], b"some mor"] {
                write(bytes);
                assert!(known.check(directory.path()).is_err());
            }
            std::fs::remove_file(files.join("0")).unwrap();
        }
    }
}
