use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use environment::{Disk, File};

use super::Error;

/// The sync of what was written to the streams up to one moment. Holds no borrow of them.
#[must_use = "what was written is durable only once this has run"]
pub struct SyncJob {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) files: BTreeMap<PathBuf, Arc<dyn File>>,
    pub(super) directories: BTreeSet<PathBuf>,
}

impl SyncJob {
    /// Returns when it is all durable. Blocks.
    ///
    /// # Errors
    /// [`Error::Disk`]: what is durable is unknown, and the node must stop.
    pub fn run(self) -> Result<(), Error> {
        for (path, file) in &self.files {
            file.sync_data().map_err(Error::disk(path))?;
        }
        for directory in &self.directories {
            self.disk.sync_dir(directory).map_err(Error::disk(directory))?;
        }
        Ok(())
    }
}
