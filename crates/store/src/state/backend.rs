use bytes::Bytes;
use machine::{Row, TableId};

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
}
