use std::path::Path;

use environment::{Disk, File};
use machine::codec::{Codec, put_bytes, put_varint};
use machine::{NODE_TABLE, Row, RowSums, TableId};

use super::block::{self, Kind};
use super::{Error, Header};
use crate::format::SNAPSHOT;
use crate::limits::{SNAPSHOT_BLOCK_BYTES, SNAPSHOT_SYNC_BYTES};
use crate::state::View;

/// Writes a snapshot of `view` to a file that must not exist, durable but for its name when it returns. The node's own
/// rows are left out. Blocks.
///
/// # Errors
/// See [`Error`]; [`Error::Rows`] when the rows do not sum up to the header's digest.
pub fn write(disk: &dyn Disk, path: &Path, header: &Header, view: &dyn View) -> Result<RowSums, Error> {
    let file = disk.create_new(path).map_err(Error::disk(path))?;
    let mut out = Out {
        file: &*file,
        path,
        at: 0,
        synced: 0,
        bytes: SNAPSHOT.prefix().to_vec(),
    };
    block::put(Kind::Header, &header.to_bytes(), &mut out.bytes);
    let mut sums = RowSums::default();
    let mut body = Vec::new();
    let mut failed = None;
    view.rows(&mut |table, key, row| {
        if table == NODE_TABLE {
            return true;
        }
        sums.add(table, key, row);
        put_row(table, key, row, &mut body);
        if body.len() >= SNAPSHOT_BLOCK_BYTES {
            failed = out.rows(&mut body).err();
        }
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    out.rows(&mut body)?;
    if sums.digested != header.digest.rows {
        return Err(Error::Rows {
            index: header.index,
            detail: format!(
                "they sum up to {:032x}, not to {:032x}",
                sums.digested, header.digest.rows
            ),
        });
    }
    block::put(Kind::End, &sums.to_bytes(), &mut out.bytes);
    out.flush()?;
    file.sync_data().map_err(Error::disk(path))?;
    file.forget_copy();
    Ok(sums)
}

fn put_row(table: TableId, key: &[u8], row: &Row, out: &mut Vec<u8>) {
    put_varint(u64::from(table.0), out);
    put_varint(u64::from(row.shape.0), out);
    put_bytes(key, out);
    put_bytes(&row.document, out);
}

struct Out<'a> {
    file: &'a dyn File,
    path: &'a Path,
    at: u64,
    synced: u64,
    bytes: Vec<u8>,
}

impl Out<'_> {
    fn rows(&mut self, body: &mut Vec<u8>) -> Result<(), Error> {
        if !body.is_empty() {
            block::put(Kind::Rows, body, &mut self.bytes);
            body.clear();
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file
            .write_all_at(&self.bytes, self.at)
            .map_err(Error::disk(self.path))?;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        if self.at - self.synced >= SNAPSHOT_SYNC_BYTES {
            self.file.sync_data().map_err(Error::disk(self.path))?;
            // Only another node will read it, if any does.
            self.file.forget_copy();
            self.synced = self.at;
        }
        Ok(())
    }
}
