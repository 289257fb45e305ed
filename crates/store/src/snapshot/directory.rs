use std::path::{Path, PathBuf};
use std::sync::Arc;

use environment::Disk;
use machine::Index;

use super::{Error, Header, Reader};

/// The snapshot within a bundle.
pub const SNAPSHOT_FILE: &str = "snapshot";
/// Segments of streams within a bundle: a directory of this name, one for each stream in it.
pub const STREAMS_DIRECTORY: &str = "streams";

/// The snapshots of one node.
#[derive(Clone)]
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
}

impl Snapshots {
    /// Those in `directory`, which is made if need be. What was left half written there is removed.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<Snapshots, Error> {
        disk.create_dir_all(directory).map_err(Error::disk(directory))?;
        for entry in disk.list(directory).map_err(Error::disk(directory))? {
            if entry.path.extension().is_some_and(|extension| extension == "new") {
                disk.remove_file(&entry.path).map_err(Error::disk(&entry.path))?;
            }
        }
        Ok(Snapshots {
            disk,
            directory: directory.to_owned(),
        })
    }

    /// Where the one of that index lies.
    #[must_use]
    pub fn path(&self, index: Index) -> PathBuf {
        self.directory.join(format!("{:020}.snapshot", index.0))
    }

    /// Where one is written before it gets its name.
    #[must_use]
    pub fn path_unfinished(&self, index: Index) -> PathBuf {
        self.path(index).with_extension("new")
    }

    /// The indexes of those that are there, oldest first.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn list(&self) -> Result<Vec<Index>, Error> {
        let entries = self.disk.list(&self.directory).map_err(Error::disk(&self.directory))?;
        Ok(entries.iter().filter_map(|entry| index_of(&entry.path)).collect())
    }

    /// Gives a snapshot that was written whole its name, durably.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn finish(&self, index: Index) -> Result<(), Error> {
        self.adopt(&self.path_unfinished(index), index)
    }

    /// Takes a snapshot that lies elsewhere on the same disk in.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn adopt(&self, from: &Path, index: Index) -> Result<(), Error> {
        self.disk.rename(from, &self.path(index)).map_err(Error::disk(from))?;
        self.disk
            .sync_dir(&self.directory)
            .map_err(Error::disk(&self.directory))
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn remove(&self, index: Index) -> Result<(), Error> {
        let path = self.path(index);
        self.disk.remove_file(&path).map_err(Error::disk(&path))?;
        self.disk
            .sync_dir(&self.directory)
            .map_err(Error::disk(&self.directory))
    }

    /// The header of the newest one whose header can be read, and what is wrong with newer ones.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn newest(&self) -> Result<(Option<Header>, Vec<Error>), Error> {
        let mut wrong = Vec::new();
        for index in self.list()?.into_iter().rev() {
            match Reader::open(&*self.disk, &self.path(index)) {
                Ok(reader) => return Ok((Some(reader.header().clone()), wrong)),
                Err(error @ Error::Disk { .. }) => return Err(error),
                Err(error) => wrong.push(error),
            }
        }
        Ok((None, wrong))
    }

    /// Reads a whole snapshot and checks everything in it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn check(&self, index: Index) -> Result<(), Error> {
        Reader::open(&*self.disk, &self.path(index))?
            .rows(|_, _, _| Ok::<(), Error>(()))
            .map(drop)
    }
}

/// The index of the snapshot that lies at `path`, if it is one.
fn index_of(path: &Path) -> Option<Index> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".snapshot")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Index)
}
