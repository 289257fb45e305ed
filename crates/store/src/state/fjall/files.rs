//! The tables that fjall keeps as files: written once, read many times, and never changed. What it reads of them it keeps
//! in memory, so damage to one may be seen by nobody until a restart, unless the file itself is read again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use crate::limits::STREAM_READ_BYTES;
use crate::state::Error;

/// The directory of table files within that of a keyspace.
const TABLES: &str = "tables";

/// What each file was when it was last read.
#[derive(Default)]
pub(super) struct KnownFiles(BTreeMap<PathBuf, u128>);

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
            let sum = match hash(&path) {
                Ok(sum) => sum,
                // Compaction has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(store(&path, &error)),
            };
            if self.0.get(&path).is_some_and(|before| *before != sum) {
                return Err(Error::Damaged {
                    directory: directory.to_owned(),
                    detail: format!("{} has changed, and such a file never does", path.display()),
                });
            }
            now.insert(path, sum);
        }
        self.0 = now;
        Ok(())
    }
}

fn list(directory: &Path, tables: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let is_tables = entry.file_name() == TABLES;
            list(&entry.path(), is_tables, files)?;
        } else if tables {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn hash(path: &Path) -> io::Result<u128> {
    let mut file = File::open(path)?;
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; STREAM_READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest128()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
