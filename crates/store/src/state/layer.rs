use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use bytes::Bytes;
use foldhash::quality::FixedState;
use indexmap::IndexMap;
use machine::{Row, TableId};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::backend::Write;
use super::key::{TABLE_BYTES, WholeKey, parts};
use crate::limits::STATE_ROW_OVERHEAD_BYTES;

/// Rows that were written since some moment, by whole key; none: removed.
///
/// Whoever applies finds and writes single rows, so they lie under their hashes; their order is made up only when somebody
/// scans, for those that have come since the last scan.
#[derive(Default)]
pub(super) struct Layer {
    // Without a random seed, and walked in the order of writing: nothing differs from run to run.
    rows: IndexMap<Bytes, Option<Row>, FixedState>,
    bytes: usize,
    order: RwLock<Order>,
}

/// Places of rows in order of key.
#[derive(Default)]
struct Order {
    places: BTreeMap<Bytes, usize>,
    /// Rows up to this place are among them.
    known: usize,
}

/// A layer's rows in order of key.
pub(super) struct Ordered<'a> {
    layer: &'a Layer,
    order: RwLockReadGuard<'a, Order>,
}

impl Layer {
    /// What it says about a key.
    pub(super) fn get(&self, whole: &[u8]) -> Option<&Option<Row>> {
        self.rows.get(whole)
    }

    pub(super) fn set(&mut self, whole: &[u8], row: Option<Row>) {
        if let Err(row) = self.swap(whole, row) {
            self.add(whole, row);
        }
    }

    /// Sets the row of a key that the layer speaks of, and gives what it said before; else gives the row back.
    pub(super) fn swap(&mut self, whole: &[u8], row: Option<Row>) -> Result<Option<Row>, Option<Row>> {
        let Some(there) = self.rows.get_mut(whole) else {
            return Err(row);
        };
        self.bytes += cost(whole, row.as_ref());
        self.bytes -= cost(whole, there.as_ref());
        Ok(std::mem::replace(there, row))
    }

    /// Sets the row of a key that the layer does not speak of.
    pub(super) fn add(&mut self, whole: &[u8], row: Option<Row>) {
        self.bytes += cost(whole, row.as_ref());
        self.rows.insert(Bytes::copy_from_slice(whole), row);
    }

    /// Bytes that it takes in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All rows, in order of table and key.
    pub(super) fn writes(&self) -> Vec<Write> {
        let write = |(whole, row): (&Bytes, &Option<Row>)| (parts(whole).0, whole.slice(TABLE_BYTES..), row.clone());
        let mut writes: Vec<Write> = self.rows.iter().map(write).collect();
        writes.sort_unstable_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        writes
    }

    pub(super) fn ordered(&self) -> Ordered<'_> {
        // A reader in whose visit the layer is read again must not wait for a writer that waits for it.
        let order = self.order.read_recursive();
        if order.known == self.rows.len() {
            return Ordered { layer: self, order };
        }
        drop(order);
        let mut order = self.order.write();
        while let Some((whole, _)) = self.rows.get_index(order.known) {
            let place = order.known;
            order.places.insert(whole.clone(), place);
            order.known += 1;
        }
        Ordered {
            layer: self,
            order: RwLockWriteGuard::downgrade(order),
        }
    }
}

impl Ordered<'_> {
    /// Rows of one table from `start` (included) to `end` (excluded; none: the end of the table).
    pub(super) fn range(&self, table: TableId, start: &[u8], end: Option<&[u8]>) -> Range<'_> {
        let start = WholeKey::new(table, start);
        let end = match (end, table.0.checked_add(1)) {
            (Some(end), _) => Some(WholeKey::new(table, end)),
            (None, Some(next)) => Some(WholeKey::new(TableId(next), &[])),
            (None, None) => None,
        };
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        Range {
            rows: &self.layer.rows,
            places: self.order.places.range::<[u8], _>((Bound::Included(&*start), end)),
        }
    }
}

/// Some rows of a layer in order of key: the key in its table, and what is there.
pub(super) struct Range<'a> {
    rows: &'a IndexMap<Bytes, Option<Row>, FixedState>,
    places: btree_map::Range<'a, Bytes, usize>,
}

/// A row of a layer.
pub(super) type Item<'a> = (&'a [u8], &'a Option<Row>);

impl<'a> Range<'a> {
    fn item(&self, (_, place): (&'a Bytes, &'a usize)) -> Option<Item<'a>> {
        let (whole, row) = self.rows.get_index(*place)?;
        Some((parts(whole).1, row))
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let place = self.places.next()?;
        self.item(place)
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let place = self.places.next_back()?;
        self.item(place)
    }
}

fn cost(whole: &[u8], row: Option<&Row>) -> usize {
    STATE_ROW_OVERHEAD_BYTES + whole.len() - TABLE_BYTES + row.map_or(0, |row| row.document.len())
}

#[cfg(test)]
mod tests {
    use machine::Shape;

    use super::*;

    fn keys(layer: &Layer, start: &[u8], end: Option<&[u8]>) -> Vec<Vec<u8>> {
        let ordered = layer.ordered();
        let forwards: Vec<Vec<u8>> = ordered
            .range(TableId(1), start, end)
            .map(|(key, _)| key.to_vec())
            .collect();
        let mut backwards: Vec<Vec<u8>> = ordered
            .range(TableId(1), start, end)
            .rev()
            .map(|(key, _)| key.to_vec())
            .collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
        forwards
    }

    #[test]
    fn what_is_written_after_a_scan_is_found_in_its_place_by_the_next() {
        let mut layer = Layer::default();
        let mut set = |table: u32, key: &[u8], row| layer.set(&WholeKey::new(TableId(table), key), row);
        set(1, b"m", None);
        set(0, b"z", None);
        set(2, b"a", None);
        assert_eq!(keys(&layer, b"", None), [b"m"]);
        let row = Row {
            shape: Shape(1),
            document: Bytes::from_static(b"document"),
        };
        layer.set(&WholeKey::new(TableId(1), b"a"), Some(row.clone()));
        layer.set(&WholeKey::new(TableId(1), b"z"), None);
        layer.set(&WholeKey::new(TableId(1), b"m"), Some(row.clone()));
        assert_eq!(keys(&layer, b"", None), [b"a", b"m", b"z"]);
        assert_eq!(keys(&layer, b"b", Some(b"z")), [b"m"]);
        assert_eq!(layer.get(&WholeKey::new(TableId(1), b"m")), Some(&Some(row)));
        assert_eq!(layer.len(), 5);
        let order: Vec<u32> = layer.writes().iter().map(|(table, _, _)| table.0).collect();
        assert_eq!(order, [0, 1, 1, 1, 2]);
        let bytes = layer.bytes();
        layer.set(&WholeKey::new(TableId(1), b"a"), None);
        assert_eq!(layer.bytes(), bytes - b"document".len());
    }

    #[test]
    fn a_scan_within_a_scan_is_answered() {
        let mut layer = Layer::default();
        layer.set(&WholeKey::new(TableId(1), b"a"), None);
        let outer = layer.ordered();
        assert_eq!(keys(&layer, b"", None), [b"a"]);
        assert_eq!(outer.range(TableId(1), b"", None).count(), 1);
    }
}
