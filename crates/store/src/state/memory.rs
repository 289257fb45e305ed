use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use machine::{Row, StateError, StateRead, TableId};
use parking_lot::RwLock;

use super::backend::Write;
use super::{Backend, Error, View};

type Tables = BTreeMap<TableId, BTreeMap<Bytes, Row>>;

/// Rows in memory, durable as long as the value lives: for simulations and tests.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    tables: RwLock<Tables>,
}

/// A copy of them as of one moment.
struct MemoryView(Tables);

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
        scan_tables(&self.tables.read(), table, start, end, reverse, visit);
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

    fn rows_about(&self) -> u64 {
        self.tables.read().values().map(|rows| rows.len() as u64).sum()
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::new(MemoryView(self.tables.read().clone()))
    }

    fn check_files(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl StateRead for MemoryView {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        Ok(self.0.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), StateError> {
        scan_tables(&self.0, table, start, end, reverse, visit);
        Ok(())
    }
}

impl View for MemoryView {
    fn rows(&self, visit: &mut dyn FnMut(TableId, &[u8], &Row) -> bool) -> Result<(), Error> {
        for (table, rows) in &self.0 {
            for (key, row) in rows {
                if !visit(*table, key, row) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn scan_tables(
    tables: &Tables,
    table: TableId,
    start: &[u8],
    end: Option<&[u8]>,
    reverse: bool,
    visit: &mut dyn FnMut(&[u8], &Row) -> bool,
) {
    if end.is_some_and(|end| end <= start) {
        return;
    }
    let Some(rows) = tables.get(&table) else {
        return;
    };
    let mut range = rows.range::<[u8], _>((Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded)));
    while let Some((key, row)) = if reverse { range.next_back() } else { range.next() } {
        if !visit(key, row) {
            break;
        }
    }
}
