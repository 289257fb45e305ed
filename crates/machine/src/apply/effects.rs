//! Writes and events of one command, in order, kept apart until the call went well.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use bytes::Bytes;

use crate::{Row, StateError, TableId};

/// So many writes lie in one sorted list, where the next one is found and put in with hardly any work. A command with
/// more than these has them in a map, so that the thousandth write costs little more than the tenth.
const FEW: usize = 8;

/// Bytes of memory that effects keep from one command to the next, at most: nearly all commands need less, and what one
/// large command needed does not stay.
const KEPT_BYTES: usize = 64 << 10;

/// What one command writes and emits. Used again for the next command, it needs no memory of its own for it.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(super) writes: Writes,
    pub(super) events: Events,
    /// Bytes of all that was written and emitted so far.
    pub(super) bytes: usize,
}

impl Effects {
    /// Without effects, for the next command.
    pub(crate) fn cleared(mut self) -> Effects {
        self.bytes = 0;
        self.writes.clear();
        self.events.clear();
        self
    }
}

/// The last write under each key.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// In order of table and key; empty once there are `many`.
    few: Vec<Write>,
    /// The keys of `few`, in order of time.
    keys: Vec<u8>,
    many: BTreeMap<TableId, BTreeMap<Bytes, Option<Row>>>,
}

#[derive(Debug)]
struct Write {
    table: TableId,
    /// Where its key lies in [`Writes::keys`].
    key: Range<usize>,
    /// None: removed.
    row: Option<Row>,
}

impl Writes {
    /// What was written under a key, if anything was.
    pub(super) fn get(&self, table: TableId, key: &[u8]) -> Option<&Option<Row>> {
        if !self.many.is_empty() {
            return self.many.get(&table)?.get(key);
        }
        let at = self.find(table, key).ok()?;
        Some(&self.few[at].row)
    }

    pub(super) fn insert(&mut self, table: TableId, key: &[u8], row: Option<Row>) {
        if self.many.is_empty() {
            match self.find(table, key) {
                Ok(at) => {
                    self.few[at].row = row;
                    return;
                }
                Err(at) if self.few.len() < FEW => {
                    let start = self.keys.len();
                    self.keys.extend_from_slice(key);
                    let key = start..self.keys.len();
                    self.few.insert(at, Write { table, key, row });
                    return;
                }
                Err(_) => self.spread(),
            }
        }
        let rows = self.many.entry(table).or_default();
        rows.insert(Bytes::copy_from_slice(key), row);
    }

    /// What was written to a table under `start` and the keys after it, in order of key.
    pub(super) fn from<'w>(
        &'w self,
        table: TableId,
        start: &'w [u8],
    ) -> impl Iterator<Item = (&'w [u8], &'w Option<Row>)> {
        // Either of the two is empty.
        let few = self.few.iter().filter(move |write| write.table == table);
        let few = few.map(|write| (&self.keys[write.key.clone()], &write.row));
        let many = self.many.get(&table).map(|rows| {
            let range = rows.range::<[u8], _>((Bound::Included(start), Bound::Unbounded));
            range.map(|(key, row)| (&**key, row))
        });
        few.filter(move |(key, _)| *key >= start)
            .chain(many.into_iter().flatten())
    }

    /// All of them, in order of table and key.
    pub(super) fn all(&self) -> impl Iterator<Item = (TableId, &[u8], &Option<Row>)> {
        let few = self.few.iter();
        let few = few.map(|write| (write.table, &self.keys[write.key.clone()], &write.row));
        let many = self
            .many
            .iter()
            .flat_map(|(table, rows)| rows.iter().map(|(key, row)| (*table, &**key, row)));
        few.chain(many)
    }

    /// Takes all writes out, in order of table and key, until one cannot be taken.
    pub(super) fn take(
        &mut self,
        mut take: impl FnMut(TableId, &[u8], Option<Row>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        for write in self.few.drain(..) {
            take(write.table, &self.keys[write.key], write.row)?;
        }
        for (table, rows) in std::mem::take(&mut self.many) {
            for (key, row) in rows {
                take(table, &key, row)?;
            }
        }
        Ok(())
    }

    /// The place of a key in `few`, or the place where it belongs.
    fn find(&self, table: TableId, key: &[u8]) -> Result<usize, usize> {
        self.few.binary_search_by(|write| {
            let order = write.table.cmp(&table);
            order.then_with(|| self.keys[write.key.clone()].cmp(key))
        })
    }

    fn spread(&mut self) {
        for write in self.few.drain(..) {
            let rows = self.many.entry(write.table).or_default();
            rows.insert(Bytes::copy_from_slice(&self.keys[write.key]), write.row);
        }
        self.keys.clear();
    }

    fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
        self.keys.clear();
        self.keys.shrink_to(KEPT_BYTES);
    }
}

