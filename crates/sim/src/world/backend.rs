//! The state's rows over a simulated disk: in memory, and as a journal of batches in one file, read back at the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use environment::{Disk, File};
use machine::codec::{Codec, Reader};
use machine::{Row, Shape, TableId};
use parking_lot::Mutex;
use store::state::{Backend, Error, MemoryBackend, View, Write};
use xxhash_rust::xxh3::xxh3_64;

/// Length and hash before each batch.
const HEAD_BYTES: usize = 12;

/// Rows in memory that a simulated disk keeps.
pub struct JournalBackend {
    rows: MemoryBackend,
    directory: PathBuf,
    file: Box<dyn File>,
    end: Mutex<u64>,
}

impl JournalBackend {
    /// Opens the journal in `directory`, which is made if need be. A last batch that is not whole was never acknowledged.
    ///
    /// # Errors
    /// The disk fails, or a batch before the last is not what was written.
    pub fn open(disk: &Arc<dyn Disk>, directory: &Path) -> Result<JournalBackend, Error> {
        let failed = |error: std::io::Error| store_error(directory, &error);
        let path = directory.join("journal");
        disk.create_dir_all(directory).map_err(failed)?;
        let file = match disk.exists(&path).map_err(failed)? {
            true => disk.open(&path).map_err(failed)?,
            false => disk.create_new(&path).map_err(failed)?,
        };
        let mut bytes = vec![0; usize::try_from(file.len().map_err(failed)?).unwrap_or(usize::MAX)];
        file.read_at(&mut bytes, 0).map_err(failed)?;
        let rows = MemoryBackend::default();
        let mut at = 0;
        while let Some(batch) = batch_at(&bytes, at) {
            let length = batch.len();
            let batch = decode(batch).ok_or_else(|| damaged(directory, at))?;
            rows.write(batch)?;
            at += HEAD_BYTES + length;
        }
        if bytes[at..].len() > HEAD_BYTES && (at + 1..bytes.len()).any(|next| batch_at(&bytes, next).is_some()) {
            return Err(damaged(directory, at));
        }
        file.set_len(at as u64).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        disk.sync_dir(directory).map_err(failed)?;
        Ok(JournalBackend {
            rows,
            directory: directory.to_owned(),
            file,
            end: Mutex::new(at as u64),
        })
    }
}

fn store_error(directory: &Path, error: &std::io::Error) -> Error {
    Error::Store {
        directory: directory.to_owned(),
        detail: error.to_string(),
    }
}

fn damaged(directory: &Path, at: usize) -> Error {
    Error::Damaged {
        directory: directory.to_owned(),
        detail: format!("the batch at byte {at} of the journal is not what was written"),
    }
}

/// The whole batch that begins there.
fn batch_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let head = bytes.get(at..at + HEAD_BYTES)?;
    let (length, hash) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let batch = bytes.get(at + HEAD_BYTES..(at + HEAD_BYTES).checked_add(length)?)?;
    let sound = length > 0 && xxh3_64(batch).to_le_bytes() == hash;
    sound.then_some(batch)
}

fn encode(batch: &[Write]) -> Vec<u8> {
    let mut out = Vec::new();
    (batch.len() as u64).encode(&mut out);
    for (table, key, row) in batch {
        u64::from(table.0).encode(&mut out);
        key.encode(&mut out);
        match row {
            None => out.push(0),
            Some(row) => {
                out.push(1);
                u64::from(row.shape.0).encode(&mut out);
                row.document.encode(&mut out);
            }
        }
    }
    out
}

fn decode(bytes: &[u8]) -> Option<Vec<Write>> {
    let mut reader = Reader::new(bytes);
    let count = u64::decode(&mut reader).ok()?;
    (0..count).map(|_| decode_write(&mut reader)).collect()
}

fn decode_write(reader: &mut Reader<'_>) -> Option<Write> {
    let table = TableId(u64::decode(reader).ok()?.try_into().ok()?);
    let key = Bytes::copy_from_slice(reader.bytes().ok()?);
    let row = match reader.byte().ok()? {
        0 => None,
        _ => {
            let shape = Shape(u64::decode(reader).ok()?.try_into().ok()?);
            let document = Bytes::copy_from_slice(reader.bytes().ok()?);
            Some(Row { shape, document })
        }
    };
    Some((table, key, row))
}

impl Backend for JournalBackend {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, Error> {
        self.rows.get(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), Error> {
        self.rows.scan(table, start, end, reverse, visit)
    }

    fn write(&self, batch: Vec<Write>) -> Result<(), Error> {
        let failed = |error: std::io::Error| store_error(&self.directory, &error);
        let payload = encode(&batch);
        let length = u32::try_from(payload.len()).map_err(|error| failed(std::io::Error::other(error)))?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(xxh3_64(&payload).to_le_bytes());
        bytes.extend(payload);
        let mut end = self.end.lock();
        self.file.write_all_at(&bytes, *end).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        *end += bytes.len() as u64;
        self.rows.write(batch)
    }

    fn rows_about(&self) -> u64 {
        self.rows.rows_about()
    }

    fn view(&self) -> Arc<dyn View> {
        self.rows.view()
    }

    fn check_files(&self) -> Result<(), Error> {
        let failed = |error: std::io::Error| store_error(&self.directory, &error);
        let end = *self.end.lock();
        let mut bytes = vec![0; usize::try_from(end).unwrap_or(usize::MAX)];
        self.file.read_at(&mut bytes, 0).map_err(failed)?;
        let mut at = 0;
        while at < bytes.len() {
            at += HEAD_BYTES + batch_at(&bytes, at).ok_or_else(|| damaged(&self.directory, at))?.len();
        }
        Ok(())
    }
}
