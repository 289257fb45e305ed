use std::path::{Path, PathBuf};

use bytes::Bytes;
use environment::{Disk, File};
use machine::codec::{self, Codec};
use machine::{Row, RowSums, Shape, TableId};

use super::block::{self, HEAD_BYTES, Kind};
use super::{Error, Header};
use crate::format::{Format, SNAPSHOT};

/// Reads a snapshot from front to back, checking everything.
pub struct Reader {
    file: Box<dyn File>,
    path: PathBuf,
    at: u64,
    header: Header,
}

impl Reader {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Reader, Error> {
        let file = disk.open(path).map_err(Error::disk(path))?;
        let mut prefix = [0; Format::PREFIX_BYTES];
        let read = file.read_at(&mut prefix, 0).map_err(Error::disk(path))?;
        SNAPSHOT.check(&prefix[..read], path)?;
        let mut at = Format::PREFIX_BYTES as u64;
        let begin = at;
        let (kind, body) = next(&*file, path, &mut at)?;
        if kind != Kind::Header {
            return Err(Error::damaged(path, begin, "it does not begin with a header"));
        }
        let header = Header::from_bytes(&body).map_err(|error| Error::damaged(path, begin, error.to_string()))?;
        Ok(Reader {
            file,
            path: path.to_owned(),
            at,
            header,
        })
    }

    /// What it is of.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Gives every row to `visit`, and at the end checks what they sum up to.
    ///
    /// # Errors
    /// See [`Error`], or what `visit` says.
    pub fn rows<E: From<Error>>(
        mut self,
        mut visit: impl FnMut(TableId, Bytes, Row) -> Result<(), E>,
    ) -> Result<RowSums, E> {
        let mut sums = RowSums::default();
        loop {
            let begin = self.at;
            let (kind, body) = next(&*self.file, &self.path, &mut self.at)?;
            match kind {
                Kind::Rows => {
                    let mut reader = codec::Reader::new(&body);
                    while reader.left() > 0 {
                        let row = read_row(&body, &mut reader);
                        let (table, key, row) =
                            row.map_err(|error| Error::damaged(&self.path, begin, error.to_string()))?;
                        sums.add(table, &key, &row);
                        visit(table, key, row)?;
                    }
                }
                Kind::End => {
                    let end = RowSums::from_bytes(&body)
                        .map_err(|error| Error::damaged(&self.path, begin, error.to_string()))?;
                    self.check_end(begin, sums, end)?;
                    return Ok(end);
                }
                Kind::Header => return Err(Error::damaged(&self.path, begin, "it has a second header").into()),
            }
        }
    }

    fn check_end(&self, begin: u64, found: RowSums, end: RowSums) -> Result<(), Error> {
        if found != end || found.digested != self.header.digest.rows {
            let detail = format!(
                "its {} rows do not sum up to what it says of its {}",
                found.rows, end.rows
            );
            return Err(Error::damaged(&self.path, begin, detail));
        }
        if self.file.len().map_err(Error::disk(&self.path))? != self.at {
            return Err(Error::damaged(&self.path, self.at, "it goes on behind its end"));
        }
        Ok(())
    }
}

fn read_row(body: &Bytes, reader: &mut codec::Reader<'_>) -> Result<(TableId, Bytes, Row), codec::Error> {
    let table = TableId::decode(reader)?;
    let shape = Shape::decode(reader)?;
    let key = reader.bytes()?;
    let key = body.slice_ref(key);
    // A copy: a row that is a slice of its block would keep all of the block.
    let document = Bytes::copy_from_slice(reader.bytes()?);
    Ok((table, key, Row { shape, document }))
}

fn next(file: &dyn File, path: &Path, at: &mut u64) -> Result<(Kind, Bytes), Error> {
    let begin = *at;
    let damaged = |detail: String| Error::damaged(path, begin, detail);
    let mut head = [0; HEAD_BYTES];
    let read = file.read_at(&mut head, begin).map_err(Error::disk(path))?;
    if read < HEAD_BYTES {
        return Err(damaged("it ends before its end".to_owned()));
    }
    let bytes = block::body_bytes(&head).map_err(damaged)?;
    let length = file.len().map_err(Error::disk(path))?;
    // A length alone must not make this allocate.
    if begin + (HEAD_BYTES + bytes) as u64 > length {
        return Err(damaged("it ends within a block".to_owned()));
    }
    let mut body = vec![0; bytes];
    let read = file
        .read_at(&mut body, begin + HEAD_BYTES as u64)
        .map_err(Error::disk(path))?;
    body.truncate(read);
    let kind = block::check(&head, &body).map_err(damaged)?;
    *at = begin + (HEAD_BYTES + bytes) as u64;
    Ok((kind, body.into()))
}