/// Events in the order in which they were emitted.
#[derive(Debug, Default)]
pub(super) struct Events {
    events: Vec<Emitted>,
    /// Keys and values, one after the other.
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Emitted {
    stream: usize,
    key_bytes: Option<usize>,
    value_bytes: usize,
}

/// What a command gave of an event: its key, if it has one, and its value.
pub(super) type Given<'e> = (Option<&'e [u8]>, &'e [u8]);

impl Events {
    /// Adds one to the stream with that place in the manifest.
    pub(super) fn push(&mut self, stream: usize, key: Option<&[u8]>, value: &[u8]) {
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(value);
        self.events.push(Emitted {
            stream,
            key_bytes: key.map(<[u8]>::len),
            value_bytes: value.len(),
        });
    }

    /// All of them, each with the place of its stream in the manifest.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Given<'_>)> {
        let mut rest = &self.bytes[..];
        self.events.iter().map(move |event| {
            let (key, behind) = rest.split_at(event.key_bytes.unwrap_or(0));
            let (value, behind) = behind.split_at(event.value_bytes);
            rest = behind;
            (event.stream, (event.key_bytes.map(|_| key), value))
        })
    }

    fn clear(&mut self) {
        self.events.clear();
        self.events.shrink_to(KEPT_BYTES / size_of::<Emitted>());
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Shape;

    type Naive = BTreeMap<(TableId, Vec<u8>), Option<Row>>;

    fn step() -> impl Strategy<Value = (TableId, Vec<u8>, Option<Row>)> {
        let key = proptest::collection::vec(0_u8..3, 1..4);
        (0_u32..3, key, proptest::option::of(any::<u8>())).prop_map(|(table, key, document)| {
            let row = document.map(|byte| Row {
                shape: Shape(1),
                document: Bytes::from(vec![byte]),
            });
            (TableId(table), key, row)
        })
    }

    fn check(writes: &mut Writes, steps: &[(TableId, Vec<u8>, Option<Row>)]) {
        let mut naive = Naive::new();
        for (table, key, row) in steps {
            writes.insert(*table, key, row.clone());
            naive.insert((*table, key.clone()), row.clone());
        }
        for (table, key, _) in steps {
            assert_eq!(writes.get(*table, key), naive.get(&(*table, key.clone())));
            assert_eq!(writes.get(TableId(9), key), None);
            let from: Vec<_> = writes
                .from(*table, key)
                .map(|(key, row)| (key.to_vec(), row.clone()))
                .collect();
            let expected = naive.range((*table, key.clone())..).filter(|((id, _), _)| id == table);
            let expected: Vec<_> = expected.map(|((_, key), row)| (key.clone(), row.clone())).collect();
            assert_eq!(from, expected);
        }
        let all: Naive = writes
            .all()
            .map(|(table, key, row)| ((table, key.to_vec()), row.clone()))
            .collect();
        assert_eq!(all, naive);
        let mut taken = Vec::new();
        let done = writes.take(|table, key, row| {
            taken.push(((table, key.to_vec()), row));
            Ok(())
        });
        assert_eq!(done, Ok(()));
        assert_eq!(taken, naive.into_iter().collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn few_and_many_writes_are_what_a_map_says(
            first in proptest::collection::vec(step(), 0..30),
            second in proptest::collection::vec(step(), 0..12),
        ) {
            let mut effects = Effects::default();
            check(&mut effects.writes, &first);
            effects = effects.cleared();
            check(&mut effects.writes, &second);
        }
    }

    #[test]
    fn events_come_back_in_their_order_and_none_is_left_for_the_next_command() {
        let mut effects = Effects::default();
        effects.events.push(1, Some(b"k"), b"one");
        effects.events.push(0, None, b"");
        effects.events.push(1, Some(b""), b"three");
        let events: Vec<_> = effects.events.iter().collect();
        let expected: [(usize, Given<'_>); 3] =
            [(1, (Some(b"k"), b"one")), (0, (None, b"")), (1, (Some(b""), b"three"))];
        assert_eq!(events, expected);
        effects.writes.insert(TableId(1), b"k", None);
        let effects = effects.cleared();
        assert_eq!((effects.events.iter().count(), effects.bytes), (0, 0));
        assert_eq!(effects.writes.get(TableId(1), b"k"), None);
    }
}
