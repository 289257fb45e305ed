//! Trimmed streams: what readers see, which files go, and what any crash in between leaves.

use super::*;

fn starts(start: u64) -> Arc<BTreeMap<String, Offset>> {
    Arc::new(BTreeMap::from([(STREAM.to_owned(), Offset(start))]))
}

fn open_at(disk: &CrashDisk, start: u64, end: u64) -> Result<Streams, Error> {
    let positions = BTreeMap::from([(STREAM.to_owned(), Offset(end))]);
    Streams::open(
        &disk.environment(),
        Path::new(DIRECTORY),
        OPTIONS,
        &positions,
        &starts(start),
    )
}

/// The first offsets of the files.
fn bases(disk: &CrashDisk) -> Vec<u64> {
    let bases = disk.paths().into_iter().map(|path| segment::base_of(&path).unwrap().0);
    bases.collect()
}

fn filled() -> (CrashDisk, Streams) {
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 300);
    streams.sync().unwrap();
    (disk, streams)
}

fn from_start(reader: &StreamReader) -> Vec<Event> {
    let extent = reader.spans().remove(STREAM).unwrap();
    let mut events: Vec<Event> = Vec::new();
    let mut next = extent.start;
    while next < extent.end {
        let page = reader.read(STREAM, next, 1000).unwrap().unwrap();
        assert_eq!((page.start, page.end), (extent.start, extent.end));
        events.extend(page.events);
        next = Offset(events.last().unwrap().offset.0 + 1);
    }
    events
}

#[tokio::test]
async fn readers_are_told_at_once_where_a_trimmed_stream_begins() {
    let (disk, mut streams) = filled();
    let (reader, files_before) = (streams.reader(), files(&disk));
    // Within a batch, too: the start is an offset, whatever lies around it.
    streams.trim(&starts(100));
    for from in [0, 50, 99] {
        match reader.read(STREAM, Offset(from), 100) {
            Err(Error::Trimmed { start, .. }) => assert_eq!(start, Offset(100)),
            other => panic!("{other:?}"),
        }
        let raw = reader.read_batches(STREAM, Offset(from)..Offset(300), 1);
        assert!(matches!(raw, Err(Error::Trimmed { .. })));
    }
    assert_eq!(from_start(&reader), expected(100..300));
    // Starts that come late change nothing.
    streams.trim(&starts(90));
    assert_eq!(reader.spans()[STREAM].start, Offset(100));
    assert!(
        files(&disk) == files_before,
        "no file is touched before the start is durable"
    );
}

#[tokio::test]
async fn whole_segments_go_and_the_last_one_stays() {
    let (disk, mut streams) = filled();
    let all = bases(&disk);
    assert!(all.len() > 5, "{all:?}");
    let last = all.len() - 1;
    for (start, first) in [(all[2] - 1, 1), (all[2], 2), (all[2] + 1, 2), (299, last), (300, last)] {
        streams.trim(&starts(start));
        assert!(streams.is_trimmed_anew());
        let trimmed = streams.trimmed();
        assert!(!streams.is_trimmed_anew());
        streams.remove_trimmed(&trimmed).run().unwrap();
        assert_eq!(bases(&disk), all[first..], "from {start}");
        let extent = streams.reader().spans().remove(STREAM).unwrap();
        let kept: Vec<u64> = extent.segments.iter().map(|segment| segment.base.0).collect();
        assert_eq!(kept, all[first..]);
        assert_eq!(from_start(&streams.reader()), expected(start..300));
    }
    // It is written on as if nothing had happened.
    fill(&mut streams, STREAM, 390);
    assert_eq!(from_start(&streams.reader()), expected(300..390));
    assert_same_as_never_trimmed(&disk, 390);
}

#[tokio::test]
async fn the_segment_in_which_the_durable_state_ends_outlives_a_new_one() {
    let (disk, _) = filled();
    let last = *bases(&disk).last().unwrap();
    // The checkpoint is taken where a segment is full and the next one is not begun.
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, last);
    streams.trim(&starts(last));
    streams.sync().unwrap();
    let trimmed = streams.trimmed();
    fill(&mut streams, STREAM, 300);
    streams.remove_trimmed(&trimmed).run().unwrap();
    drop(streams);
    let mut streams = open_at(&disk.kill(), last, last).unwrap();
    fill(&mut streams, STREAM, 300);
    assert_eq!(from_start(&streams.reader()), expected(last..300));
}

#[tokio::test]
async fn a_listing_names_what_is_needed_and_holds_it_as_long_as_somebody_looks() {
    let (disk, mut streams) = filled();
    let environment = disk.environment();
    let all = bases(&disk);
    let looked_at = streams.listing();
    streams.trim(&starts(all[2] + 1));
    let listing = streams.listing();
    let named = listing
        .extents(&*environment.disk, &mut KnownDigests::default())
        .unwrap();
    let named: Vec<u64> = named[STREAM].segments.iter().map(|segment| segment.base.0).collect();
    assert_eq!(named, all[2..]);
    drop(listing);
    let trimmed = streams.trimmed();
    streams.remove_trimmed(&trimmed).run().unwrap();
    looked_at.check(&*environment.disk).unwrap();
    streams.remove_postponed().run().unwrap();
    assert_eq!(bases(&disk), all, "somebody looks");
    drop(looked_at);
    streams.remove_postponed().run().unwrap();
    assert_eq!(bases(&disk), all[2..]);
}

