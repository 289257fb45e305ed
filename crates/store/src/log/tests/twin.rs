//! What can be read is, after any operations, what a plain map would give.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Append { back: u64, count: u64, bytes: usize },
    Truncate { back: u64 },
    Purge { ahead: u64 },
    Reopen,
    Read { skip: u64, count: u64, bytes: usize },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..6_u64, 1..10_u64, 0..800_usize).prop_map(|(back, count, bytes)| Action::Append { back, count, bytes }),
        1 => (0..10_u64).prop_map(|back| Action::Truncate { back }),
        1 => (0..40_u64).prop_map(|ahead| Action::Purge { ahead }),
        1 => Just(Action::Reopen),
        3 => (0..50_u64, 0..50_u64, 0..4000_usize).prop_map(|(skip, count, bytes)| Action::Read { skip, count, bytes }),
    ]
}

#[derive(Default)]
struct Twin {
    purged: Option<(Index, Term)>,
    records: BTreeMap<u64, Record>,
}

impl Twin {
    fn first(&self) -> u64 {
        self.purged.map_or(1, |(index, _)| index.0 + 1)
    }

    fn next(&self) -> u64 {
        self.records.keys().next_back().map_or(self.first(), |last| last + 1)
    }
}

async fn check(actions: Vec<Action>) {
    let disk = CrashDisk::default();
    let mut log = open(&disk).log;
    append(&log, records(1..=1, 1)).await.unwrap();
    let mut twin = Twin::default();
    twin.records.insert(1, record(1, 1, 100));
    for (turn, action) in actions.into_iter().enumerate() {
        let term = turn as u64 / 3;
        match action {
            Action::Append { back, count, bytes } => {
                let first = twin.next().saturating_sub(back).max(twin.first());
                let records: Vec<Record> = (first..first + count).map(|index| record(index, term, bytes)).collect();
                twin.records.split_off(&first);
                twin.records
                    .extend(records.iter().map(|record| (record.index.0, record.clone())));
                append(&log, records).await.unwrap();
            }
            Action::Truncate { back } => {
                let from = twin.next().saturating_sub(back).max(twin.first());
                twin.records.split_off(&from);
                truncate(&log, from.checked_sub(1)).await.unwrap();
            }
            Action::Purge { ahead } => {
                let through = twin.first() + ahead;
                twin.purged = Some((Index(through), Term(term)));
                twin.records = twin.records.split_off(&(through + 1));
                purge(&log, through, term).await.unwrap();
            }
            Action::Reopen => {
                log.shutdown().await;
                let Opened { log: again, warnings } = open(&disk);
                assert_eq!(warnings, Vec::<String>::new());
                log = again;
            }
            Action::Read { skip, count, bytes } => {
                let from = twin.first() + skip;
                let mut left = bytes;
                let mut wanted: Vec<Record> = Vec::new();
                for record in twin.records.range(from..from + count).map(|(_, record)| record) {
                    if !wanted.is_empty() && (record.payload.len() > left || left == 0) {
                        break;
                    }
                    left = left.saturating_sub(record.payload.len());
                    wanted.push(record.clone());
                }
                assert_eq!(log.read(Index(from), Index(from + count), bytes).unwrap(), wanted);
            }
        }
        assert_eq!(log.first(), Index(twin.first()));
        let last = twin
            .records
            .values()
            .next_back()
            .map(|record| (record.index, record.term))
            .or(twin.purged);
        assert_eq!(
            (log.last(), log.flushed()),
            (last, last.map(|(index, _)| index).or(Some(Index(0))))
        );
        for record in twin.records.values() {
            assert_eq!(log.term_at(record.index), Some(record.term));
        }
    }
    assert_eq!(all(&log), twin.records.values().cloned().collect::<Vec<_>>());
    log.shutdown().await;
}

proptest! {
    #![proptest_config(crate::mutations::cases(100))]
    #[test]
    fn the_log_is_its_twin(actions in proptest::collection::vec(action(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(check(actions));
    }
}
