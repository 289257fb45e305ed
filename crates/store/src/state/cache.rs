use std::collections::HashMap;

use bytes::Bytes;
use foldhash::quality::FixedState;
use machine::Row;
use parking_lot::Mutex;

use super::key::HashedKey;
use crate::limits::STATE_ROW_OVERHEAD_BYTES;

/// Parts that the cache is cut into, so that readers seldom meet and no single step is long.
const SHARDS: usize = 64;

/// Rows as the backend has them, by whole key, and keys known to have none. Bounded by bytes: what was not used for a
/// generation is let go.
///
/// Whatever it holds is the latest: writers must let it forget what they write.
pub(super) struct Cache {
    shards: Vec<Mutex<Shard>>,
}

// Without a random seed: which rows are read again from the backend must not differ from run to run.
type Generation = HashMap<Bytes, Option<Row>, FixedState>;

/// Two generations: what is used lives in the young one; when that is full, it becomes the old one, and the old one is
/// forgotten.
struct Shard {
    young: Generation,
    old: Generation,
    young_bytes: usize,
    young_bytes_max: usize,
    /// Keys asked for that were known here, and that were not.
    hits: u64,
    misses: u64,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Cache {
        let shard = || {
            Mutex::new(Shard {
                young: Generation::default(),
                old: Generation::default(),
                young_bytes: 0,
                young_bytes_max: bytes_max / SHARDS / 2,
                hits: 0,
                misses: 0,
            })
        };
        Cache {
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// What is known about a key: its row, or that it has none.
    pub(super) fn get(&self, whole: &HashedKey) -> Option<Option<Row>> {
        let mut shard = self.shards[shard_of(whole)].lock();
        let found = shard.get(whole);
        match found {
            Some(_) => shard.hits += 1,
            None => shard.misses += 1,
        }
        found
    }

    /// How many keys that were asked for were known here, and how many were not.
    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        let each = self.shards.iter().map(|shard| {
            let shard = shard.lock();
            (shard.hits, shard.misses)
        });
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Notes what a key has.
    pub(super) fn set(&self, whole: &HashedKey, row: Option<Row>) {
        let key = Bytes::copy_from_slice(whole);
        self.shards[shard_of(whole)].lock().set(key, row);
    }

    /// Nothing is known about a key any more.
    pub(super) fn forget(&mut self, whole: &HashedKey) {
        let shard = shard_of(whole);
        self.shards[shard].get_mut().forget(whole);
    }
}

fn shard_of(whole: &HashedKey) -> usize {
    // The top bits: the maps themselves use the low ones.
    (whole.hash() >> 58) as usize % SHARDS
}

impl Shard {
    fn get(&mut self, whole: &[u8]) -> Option<Option<Row>> {
        if let Some(row) = self.young.get(whole) {
            return Some(row.clone());
        }
        let (key, row) = self.old.remove_entry(whole)?;
        self.set(key, row.clone());
        Some(row)
    }

    fn forget(&mut self, whole: &[u8]) {
        self.old.remove(whole);
        if let Some(row) = self.young.remove(whole) {
            self.young_bytes -= cost(whole, &row);
        }
    }

    fn set(&mut self, whole: Bytes, row: Option<Row>) {
        // Also when the new one is not kept: the old one is no longer true.
        self.old.remove(&whole);
        let bytes = cost(&whole, &row);
        let before = self.young.get(&whole).map(|row| cost(&whole, row));
        if bytes > self.young_bytes_max {
            self.young.remove(&whole);
            self.young_bytes -= before.unwrap_or(0);
            return;
        }
        if self.young_bytes + bytes > self.young_bytes_max + before.unwrap_or(0) {
            self.old = std::mem::take(&mut self.young);
            self.old.remove(&whole);
            self.young_bytes = 0;
        } else {
            self.young_bytes -= before.unwrap_or(0);
        }
        self.young_bytes += bytes;
        self.young.insert(whole, row);
    }
}

fn cost(key: &[u8], row: &Option<Row>) -> usize {
    STATE_ROW_OVERHEAD_BYTES + key.len() + row.as_ref().map_or(0, |row| row.document.len())
}

#[cfg(test)]
mod tests {
    use machine::{Shape, TableId};

    use super::*;

    fn row(bytes: usize) -> Option<Row> {
        Some(Row {
            shape: Shape(1),
            document: vec![1; bytes].into(),
        })
    }

    fn key(key: &[u8]) -> HashedKey {
        HashedKey::new(TableId(1), key)
    }

    #[test]
    fn the_bytes_are_bounded_and_what_is_used_stays() {
        let cache = Cache::new(1 << 20);
        cache.set(&key(b"hot"), row(10));
        for number in 0_u32..100_000 {
            cache.set(&key(&number.to_be_bytes()), row(10));
            assert!(cache.get(&key(b"hot")).is_some(), "after {number}");
        }
        let mut bytes = 0;
        for shard in &cache.shards {
            let shard = shard.lock();
            let kept: usize = shard.young.iter().map(|(whole, row)| cost(whole, row)).sum();
            assert_eq!(kept, shard.young_bytes);
            bytes += kept + shard.old.iter().map(|(whole, row)| cost(whole, row)).sum::<usize>();
        }
        assert!(bytes <= 1 << 20, "{bytes}");
        assert!(bytes > 1 << 18, "{bytes}");
    }

    #[test]
    fn what_is_forgotten_or_not_kept_is_not_remembered_wrongly() {
        let mut cache = Cache::new(64 << 10);
        cache.set(&key(b"k"), row(1));
        cache.set(&key(b"k"), row(100_000));
        assert_eq!(cache.get(&key(b"k")), None);
        cache.set(&key(b"k"), None);
        assert_eq!(cache.get(&key(b"k")), Some(None));
        cache.forget(&key(b"k"));
        assert_eq!(cache.get(&key(b"k")), None);
        // Also when what was known before is of the old generation.
        for last in [Cache::forget_it, Cache::outgrow_it] {
            cache.set(&key(b"k"), row(1));
            let shard = shard_of(&key(b"k"));
            for number in 0_u32.. {
                cache.set(&key(&number.to_be_bytes()), row(1));
                if cache.shards[shard].lock().old.contains_key(&*key(b"k")) {
                    break;
                }
            }
            last(&mut cache);
            assert_eq!(cache.get(&key(b"k")), None);
        }
        let kept = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.young_bytes == shard.young.iter().map(|(whole, row)| cost(whole, row)).sum::<usize>()
        };
        assert!(cache.shards.iter().all(kept));
    }

    impl Cache {
        fn forget_it(&mut self) {
            self.forget(&key(b"k"));
        }

        fn outgrow_it(&mut self) {
            self.set(&key(b"k"), row(100_000));
        }
    }
}
