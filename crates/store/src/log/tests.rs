//! The log's promises, on a disk that forgets what was not synced.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::channel::oneshot;
use parking_lot::Mutex;

use super::segment::HEADER_BYTES;
use super::*;
use crate::crash_disk::{CrashDisk, Dice};

mod crash;
mod damage;
mod hostile;
mod twin;

const DIRECTORY: &str = "data/log";
const IDENTITY: Identity = Identity {
    cluster: ClusterId(0xfeed),
    node: NodeId(3),
};
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 16 << 10,
    cache_bytes: 4 << 10,
};

fn open(disk: &CrashDisk) -> Opened {
    Log::open(&disk.environment(), Path::new(DIRECTORY), IDENTITY, OPTIONS).unwrap()
}

fn record(index: u64, term: u64, bytes: usize) -> Record {
    let mut payload = format!("{index}/{term} ").repeat(bytes / 4 + 1).into_bytes();
    payload.truncate(bytes);
    Record {
        index: Index(index),
        term: Term(term),
        kind: (index % 7) as u8,
        payload: Bytes::from(payload),
    }
}

fn records(indexes: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Record> {
    indexes.map(|index| record(index, term, 100)).collect()
}

/// What will be known of an operation.
fn pending() -> (Flushed, oneshot::Receiver<io::Result<()>>) {
    let (sender, receiver) = oneshot::channel();
    let flushed = Box::new(move |result| {
        let _ = sender.send(result);
    });
    (flushed, receiver)
}

async fn append(log: &Log, records: Vec<Record>) -> io::Result<()> {
    let (flushed, result) = pending();
    log.append(records, flushed);
    result.await.unwrap()
}

async fn truncate(log: &Log, after: Option<u64>) -> io::Result<()> {
    let (done, result) = pending();
    log.truncate_after(after.map(Index), done);
    result.await.unwrap()
}

async fn purge(log: &Log, through: u64, term: u64) -> io::Result<()> {
    let (done, result) = pending();
    log.purge_through(Index(through), Term(term), done);
    result.await.unwrap()
}

fn all(log: &Log) -> Vec<Record> {
    log.read(log.first(), Index(u64::MAX), usize::MAX).unwrap()
}

fn segments(disk: &CrashDisk) -> Vec<PathBuf> {
    let mut paths = disk.paths();
    paths.retain(|path| segment::sequence_of(path).is_some());
    paths
}

#[tokio::test]
async fn records_are_read_back_from_memory_and_after_opening_again() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    assert_eq!((log.first(), log.last(), log.flushed()), (Index(0), None, None));
    assert_eq!(all(&log), []);
    let expected = records(1..=500, 1);
    for chunk in expected.chunks(7) {
        append(&log, chunk.to_vec()).await.unwrap();
    }
    assert_eq!(all(&log), expected);
    assert_eq!(
        (log.first(), log.last(), log.flushed()),
        (Index(1), Some((Index(500), Term(1))), Some(Index(500)))
    );
    log.shutdown().await;
    assert!(segments(&disk).len() > 4, "it rolled over");

    let Opened { log, warnings } = open(&disk);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(all(&log), expected);
    assert_eq!(
        (log.first(), log.last(), log.flushed()),
        (Index(1), Some((Index(500), Term(1))), Some(Index(500)))
    );
    append(&log, records(501..=502, 2)).await.unwrap();
    assert_eq!(
        log.read(Index(499), Index(502), usize::MAX).unwrap(),
        [records(499..=500, 1), records(501..=501, 2)].concat()
    );
    log.shutdown().await;
}

#[tokio::test]
async fn on_real_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let environment = environment::real::environment();
    let path = directory.path().join("log");
    let log = Log::open(&environment, &path, IDENTITY, OPTIONS).unwrap().log;
    append(&log, records(1..=300, 1)).await.unwrap();
    log.save_vote(Vote {
        term: Term(1),
        node: Some(NodeId(3)),
        committed: true,
    })
    .unwrap();
    log.shutdown().await;
    let log = Log::open(&environment, &path, IDENTITY, OPTIONS).unwrap().log;
    assert_eq!(all(&log), records(1..=300, 1));
    assert_eq!(
        log.read_vote(),
        Some(Vote {
            term: Term(1),
            node: Some(NodeId(3)),
            committed: true
        })
    );
    log.shutdown().await;
}

