use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use indexmap::IndexMap;
use indexmap::map::raw_entry_v1::{RawEntryApiV1, RawEntryMut};
use machine::{Row, TableId};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::backend::Write;
use super::key::{HashedKey, KeptKey, TABLE_BYTES, WholeKey, parts};
use super::packed::Packed;
use crate::limits::STATE_ROW_OVERHEAD_BYTES;

// Walked in the order of writing. Keys bring their hashes with them, so it has no hasher.
type Rows = IndexMap<KeptKey, Option<Row>, ()>;

/// Rows that were written since some moment, by whole key; none: removed.
///
/// Whoever applies finds and writes single rows, so they lie under their hashes; their order is made up only when somebody
/// scans, or when a checkpoint writes them.
#[derive(Default)]
pub(super) struct Layer {
    rows: Rows,
    bytes: usize,
    /// Documents, and keys that are long.
    packed: Packed,
    order: RwLock<Order>,
}

/// Places of rows in order of key.
#[derive(Default)]
struct Order {
    /// Those of the first rows that came.
    early: Vec<usize>,
    /// Those of the rows behind them, by whole key.
    late: BTreeMap<KeptKey, usize>,
}

/// A layer's rows in order of key.
pub(super) struct Ordered<'a> {
    layer: &'a Layer,
    order: RwLockReadGuard<'a, Order>,
}

impl Layer {
    /// What it says about a key.
    pub(super) fn get(&self, whole: &HashedKey) -> Option<&Option<Row>> {
        let found = self
            .rows
            .raw_entry_v1()
            .from_hash(whole.hash(), |kept| **kept == **whole);
        found.map(|(_, row)| row)
    }

    pub(super) fn set(&mut self, whole: &HashedKey, row: Option<Row>) {
        if let Err(row) = self.swap(whole, row) {
            self.add(whole, row);
        }
    }

    /// Sets the row of a key that the layer speaks of, and gives what it said before; else gives the row back.
    pub(super) fn swap(&mut self, whole: &HashedKey, row: Option<Row>) -> Result<Option<Row>, Option<Row>> {
        let RawEntryMut::Occupied(mut there) = entry(&mut self.rows, whole) else {
            return Err(row);
        };
        self.bytes += cost(whole, row.as_ref());
        self.bytes -= cost(whole, there.get().as_ref());
        Ok(there.insert(packed(&mut self.packed, row, self.bytes)))
    }

    /// Sets the row of a key that the layer does not speak of.
    pub(super) fn add(&mut self, whole: &HashedKey, row: Option<Row>) {
        self.bytes += cost(whole, row.as_ref());
        let key = KeptKey::new(whole, |whole| self.packed.copy(whole, self.bytes));
        let row = packed(&mut self.packed, row, self.bytes);
        if let RawEntryMut::Vacant(place) = entry(&mut self.rows, whole) {
            place.insert_hashed_nocheck(whole.hash(), key, row);
        }
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
        let ordered = self.ordered();
        let places = Places::new(&self.rows, &ordered.order, None, None, false);
        let mut keys = Packed::default();
        places
            .filter_map(|place| self.rows.get_index(place))
            .map(|(whole, row)| {
                let (table, key) = parts(whole);
                (table, keys.copy(key, self.bytes), row.clone())
            })
            .collect()
    }

    pub(super) fn ordered(&self) -> Ordered<'_> {
        // A reader in whose visit the layer is read again must not wait for a writer that waits for it.
        let order = self.order.read_recursive();
        if order.known() == self.rows.len() {
            return Ordered { layer: self, order };
        }
        drop(order);
        let mut order = self.order.write();
        order.learn(&self.rows);
        Ordered {
            layer: self,
            order: RwLockWriteGuard::downgrade(order),
        }
    }
}

fn entry<'a>(rows: &'a mut Rows, whole: &HashedKey) -> RawEntryMut<'a, KeptKey, Option<Row>, ()> {
    rows.raw_entry_mut_v1()
        .from_hash(whole.hash(), |kept| **kept == **whole)
}

/// The row, its document packed with the others.
fn packed(packed: &mut Packed, row: Option<Row>, wanted: usize) -> Option<Row> {
    row.map(|row| Row {
        document: packed.copy(&row.document, wanted),
        ..row
    })
}

