//! Named consumers: where each reader of a stream stands, kept in the log so that any node can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::machine::{CONSUMER_PREFIX, SYSTEM_TABLE};
use crate::{Offset, Row, StateError, StateRead, TimeMs, limits, record};

/// Where one consumer of a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumer {
    /// The event that it reads next: all before it are done with.
    pub offset: Offset,
    /// Log time of its last commit.
    pub committed: TimeMs,
}
record!(Consumer { offset, committed });

/// All consumers of a cluster, as of one index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consumers {
    by_stream: BTreeMap<String, BTreeMap<String, Consumer>>,
}

impl Consumers {
    /// The consumer of that name of a stream.
    #[must_use]
    pub fn get(&self, stream: &str, name: &str) -> Option<Consumer> {
        self.by_stream.get(stream)?.get(name).copied()
    }

    /// Stream, name and place of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Consumer)> {
        self.by_stream.iter().flat_map(|(stream, consumers)| {
            consumers
                .iter()
                .map(|(name, consumer)| (stream.as_str(), name.as_str(), *consumer))
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_stream.values().map(BTreeMap::len).sum()
    }

    /// Puts a consumer where it stands now.
    pub fn insert(&mut self, stream: &str, name: &str, consumer: Consumer) {
        let of_stream = self.by_stream.entry(stream.to_owned()).or_default();
        of_stream.insert(name.to_owned(), consumer);
    }

    /// Lets go of a consumer.
    pub fn remove(&mut self, stream: &str, name: &str) {
        if let Some(of_stream) = self.by_stream.get_mut(stream) {
            of_stream.remove(name);
            if of_stream.is_empty() {
                self.by_stream.remove(stream);
            }
        }
    }
}

/// What a commit asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit<'a> {
    pub(crate) stream: &'a str,
    pub(crate) name: &'a str,
    pub(crate) offset: Offset,
    pub(crate) expected: Option<Offset>,
    pub(crate) reset: bool,
}