#[tokio::test]
async fn one_sync_for_all_that_has_queued_up_and_callbacks_in_order() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=1, 1)).await.unwrap();
    let current = segment::path(Path::new(DIRECTORY), 1);
    let before = disk.syncs(&current);
    disk.hold();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut last = None;
    for index in 2..=60 {
        let (sender, receiver) = oneshot::channel();
        let order = order.clone();
        let flushed = move |result: io::Result<()>| {
            order.lock().push((index, result.is_ok()));
            let _ = sender.send(());
        };
        log.append(records(index..=index, 1), Box::new(flushed));
        if index == 2 {
            disk.wait_held(&current);
        }
        last = Some(receiver);
    }
    // Readable at once, durable not yet.
    assert_eq!(all(&log), records(1..=60, 1));
    assert_eq!(log.flushed(), Some(Index(1)));
    assert_eq!(*order.lock(), []);
    disk.release();
    last.unwrap().await.unwrap();
    assert_eq!(*order.lock(), (2..=60).map(|index| (index, true)).collect::<Vec<_>>());
    assert_eq!(log.flushed(), Some(Index(60)));
    assert_eq!(disk.syncs(&current) - before, 2);
    let measures = log.measures();
    assert_eq!((measures.sync.count(), measures.write.count()), (3, 3));
    assert!(measures.bytes.get() > 60 * 100, "{measures:?}");
    assert_eq!(log.segment_count(), 1);
    log.shutdown().await;
}

#[tokio::test]
async fn rolling_over_waits_for_no_file_to_be_made() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=1, 1)).await.unwrap();
    // The next segment is there, whole and durable, before it is needed.
    let next = segment::path(Path::new(DIRECTORY), 2);
    disk.wait_durable(&next);
    assert_eq!(disk.get(&next), vec![0; OPTIONS.segment_bytes as usize]);
    let before = disk.syncs(&next);
    append(&log, records(2..=130, 1)).await.unwrap();
    assert_eq!(
        disk.syncs(&next) - before,
        1,
        "header and records go along with one sync"
    );
    log.shutdown().await;
    // What was prepared and never used is removed, not taken for a segment.
    let Opened { log, warnings } = open(&disk);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(all(&log), records(1..=130, 1));
    log.shutdown().await;
}

#[tokio::test]
async fn an_append_takes_the_place_of_what_follows() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=300, 1)).await.unwrap();
    append(&log, records(250..=260, 2)).await.unwrap();
    // Far back, over the border of segments.
    append(&log, records(20..=40, 3)).await.unwrap();
    append(&log, records(41..=200, 4)).await.unwrap();
    append(&log, records(200..=200, 5)).await.unwrap();
    let expected = [
        records(1..=19, 1),
        records(20..=40, 3),
        records(41..=199, 4),
        records(200..=200, 5),
    ]
    .concat();
    for _ in 0..2 {
        let log = open(&disk.kill()).log;
        assert_eq!(all(&log), expected);
        assert_eq!(log.last(), Some((Index(200), Term(5))));
        for (index, term) in [(1, 1), (19, 1), (20, 3), (40, 3), (41, 4), (199, 4), (200, 5)] {
            assert_eq!(log.term_at(Index(index)), Some(Term(term)), "{index}");
        }
        assert_eq!((log.term_at(Index(0)), log.term_at(Index(201))), (None, None));
        log.shutdown().await;
    }
    assert_eq!(all(&log), expected);
    log.shutdown().await;
}

#[tokio::test]
async fn truncation_is_durable() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=200, 1)).await.unwrap();
    truncate(&log, Some(20)).await.unwrap();
    assert_eq!(
        (log.last(), log.flushed()),
        (Some((Index(20), Term(1))), Some(Index(20)))
    );
    let again = open(&disk.crash(&mut Dice(4))).log;
    assert_eq!(all(&again), records(1..=20, 1));
    truncate(&again, None).await.unwrap();
    assert_eq!((all(&again), again.last()), (vec![], None));
    append(&again, records(1..=2, 7)).await.unwrap();
    assert_eq!(all(&again), records(1..=2, 7));
    again.shutdown().await;
    log.shutdown().await;
}

