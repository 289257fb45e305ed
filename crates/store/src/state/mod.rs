//! The state: rows in memory as they are now, over a backend that holds them as of the last checkpoint.
//!
//! Writes gather in memory (`dirty`). A checkpoint takes all of them at one moment (`frozen`) and writes them in one
//! atomic, durable batch while new writes gather; the log holds what a crash would lose meanwhile. What the last
//! checkpoint wrote stays in memory until the next one has written (`recent`), since what was just written is often
//! wanted again. Reads look through these three, a bounded cache of single rows that were read, and the backend, in this
//! order.

mod backend;
mod cache;
mod error;
mod fjall;
mod key;
mod layer;
mod memory;
mod packed;

use std::cmp::Ordering;
use std::sync::Arc;

use machine::{Row, StateError, StateRead, TableId};

pub use self::fjall::{FjallBackend, FjallOptions};
pub use backend::{Backend, View, Write};
pub use error::Error;
pub use memory::MemoryBackend;

use crate::limits::STATE_CACHE_BYTES;
use cache::Cache;
use key::HashedKey;
use layer::{Item, Layer, Ordered, Range};

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

/// All rows as of now. Any number may read at once; whoever writes needs it alone.
pub struct State {
    backend: Arc<dyn Backend>,
    dirty: Layer,
    frozen: Option<Arc<Layer>>,
    recent: Option<Arc<Layer>>,
    /// What was read from the backend and not written since.
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
            dirty: Layer::default(),
            frozen: None,
            recent: None,
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

    /// Writes a row or removes it, and gives what was there before.
    ///
    /// # Errors
    /// The disk failed; nothing was written.
    pub fn replace(&mut self, table: TableId, key: &[u8], row: Option<Row>) -> Result<Option<Row>, StateError> {
        let whole = HashedKey::new(table, key);
        let row = match self.dirty.swap(&whole, row) {
            Ok(before) => return Ok(before),
            Err(row) => row,
        };
        let before = self.below(table, key, &whole)?;
        self.dirty.add(&whole, row);
        self.cache.forget(&whole);
        Ok(before)
    }

    fn set(&mut self, table: TableId, key: &[u8], row: Option<Row>) {
        let whole = HashedKey::new(table, key);
        self.dirty.set(&whole, row);
        // It is wrong from now on, and would be believed once the layers have let go of the row.
        self.cache.forget(&whole);
    }

    /// What lies under it.
    #[must_use]
    pub fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    /// Bytes of rows, roughly, that the next checkpoint would write.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.dirty.bytes()
    }

    /// Reads that neither found what was written of late, since the state was opened: those that the row cache answered,
    /// and those that went to the backend.
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
        self.frozen = Some(rows.clone());
        Some(Checkpoint {
            backend: self.backend.clone(),
            rows,
        })
    }

    /// Ends a checkpoint: its rows stay in memory until the next one ends, and those of the one before are let go.
    pub fn finish(&mut self, written: Written) -> Retired {
        // One that belongs to another state proves nothing about this one.
        let ours = self.frozen.take_if(|frozen| Arc::ptr_eq(frozen, &written.rows));
        if ours.is_some() {
            return Retired(std::mem::replace(&mut self.recent, ours));
        }
        Retired(Some(written.rows))
    }

    /// The row under a key as it is below what gathers for the next checkpoint.
    fn below(&self, table: TableId, key: &[u8], whole: &HashedKey) -> Result<Option<Row>, StateError> {
        let layers = [&self.frozen, &self.recent];
        if let Some(row) = layers.into_iter().flatten().find_map(|layer| layer.get(whole)) {
            return Ok(row.clone());
        }
        if let Some(row) = self.cache.get(whole) {
            return Ok(row);
        }
        let row = self.backend.get(table, key)?;
        self.cache.set(whole, row.clone());
        Ok(row)
    }
}

impl Checkpoint {
    /// How many rows it writes.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Writes the rows, all or none. Blocks: run it on a worker.
    ///
    /// # Errors
    /// See [`Error`]. The state can then make no checkpoint any more, and the node must stop.
    pub fn write(self) -> Result<Written, Error> {
        self.backend.write(self.rows.writes())?;
        // No other checkpoint can be written before this one is finished: the view shows this one exactly.
        let view = self.backend.view();
        Ok(Written { rows: self.rows, view })
    }
}

impl StateRead for State {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        let whole = HashedKey::new(table, key);
        match self.dirty.get(&whole) {
            Some(row) => Ok(row.clone()),
            None => self.below(table, key, &whole),
        }
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
        // What lies in `recent` lies in the backend too.
        let layers = [
            Some(self.dirty.ordered()),
            self.frozen.as_ref().map(|frozen| frozen.ordered()),
        ];
        let mut overlay = Overlay::new(&layers, table, start, end, reverse);
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

/// The layers above the backend, merged, in the direction of a scan.
struct Overlay<'a> {
    ranges: [Option<Range<'a>>; 2],
    /// The next item of each.
    heads: [Option<Item<'a>>; 2],
    reverse: bool,
}

impl<'a> Overlay<'a> {
    /// `layers`: the upper one first.
    fn new(
        layers: &'a [Option<Ordered<'a>>; 2],
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
    ) -> Self {
        let range = |layer: &'a Option<Ordered<'a>>| Some(layer.as_ref()?.range(table, start, end, reverse));
        let mut overlay = Overlay {
            ranges: layers.each_ref().map(range),
            heads: [None, None],
            reverse,
        };
        overlay.advance(0);
        overlay.advance(1);
        overlay
    }

    fn advance(&mut self, layer: usize) {
        self.heads[layer] = self.ranges[layer].as_mut().and_then(Iterator::next);
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

    fn peek(&self) -> Option<&'a [u8]> {
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

#[cfg(test)]
mod tests;