impl Order {
    /// How many rows it knows: the first that came.
    fn known(&self) -> usize {
        self.early.len() + self.late.len()
    }

    /// Puts those in their places that have come since.
    fn learn(&mut self, rows: &Rows) {
        let known = self.known();
        // Whoever scans waits for this, and whoever applies may wait for them: many are sorted, which needs no memory of its
        // own for each.
        if rows.len() - known > known / 8 {
            self.early = in_order(rows);
            self.late.clear();
        } else {
            let late = rows.iter().enumerate().skip(known);
            self.late.extend(late.map(|(place, (whole, _))| (whole.clone(), place)));
        }
    }
}

/// The places of all rows, in order of key.
///
/// Keys lie all over memory, and most begin alike: what comes behind their common beginning is copied and compared first.
fn in_order(rows: &Rows) -> Vec<usize> {
    let first = rows.keys().next().map(|whole| whole.to_vec()).unwrap_or_default();
    let common = rows.keys();
    let common = common.fold(first.len(), |common, whole| alike(&first[..common], whole));
    let mut places: Vec<(u128, usize)> = rows
        .keys()
        .enumerate()
        .map(|(place, whole)| (sixteen(whole, common), place))
        .collect();
    places.sort_unstable_by(|one, other| match one.0.cmp(&other.0) {
        Ordering::Equal => key_at(rows, one.1).cmp(&key_at(rows, other.1)),
        order => order,
    });
    places.into_iter().map(|(_, place)| place).collect()
}

fn key_at(rows: &Rows, place: usize) -> Option<&[u8]> {
    rows.get_index(place).map(|(whole, _)| &**whole)
}

/// How many bytes both begin with.
fn alike(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The bytes from `at` on as a number that orders as they do, but for those behind and for zeros at their end.
fn sixteen(whole: &[u8], at: usize) -> u128 {
    let mut sixteen = [0; 16];
    let rest = whole.get(at..).unwrap_or_default();
    let rest = &rest[..rest.len().min(sixteen.len())];
    sixteen[..rest.len()].copy_from_slice(rest);
    u128::from_be_bytes(sixteen)
}

impl Ordered<'_> {
    /// Rows of one table from `start` (included) to `end` (excluded; none: the end of the table), or the other way.
    pub(super) fn range(&self, table: TableId, start: &[u8], end: Option<&[u8]>, reverse: bool) -> Range<'_> {
        let start = WholeKey::new(table, start);
        let end = match (end, table.0.checked_add(1)) {
            (Some(end), _) => Some(WholeKey::new(table, end)),
            (None, Some(next)) => Some(WholeKey::new(TableId(next), &[])),
            (None, None) => None,
        };
        let rows = &self.layer.rows;
        let places = Places::new(rows, &self.order, Some(&start), end.as_deref(), reverse);
        Range { rows, places }
    }
}

/// Some rows of a layer in order of key, or the other way: the key in its table, and what is there.
pub(super) struct Range<'a> {
    rows: &'a Rows,
    places: Places<'a>,
}

/// A row of a layer.
pub(super) type Item<'a> = (&'a [u8], &'a Option<Row>);

impl<'a> Iterator for Range<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let (whole, row) = self.rows.get_index(self.places.next()?)?;
        Some((parts(whole).1, row))
    }
}

/// The places of such rows.
struct Places<'a> {
    rows: &'a Rows,
    early: &'a [usize],
    late: btree_map::Range<'a, KeptKey, usize>,
    /// The next of the late ones.
    next_late: Option<usize>,
    reverse: bool,
}

impl<'a> Places<'a> {
    /// `start`, `end`: whole keys; none: all there are.
    fn new(rows: &'a Rows, order: &'a Order, start: Option<&[u8]>, end: Option<&[u8]>, reverse: bool) -> Self {
        let before = |bound: &[u8]| order.early.partition_point(|place| key_at(rows, *place) < Some(bound));
        let (from, until) = (start.map_or(0, before), end.map_or(order.early.len(), before));
        let start = start.map_or(Bound::Unbounded, Bound::Included);
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let mut places = Places {
            rows,
            early: order.early.get(from..until).unwrap_or_default(),
            late: order.late.range::<[u8], _>((start, end)),
            next_late: None,
            reverse,
        };
        places.advance_late();
        places
    }

