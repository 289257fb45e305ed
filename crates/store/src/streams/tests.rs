//! The streams' promises, on a disk that forgets what was not synced.

mod hostile;

use std::time::Duration;

use bytes::Bytes;
use environment::channel::oneshot;

mod trim;

use super::*;
use crate::crash_disk::{CrashDisk, Dice};

const DIRECTORY: &str = "data/streams";
const OPTIONS: StreamOptions = StreamOptions { segment_bytes: 4 << 10 };
const STREAM: &str = "ledger.transfers";

fn event(offset: u64, time: u64, bytes: usize) -> Event {
    Event {
        offset: Offset(offset),
        time: TimeMs(time),
        key: offset.is_multiple_of(3).then(|| Bytes::from(format!("key-{offset}"))),
        value: Bytes::from(format!("{offset} ").repeat(bytes / 2 + 1)[..bytes].to_owned()),
        version: 1,
    }
}

fn batch(range: std::ops::Range<u64>) -> Vec<Event> {
    let time = 1_000_000 + range.start;
    range.map(|offset| event(offset, time, 60)).collect()
}

fn open(disk: &CrashDisk, positions: &[(&str, u64)]) -> Result<Streams, Error> {
    let positions = positions
        .iter()
        .map(|(stream, end)| ((*stream).to_owned(), Offset(*end)))
        .collect();
    Streams::open(
        &disk.environment(),
        Path::new(DIRECTORY),
        OPTIONS,
        &positions,
        &Arc::default(),
    )
}

/// Appends events in batches of three, from the stream's end to `to`.
fn fill(streams: &mut Streams, stream: &str, to: u64) {
    let mut from = streams.next(stream).0;
    while from < to {
        let next = (from + 3).min(to);
        let events = batch(from..next);
        streams.append(stream, events[0].time, &events).unwrap();
        if from.is_multiple_of(5) {
            streams.flush().unwrap();
        }
        from = next;
    }
    streams.flush().unwrap();
}

fn expected(range: std::ops::Range<u64>) -> Vec<Event> {
    let all = (0..range.end).step_by(3).flat_map(|from| batch(from..from + 3));
    all.filter(|event| range.contains(&event.offset.0)).collect()
}

fn all(reader: &StreamReader, stream: &str, bytes_max: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let from = events.last().map_or(Offset(0), |event| Offset(event.offset.0 + 1));
        let page = reader.read(stream, from, bytes_max).unwrap().unwrap();
        assert_eq!(Some(page.end), reader.end(stream));
        if page.events.is_empty() {
            assert_eq!(page.end, from);
            return events;
        }
        events.extend(page.events);
    }
}

fn files(disk: &CrashDisk) -> Vec<(PathBuf, Vec<u8>)> {
    disk.paths()
        .into_iter()
        .map(|path| (path.clone(), disk.get(&path)))
        .collect()
}

#[tokio::test]
async fn events_are_read_back_in_pages_of_any_size() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    let reader = streams.reader();
    assert_eq!(reader.read(STREAM, Offset(0), 100).unwrap(), None);
    assert_eq!(
        (
            reader.end(STREAM),
            reader.read_batches(STREAM, Offset(0)..Offset(9), 1).unwrap()
        ),
        (None, None)
    );
    fill(&mut streams, STREAM, 300);
    assert!(files(&disk).len() > 5);
    for bytes_max in [0, 1, 61, 1000, 1 << 20] {
        assert_eq!(all(&reader, STREAM, bytes_max), expected(0..300), "{bytes_max}");
    }
    for from in 0..300 {
        let page = reader.read(STREAM, Offset(from), 1).unwrap().unwrap();
        assert_eq!(page.events, expected(from..from + 1));
        let page = reader.read(STREAM, Offset(from), 200).unwrap().unwrap();
        let bytes: usize = page
            .events
            .iter()
            .map(|event| event.value.len() + event.key.as_ref().map_or(0, Bytes::len))
            .sum();
        assert!(bytes <= 200, "{bytes}");
    }
    let past = reader.read(STREAM, Offset(1000), 100).unwrap().unwrap();
    assert_eq!((past.events, past.end), (vec![], Offset(300)));
}

