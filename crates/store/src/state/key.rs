use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::ops::Deref;

use bytes::Bytes;
use foldhash::quality::FixedState;
use machine::TableId;

/// Bytes of a table's number before a row's key.
pub(super) const TABLE_BYTES: usize = 4;
/// Keys up to this length are put together without touching the heap.
const SHORT_KEY_BYTES: usize = 124;
/// Whole keys up to this length lie within the map that keeps them.
const WITHIN_BYTES: usize = 38;

// Without a random seed: nothing differs from run to run.
const HASHER: FixedState = FixedState::with_seed(0);

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

/// A whole key and its hash, which is made once for all the maps in which the key is looked for.
pub(super) struct HashedKey {
    whole: WholeKey,
    hash: u64,
}

impl HashedKey {
    pub(super) fn new(table: TableId, key: &[u8]) -> HashedKey {
        let whole = WholeKey::new(table, key);
        let hash = HASHER.hash_one(&*whole);
        HashedKey { whole, hash }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}

impl Deref for HashedKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole
    }
}

/// A whole key in a map. A short one lies where the map has it, and so is compared without a look at another place in memory.
#[derive(Clone)]
pub(super) enum KeptKey {
    Within(u8, [u8; WITHIN_BYTES]),
    Apart(Bytes),
}

impl KeptKey {
    /// `copy` makes the copy of one that lies apart.
    pub(super) fn new(whole: &[u8], copy: impl FnOnce(&[u8]) -> Bytes) -> KeptKey {
        let mut within = [0; WITHIN_BYTES];
        match within.get_mut(..whole.len()) {
            Some(place) => {
                place.copy_from_slice(whole);
                KeptKey::Within(whole.len() as u8, within)
            }
            None => KeptKey::Apart(copy(whole)),
        }
    }
}

impl Deref for KeptKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            KeptKey::Within(bytes, within) => &within[..usize::from(*bytes)],
            KeptKey::Apart(whole) => whole,
        }
    }
}

// It is found, compared and ordered as its bytes are.
impl Borrow<[u8]> for KeptKey {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for KeptKey {
    fn eq(&self, other: &KeptKey) -> bool {
        **self == **other
    }
}

impl Eq for KeptKey {}

impl Ord for KeptKey {
    fn cmp(&self, other: &KeptKey) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl PartialOrd for KeptKey {
    fn partial_cmp(&self, other: &KeptKey) -> Option<Ordering> {
        Some(self.cmp(other))
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
    fn kept_keys_are_found_and_ordered_as_their_bytes_are() {
        let kept = |whole: &[u8]| KeptKey::new(whole, Bytes::copy_from_slice);
        let mut keys: Vec<Vec<u8>> = (0..2 * WITHIN_BYTES).map(|length| vec![7; length]).collect();
        keys.extend((0..2 * WITHIN_BYTES).map(|length| [&vec![7; length][..], &[0]].concat()));
        let mut map: std::collections::BTreeMap<KeptKey, usize> = std::collections::BTreeMap::new();
        map.extend(keys.iter().enumerate().map(|(at, whole)| (kept(whole), at)));
        for (at, whole) in keys.iter().enumerate() {
            assert_eq!(map.get(&whole[..]), Some(&at), "{whole:?}");
            assert_eq!(&*kept(whole), &whole[..]);
            for other in &keys {
                assert_eq!(kept(whole).cmp(&kept(other)), whole.cmp(other), "{whole:?} {other:?}");
            }
        }
        assert_eq!(size_of::<KeptKey>(), WITHIN_BYTES + 2);
    }

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
