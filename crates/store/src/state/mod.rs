//! The state: rows in memory as they are now, over a backend that holds them as of the last checkpoint.
//!
//! Writes gather in memory (`dirty`). A checkpoint takes all of them at one moment (`frozen`) and writes them in one
//! atomic, durable batch while new writes gather; the log holds what a crash would lose meanwhile. Reads look through
//! `dirty`, `frozen` and the backend, in this order, and a bounded cache of single rows stands before them all.

mod backend;
mod cache;
mod error;
mod fjall;
mod memory;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use machine::{Row, StateError, StateRead, TableId};

pub use self::fjall::{FjallBackend, FjallOptions};
pub use backend::{Backend, View, Write};
pub use error::Error;
pub use memory::MemoryBackend;

use crate::limits::{STATE_CACHE_BYTES, STATE_ROW_OVERHEAD_BYTES};
use cache::Cache;

/// How the state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateOptions {
    /// Bytes of rows kept in memory beside those not yet written.
    pub cache_bytes: usize,
}

impl Default for StateOptions {
    fn default() -> Self {
        StateOptions {
            cache_bytes: STATE_CACHE_BYTES,
        }
    }
}

/// Rows by table and key; none: removed.
type Layer = BTreeMap<TableId, BTreeMap<Bytes, Option<Row>>>;

/// All rows as of now. Any number may read at once; whoever writes needs it alone.
pub struct State {
    backend: Arc<dyn Backend>,
    dirty: Layer,
    dirty_bytes: usize,
    frozen: Option<Arc<Layer>>,
    cache: Cache,
}

/// The rows of one moment on their way to the backend. Holds no borrow of the state.
#[must_use = "until it is written and finished, no other checkpoint can begin"]
pub struct Checkpoint {
    backend: Arc<dyn Backend>,
    rows: Arc<Layer>,
}

/// Proof that a checkpoint is durable.
#[must_use = "until it is handed to State::finish, its rows stay in memory and no other checkpoint can begin"]
pub struct Written {
    rows: Arc<Layer>,
    view: Arc<dyn View>,
}

impl Written {
    /// Everything as of the checkpoint, as it lies on disk now.
    #[must_use]
    pub fn view(&self) -> Arc<dyn View> {
        self.view.clone()
    }
}

/// Memory that a checkpoint needed. Dropping it takes time in proportion to its rows: do that where nobody waits.
#[must_use = "dropping it takes time: do it away from the apply thread"]
pub struct Retired(#[expect(dead_code, reason = "only held to be dropped")] Option<Arc<Layer>>);

impl State {
    /// The state as of the backend's last checkpoint.
    #[must_use]
    pub fn open(backend: Arc<dyn Backend>, options: StateOptions) -> State {
        State {
            backend,
            dirty: Layer::new(),
            dirty_bytes: 0,
            frozen: None,
            cache: Cache::new(options.cache_bytes),
        }
    }

    /// Writes a row. Its document is kept as it is: one that is a slice of something larger keeps all of that.
    pub fn put(&mut self, table: TableId, key: &[u8], row: Row) {
        self.set(table, key, Some(row));
    }

    /// Removes a row.
    pub fn delete(&mut self, table: TableId, key: &[u8]) {
        self.set(table, key, None);
    }

    fn set(&mut self, table: TableId, key: &[u8], row: Option<Row>) {
        let key = self.cache.set(table, key, row.clone());
        let rows = self.dirty.entry(table).or_default();
        self.dirty_bytes += cost(&key, row.as_ref());
        if let Some(before) = rows.get_mut(&key) {
            self.dirty_bytes -= cost(&key, before.as_ref());
            *before = row;
        } else {
            rows.insert(key, row);
        }
    }

    /// What lies under it.
    #[must_use]
    pub fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    /// Bytes of rows, roughly, that the next checkpoint would write.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Reads that the row cache answered, and those that it could not, since the state was opened.
    #[must_use]
    pub fn cache_hits_and_misses(&self) -> (u64, u64) {
        self.cache.hits_and_misses()
    }

    /// Rows in the backend, about: those that were removed or written over may still count.
    #[must_use]
    pub fn rows_about(&self) -> u64 {
        self.backend.rows_about()
    }

    /// Whether a checkpoint is under way, so that none can begin.
    #[must_use]
    pub fn is_freezing(&self) -> bool {
        self.frozen.is_some()
    }

    /// Takes all that was written since the last checkpoint, to be written to the backend. None while another
    /// checkpoint is under way.
    pub fn freeze(&mut self) -> Option<Checkpoint> {
        if self.frozen.is_some() {
            return None;
        }
        let rows = Arc::new(std::mem::take(&mut self.dirty));
        self.dirty_bytes = 0;
        self.frozen = Some(rows.clone());
        Some(Checkpoint {
            backend: self.backend.clone(),
            rows,
        })
    }

    /// Ends a checkpoint: its rows are read from the backend from now on, as far as the cache has let go of them.
    pub fn finish(&mut self, written: Written) -> Retired {
        // One that belongs to another state proves nothing about this one.
        if self
            .frozen
            .as_ref()
            .is_some_and(|frozen| Arc::ptr_eq(frozen, &written.rows))
        {
            return Retired(self.frozen.take());
        }
        Retired(Some(written.rows))
    }

    /// What the layers above the backend say about a key.
    fn layered(&self, table: TableId, key: &[u8]) -> Option<Option<Row>> {
        let found = |layer: &Layer| layer.get(&table).and_then(|rows| rows.get(key)).cloned();
        found(&self.dirty).or_else(|| self.frozen.as_ref().and_then(|frozen| found(frozen)))
    }
}

impl Checkpoint {
    /// How many rows it writes.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.values().map(BTreeMap::len).sum()
    }

    /// Writes the rows, all or none. Blocks: run it on a worker.
    ///
    /// # Errors
    /// See [`Error`]. The state can then make no checkpoint any more, and the node must stop.
    pub fn write(self) -> Result<Written, Error> {
        let mut batch = Vec::with_capacity(self.rows());
        for (table, rows) in &*self.rows {
            for (key, row) in rows {
                batch.push((*table, key.clone(), row.clone()));
            }
        }
        self.backend.write(batch)?;
        // No other checkpoint can be written before this one is finished: the view shows this one exactly.
        let view = self.backend.view();
        Ok(Written { rows: self.rows, view })
    }
}

