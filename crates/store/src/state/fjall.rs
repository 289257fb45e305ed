//! Rows in fjall: one keyspace, the key behind its table's number (big-endian, so that a table is one range), the
//! document behind its shape (little-endian).

use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use machine::{Row, Shape, TableId};

use super::backend::Write;
use super::{Backend, Error};
use crate::format::STATE;
use crate::limits::{FJALL_CACHE_BYTES, FJALL_MEMTABLE_BYTES};

/// The one keyspace.
const KEYSPACE: &str = "rows";
/// Where the format stands: shorter than any row's key, and before all of them.
const FORMAT_KEY: [u8; 1] = [0];
const TABLE_BYTES: usize = 4;
const SHAPE_BYTES: usize = 2;

/// How fjall is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FjallOptions {
    /// Bytes of its blocks that it keeps in memory.
    pub cache_bytes: u64,
    /// Threads that compact.
    pub threads: usize,
}

impl Default for FjallOptions {
    fn default() -> Self {
        FjallOptions {
            cache_bytes: FJALL_CACHE_BYTES,
            threads: 1,
        }
    }
}

/// Rows in real files.
pub struct FjallBackend {
    directory: PathBuf,
    database: Database,
    rows: Keyspace,
}

impl FjallBackend {
    /// Opens the store in `directory`, which is made if need be.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(directory: &Path, options: FjallOptions) -> Result<FjallBackend, Error> {
        let failed = |error: fjall::Error| store_error(directory, &error);
        let database = Database::builder(directory)
            .cache_size(options.cache_bytes)
            .worker_threads(options.threads.max(1))
            // Every batch says itself that it is to be synced.
            .manual_journal_persist(true)
            .open()
            .map_err(failed)?;
        let rows = database
            .keyspace(KEYSPACE, || {
                KeyspaceCreateOptions::default().max_memtable_size(FJALL_MEMTABLE_BYTES)
            })
            .map_err(failed)?;
        match rows.get(FORMAT_KEY).map_err(failed)? {
            Some(found) => STATE.check(&found, directory)?,
            None if rows.is_empty().map_err(failed)? => {
                rows.insert(FORMAT_KEY, STATE.prefix()).map_err(failed)?;
            }
            None => {
                return Err(STATE
                    .unreadable(directory, "it holds rows but does not say in which format")
                    .into());
            }
        }
        // What was read may have come from the system's cache, written by a process that was killed before it synced:
        // whoever looks at it now will rely on it.
        database.persist(PersistMode::SyncAll).map_err(failed)?;
        Ok(FjallBackend {
            directory: directory.to_owned(),
            database,
            rows,
        })
    }

    fn failed(&self, error: &fjall::Error) -> Error {
        store_error(&self.directory, error)
    }

    fn row(&self, value: &[u8]) -> Result<Row, Error> {
        let Some((shape, document)) = value.split_first_chunk::<SHAPE_BYTES>() else {
            return Err(Error::Damaged {
                directory: self.directory.clone(),
                detail: "a row is too short to have a shape".to_owned(),
            });
        };
        Ok(Row {
            shape: Shape(u16::from_le_bytes(*shape)),
            document: Bytes::copy_from_slice(document),
        })
    }
}

fn store_error(directory: &Path, error: &fjall::Error) -> Error {
    Error::Store {
        directory: directory.to_owned(),
        detail: error.to_string(),
    }
}

fn stored_key(table: TableId, key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(TABLE_BYTES + key.len());
    stored.extend_from_slice(&table.0.to_be_bytes());
    stored.extend_from_slice(key);
    stored
}

impl Backend for FjallBackend {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, Error> {
        let found = self
            .rows
            .get(stored_key(table, key))
            .map_err(|error| self.failed(&error))?;
        found.map(|value| self.row(&value)).transpose()
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), Error> {
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let from = stored_key(table, start);
        let mut range = match (end, table.0.checked_add(1)) {
            (Some(end), _) => self.rows.range(from..stored_key(table, end)),
            (None, Some(next)) => self.rows.range(from..stored_key(TableId(next), &[])),
            (None, None) => self.rows.range(from..),
        };
        while let Some(guard) = if reverse { range.next_back() } else { range.next() } {
            let (key, value) = guard.into_inner().map_err(|error| self.failed(&error))?;
            let key = key.get(TABLE_BYTES..).unwrap_or_default();
            if !visit(key, &self.row(&value)?) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, batch: Vec<Write>) -> Result<(), Error> {
        let mut writes = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), batch.len())
            .durability(Some(PersistMode::SyncAll));
        for (table, key, row) in batch {
            let key = stored_key(table, &key);
            match row {
                Some(row) => {
                    let mut value = Vec::with_capacity(SHAPE_BYTES + row.document.len());
                    value.extend_from_slice(&row.shape.0.to_le_bytes());
                    value.extend_from_slice(&row.document);
                    writes.insert(&self.rows, key, value);
                }
                None => writes.remove(&self.rows, key),
            }
        }
        writes.commit().map_err(|error| self.failed(&error))
    }
}
