//! Digests that show whether two nodes hold the same.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use crate::{Row, TableId, record};

/// What a node has come to, in two numbers: equal on every node at an equal index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateDigest {
    /// Sum of the hashes of all rows: the same however they came to be there.
    pub rows: u128,
    /// Chain over every reply and event so far.
    pub history: u128,
}
record!(StateDigest { rows, history });

impl StateDigest {
    /// A row is there now.
    pub fn add(&mut self, table: TableId, key: &[u8], row: &Row) {
        self.rows = self.rows.wrapping_add(hash(table, key, row));
    }

    /// A row is there no more.
    pub fn remove(&mut self, table: TableId, key: &[u8], row: &Row) {
        self.rows = self.rows.wrapping_sub(hash(table, key, row));
    }

    /// Something happened, after all that happened before.
    pub fn chain(&mut self, bytes: &[u8]) {
        let before = self.history.to_le_bytes();
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        hasher.update(&before);
        hasher.update(bytes);
        self.history = hasher.digest128();
    }
}

/// Rows up to this size are put together without an allocation.
const SMALL_ROW_BYTES: usize = 512;

fn hash(table: TableId, key: &[u8], row: &Row) -> u128 {
    // Lengths stand in front, so that no two rows have the same bytes.
    let parts: [&[u8]; 5] = [
        &table.0.to_le_bytes(),
        &(key.len() as u32).to_le_bytes(),
        key,
        &row.shape.0.to_le_bytes(),
        &row.document,
    ];
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    if bytes > SMALL_ROW_BYTES {
        return xxh3_128(&parts.concat());
    }
    let mut small = [0; SMALL_ROW_BYTES];
    let mut at = 0;
    for part in parts {
        small[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    xxh3_128(&small[..at])
}

impl fmt::Display for StateDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}-{:032x}", self.rows, self.history)
    }
}
