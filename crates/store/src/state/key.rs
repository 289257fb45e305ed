use std::ops::Deref;

use machine::TableId;

/// Bytes of a table's number before a row's key.
pub(super) const TABLE_BYTES: usize = 4;
/// Keys up to this length are put together without touching the heap.
const SHORT_KEY_BYTES: usize = 124;

/// A row's whole key: its table's number (big-endian, so that a table is one range), then its key.
pub(super) struct WholeKey {
    short: [u8; TABLE_BYTES + SHORT_KEY_BYTES],
    bytes: usize,
    /// In place of `short`, where that is too short.
    long: Vec<u8>,
}

impl WholeKey {
    pub(super) fn new(table: TableId, key: &[u8]) -> WholeKey {
        let mut whole = WholeKey {
            short: [0; TABLE_BYTES + SHORT_KEY_BYTES],
            bytes: TABLE_BYTES + key.len(),
            long: Vec::new(),
        };
        if key.len() <= SHORT_KEY_BYTES {
            whole.short[..TABLE_BYTES].copy_from_slice(&table.0.to_be_bytes());
            whole.short[TABLE_BYTES..whole.bytes].copy_from_slice(key);
        } else {
            whole.long = [&table.0.to_be_bytes()[..], key].concat();
        }
        whole
    }
}

impl Deref for WholeKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.long.is_empty() {
            true => &self.short[..self.bytes],
            false => &self.long,
        }
    }
}

/// The table and the key in it.
pub(super) fn parts(whole: &[u8]) -> (TableId, &[u8]) {
    match whole.split_first_chunk::<TABLE_BYTES>() {
        Some((table, key)) => (TableId(u32::from_be_bytes(*table)), key),
        // None is ever made so short.
        None => (TableId(0), whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_come_apart_again() {
        for length in [0, 1, SHORT_KEY_BYTES, SHORT_KEY_BYTES + 1, 2000] {
            let key = vec![7; length];
            let whole = WholeKey::new(TableId(3), &key);
            assert_eq!(whole.len(), TABLE_BYTES + length);
            assert_eq!(parts(&whole), (TableId(3), &key[..]), "{length}");
        }
    }
}
