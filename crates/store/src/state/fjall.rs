//! Rows in fjall: one keyspace, the key behind its table's number (big-endian, so that a table is one range), the
//! document behind its shape (little-endian). Large rows lie in files of their own, to which the tables point, so that
//! compaction moves only the pointers.

mod files;

use std::fs::File;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable};
use machine::{Row, Shape, StateError, StateRead, TableId};
use parking_lot::Mutex;

use super::backend::Write;
use super::key::{TABLE_BYTES, WholeKey};
use super::{Backend, Error, View};
use crate::format::STATE;
use crate::limits::{FJALL_APART_BYTES, FJALL_APART_STALE, FJALL_CACHE_BYTES, FJALL_FILES_MAX, FJALL_MEMTABLE_BYTES};
use files::KnownFiles;

/// The one keyspace.
const KEYSPACE: &str = "rows";
/// Where the format stands: shorter than any row's key, and before all of them.
const FORMAT_KEY: [u8; 1] = [0];
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
    known: Mutex<KnownFiles>,
}

/// Its rows as of one moment.
struct FjallView {
    directory: PathBuf,
    snapshot: fjall::Snapshot,
    rows: Keyspace,
}

impl FjallBackend {
    /// Opens the store in `directory`, which is made if need be.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(directory: &Path, options: FjallOptions) -> Result<FjallBackend, Error> {
        guarded(directory, || FjallBackend::open_unguarded(directory, options))
    }

    fn open_unguarded(directory: &Path, options: FjallOptions) -> Result<FjallBackend, Error> {
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
                // Noted with the keyspace when it is made: one that an older binary made stays as it is.
                KeyspaceCreateOptions::default()
                    .max_memtable_size(FJALL_MEMTABLE_BYTES)
                    .with_kv_separation(Some(
                        KvSeparationOptions::default()
                            .separation_threshold(FJALL_APART_BYTES)
                            .staleness_threshold(FJALL_APART_STALE),
                    ))
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
            known: Mutex::default(),
        })
    }

    /// Writes so many rows that a file of their own would be made of them at once: that file alone, synced, in place of the
    /// journal, a list in memory, and then the file. They are in order of key, each once.
    fn write_files(&self, batch: Vec<Write>) -> Result<(), Error> {
        let failed = |error: fjall::Error| self.failed(&error);
        // What lies in memory comes before it. Left to the end, it would not be told to those who cut the journal.
        self.rows.rotate_memtable().map_err(failed)?;
        let mut files = self.rows.start_ingestion().map_err(failed)?;
        let mut stored = Vec::new();
        for (table, key, row) in batch {
            let key = WholeKey::new(table, &key);
            let written = match row {
                Some(row) => {
                    stored_row(&row, &mut stored);
                    files.write(&*key, &stored[..])
                }
                None => files.write_tombstone(&*key),
            };
            written.map_err(failed)?;
        }
        // All files of large rows have their names by now, and must keep them once the end names them.
        self.sync_large_rows()?;
        files.finish().map_err(failed)
    }

    /// The store syncs files of large rows, and leaves it to the file system whether that holds for their names, too.
    fn sync_large_rows(&self) -> Result<(), Error> {
        let synced = File::open(self.rows.path().join(files::LARGE_ROWS)).and_then(|folder| folder.sync_all());
        match synced {
            // A store from before large rows lay apart.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(|error| self.failed(&error.into())),
        }
    }

    fn write_batch(&self, batch: Vec<Write>) -> Result<(), Error> {
        let mut writes = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), batch.len())
            .durability(Some(PersistMode::SyncAll));
        let mut stored = Vec::new();
        for (table, key, row) in batch {
            let key = WholeKey::new(table, &key);
            match row {
                Some(row) => {
                    stored_row(&row, &mut stored);
                    writes.insert(&self.rows, &*key, &stored[..]);
                }
                None => writes.remove(&self.rows, &*key),
            }
        }
        writes.commit().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &fjall::Error) -> Error {
        store_error(&self.directory, error)
    }
}

/// The libraries below check what they read, but not everywhere without a panic: what is damaged must be an error here.
fn guarded<T>(directory: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Damaged {
            directory: directory.to_owned(),
            detail: format!("its reader gave up: {}", said.unwrap_or("it did not say why")),
        })
    })
}

fn to_row(directory: &Path, value: &[u8]) -> Result<Row, Error> {
    let Some((shape, document)) = value.split_first_chunk::<SHAPE_BYTES>() else {
        return Err(Error::Damaged {
            directory: directory.to_owned(),
            detail: "a row is too short to have a shape".to_owned(),
        });
    };
    Ok(Row {
        shape: Shape(u16::from_le_bytes(*shape)),
        document: Bytes::copy_from_slice(document),
    })
}