impl StateRead for State {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        if let Some(row) = self.cache.get(table, key) {
            return Ok(row);
        }
        let row = match self.layered(table, key) {
            Some(row) => row,
            None => self.backend.get(table, key)?,
        };
        self.cache.set(table, key, row.clone());
        Ok(row)
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
        let layers = [Some(&self.dirty), self.frozen.as_deref()];
        let mut overlay = Overlay::new(layers, table, start, end, reverse);
        let mut more = true;
        self.backend.scan(table, start, end, reverse, &mut |key, row| {
            // First what lies above and comes before; then this row, unless what lies above speaks of it.
            more = overlay.visit_before(Some(key), visit);
            if !more {
                return false;
            }
            more = match overlay.take(key) {
                Some(Some(row)) => visit(key, &row),
                Some(None) => true,
                None => visit(key, row),
            };
            more
        })?;
        if more {
            overlay.visit_before(None, visit);
        }
        Ok(())
    }
}

type Range<'a> = std::collections::btree_map::Range<'a, Bytes, Option<Row>>;
type Item<'a> = (&'a Bytes, &'a Option<Row>);

/// The layers above the backend, merged, in the direction of a scan.
struct Overlay<'a> {
    ranges: [Option<Range<'a>>; 2],
    /// The next item of each.
    heads: [Option<Item<'a>>; 2],
    reverse: bool,
}

impl<'a> Overlay<'a> {
    /// `layers`: the upper one first.
    fn new(layers: [Option<&'a Layer>; 2], table: TableId, start: &[u8], end: Option<&[u8]>, reverse: bool) -> Self {
        let bounds = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        let range = |layer: Option<&'a Layer>| Some(layer?.get(&table)?.range::<[u8], _>(bounds));
        let mut overlay = Overlay {
            ranges: layers.map(range),
            heads: [None, None],
            reverse,
        };
        overlay.advance(0);
        overlay.advance(1);
        overlay
    }

    fn advance(&mut self, layer: usize) {
        let reverse = self.reverse;
        let next = |range: &mut Range<'a>| if reverse { range.next_back() } else { range.next() };
        self.heads[layer] = self.ranges[layer].as_mut().and_then(next);
    }

    fn compare(&self, one: &[u8], other: &[u8]) -> Ordering {
        if self.reverse { other.cmp(one) } else { one.cmp(other) }
    }

    /// The next item, the upper layer's where both have one.
    fn next(&mut self) -> Option<Item<'a>> {
        let order = match self.heads {
            [Some((upper, _)), Some((lower, _))] => self.compare(upper, lower),
            [Some(_), None] => Ordering::Less,
            [None, _] => Ordering::Greater,
        };
        let item = if order == Ordering::Greater {
            self.heads[1]
        } else {
            self.heads[0]
        };
        if order != Ordering::Greater {
            self.advance(0);
        }
        if order != Ordering::Less {
            self.advance(1);
        }
        item
    }

    fn peek(&self) -> Option<&'a Bytes> {
        match self.heads {
            [Some((upper, _)), Some((lower, _))] if self.compare(lower, upper) == Ordering::Less => Some(lower),
            [Some((upper, _)), _] => Some(upper),
            [None, lower] => lower.map(|(key, _)| key),
        }
    }

    /// Visits rows before `key`, or all that are left; false when the visitor has enough.
    fn visit_before(&mut self, key: Option<&[u8]>, visit: &mut dyn FnMut(&[u8], &Row) -> bool) -> bool {
        while let Some(head) = self.peek() {
            if key.is_some_and(|key| self.compare(head, key) != Ordering::Less) {
                return true;
            }
            if let Some((key, Some(row))) = self.next()
                && !visit(key, row)
            {
                return false;
            }
        }
        true
    }

    /// What stands above the backend's row under `key`, which is the next or none of ours.
    fn take(&mut self, key: &[u8]) -> Option<Option<Row>> {
        if self.peek()? != key {
            return None;
        }
        self.next().map(|(_, row)| row.clone())
    }
}

fn cost(key: &[u8], row: Option<&Row>) -> usize {
    STATE_ROW_OVERHEAD_BYTES + key.len() + row.map_or(0, |row| row.document.len())
}

#[cfg(test)]
mod tests;