#[tokio::test]
async fn a_purge_frees_whole_segments_and_is_durable() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    for index in 1..=600 {
        append(&log, records(index..=index, index / 100)).await.unwrap();
    }
    purge(&log, 450, 4).await.unwrap();
    assert_eq!((log.first(), log.purged()), (Index(451), Some((Index(450), Term(4)))));
    assert!(matches!(
        log.read(Index(450), Index(500), 1),
        Err(Error::Purged { first: Index(451), .. })
    ));
    assert_eq!(log.term_at(Index(450)), Some(Term(4)));
    assert_eq!(log.term_at(Index(449)), None);
    let expected: Vec<Record> = (451..=600).map(|index| record(index, index / 100, 100)).collect();
    assert_eq!(all(&log), expected);
    // An older purge changes nothing.
    purge(&log, 3, 0).await.unwrap();
    assert_eq!(log.first(), Index(451));

    let again = open(&disk.crash(&mut Dice(9))).log;
    assert_eq!(
        (again.first(), again.purged()),
        (Index(451), Some((Index(450), Term(4))))
    );
    assert_eq!(all(&again), expected);
    again.shutdown().await;
    log.shutdown().await;
    let freed = (1..=3).map(|sequence| segment::path(Path::new(DIRECTORY), sequence));
    assert!(
        freed.into_iter().all(|path| !disk.paths().contains(&path)),
        "{:?}",
        segments(&disk)
    );
    let log = open(&disk).log;
    assert_eq!(all(&log), expected);
    log.shutdown().await;
}

#[tokio::test]
async fn bytes_are_counted_by_whole_segments() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    assert_eq!(log.bytes_behind(Index(0)), 0);
    // Ten at once: behind each round there may be a mark or not, as the writer finds the time, and those count too.
    for first in (1..=400).step_by(10) {
        append(&log, records(first..=first + 9, 1)).await.unwrap();
    }
    let all = log.bytes_behind(Index(0));
    assert!(all > 400 * 132 && all <= 4 * 16 * 1024, "{all}");
    let some = log.bytes_behind(Index(300));
    assert!(some >= 100 * 132 && some < all, "{some} of {all}");
    assert_eq!(log.bytes_behind(Index(400)), 0);
    assert_eq!(log.bytes_behind(Index(u64::MAX)), 0);
    purge(&log, 300, 1).await.unwrap();
    let left = log.bytes_behind(Index(0));
    assert!(left >= some && left < all, "{left} of {all}");
    log.shutdown().await;
}

#[tokio::test]
async fn a_purge_may_go_beyond_the_end() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=50, 1)).await.unwrap();
    purge(&log, 1000, 6).await.unwrap();
    assert_eq!(
        (log.first(), log.last(), log.flushed()),
        (Index(1001), Some((Index(1000), Term(6))), Some(Index(1000)))
    );
    assert_eq!(all(&log), []);
    let again = open(&disk.crash(&mut Dice(1))).log;
    assert_eq!(
        (again.first(), again.last()),
        (Index(1001), Some((Index(1000), Term(6))))
    );
    again.shutdown().await;
    assert!(append(&log, records(51..=51, 1)).await.is_err());
    assert!(append(&log, records(1002..=1002, 7)).await.is_err());
    append(&log, records(1001..=1300, 7)).await.unwrap();
    let again = open(&disk.crash(&mut Dice(2))).log;
    assert_eq!(all(&again), records(1001..=1300, 7));
    again.shutdown().await;
    log.shutdown().await;
}

#[tokio::test]
async fn a_purge_in_an_empty_log_is_kept() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    purge(&log, 10, 2).await.unwrap();
    log.shutdown().await;
    let log = open(&disk).log;
    assert_eq!((log.first(), log.last()), (Index(11), Some((Index(10), Term(2)))));
    append(&log, records(11..=12, 2)).await.unwrap();
    log.shutdown().await;
    let log = open(&disk).log;
    assert_eq!(all(&log), records(11..=12, 2));
    log.shutdown().await;
}

#[tokio::test]
async fn after_the_first_failure_nothing_is_taken() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=2, 1)).await.unwrap();
    disk.set_broken(true);
    assert!(append(&log, records(3..=3, 1)).await.is_err());
    disk.set_broken(false);
    let current = segment::path(Path::new(DIRECTORY), 1);
    let before = disk.syncs(&current);
    let error = append(&log, records(4..=4, 1)).await.unwrap_err();
    assert!(error.to_string().contains("an earlier write failed"), "{error}");
    assert!(truncate(&log, Some(1)).await.is_err());
    assert!(purge(&log, 1, 1).await.is_err());
    assert_eq!(disk.syncs(&current), before, "a failed sync is never tried again");
    assert_eq!(log.flushed(), Some(Index(2)));
    log.shutdown().await;
}

