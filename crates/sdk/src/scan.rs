use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::{Host, Refusal, table::decode_row};

/// Bytes of rows that a guest takes from the host at once. A scan goes on page by page, so that its memory does not grow
/// with the table.
pub(crate) const PAGE_BYTES: usize = 32 << 10;
/// Rows that the first page asks for. Rows that are asked for but do not fit are read, and paid for, in vain; so the next
/// page asks for as many as will fit if they are like those before.
const FIRST_PAGE_ROWS: usize = 32;
/// Rows that any page asks for.
const PAGE_ROWS_MAX: usize = 1024;

/// One row of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// Its key.
    pub key: Vec<u8>,
    /// Its document.
    pub document: T,
}

impl<T> Row<T> {
    /// The key as text, with U+FFFD for what is not UTF-8.
    #[must_use]
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(&self.key).into_owned()
    }
}

/// A walk over the rows of a table in order of key. Every row costs fuel, some 6,000 units for a document of 75 bytes with
/// four fields: a call, which has 200 million, walks about 30,000 of them. A larger table is walked in several calls, each
/// beginning where the one before ended.
#[must_use = "a scan reads nothing before `rows` or `each`"]
pub struct Scan<'c, T> {
    host: &'c mut dyn Host,
    table: &'c str,
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    limit: usize,
    reverse: bool,
    documents: PhantomData<fn() -> T>,
}

impl<'c, T: DeserializeOwned> Scan<'c, T> {
    pub(crate) fn new(host: &'c mut dyn Host, table: &'c str) -> Self {
        Scan {
            host,
            table,
            start: Vec::new(),
            end: None,
            limit: usize::MAX,
            reverse: false,
            documents: PhantomData,
        }
    }

    /// Begins at this key, included.
    pub fn start(mut self, key: impl AsRef<[u8]>) -> Self {
        self.start = key.as_ref().to_vec();
        self
    }

    /// Ends before this key.
    pub fn end(mut self, key: impl AsRef<[u8]>) -> Self {
        self.end = Some(key.as_ref().to_vec());
        self
    }

    /// Only keys that begin so; takes the place of `start` and `end`.
    pub fn prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.start = prefix.as_ref().to_vec();
        self.end = after_prefix(prefix.as_ref());
        self
    }

    /// At most so many rows.
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = rows;
        self
    }

    /// From the last key to the first.
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// The rows.
    ///
    /// # Errors
    /// A document is not a `T`.
    pub fn rows(self) -> Result<Vec<Row<T>>, Refusal> {
        let mut rows = Vec::new();
        self.each(|key, document| {
            rows.push(Row {
                key: key.to_vec(),
                document,
            });
            Ok(())
        })?;
        Ok(rows)
    }

    /// Shows each row to `visit`, without holding more than one page of them, and gives their number.
    ///
    /// # Errors
    /// A document is not a `T`, or `visit` refuses.
    pub fn each(mut self, mut visit: impl FnMut(&[u8], T) -> Result<(), Refusal>) -> Result<usize, Refusal> {
        let (mut count, mut bytes) = (0, 0);
        let mut last = Vec::new();
        while count < self.limit {
            let page = page_rows(count, bytes).min(self.limit - count);
            let before = count;
            let mut refused = None;
            let table = self.table;
            let visit_row = &mut |key: &[u8], document: &[u8]| {
                if refused.is_none() {
                    count += 1;
                    bytes += key.len() + document.len() + 8;
                    last.clear();
                    last.extend_from_slice(key);
                    refused = decode_row(table, key, document).and_then(|row| visit(key, row)).err();
                }
            };
            let end = self.end.as_deref();
            self.host
                .scan(table, &self.start, end, page as u32, self.reverse, visit_row);
            if let Some(refusal) = refused {
                return Err(refusal);
            }
            if count == before {
                break;
            }
            if self.reverse {
                self.end = Some(last.clone());
            } else {
                // The key right after the last one.
                self.start.clone_from(&last);
                self.start.push(0);
            }
        }
        Ok(count)
    }
}

/// Rows to ask for after so many of so many bytes in all.
fn page_rows(count: usize, bytes: usize) -> usize {
    match count {
        0 => FIRST_PAGE_ROWS,
        count => (PAGE_BYTES / bytes.div_ceil(count)).clamp(1, PAGE_ROWS_MAX),
    }
}

/// The first key after all that begin with `prefix`; none when there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::{after_prefix, page_rows};

    #[test]
    fn a_page_asks_for_what_will_fit() {
        assert_eq!(page_rows(0, 0), 32);
        assert_eq!(page_rows(32, 3200), 327);
        assert_eq!(page_rows(32, 32 * 9), 1024);
        assert_eq!(page_rows(1, 1 << 20), 1);
    }

    #[test]
    fn the_key_after_a_prefix() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
