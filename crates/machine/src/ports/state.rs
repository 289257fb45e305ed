use bytes::Bytes;

use crate::{Shape, TableId};

/// One stored document, in the shape in which it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The document's shape.
    pub shape: Shape,
    /// Its bytes.
    pub document: Bytes,
}

/// The disk under the state failed; nothing more can be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state could not be read or written: {0}")]
pub struct StateError(pub String);

/// Rows as of one applied index.
pub trait StateRead {
    /// The row under `key`.
    ///
    /// # Errors
    /// The disk failed.
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError>;

    /// Visits rows in order of key, from `start` (included) to `end` (excluded; none: to the end of the table), or the
    /// other way round, until `visit` gives false.
    ///
    /// # Errors
    /// The disk failed.
    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), StateError>;
}

/// Rows that one entry may change. What is written is seen by later reads at once, and becomes durable together with
/// the machine's own rows at the next checkpoint.
pub trait StateTxn: StateRead {
    /// Writes a row.
    fn put(&mut self, table: TableId, key: &[u8], row: Row);
    /// Removes a row.
    fn delete(&mut self, table: TableId, key: &[u8]);
    /// Writes a row or removes it, and gives what was there before.
    ///
    /// # Errors
    /// The disk failed; nothing was written.
    fn replace(&mut self, table: TableId, key: &[u8], row: Option<Row>) -> Result<Option<Row>, StateError> {
        let before = self.get(table, key)?;
        match row {
            Some(row) => self.put(table, key, row),
            None => self.delete(table, key),
        }
        Ok(before)
    }
    /// Appends an event to a stream, after all those of earlier entries.
    fn emit(&mut self, stream: &str, event: crate::EventView<'_>);
}