#[tokio::test]
async fn a_failure_to_prepare_is_one_too() {
    let disk = CrashDisk::default();
    disk.set_broken(true);
    let opened = Log::open(&disk.environment(), Path::new(DIRECTORY), IDENTITY, OPTIONS);
    assert!(matches!(opened, Err(Error::Disk { .. })), "{opened:?}");
    disk.set_broken(false);
    let log = open(&disk).log;
    append(&log, records(1..=1, 1)).await.unwrap();
    let next = segment::path(Path::new(DIRECTORY), 2);
    disk.wait_durable(&next);
    append(&log, records(2..=100, 1)).await.unwrap();
    disk.set_broken(true);
    let mut failed = false;
    for chunk in 0..4 {
        let first = 101 + chunk * 100;
        failed |= append(&log, records(first..=first + 99, 1)).await.is_err();
    }
    assert!(failed);
    log.shutdown().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_without_harm() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(5..=6, 1)).await.unwrap();
    assert_eq!(log.first(), Index(5), "the first index may be any");
    let gap = append(&log, records(8..=8, 1)).await.unwrap_err();
    assert_eq!(gap.kind(), io::ErrorKind::InvalidInput);
    assert!(append(&log, vec![record(7, 1, 1), record(9, 1, 1)]).await.is_err());
    append(&log, vec![]).await.unwrap();
    append(&log, records(7..=7, 1)).await.unwrap();
    assert_eq!(all(&log), records(5..=7, 1));
    let small = LogOptions {
        segment_bytes: 10,
        ..OPTIONS
    };
    let error = Log::open(&disk.environment(), Path::new("other"), IDENTITY, small).unwrap_err();
    assert!(matches!(error, Error::Options(_)), "{error}");
    log.shutdown().await;
    log.shutdown().await;
    assert!(append(&log, records(8..=8, 1)).await.is_err(), "after shutdown");
}

#[tokio::test]
async fn a_record_may_be_larger_than_a_segment_or_empty() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    let expected = vec![record(1, 1, 0), record(2, 1, 200_000), record(3, 1, 0), record(4, 1, 1)];
    for record in &expected {
        append(&log, vec![record.clone()]).await.unwrap();
    }
    log.shutdown().await;
    let log = open(&disk).log;
    assert_eq!(all(&log), expected);
    log.shutdown().await;
}

#[tokio::test]
async fn reads_are_bounded_and_give_one_record_at_least() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=300, 1)).await.unwrap();
    for log in [&log, &open(&disk.kill()).log] {
        assert_eq!(log.read(Index(3), Index(300), 0).unwrap(), records(3..=3, 1));
        assert_eq!(log.read(Index(3), Index(300), 350).unwrap(), records(3..=5, 1));
        assert_eq!(log.read(Index(3), Index(5), 100_000).unwrap(), records(3..=4, 1));
        assert_eq!(log.read(Index(300), Index(999), 10).unwrap(), records(300..=300, 1));
        assert_eq!(log.read(Index(301), Index(999), 10).unwrap(), []);
        assert_eq!(log.read(Index(5), Index(5), 10).unwrap(), []);
        assert_eq!(log.read(Index(1), Index(9999), 1 << 20).unwrap(), records(1..=300, 1));
    }
    log.shutdown().await;
}

#[tokio::test]
async fn the_cache_is_bounded_and_keeps_what_is_not_durable() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=100, 1)).await.unwrap();
    assert!(log.shared.memory.lock().cache_bytes() <= OPTIONS.cache_bytes);
    disk.hold();
    let (flushed, result) = pending();
    log.append(records(101..=400, 1), flushed);
    assert!(log.shared.memory.lock().cache_bytes() > 300 * 100);
    assert_eq!(all(&log), records(1..=400, 1));
    disk.release();
    result.await.unwrap().unwrap();
    assert!(log.shared.memory.lock().cache_bytes() <= OPTIONS.cache_bytes);
    assert_eq!(all(&log), records(1..=400, 1));
    log.shutdown().await;
}

#[tokio::test]
async fn what_waits_for_a_later_round_is_kept_in_memory() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=1, 1)).await.unwrap();
    disk.hold();
    let (sender, seen) = oneshot::channel();
    let reader = log.clone();
    // Called between two rounds: the first has made room, the second is not written yet.
    let flushed = move |_: io::Result<()>| {
        let _ = sender.send(all(&reader));
    };
    log.append(records(2..=2, 1), Box::new(flushed));
    disk.wait_held(&segment::path(Path::new(DIRECTORY), 1));
    let (flushed, result) = pending();
    log.append(records(3..=200, 1), flushed);
    disk.release();
    assert_eq!(seen.await.unwrap(), records(1..=200, 1));
    result.await.unwrap().unwrap();
    log.shutdown().await;
}