    fn advance_late(&mut self) {
        let next = if self.reverse {
            self.late.next_back()
        } else {
            self.late.next()
        };
        self.next_late = next.map(|(_, place)| *place);
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let split = if self.reverse {
            self.early.split_last()
        } else {
            self.early.split_first()
        };
        let Some((early, rest)) = split else {
            let late = self.next_late?;
            self.advance_late();
            return Some(late);
        };
        if let Some(late) = self.next_late {
            let order = key_at(self.rows, late).cmp(&key_at(self.rows, *early));
            let late_is_next = if self.reverse { order.is_gt() } else { order.is_lt() };
            if late_is_next {
                self.advance_late();
                return Some(late);
            }
        }
        self.early = rest;
        Some(*early)
    }
}

fn cost(whole: &[u8], row: Option<&Row>) -> usize {
    STATE_ROW_OVERHEAD_BYTES + whole.len() - TABLE_BYTES + row.map_or(0, |row| row.document.len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use machine::Shape;

    use super::*;

    fn keys(layer: &Layer, start: &[u8], end: Option<&[u8]>) -> Vec<Vec<u8>> {
        let ordered = layer.ordered();
        let forwards: Vec<Vec<u8>> = ordered
            .range(TableId(1), start, end, false)
            .map(|(key, _)| key.to_vec())
            .collect();
        let mut backwards: Vec<Vec<u8>> = ordered
            .range(TableId(1), start, end, true)
            .map(|(key, _)| key.to_vec())
            .collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
        forwards
    }

    #[test]
    fn what_is_written_after_a_scan_is_found_in_its_place_by_the_next() {
        let mut layer = Layer::default();
        let mut set = |table: u32, key: &[u8], row| layer.set(&HashedKey::new(TableId(table), key), row);
        set(1, b"m", None);
        set(0, b"z", None);
        set(2, b"a", None);
        assert_eq!(keys(&layer, b"", None), [b"m"]);
        let row = Row {
            shape: Shape(1),
            document: Bytes::from_static(b"document"),
        };
        layer.set(&HashedKey::new(TableId(1), b"a"), Some(row.clone()));
        layer.set(&HashedKey::new(TableId(1), b"z"), None);
        layer.set(&HashedKey::new(TableId(1), b"m"), Some(row.clone()));
        assert_eq!(keys(&layer, b"", None), [b"a", b"m", b"z"]);
        assert_eq!(keys(&layer, b"b", Some(b"z")), [b"m"]);
        assert_eq!(layer.get(&HashedKey::new(TableId(1), b"m")), Some(&Some(row)));
        assert_eq!(layer.len(), 5);
        let order: Vec<u32> = layer.writes().iter().map(|(table, _, _)| table.0).collect();
        assert_eq!(order, [0, 1, 1, 1, 2]);
        let bytes = layer.bytes();
        layer.set(&HashedKey::new(TableId(1), b"a"), None);
        assert_eq!(layer.bytes(), bytes - b"document".len());
    }

    #[test]
    fn rows_of_many_lengths_are_ordered_as_their_keys_are() {
        let mut layer = Layer::default();
        let mut expected: std::collections::BTreeSet<Vec<u8>> = std::collections::BTreeSet::new();
        // Many, a few behind them, and many again: each way of learning an order, keys that begin others and zeros at ends.
        for (from, until) in [(0_u32, 3000), (3000, 3010), (3010, 9000)] {
            for number in from..until {
                let scattered = number.wrapping_mul(2_654_435_761);
                let mut key = format!("account/{}", scattered % 500).into_bytes();
                key.resize(key.len() + (scattered >> 8) as usize % 24, (scattered >> 16) as u8 % 2);
                layer.set(&HashedKey::new(TableId(1), &key), None);
                expected.insert(key);
            }
            let expected: Vec<Vec<u8>> = expected.iter().cloned().collect();
            assert_eq!(keys(&layer, b"", None), expected);
            let written: Vec<Vec<u8>> = layer.writes().iter().map(|(_, key, _)| key.to_vec()).collect();
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn a_scan_within_a_scan_is_answered() {
        let mut layer = Layer::default();
        layer.set(&HashedKey::new(TableId(1), b"a"), None);
        let outer = layer.ordered();
        assert_eq!(keys(&layer, b"", None), [b"a"]);
        assert_eq!(outer.range(TableId(1), b"", None, false).count(), 1);
    }
}
