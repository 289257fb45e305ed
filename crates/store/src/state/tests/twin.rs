//! After any operations the state reads like a plain map, whatever is dirty, frozen, cached or written.

use std::collections::BTreeMap;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Put {
        table: u32,
        key: u8,
        document: u8,
    },
    Delete {
        table: u32,
        key: u8,
    },
    Get {
        table: u32,
        key: u8,
    },
    Replace {
        table: u32,
        key: u8,
        document: Option<u8>,
    },
    Freeze,
    Write,
    Finish,
    Crash,
    Scan {
        table: u32,
        start: u8,
        end: Option<u8>,
        reverse: bool,
        limit: usize,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let table = || 1..3_u32;
    let key = || 0..24_u8;
    prop_oneof![
        8 => (table(), key(), any::<u8>()).prop_map(|(table, key, document)| Action::Put { table, key, document }),
        4 => (table(), key()).prop_map(|(table, key)| Action::Delete { table, key }),
        6 => (table(), key()).prop_map(|(table, key)| Action::Get { table, key }),
        8 => (table(), key(), any::<Option<u8>>())
            .prop_map(|(table, key, document)| Action::Replace { table, key, document }),
        2 => Just(Action::Freeze),
        2 => Just(Action::Write),
        2 => Just(Action::Finish),
        1 => Just(Action::Crash),
        6 => (table(), key(), proptest::option::of(key()), any::<bool>(), 0..30_usize)
            .prop_map(|(table, start, end, reverse, limit)| Action::Scan { table, start, end, reverse, limit }),
    ]
}

fn row_of(document: u8) -> Row {
    row(u16::from(document % 3), vec![document; usize::from(document)])
}

type Map = BTreeMap<(u32, Vec<u8>), Row>;

/// The naive form of [`StateRead::scan`].
fn scan(map: &Map, table: u32, start: &[u8], end: Option<&[u8]>, reverse: bool, limit: usize) -> Vec<(Vec<u8>, Row)> {
    let within = |key: &[u8]| key >= start && end.is_none_or(|end| key < end);
    let mut rows: Vec<_> = map
        .iter()
        .filter(|((of, key), _)| *of == table && within(key))
        .map(|((_, key), row)| (key.clone(), row.clone()))
        .collect();
    if reverse {
        rows.reverse();
    }
    rows.truncate(limit.max(1));
    rows
}

fn check(actions: Vec<Action>, cache_bytes: usize) {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let mut state = State::open(backend.clone(), StateOptions { cache_bytes });
    let mut twin = Map::new();
    let mut checkpoint: Option<(Checkpoint, Map)> = None;
    let mut written: Option<Written> = None;
    let mut durable = Map::new();
    for action in actions {
        match action {
            Action::Put { table, key, document } => {
                let row = row_of(document);
                state.put(TableId(table), &[key], row.clone());
                twin.insert((table, vec![key]), row);
            }
            Action::Delete { table, key } => {
                state.delete(TableId(table), &[key]);
                twin.remove(&(table, vec![key]));
            }
            Action::Get { table, key } => {
                let found = state.get(TableId(table), &[key]).unwrap();
                assert_eq!(found.as_ref(), twin.get(&(table, vec![key])));
            }
            Action::Replace { table, key, document } => {
                let row = document.map(row_of);
                let before = state.replace(TableId(table), &[key], row.clone()).unwrap();
                let key = (table, vec![key]);
                let expected = match row {
                    Some(row) => twin.insert(key, row),
                    None => twin.remove(&key),
                };
                assert_eq!(before, expected);
            }
            Action::Freeze => {
                let frozen = state.freeze();
                assert_eq!(frozen.is_some(), checkpoint.is_none() && written.is_none());
                checkpoint = frozen.map(|frozen| (frozen, twin.clone())).or(checkpoint);
            }
            Action::Write => {
                if let Some((frozen, rows)) = checkpoint.take() {
                    written = Some(frozen.write().unwrap());
                    durable = rows;
                }
            }
            Action::Finish => {
                if let Some(written) = written.take() {
                    drop(state.finish(written));
                }
            }
            Action::Crash => {
                (checkpoint, written) = (None, None);
                state = State::open(backend.clone(), StateOptions { cache_bytes });
                twin = durable.clone();
            }
            Action::Scan {
                table,
                start,
                end,
                reverse,
                limit,
            } => {
                let end = end.map(|end| [end]);
                let end = end.as_ref().map(<[u8; 1]>::as_slice);
                let mut found = Vec::new();
                let mut visit = |key: &[u8], row: &Row| {
                    found.push((key.to_vec(), row.clone()));
                    found.len() < limit
                };
                state.scan(TableId(table), &[start], end, reverse, &mut visit).unwrap();
                assert_eq!(found, scan(&twin, table, &[start], end, reverse, limit));
            }
        }
    }
    for table in 1..3 {
        for key in 0..24 {
            assert_eq!(
                state.get(TableId(table), &[key]).unwrap().as_ref(),
                twin.get(&(table, vec![key]))
            );
        }
    }
}

proptest! {
    #![proptest_config(crate::mutations::cases(400))]
    #[test]
    fn the_state_is_its_twin(
        actions in proptest::collection::vec(action(), 1..150),
        // None, so little that rows come and go, enough for all.
        cache_bytes in prop_oneof![Just(0), Just(64 << 10), Just(1 << 20)],
    ) {
        check(actions, cache_bytes);
    }
}