#[tokio::test]
async fn an_append_that_is_replaced_while_it_is_written_never_counts_as_durable() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=10, 1)).await.unwrap();
    disk.hold();
    let (flushed, first) = pending();
    log.append(records(11..=20, 1), flushed);
    disk.wait_held(&segment::path(Path::new(DIRECTORY), 1));
    let (flushed, second) = pending();
    log.append(records(5..=6, 2), flushed);
    assert_eq!(log.flushed(), Some(Index(4)));
    disk.release();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(log.flushed(), Some(Index(6)));
    assert_eq!(all(&log), [records(1..=4, 1), records(5..=6, 2)].concat());
    log.shutdown().await;
}

#[tokio::test]
async fn the_last_handle_ends_the_worker() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    let (flushed, result) = pending();
    log.append(records(1..=3, 1), flushed);
    drop(log);
    let result = environment::timeout(&disk.environment(), Duration::from_secs(30), result).await;
    result.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_vote_is_durable_and_the_committed_position_is_clamped() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    assert_eq!((log.read_vote(), log.read_committed()), (None, None));
    let mut vote = Vote {
        term: Term(4),
        node: None,
        committed: false,
    };
    for term in 5..9 {
        log.save_vote(vote).unwrap();
        let again = open(&disk.crash(&mut Dice(term))).log;
        assert_eq!(again.read_vote(), Some(vote));
        vote = Vote {
            term: Term(term),
            node: Some(NodeId(term)),
            committed: term % 2 == 0,
        };
    }
    append(&log, records(1..=10, 1)).await.unwrap();
    log.save_committed(Some((Index(7), Term(1)))).unwrap();
    assert_eq!(log.read_committed(), Some((Index(7), Term(1))));
    assert_eq!(open(&disk.kill()).log.read_committed(), Some((Index(7), Term(1))));
    for seed in 0..50 {
        let found = open(&disk.crash(&mut Dice(seed))).log.read_committed();
        assert!(found.is_none() || found == Some((Index(7), Term(1))), "{found:?}");
    }
    // Past the end of the log: the last record.
    log.save_committed(Some((Index(99), Term(3)))).unwrap();
    assert_eq!(log.read_committed(), Some((Index(10), Term(1))));
    // Another record in its place: nothing is known.
    log.save_committed(Some((Index(7), Term(1)))).unwrap();
    append(&log, records(7..=10, 2)).await.unwrap();
    assert_eq!(log.read_committed(), None);
    // Before what was purged: that.
    purge(&log, 8, 2).await.unwrap();
    assert_eq!(log.read_committed(), Some((Index(8), Term(2))));
    log.save_committed(None).unwrap();
    assert_eq!(log.read_committed(), Some((Index(8), Term(2))));
    log.shutdown().await;
}

#[tokio::test]
async fn segments_are_within_their_limits() {
    use crate::limits::{LOG_SEGMENT_BYTES_MAX, LOG_SEGMENT_BYTES_MIN};
    for (segment_bytes, fits) in [
        (LOG_SEGMENT_BYTES_MIN - 1, false),
        (LOG_SEGMENT_BYTES_MIN, true),
        (LOG_SEGMENT_BYTES_MAX + 1, false),
    ] {
        let disk = CrashDisk::default();
        let options = LogOptions {
            segment_bytes,
            ..OPTIONS
        };
        let opened = Log::open(&disk.environment(), Path::new(DIRECTORY), IDENTITY, options);
        assert_eq!(opened.is_ok(), fits, "{segment_bytes}");
        if let Ok(opened) = opened {
            append(&opened.log, records(1..=100, 1)).await.unwrap();
            opened.log.shutdown().await;
        } else {
            assert!(matches!(opened, Err(Error::Options(_))));
        }
    }
}

#[tokio::test]
async fn records_and_appends_past_their_bytes_are_refused_and_the_log_goes_on() {
    use crate::limits::{LOG_APPEND_BYTES_MAX, LOG_RECORD_BYTES_MAX};
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=2, 1)).await.unwrap();
    let large = |index: u64, bytes: usize| Record {
        index: Index(index),
        term: Term(1),
        kind: 0,
        payload: Bytes::from(vec![0; bytes]),
    };
    let refused = append(&log, vec![large(3, LOG_RECORD_BYTES_MAX + 1)])
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("more than a record may have"), "{refused}");
    // Their bytes are never touched: the memory behind them is not even there.
    let halves = vec![
        large(3, LOG_APPEND_BYTES_MAX / 2),
        large(4, LOG_APPEND_BYTES_MAX / 2),
        large(5, 1),
    ];
    let refused = append(&log, halves).await.unwrap_err();
    assert!(refused.to_string().contains("split it"), "{refused}");
    append(&log, records(3..=4, 1)).await.unwrap();
    assert_eq!(all(&log), records(1..=4, 1));
    log.shutdown().await;
}