#[tokio::test]
async fn nothing_is_seen_before_it_is_flushed() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[(STREAM, 0)]).unwrap();
    let reader = streams.reader();
    assert_eq!(reader.end(STREAM), Some(Offset(0)));
    streams.append(STREAM, TimeMs(1), &batch(0..4)).unwrap();
    assert_eq!((streams.next(STREAM), reader.end(STREAM)), (Offset(4), Some(Offset(0))));
    assert_eq!(reader.read(STREAM, Offset(0), 100).unwrap().unwrap().events, []);
    streams.flush().unwrap();
    assert_eq!(reader.end(STREAM), Some(Offset(4)));
}

#[tokio::test]
async fn raw_batches_are_the_bytes_of_the_files() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 100);
    let reader = streams.reader();
    let mut raw = Vec::new();
    let mut from = Offset(0);
    while from < Offset(100) {
        let page = reader.read_batches(STREAM, from..Offset(200), 500).unwrap().unwrap();
        assert_eq!((page.start, page.end), (Offset(0), Offset(100)));
        let mut bytes = page.batches;
        raw.extend_from_slice(&bytes);
        while !bytes.is_empty() {
            let header = super::batch::check(&bytes).unwrap();
            assert_eq!(header.base, from);
            from = header.next;
            drop(bytes.split_to(header.bytes));
        }
        assert_eq!(page.next, from);
    }
    let none = reader.read_batches(STREAM, from..Offset(200), 500).unwrap().unwrap();
    assert_eq!((none.batches, none.next), (Bytes::new(), from));
    let content: Vec<u8> = files(&disk)
        .iter()
        .flat_map(|(_, bytes)| bytes[HEADER_BYTES..].to_vec())
        .collect();
    assert_eq!(raw, content);
}

#[tokio::test]
async fn batches_hold_no_event_outside_of_the_range() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 100);
    let reader = streams.reader();
    for from in 0..100 {
        for until in from + 1..101 {
            let range = Offset(from)..Offset(until);
            let page = reader.read_batches(STREAM, range, 1 << 20).unwrap().unwrap();
            let mut bytes = page.batches;
            let mut events = Vec::new();
            while !bytes.is_empty() {
                let header = super::batch::check(&bytes).unwrap();
                events.extend(super::batch::decode(&bytes.split_to(header.bytes)).unwrap());
            }
            assert_eq!(events, expected(from..page.next.0));
            assert!(page.next > Offset(from) && page.next <= Offset(until));
        }
    }
}

#[tokio::test]
async fn streams_are_cut_back_and_made_again_byte_for_byte() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 300);
    fill(&mut streams, "ledger.other", 30);
    streams.sync().unwrap();
    let whole = files(&disk);
    for end in (0..=300).step_by(3) {
        let disk = disk.kill();
        let mut streams = open(&disk, &[(STREAM, end)]).unwrap();
        let reader = streams.reader();
        assert_eq!(reader.end(STREAM), Some(Offset(end)));
        assert!(files(&disk) == files_of(end), "cut to {end}");
        assert_eq!(reader.end("ledger.other"), None, "what is not named is removed");
        assert_eq!(all(&reader, STREAM, 1000), expected(0..end));
        assert_eq!(
            disk.paths()
                .iter()
                .filter(|path| path.to_string_lossy().contains("other"))
                .count(),
            0
        );
        fill(&mut streams, STREAM, 300);
        fill(&mut streams, "ledger.other", 30);
        assert_eq!(all(&reader, STREAM, 1000), expected(0..300));
        assert!(files(&disk) == whole, "from {end}");
    }
}

/// The files of a stream that never went further.
fn files_of(end: u64) -> Vec<(PathBuf, Vec<u8>)> {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, end);
    files(&disk)
}

