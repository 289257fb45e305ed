//! Torn tails are cut; damage to what was safe is an error that names the place.

use super::*;

/// A log of three segments, closed in order, as bytes of its last two segments.
async fn written(disk: &CrashDisk) -> Vec<PathBuf> {
    let log = open(disk).log;
    for index in 1..=250 {
        append(&log, records(index..=index, 1)).await.unwrap();
    }
    log.shutdown().await;
    let mut paths = segments(disk);
    paths.retain(|path| disk.get(path).iter().any(|byte| *byte != 0));
    assert!(paths.len() >= 3);
    paths
}

fn reopen(disk: &CrashDisk) -> Result<Opened, Error> {
    Log::open(&disk.environment(), Path::new(DIRECTORY), IDENTITY, OPTIONS)
}

/// Where the last record's frame begins and ends.
fn last_frame(bytes: &[u8]) -> (usize, usize) {
    let salt = |sequence| segment::salt(IDENTITY, sequence);
    let sequence = record::eight(bytes, 32);
    let scan = segment::scan_last(bytes, salt(sequence)).unwrap();
    let frames = scan.frames.iter().rev();
    let (at, frame) = frames
        .clone()
        .find(|(_, frame)| frame.tag == record::Tag::Record)
        .unwrap();
    let at = *at as usize;
    (at, at + record::frame_bytes(frame.payload_bytes as usize))
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_with_a_warning() {
    let disk = CrashDisk::default();
    let last = written(&disk).await.pop().unwrap();
    let whole = disk.get(&last);
    let (from, to) = last_frame(&whole);
    for cut in from..to {
        // Either zeros are left behind the tear, or the file ends there.
        for shorter in [false, true] {
            let disk = disk.kill();
            let mut bytes = whole[..cut].to_vec();
            if !shorter {
                bytes.resize(whole.len(), 0);
            }
            let torn = bytes[from..].iter().any(|byte| *byte != 0);
            let intact = bytes.get(from..to) == whole.get(from..to);
            disk.set(&last, bytes);
            let Opened { log, warnings } = reopen(&disk).unwrap();
            // The padding of a frame is zeros anyway.
            let count = if intact { 250 } else { 249 };
            assert!(all(&log) == records(1..=count, 1), "cut at {cut}: {log:?}");
            assert_eq!(
                warnings.len(),
                usize::from(torn && count == 249),
                "cut at {cut}: {warnings:?}"
            );
            assert!(
                warnings
                    .iter()
                    .all(|warning| warning.contains("torn") && warning.contains(last.to_str().unwrap()))
            );
            let tail = if count == 250 { to } else { from };
            let left = disk.get(&last);
            assert!(
                left[tail.min(left.len())..].iter().all(|byte| *byte == 0),
                "cut at {cut}"
            );
            // And it goes on from there.
            append(&log, records(count + 1..=count + 3, 2)).await.unwrap();
            log.shutdown().await;
            let Opened { log, warnings } = reopen(&disk).unwrap();
            assert_eq!(warnings, Vec::<String>::new());
            assert_eq!(
                all(&log),
                [records(1..=count, 1), records(count + 1..=count + 3, 2)].concat()
            );
            log.shutdown().await;
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_in_what_was_durable_is_damage() {
    let disk = CrashDisk::default();
    let paths = written(&disk).await;
    for (nth, path) in paths.iter().enumerate() {
        let whole = disk.get(path);
        let (_, end) = last_frame(&whole);
        for at in (HEADER_BYTES..end).step_by(37) {
            let disk = disk.kill();
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            disk.set(path, bytes);
            match reopen(&disk) {
                Err(Error::Damaged { file, offset, .. }) => {
                    assert_eq!(&file, path);
                    assert!(offset <= at as u64 && at as u64 - offset < 200, "{offset} for {at}");
                }
                other => panic!("segment {nth}, byte {at}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_record_zeroed_out_is_damage() {
    let disk = CrashDisk::default();
    let paths = written(&disk).await;
    for path in &paths {
        let disk = disk.kill();
        let mut bytes = disk.get(path);
        bytes[256..1024].fill(0);
        disk.set(path, bytes);
        assert!(matches!(reopen(&disk), Err(Error::Damaged { .. })));
    }
}

#[tokio::test]
async fn damage_found_while_reading_is_an_error() {
    let disk = CrashDisk::default();
    let paths = written(&disk).await;
    let log = open(&disk).log;
    // A record's payload: what else stands in a segment, and so where a record stands, depends on the writer's leisure.
    let (from, _) = last_frame(&disk.get(&paths[0]));
    let payload = from + record::HEADER_BYTES;
    // Under the open log's feet: the file keeps its name, and the log its handle, so go through the same content.
    let file = environment::Disk::open(&disk, &paths[0]).unwrap();
    file.write_all_at(b"xx", payload as u64).unwrap();
    let error = log.read(Index(1), Index(250), usize::MAX).unwrap_err();
    assert!(
        matches!(&error, Error::Damaged { file, .. } if *file == paths[0]),
        "{error}"
    );
    log.shutdown().await;
}

#[tokio::test]
async fn a_header_that_cannot_be_read_says_so() {
    let disk = CrashDisk::default();
    let paths = written(&disk).await;
    for path in &paths {
        let whole = disk.get(path);
        for at in 0..HEADER_BYTES {
            let disk = disk.kill();
            let mut bytes = whole.clone();
            bytes[at] ^= 0x08;
            disk.set(path, bytes);
            let error = reopen(&disk).unwrap_err();
            assert!(matches!(error, Error::Format(_)), "byte {at}: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
    }
}

#[tokio::test]
async fn a_newer_format_and_a_foreign_log_are_named() {
    let disk = CrashDisk::default();
    let paths = written(&disk).await;
    let mut bytes = disk.get(&paths[1]);
    bytes[8] = 2;
    let newer = disk.kill();
    newer.set(&paths[1], bytes);
    let error = reopen(&newer).unwrap_err();
    assert!(
        matches!(error, Error::Format(format::Error::Newer { found: 2, known: 1, .. })),
        "{error}"
    );
    for identity in [
        Identity {
            node: NodeId(4),
            ..IDENTITY
        },
        Identity {
            cluster: ClusterId(1),
            ..IDENTITY
        },
    ] {
        let error = Log::open(&disk.environment(), Path::new(DIRECTORY), identity, OPTIONS).unwrap_err();
        assert!(matches!(error, Error::Format(format::Error::Foreign { .. })), "{error}");
        assert!(
            error.to_string().contains("node 3 of cluster 000000000000feed"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_missing_segment_is_noticed() {
    let disk = CrashDisk::default();
    let paths = written(&disk).await;
    for missing in &paths[..paths.len() - 1] {
        let disk = disk.kill();
        environment::Disk::remove_file(&disk, missing).unwrap();
        let error = reopen(&disk).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        // Nothing else was removed because of it.
        assert!(
            paths
                .iter()
                .filter(|path| *path != missing)
                .all(|path| disk.paths().contains(path))
        );
    }
}

#[tokio::test]
async fn a_missing_segment_is_noticed_after_a_purge_that_does_not_explain_it() {
    let disk = CrashDisk::default();
    let paths = written(&disk).await;
    let log = open(&disk).log;
    purge(&log, 5, 1).await.unwrap();
    log.shutdown().await;
    environment::Disk::remove_file(&disk, &paths[0]).unwrap();
    let error = reopen(&disk).unwrap_err();
    assert!(
        matches!(error, Error::Missing { from: Index(6), to, .. } if to > Index(50)),
        "{error}"
    );
}

#[tokio::test]
async fn purged_segments_that_come_back_are_no_gap() {
    let disk = CrashDisk::default();
    let paths = written(&disk).await;
    let old = disk.get(&paths[0]);
    let log = open(&disk).log;
    purge(&log, 240, 1).await.unwrap();
    log.shutdown().await;
    assert!(!disk.paths().contains(&paths[1]));
    // The first segment's removal was lost, the second one's was not.
    disk.set(&paths[0], old);
    let Opened { log, warnings } = open(&disk);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(all(&log), records(241..=250, 1));
    assert!(!disk.paths().contains(&paths[0]));
    log.shutdown().await;
}

#[tokio::test]
async fn a_torn_vote_leaves_the_one_before_and_two_are_damage() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    let votes = [1, 2].map(|term| Vote {
        term: Term(term),
        node: Some(NodeId(9)),
        committed: false,
    });
    log.save_vote(votes[0]).unwrap();
    log.save_vote(votes[1]).unwrap();
    log.shutdown().await;
    let path = Path::new(DIRECTORY).join("vote");
    let whole = disk.get(&path);
    for at in 0..whole.len() {
        let disk = disk.kill();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        disk.set(&path, bytes);
        let Opened { log, warnings } = reopen(&disk).unwrap();
        // The first save went to the first slot, over the older of the two that a new file has.
        let left = if at < 512 { votes[1] } else { votes[0] };
        assert_eq!(log.read_vote(), Some(left), "byte {at}");
        assert!(warnings.iter().any(|warning| warning.contains("vote")), "{warnings:?}");
        log.shutdown().await;
    }
    let mut bytes = whole.clone();
    bytes[100] ^= 1;
    bytes[700] ^= 1;
    disk.set(&path, bytes);
    let error = reopen(&disk).unwrap_err();
    assert!(
        matches!(error, Error::Format(format::Error::Unreadable { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_committed_position_that_cannot_be_read_is_none() {
    let disk = CrashDisk::default();
    let log = open(&disk).log;
    append(&log, records(1..=5, 1)).await.unwrap();
    log.save_committed(Some((Index(3), Term(1)))).unwrap();
    log.shutdown().await;
    disk.set(&Path::new(DIRECTORY).join("committed"), vec![7; 100]);
    let Opened { log, .. } = reopen(&disk).unwrap();
    assert_eq!(log.read_committed(), None);
    log.save_committed(Some((Index(4), Term(1)))).unwrap();
    log.shutdown().await;
    assert_eq!(open(&disk).log.read_committed(), Some((Index(4), Term(1))));
}
