use std::sync::Arc;

use bytes::Bytes;
use machine::{Row, StateRead, TableId};

use super::Error;

/// A row to be written, or a key to be removed.
pub type Write = (TableId, Bytes, Option<Row>);

/// Where rows lie between checkpoints: the seam of the simulator. All calls block.
pub trait Backend: Send + Sync {
    /// The row under `key`.
    ///
    /// # Errors
    /// See [`Error`].
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, Error>;

    /// Visits rows of one table in order of key, from `start` (included) to `end` (excluded; none: the end of the
    /// table), or the other way round, until `visit` gives false.
    ///
    /// # Errors
    /// See [`Error`].
    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), Error>;

    /// Writes all of `batch` or nothing, each key at most once; durable when it returns.
    ///
    /// # Errors
    /// See [`Error`]. Whether the batch was written is then unknown until the backend is opened again.
    fn write(&self, batch: Vec<Write>) -> Result<(), Error>;

    /// How many rows there are, about, at little cost.
    fn rows_about(&self) -> u64;

    /// All rows as they are now, whatever is written later. Holding it keeps what it shows from being given back.
    fn view(&self) -> Arc<dyn View>;

    /// Reads again, from the disk and past every cache, the files that never change once they are written, and compares
    /// them with what they were when it was last called.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the file that is no longer the same.
    fn check_files(&self) -> Result<(), Error>;
}

/// Rows as of one moment.
pub trait View: StateRead + Send + Sync {
    /// Visits every row of every table, in order of table and key, until `visit` gives false.
    ///
    /// # Errors
    /// See [`Error`].
    fn rows(&self, visit: &mut dyn FnMut(TableId, &[u8], &Row) -> bool) -> Result<(), Error>;
}