#[tokio::test]
async fn events_are_found_anywhere_in_a_large_segment() {
    let disk = CrashDisk::default();
    let large = StreamOptions { segment_bytes: 1 << 20 };
    let mut streams = Streams::open(
        &disk.environment(),
        Path::new(DIRECTORY),
        large,
        &BTreeMap::new(),
        &Arc::default(),
    )
    .unwrap();
    fill(&mut streams, STREAM, 3000);
    streams.sync().unwrap();
    assert_eq!(files(&disk).len(), 1);
    let positions = BTreeMap::from([(STREAM.to_owned(), Offset(3000))]);
    let again = Streams::open(
        &disk.kill().environment(),
        Path::new(DIRECTORY),
        large,
        &positions,
        &Arc::default(),
    )
    .unwrap();
    let wanted = expected(0..3000);
    for from in 0..3000 {
        for reader in [streams.reader(), again.reader()] {
            let page = reader.read(STREAM, Offset(from), 1).unwrap().unwrap();
            assert_eq!(page.events, wanted[from as usize..=from as usize]);
        }
    }
    let extent = again.shared.streams.read()[STREAM].clone();
    let entries = extent.extent.read().segments[0].index.len();
    assert!((40..120).contains(&entries), "sparse: {entries}");
}

#[tokio::test]
async fn a_position_within_a_batch_or_beyond_the_files_is_an_error() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 99);
    drop(streams);
    let error = open(&disk.kill(), &[(STREAM, 50)]).err().unwrap();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let (last, bytes) = files(&disk).pop().unwrap();
    match open(&disk.kill(), &[(STREAM, 102)]).err().unwrap() {
        Error::Short {
            file,
            offset,
            holds,
            wanted,
        } => {
            assert_eq!(
                (file, offset, holds, wanted),
                (last.clone(), bytes.len() as u64, Offset(99), Offset(102))
            );
        }
        other => panic!("{other}"),
    }
    assert!(matches!(
        open(&disk.kill(), &[("ledger.none", 1)]).err().unwrap(),
        Error::Short { .. }
    ));
    // A segment is gone.
    let first = files(&disk)[0].0.clone();
    environment::Disk::remove_file(&disk, &files(&disk)[1].0).unwrap();
    assert!(matches!(
        open(&disk.kill(), &[(STREAM, 99)]).err().unwrap(),
        Error::Damaged { .. }
    ));
    environment::Disk::remove_file(&disk, &first).unwrap();
    assert!(open(&disk.kill(), &[(STREAM, 99)]).is_err());
}

#[tokio::test]
async fn every_damage_before_the_position_names_file_and_offset() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 99);
    drop(streams);
    for (path, whole) in files(&disk) {
        for at in (0..whole.len()).step_by(7) {
            let disk = disk.kill();
            let mut bytes = whole.clone();
            bytes[at] ^= 0x11;
            disk.set(&path, bytes);
            match open(&disk, &[(STREAM, 99)]).err() {
                Some(Error::Damaged { file, offset, .. }) => {
                    assert_eq!(file, path);
                    assert!(offset <= at as u64 && at as u64 - offset < 400, "{offset} for {at}");
                }
                Some(Error::Format(_)) => assert!(at < HEADER_BYTES, "{at}"),
                // Partition leader epoch: no part of what Kafka's checksum covers, and nothing that is read.
                None => assert!(is_epoch(&whole, at), "{at}"),
                Some(other) => panic!("byte {at}: {other}"),
            }
        }
    }
}

fn is_epoch(bytes: &[u8], at: usize) -> bool {
    let mut start = HEADER_BYTES;
    while let Some(Ok(whole)) = super::batch::whole_bytes(&bytes[start..]) {
        if (start..start + whole).contains(&at) {
            return (12..16).contains(&(at - start));
        }
        start += whole;
    }
    false
}

#[tokio::test]
async fn damage_found_while_reading_is_an_error() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 99);
    let reader = streams.reader();
    let path = disk.paths()[0].clone();
    let file = environment::Disk::open(&disk, &path).unwrap();
    file.write_all_at(b"##", 500).unwrap();
    let mut error = None;
    for from in 0..30 {
        error = error.or(reader.read(STREAM, Offset(from), 10).err());
    }
    assert!(matches!(error, Some(Error::Damaged { .. })), "{error:?}");
    assert!(reader.read(STREAM, Offset(60), 10).is_ok());
}