#[tokio::test]
async fn a_snapshot_of_a_trimmed_stream_is_put_in_place() {
    let (disk, mut streams) = filled();
    let environment = disk.environment();
    let all = bases(&disk);
    streams.trim(&starts(all[2] + 1));
    let listing = streams.listing();
    let wanted = listing
        .extents(&*environment.disk, &mut KnownDigests::default())
        .unwrap();
    drop(streams);
    // Here nothing is trimmed yet, and one segment is missing.
    let (from, moved) = (Path::new("incoming"), wanted[STREAM].segments[1]);
    let home = Path::new(DIRECTORY);
    environment.disk.create_dir_all(&from.join(STREAM)).unwrap();
    let there = segment_path(home, STREAM, moved.base);
    let on_its_way = segment_path(from, STREAM, moved.base);
    environment.disk.rename(&there, &on_its_way).unwrap();
    place(&*environment.disk, home, &wanted, from).unwrap();
    assert_eq!(bases(&disk), all[2..]);
    let streams = open_at(&disk, all[2] + 1, 300).unwrap();
    assert_eq!(from_start(&streams.reader()), expected(all[2] + 1..300));
}

#[tokio::test]
async fn segments_that_a_crash_brought_back_are_removed() {
    let (disk, _) = filled();
    let (all, paths) = (bases(&disk), disk.paths());
    // All of them, or any: what lies before the start need not be whole.
    for gone in [vec![], vec![0], vec![1], vec![0, 2], vec![0, 1, 2]] {
        let disk = disk.kill();
        for at in gone {
            environment::Disk::remove_file(&disk, &paths[at]).unwrap();
        }
        let streams = open_at(&disk, all[3] + 2, 300).unwrap();
        assert_eq!(bases(&disk), all[3..]);
        assert_eq!(from_start(&streams.reader()), expected(all[3] + 2..300));
    }
    // Nor readable.
    let damaged = disk.kill();
    damaged.set(&paths[0], b"garbage".to_vec());
    assert!(open_at(&damaged, all[3], 300).is_ok());
}

#[tokio::test]
async fn files_that_begin_behind_the_start_are_damage_and_named() {
    let (disk, _) = filled();
    let (all, paths) = (bases(&disk), disk.paths());
    for (gone, start, named) in [(0, 0, 1), (0, all[1] - 1, 1), (2, all[2], 3), (2, all[1] + 1, 3)] {
        let disk = disk.kill();
        for path in &paths[gone..named] {
            environment::Disk::remove_file(&disk, path).unwrap();
        }
        match open_at(&disk, start, 300).err() {
            Some(Error::Damaged { file, .. }) => assert_eq!(file, paths[named], "{start}"),
            other => panic!("{other:?}"),
        }
    }
    // All of it is trimmed: the last segment must be there all the same.
    let empty = disk.kill();
    for path in &paths {
        environment::Disk::remove_file(&empty, path).unwrap();
    }
    assert!(matches!(open_at(&empty, 300, 300).err(), Some(Error::Short { .. })));
}

#[tokio::test]
async fn any_crash_leaves_what_the_state_asks_for_and_replay_makes_the_same_files() {
    let mut removals = 0;
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let mut disk = CrashDisk::default();
        // What the last checkpoint says.
        let (mut start, mut end) = (0, 0);
        for _ in 0..5 {
            let mut streams = match end {
                0 => open(&disk, &[]).unwrap(),
                _ => open_at(&disk, start, end).unwrap_or_else(|error| panic!("seed {seed}: {error}")),
            };
            if end > 0 {
                assert_eq!(from_start(&streams.reader()), expected(start..end), "seed {seed}");
            }
            for _ in 0..dice.below(4) {
                let to = streams.next(STREAM).0 + 3 * dice.below(80);
                fill(&mut streams, STREAM, to);
                if to == 0 {
                    continue;
                }
                if dice.flip() {
                    streams.trim(&starts(start + dice.below(to - start + 1)));
                }
                let (job, trimmed) = (streams.begin_sync(), streams.trimmed());
                let start_then = streams.reader().spans()[STREAM].start.0;
                // More is applied while the checkpoint is written.
                fill(&mut streams, STREAM, to + 3 * dice.below(40));
                if dice.flip() {
                    streams.trim(&starts(to));
                }
                job.run().unwrap();
                if dice.flip() {
                    // The state itself was not written any more.
                    break;
                }
                (start, end) = (start_then, to);
                let removal = streams.remove_trimmed(&trimmed);
                if dice.flip() {
                    removal.run().unwrap();
                    removals += 1;
                }
            }
            disk = disk.crash(&mut dice);
        }
        if end > 0 {
            let mut streams = open_at(&disk, start, end).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            fill(&mut streams, STREAM, end + 90);
            assert_eq!(from_start(&streams.reader()), expected(start..end + 90), "seed {seed}");
            assert_same_as_never_trimmed(&disk, end + 90);
        }
    }
    assert!(removals > 50, "{removals}");
}

/// The files are the last ones of a stream that was never trimmed and never crashed.
fn assert_same_as_never_trimmed(disk: &CrashDisk, end: u64) {
    let (here, whole) = (files(disk), files_of(end));
    assert!(!here.is_empty() && here.len() <= whole.len());
    assert!(here == whole[whole.len() - here.len()..]);
}
