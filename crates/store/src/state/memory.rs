use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use machine::{Row, TableId};
use parking_lot::RwLock;

use super::backend::Write;
use super::{Backend, Error};

/// Rows in memory, durable as long as the value lives: for simulations and tests.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    tables: RwLock<BTreeMap<TableId, BTreeMap<Bytes, Row>>>,
}

impl Backend for MemoryBackend {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, Error> {
        let tables = self.tables.read();
        Ok(tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), Error> {
        let tables = self.tables.read();
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let Some(rows) = tables.get(&table) else {
            return Ok(());
        };
        let mut range = rows.range::<[u8], _>((Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded)));
        while let Some((key, row)) = if reverse { range.next_back() } else { range.next() } {
            if !visit(key, row) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, batch: Vec<Write>) -> Result<(), Error> {
        let mut tables = self.tables.write();
        for (table, key, row) in batch {
            let rows = tables.entry(table).or_default();
            match row {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }
}