#[tokio::test]
async fn a_newer_format_says_so() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 3);
    let (path, mut bytes) = files(&disk).remove(0);
    bytes[8] = 9;
    disk.set(&path, bytes);
    let error = open(&disk, &[(STREAM, 3)]).err().unwrap();
    assert!(
        matches!(error, Error::Format(crate::format::Error::Newer { found: 9, .. })),
        "{error}"
    );
}

#[tokio::test]
async fn what_was_synced_survives_any_crash() {
    for seed in 0..80 {
        let mut dice = Dice(seed);
        let mut disk = CrashDisk::default();
        let mut synced = 0;
        for _ in 0..4 {
            let positions: Vec<(&str, u64)> = if synced > 0 { vec![(STREAM, synced)] } else { vec![] };
            let mut streams = open(&disk, &positions).unwrap();
            assert_eq!(all_or_none(&streams.reader()), expected(0..synced), "seed {seed}");
            for _ in 0..dice.below(5) {
                let to = streams.next(STREAM).0 + 3 * dice.below(30);
                fill(&mut streams, STREAM, to);
                let job = streams.begin_sync();
                let end = streams.next(STREAM).0;
                // More is written while the sync runs.
                fill(&mut streams, STREAM, end + 3 * dice.below(10));
                if dice.flip() {
                    job.run().unwrap();
                    synced = end;
                } else {
                    // Not run before the crash: nothing may count on it. What follows would lose it: stop here.
                    break;
                }
            }
            disk = disk.crash(&mut dice);
        }
    }
}

fn all_or_none(reader: &StreamReader) -> Vec<Event> {
    match reader.end(STREAM) {
        Some(_) => all(reader, STREAM, 5000),
        None => vec![],
    }
}

#[tokio::test]
async fn batches_larger_than_a_segment_or_a_read_are_fine() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    let events: Vec<Event> = (0..3).map(|offset| event(offset, 5, 1 << 20)).collect();
    streams.append(STREAM, TimeMs(5), &events).unwrap();
    fill(&mut streams, STREAM, 9);
    streams.append(STREAM, TimeMs(6), &[event(9, 6, 3 << 20)]).unwrap();
    streams.flush().unwrap();
    let reader = streams.reader();
    for from in 0..10 {
        let page = reader.read(STREAM, Offset(from), 10).unwrap().unwrap();
        assert_eq!(page.events[0].offset, Offset(from));
    }
    assert_eq!(all(&reader, STREAM, 1 << 21).len(), 10);
    drop(streams);
    assert_eq!(
        all(&open(&disk, &[(STREAM, 10)]).unwrap().reader(), STREAM, 1 << 21).len(),
        10
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 3);
    assert!(matches!(
        streams.append(STREAM, TimeMs(1), &batch(4..5)),
        Err(Error::Order {
            expected: Offset(3),
            ..
        })
    ));
    assert!(matches!(
        streams.append(STREAM, TimeMs(1), &[event(3, 1, 1), event(5, 1, 1)]),
        Err(Error::Order { .. })
    ));
    streams.append(STREAM, TimeMs(1), &[]).unwrap();
    for name in ["", "..", "a/b", "A", ".hidden", "a\0", "é", &"x".repeat(300)] {
        assert!(
            matches!(streams.append(name, TimeMs(1), &batch(0..1)), Err(Error::Name(_))),
            "{name}"
        );
        assert!(open(&disk.kill(), &[(name, 0)]).is_err(), "{name}");
    }
    fill(&mut streams, STREAM, 6);
    assert_eq!(all(&streams.reader(), STREAM, 100), expected(0..6));
}

#[tokio::test]
async fn waits_end_when_the_stream_grows_and_when_it_is_closed() {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    let reader = streams.reader();
    let wait = |beyond: u64| {
        let reader = reader.clone();
        let (ended, end) = oneshot::channel();
        disk.environment().spawn("wait", async move {
            reader.wait_beyond(STREAM, Offset(beyond)).await;
            let _ = ended.send(());
        });
        end
    };
    let (first, mut second, mut third) = (wait(0), wait(3), wait(99));
    tokio::task::yield_now().await;
    fill(&mut streams, STREAM, 3);
    within(first).await;
    tokio::task::yield_now().await;
    assert!(second.try_recv().is_err(), "the end must pass it");
    fill(&mut streams, STREAM, 6);
    within(second).await;
    within(wait(0)).await;
    assert!(third.try_recv().is_err());
    drop(streams);
    within(third).await;
    within(wait(1000)).await;
    // What is there can still be read.
    assert_eq!(all(&reader, STREAM, 100), expected(0..6));
}