fn scan_range(
    directory: &Path,
    mut range: fjall::Iter,
    reverse: bool,
    visit: &mut dyn FnMut(&[u8], &Row) -> bool,
) -> Result<(), Error> {
    while let Some(guard) = if reverse { range.next_back() } else { range.next() } {
        let (key, value) = guard.into_inner().map_err(|error| store_error(directory, &error))?;
        let key = key.get(TABLE_BYTES..).unwrap_or_default();
        if !visit(key, &to_row(directory, &value)?) {
            break;
        }
    }
    Ok(())
}

/// The rows of one table, as a range over a keyspace or a snapshot of it.
fn table_range(
    source: impl FnOnce((std::ops::Bound<Vec<u8>>, std::ops::Bound<Vec<u8>>)) -> fjall::Iter,
    table: TableId,
    start: &[u8],
    end: Option<&[u8]>,
) -> fjall::Iter {
    use std::ops::Bound;
    let stored_key = |table, key| WholeKey::new(table, key).to_vec();
    let to = match (end, table.0.checked_add(1)) {
        (Some(end), _) => Bound::Excluded(stored_key(table, end)),
        (None, Some(next)) => Bound::Excluded(stored_key(TableId(next), &[])),
        (None, None) => Bound::Unbounded,
    };
    source((Bound::Included(stored_key(table, start)), to))
}

fn store_error(directory: &Path, error: &fjall::Error) -> Error {
    let io = match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => Some(io.kind()),
        _ => None,
    };
    let (directory, detail) = (directory.to_owned(), error.to_string());
    match (io, error) {
        // What should be there and is not, or reads as nonsense.
        (Some(ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound), _) => {
            Error::Damaged { directory, detail }
        }
        (Some(_), _) | (None, fjall::Error::Locked | fjall::Error::Poisoned | fjall::Error::InvalidVersion(_)) => {
            Error::Store { directory, detail }
        }
        (None, _) => Error::Damaged { directory, detail },
    }
}

/// A row as the store has it, in place of what was in `stored`.
fn stored_row(row: &Row, stored: &mut Vec<u8>) {
    stored.clear();
    stored.extend_from_slice(&row.shape.0.to_le_bytes());
    stored.extend_from_slice(&row.document);
}

impl Backend for FjallBackend {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, Error> {
        guarded(&self.directory, || {
            let found = self.rows.get(&*WholeKey::new(table, key));
            let found = found.map_err(|error| self.failed(&error))?;
            found.map(|value| to_row(&self.directory, &value)).transpose()
        })
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
        guarded(&self.directory, || {
            let range = table_range(|bounds| self.rows.range(bounds), table, start, end);
            scan_range(&self.directory, range, reverse, visit)
        })
    }

    fn write(&self, batch: Vec<Write>) -> Result<(), Error> {
        let bytes = |(_, key, row): &Write| key.len() + row.as_ref().map_or(0, |row| row.document.len());
        let bytes: usize = batch.iter().map(bytes).sum();
        let is_large = bytes as u64 > FJALL_MEMTABLE_BYTES;
        // A batch waits where compaction does not follow, and may stand in any order; files of its own do neither.
        let may_be_files = || {
            let in_order = batch.is_sorted_by(|one, next| (one.0, &one.1) < (next.0, &next.1));
            in_order && self.rows.l0_table_count() < FJALL_FILES_MAX
        };
        let as_files = is_large && may_be_files();
        guarded(&self.directory, || match as_files {
            true => self.write_files(batch),
            false => self.write_batch(batch),
        })
    }

    fn rows_about(&self) -> u64 {
        self.rows.approximate_len() as u64
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::new(FjallView {
            directory: self.directory.clone(),
            snapshot: self.database.snapshot(),
            rows: self.rows.clone(),
        })
    }

    fn check_files(&self) -> Result<(), Error> {
        self.known.lock().check(&self.directory)
    }
}

impl StateRead for FjallView {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        let found = guarded(&self.directory, || {
            let found = self.snapshot.get(&self.rows, &*WholeKey::new(table, key));
            let found = found.map_err(|error| store_error(&self.directory, &error))?;
            found.map(|value| to_row(&self.directory, &value)).transpose()
        });
        Ok(found?)
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), StateError> {
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let scanned = guarded(&self.directory, || {
            let range = table_range(|bounds| self.snapshot.range(&self.rows, bounds), table, start, end);
            scan_range(&self.directory, range, reverse, visit)
        });
        Ok(scanned?)
    }
}

impl View for FjallView {
    fn rows(&self, visit: &mut dyn FnMut(TableId, &[u8], &Row) -> bool) -> Result<(), Error> {
        guarded(&self.directory, || {
            for guard in self.snapshot.iter(&self.rows) {
                let item = guard.into_inner();
                let (key, value) = item.map_err(|error| store_error(&self.directory, &error))?;
                let Some((table, key)) = key.split_first_chunk::<TABLE_BYTES>() else {
                    // The format's own key.
                    continue;
                };
                let row = to_row(&self.directory, &value)?;
                if !visit(TableId(u32::from_be_bytes(*table)), key, &row) {
                    break;
                }
            }
            Ok(())
        })
    }
}
