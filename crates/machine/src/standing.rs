//! Where a state stands on disk, and whether its rows are what they should be.

use std::collections::BTreeMap;

use crate::machine::{NODE_TABLE, POSITION_KEY, Position, SYSTEM_TABLE, system_row};
use crate::{Index, Offset, Row, StateDigest, StateError, StateRead, TableId, record};

/// Where a state stands on disk, and what its rows must sum up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Applied so far.
    pub applied: Index,
    /// The digest as of then.
    pub digest: StateDigest,
    /// Where each stream ends.
    pub streams: BTreeMap<String, Offset>,
}

/// Adds up rows as they lie on disk, to be compared with what their [`Standing`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowSums {
    /// Of the rows that the digest speaks of.
    pub digested: u128,
    /// Of the machine's own.
    pub system: u128,
    /// How many of both.
    pub rows: u64,
}
record!(RowSums { digested, system, rows });

impl RowSums {
    /// One more row is there. A node's own rows do not count.
    pub fn add(&mut self, table: TableId, key: &[u8], row: &Row) {
        self.change(table, key, row, StateDigest::add, 1);
    }

    /// One row is there no more.
    pub fn remove(&mut self, table: TableId, key: &[u8], row: &Row) {
        self.change(table, key, row, StateDigest::remove, -1);
    }

    fn change(
        &mut self,
        table: TableId,
        key: &[u8],
        row: &Row,
        how: fn(&mut StateDigest, TableId, &[u8], &Row),
        count: i64,
    ) {
        let mut digest = StateDigest::default();
        how(&mut digest, table, key, row);
        let sum = match table {
            NODE_TABLE => return,
            SYSTEM_TABLE => &mut self.system,
            _ => &mut self.digested,
        };
        *sum = sum.wrapping_add(digest.rows);
        self.rows = self.rows.wrapping_add_signed(count);
    }
}

impl Standing {
    /// As the rows say; none where no checkpoint was ever written.
    ///
    /// # Errors
    /// The disk failed, or the row cannot be read.
    pub fn of(rows: &dyn StateRead) -> Result<Option<Standing>, StateError> {
        let position: Option<Position> = system_row(rows, POSITION_KEY)?;
        Ok(position.map(|position| Standing {
            applied: position.applied,
            digest: position.digest,
            streams: position.streams,
        }))
    }
}