async fn within(end: oneshot::Receiver<()>) {
    let environment = environment::real::environment();
    environment::timeout(&environment, Duration::from_secs(30), end)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn on_real_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let environment = environment::real::environment();
    let path = directory.path().join("streams");
    let mut streams = Streams::open(&environment, &path, OPTIONS, &BTreeMap::new(), &Arc::default()).unwrap();
    fill(&mut streams, STREAM, 300);
    streams.sync().unwrap();
    drop(streams);
    assert!(path.join(STREAM).join("00000000000000000000.segment").exists());
    let positions = BTreeMap::from([(STREAM.to_owned(), Offset(150))]);
    let mut streams = Streams::open(&environment, &path, OPTIONS, &positions, &Arc::default()).unwrap();
    fill(&mut streams, STREAM, 300);
    assert_eq!(all(&streams.reader(), STREAM, 1000), expected(0..300));
}

#[tokio::test]
async fn segments_are_listed_found_missing_and_put_in_place() {
    let disk = CrashDisk::default();
    let environment = disk.environment();
    let disk_of = &*environment.disk;
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 300);
    streams.sync().unwrap();
    let mut known = KnownDigests::default();
    let listing = streams.listing();
    let wanted = listing.extents(disk_of, &mut known).unwrap();
    listing.check(disk_of).unwrap();
    assert!(wanted[STREAM].segments.len() > 3);
    let before = files(&disk);
    // Another node has a part of it, something of its own behind, and a stream that the snapshot does not know.
    fill(&mut streams, STREAM, 420);
    fill(&mut streams, "other.stream", 9);
    drop(streams);
    let home = Path::new(DIRECTORY);
    let moved = wanted[STREAM].segments[1];
    let (from, to) = (Path::new("incoming"), segment_path(home, STREAM, moved.base));
    assert_eq!(missing(disk_of, home, &wanted).unwrap(), []);
    disk_of.create_dir_all(&from.join(STREAM)).unwrap();
    disk_of.rename(&to, &segment_path(from, STREAM, moved.base)).unwrap();
    assert_eq!(missing(disk_of, home, &wanted).unwrap(), [(STREAM.to_owned(), moved)]);
    place(disk_of, home, &wanted, from).unwrap();
    // A second time changes nothing.
    place(disk_of, home, &wanted, from).unwrap();
    assert_eq!(files(&disk), before);
    let streams = open(&disk, &[(STREAM, 300)]).unwrap();
    assert_eq!(all(&streams.reader(), STREAM, 1000), expected(0..300));
}

#[tokio::test]
async fn a_flipped_byte_is_found_by_a_check_and_by_whoever_looks_for_the_segment() {
    let disk = CrashDisk::default();
    let environment = disk.environment();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 200);
    let listing = streams.listing();
    let wanted = listing
        .extents(&*environment.disk, &mut KnownDigests::default())
        .unwrap();
    let first = segment_path(Path::new(DIRECTORY), STREAM, Offset(0));
    let whole = disk.get(&first);
    for at in [3, 40, 700, whole.len() - 1] {
        let file = environment.disk.open(&first).unwrap();
        file.write_all_at(&[whole[at] ^ 1], at as u64).unwrap();
        assert!(listing.check(&*environment.disk).is_err(), "byte {at}");
        // A snapshot that named these bytes would have the damage taken for what everybody should hold.
        let named = listing.extents(&*environment.disk, &mut KnownDigests::default());
        assert!(named.is_err(), "byte {at}");
        let missing = missing(&*environment.disk, Path::new(DIRECTORY), &wanted).unwrap();
        assert_eq!(missing.len(), 1, "byte {at}");
        file.write_all_at(&[whole[at]], at as u64).unwrap();
    }
    listing.check(&*environment.disk).unwrap();
}
