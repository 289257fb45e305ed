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

/// Lengths stand in front, so that no two rows have the same bytes.
const KEY_AT: usize = 8;
const SHAPE_BYTES: usize = size_of_val(&crate::Shape(0).0);

fn hash(table: TableId, key: &[u8], row: &Row) -> u128 {
    let shape_at = KEY_AT + key.len();
    let document_at = shape_at + SHAPE_BYTES;
    let bytes = document_at + row.document.len();
    let mut small = [0; SMALL_ROW_BYTES];
    let mut large = Vec::new();
    let whole = match small.get_mut(..bytes) {
        Some(small) => small,
        None => {
            large.resize(bytes, 0);
            &mut large[..]
        }
    };
    whole[..4].copy_from_slice(&table.0.to_le_bytes());
    whole[4..KEY_AT].copy_from_slice(&(key.len() as u32).to_le_bytes());
    whole[KEY_AT..shape_at].copy_from_slice(key);
    whole[shape_at..document_at].copy_from_slice(&row.shape.0.to_le_bytes());
    whole[document_at..].copy_from_slice(&row.document);
    xxh3_128(whole)
}

impl fmt::Display for StateDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}-{:032x}", self.rows, self.history)
    }
}

impl StateDigest {
    /// The digest that is written so; none when it is no digest.
    #[must_use]
    pub fn parse(text: &str) -> Option<StateDigest> {
        let (rows, history) = text.split_once('-')?;
        let number = |digits: &str| match digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => u128::from_str_radix(digits, 16).ok(),
            false => None,
        };
        Some(StateDigest {
            rows: number(rows)?,
            history: number(history)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Shape;

    /// The hash is part of what nodes compare: it is that of the parts one after the other, in every release.
    #[test]
    fn a_row_of_any_size_has_the_hash_of_its_parts() {
        for (key, document) in [(1, 0), (16, 1), (16, 486), (16, 487), (498, 0), (499, 0), (700, 3000)] {
            let (key, document) = (vec![b'k'; key], Bytes::from(vec![b'd'; document]));
            let parts: [&[u8]; 5] = [
                &7_u32.to_le_bytes(),
                &(key.len() as u32).to_le_bytes(),
                &key,
                &3_u16.to_le_bytes(),
                &document,
            ];
            let shape = Shape(3);
            assert_eq!(
                hash(
                    TableId(7),
                    &key,
                    &Row {
                        shape,
                        document: document.clone()
                    }
                ),
                xxh3_128(&parts.concat())
            );
        }
    }

    #[test]
    fn a_digest_is_read_as_it_is_written_and_in_no_other_way() {
        let digest = StateDigest {
            rows: 1 << 100,
            history: 7,
        };
        let text = digest.to_string();
        assert_eq!(StateDigest::parse(&text), Some(digest));
        for wrong in [
            "",
            "-",
            "7-7",
            &text[1..],
            &format!("{text}0"),
            &text.replacen('0', "+", 1),
        ] {
            assert_eq!(StateDigest::parse(wrong), None, "{wrong:?}");
        }
    }
}