/// Why it was refused: a stable name, and what to say to people.
pub(crate) type Refusal = (&'static str, String);

/// The consumers with what has changed since they were last saved.
#[derive(Debug, Default)]
pub(crate) struct KeptConsumers {
    shared: Arc<Consumers>,
    dirty: BTreeSet<(String, String)>,
}

impl KeptConsumers {
    pub(crate) fn shared(&self) -> &Arc<Consumers> {
        &self.shared
    }

    /// Moves a consumer, or makes it, at the log time `now`. The stream's `start` and `end` bound where it may stand.
    pub(crate) fn commit(
        &mut self,
        commit: &Commit<'_>,
        start: Offset,
        end: Offset,
        now: TimeMs,
    ) -> Result<(), Refusal> {
        let Commit {
            stream, name, offset, ..
        } = *commit;
        if !crate::manifest::is_name(name) {
            let reason = format!(
                "{name:?} cannot name a consumer: use 1 to {} of a-z 0-9 - _, a letter first",
                limits::NAME_BYTES_MAX
            );
            return Err(("consumer_invalid", reason));
        }
        let known = self.shared.get(stream, name);
        // A commit that is sent twice is found done, whatever it expected before.
        if known.is_none_or(|known| known.offset != offset) {
            check_move(commit, known.map(|known| known.offset), start, end)?;
        }
        if known.is_none() && self.shared.count() >= limits::CONSUMERS_MAX {
            let reason = format!(
                "a cluster keeps {} consumers at most: remove one that nobody uses (seachange consumer list, \
                 seachange consumer remove)",
                limits::CONSUMERS_MAX
            );
            return Err(("too_many_consumers", reason));
        }
        let consumer = Consumer { offset, committed: now };
        Arc::make_mut(&mut self.shared).insert(stream, name, consumer);
        self.dirty.insert((stream.to_owned(), name.to_owned()));
        Ok(())
    }

    /// Forgets a consumer.
    pub(crate) fn remove(&mut self, stream: &str, name: &str) -> Result<(), Refusal> {
        if self.shared.get(stream, name).is_none() {
            return Err(unknown_consumer(stream, name));
        }
        Arc::make_mut(&mut self.shared).remove(stream, name);
        self.dirty.insert((stream.to_owned(), name.to_owned()));
        Ok(())
    }

    /// The rows that have changed since they were last taken, by key: none for a consumer that is gone.
    pub(crate) fn take_dirty(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        use crate::codec::Codec;
        std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|(stream, name)| {
                let consumer = self.shared.get(&stream, &name);
                (key_of(&stream, &name), consumer.map(|consumer| consumer.to_bytes()))
            })
            .collect()
    }

    /// Reads all rows back.
    pub(crate) fn load(rows: &dyn StateRead) -> Result<KeptConsumers, StateError> {
        let mut consumers = Consumers::default();
        let mut failed = None;
        rows.scan(SYSTEM_TABLE, CONSUMER_PREFIX, None, false, &mut |key, row| {
            let Some(rest) = key.strip_prefix(CONSUMER_PREFIX) else {
                return false;
            };
            match read_row(key, rest, row) {
                Ok((stream, name, consumer)) => consumers.insert(stream, name, consumer),
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(KeptConsumers {
                shared: Arc::new(consumers),
                dirty: BTreeSet::new(),
            }),
        }
    }
}

pub(crate) fn unknown_consumer(stream: &str, name: &str) -> Refusal {
    let reason = format!("stream {stream} has no consumer {name:?}: seachange consumer list shows those there are");
    ("unknown_consumer", reason)
}

fn check_move(commit: &Commit<'_>, known: Option<Offset>, start: Offset, end: Offset) -> Result<(), Refusal> {
    let Commit {
        stream, name, offset, ..
    } = *commit;
    if let Some(expected) = commit.expected
        && known != Some(expected)
    {
        let stands = known.map_or_else(|| "does not exist".to_owned(), |known| format!("stands at {known}"));
        let reason = format!(
            "consumer {name} of stream {stream} {stands}, and was expected at {expected}: somebody else reads under \
             its name, or moved it; look at it again, and give each reader a name of its own"
        );
        return Err(("consumer_moved", reason));
    }
    if offset > end {
        let reason = format!("stream {stream} ends at {end}: a consumer cannot stand at {offset}, beyond its end");
        return Err(("offset_past_end", reason));
    }
    if offset < start {
        let reason =
            format!("stream {stream} begins at {start}: a consumer cannot go on from {offset}, which is removed");
        return Err(("events_trimmed", reason));
    }
    match known {
        Some(known) if offset < known && !commit.reset => {
            let reason = format!(
                "consumer {name} of stream {stream} stands at {known}, and {offset} lies before that: it would get \
                 events again; ask for a reset if that is what you want"
            );
            Err(("consumer_goes_back", reason))
        }
        Some(_) | None => Ok(()),
    }
}

/// Neither part can hold a slash, so no two consumers have one key.
fn key_of(stream: &str, name: &str) -> Vec<u8> {
    [CONSUMER_PREFIX, stream.as_bytes(), b"/", name.as_bytes()].concat()
}

fn read_row<'k>(key: &[u8], rest: &'k [u8], row: &Row) -> Result<(&'k str, &'k str, Consumer), StateError> {
    let names = std::str::from_utf8(rest).ok().and_then(|text| text.split_once('/'));
    let Some((stream, name)) = names else {
        let key = String::from_utf8_lossy(key);
        return Err(StateError(format!(
            "the machine's own row {key:?} has a key that names no consumer"
        )));
    };
    Ok((stream, name, crate::machine::decode(key, &row.document)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "ledger.transfers";

    fn commit(
        consumers: &mut KeptConsumers,
        offset: u64,
        expected: Option<u64>,
        reset: bool,
    ) -> Result<(), &'static str> {
        let commit = Commit {
            stream: STREAM,
            name: "audit",
            offset: Offset(offset),
            expected: expected.map(Offset),
            reset,
        };
        let done = consumers.commit(&commit, Offset(5), Offset(20), TimeMs(7));
        done.map_err(|(code, _)| code)
    }

    fn stands(consumers: &KeptConsumers) -> Option<u64> {
        consumers
            .shared()
            .get(STREAM, "audit")
            .map(|consumer| consumer.offset.0)
    }

    #[test]
    fn a_consumer_goes_forward_and_back_only_when_asked_so() {
        let mut consumers = KeptConsumers::default();
        assert_eq!(commit(&mut consumers, 8, None, false), Ok(()));
        assert_eq!(commit(&mut consumers, 12, None, false), Ok(()));
        assert_eq!(commit(&mut consumers, 11, None, false), Err("consumer_goes_back"));
        assert_eq!(stands(&consumers), Some(12), "nothing was changed");
        assert_eq!(commit(&mut consumers, 11, None, true), Ok(()));
        assert_eq!(stands(&consumers), Some(11));
    }

    #[test]
    fn it_stands_within_what_the_stream_holds() {
        let mut consumers = KeptConsumers::default();
        assert_eq!(commit(&mut consumers, 21, None, true), Err("offset_past_end"));
        assert_eq!(commit(&mut consumers, 4, None, true), Err("events_trimmed"));
        assert_eq!(
            commit(&mut consumers, 20, None, false),
            Ok(()),
            "at the end: it has read all"
        );
        assert_eq!(commit(&mut consumers, 5, None, true), Ok(()), "at the start");
    }

    #[test]
    fn of_two_readers_under_one_name_the_second_is_told() {
        let mut consumers = KeptConsumers::default();
        assert_eq!(
            commit(&mut consumers, 8, Some(5), false),
            Err("consumer_moved"),
            "it is not there"
        );
        assert_eq!(commit(&mut consumers, 8, None, false), Ok(()));
        assert_eq!(commit(&mut consumers, 10, Some(8), false), Ok(()));
        assert_eq!(commit(&mut consumers, 12, Some(8), false), Err("consumer_moved"));
        // The same commit again, because its first answer was lost, is no move of somebody else.
        assert_eq!(commit(&mut consumers, 10, Some(8), false), Ok(()));
    }

    #[test]
    fn names_are_names_and_their_number_is_bounded() {
        let mut consumers = KeptConsumers::default();
        let mut make = |name: &str| {
            let commit = Commit {
                stream: STREAM,
                name,
                offset: Offset(0),
                expected: None,
                reset: false,
            };
            consumers
                .commit(&commit, Offset(0), Offset(0), TimeMs(1))
                .map_err(|(code, _)| code)
        };
        let long = "a".repeat(limits::NAME_BYTES_MAX + 1);
        for name in ["", "A", "1", "a/b", "a.b", "é", &long] {
            assert_eq!(make(name), Err("consumer_invalid"), "{name:?}");
        }
        for number in 0..limits::CONSUMERS_MAX {
            assert_eq!(make(&format!("c{number}")), Ok(()));
        }
        assert_eq!(make("one-more"), Err("too_many_consumers"));
        assert_eq!(make("c0"), Ok(()), "one that is there can still commit");
        assert_eq!(consumers.remove(STREAM, "c1"), Ok(()));
        assert_eq!(
            consumers.remove(STREAM, "c1").map_err(|(code, _)| code),
            Err("unknown_consumer")
        );
        let listed = consumers.shared().iter().count();
        assert_eq!(
            (listed, consumers.shared().count()),
            (limits::CONSUMERS_MAX - 1, limits::CONSUMERS_MAX - 1)
        );
    }
}
