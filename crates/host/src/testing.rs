//! A command's world for tests: one map, and a list of what happened.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use machine::{Context, Failure, FailureCode, Index, Misuse, Pair, StateError, TimeMs};

/// Knows table `t` and stream `s`; everything else is a misuse. Table `broken` stands for a failing disk.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) rows: BTreeMap<Vec<u8>, Bytes>,
    pub(crate) events: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    pub(crate) index: Index,
    pub(crate) time: TimeMs,
    pub(crate) chance: u64,
    /// Host calls so far.
    pub(crate) calls: usize,
}

impl Memory {
    fn check(&mut self, name: &str, known: &str) -> Result<(), Misuse> {
        self.calls += 1;
        match name {
            "broken" => Err(Misuse::State(StateError("the disk is gone".into()))),
            name if name == known => Ok(()),
            name => Err(Misuse::Failed(Failure::new(FailureCode::Misuse, format!("no {name}")))),
        }
    }
}

impl Context for Memory {
    fn get(&mut self, table: &str, key: &[u8]) -> Result<Option<Bytes>, Misuse> {
        self.check(table, "t")?;
        Ok(self.rows.get(key).cloned())
    }

    fn put(&mut self, table: &str, key: &[u8], document: &[u8]) -> Result<(), Misuse> {
        self.check(table, "t")?;
        self.rows.insert(key.to_vec(), Bytes::copy_from_slice(document));
        Ok(())
    }

    fn delete(&mut self, table: &str, key: &[u8]) -> Result<(), Misuse> {
        self.check(table, "t")?;
        self.rows.remove(key);
        Ok(())
    }

    fn scan(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Misuse> {
        self.check(table, "t")?;
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.rows.range::<[u8], _>((Bound::Included(start), end));
        let pair = |(key, document): (&Vec<u8>, &Bytes)| (Bytes::copy_from_slice(key), document.clone());
        Ok(if reverse {
            range.rev().take(limit).map(pair).collect()
        } else {
            range.take(limit).map(pair).collect()
        })
    }

    fn emit(&mut self, stream: &str, key: Option<&[u8]>, value: &[u8]) -> Result<(), Misuse> {
        self.check(stream, "s")?;
        self.events.push((key.map(<[u8]>::to_vec), value.to_vec()));
        Ok(())
    }

    fn time(&self) -> TimeMs {
        self.time
    }

    fn index(&self) -> Index {
        self.index
    }

    fn random(&mut self) -> u64 {
        self.calls += 1;
        self.chance += 1;
        self.chance
    }
}
