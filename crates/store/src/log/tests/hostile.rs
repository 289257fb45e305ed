//! A log whose files were tampered with: it opens with the records that it had, as far as they go, or says why not.

use proptest::prelude::*;

use super::*;
use crate::allocations::peak_bytes;
use crate::mutations::{cases, hostile, mutated};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// The files of a log of three segments, with a vote and a commit.
fn written() -> Vec<(PathBuf, Vec<u8>)> {
    static FILES: std::sync::OnceLock<Vec<(PathBuf, Vec<u8>)>> = std::sync::OnceLock::new();
    let make = || {
        block_on(async {
            let disk = CrashDisk::default();
            let log = open(&disk).log;
            log.save_vote(Vote {
                term: Term(3),
                node: Some(NodeId(2)),
                committed: true,
            })
            .unwrap();
            for index in 1..=250 {
                append(&log, records(index..=index, 1)).await.unwrap();
            }
            log.save_committed(Some((Index(240), Term(1)))).unwrap();
            log.shutdown().await;
            disk.paths()
                .into_iter()
                .map(|path| (path.clone(), disk.get(&path)))
                .collect()
        })
    };
    FILES.get_or_init(make).clone()
}

/// Which file, and what became of it.
fn tampered() -> impl Strategy<Value = (PathBuf, Vec<u8>)> {
    let files = written();
    (0..files.len()).prop_flat_map(move |which| {
        let (path, bytes) = files[which].clone();
        mutated(vec![bytes]).prop_map(move |bytes| (path.clone(), bytes))
    })
}

fn frames() -> Vec<Vec<u8>> {
    let frame = |bytes: usize| {
        let record = record(7, 3, bytes);
        let mut out = Vec::new();
        record::Frame::of(&record, 96).encode(&record.payload, 5, 128, &mut out);
        out
    };
    [0, 3, 40, 200].map(frame).to_vec()
}

fn page() -> Vec<u8> {
    write_page(&[record(7, 3, 0), record(8, 3, 40), record(9, 4, 200)])
}

/// With the checksum that its first frame would have: else few come past it.
fn resealed(mut page: Vec<u8>) -> Vec<u8> {
    let length = page
        .first_chunk::<4>()
        .map(|length| u32::from_le_bytes(*length) as usize);
    if let Some(frame) = length.and_then(|length| page.get(8..record::frame_bytes(length.min(1 << 20)))) {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&[0; 4]), &page[..4]);
        let checksum = crc32c::crc32c_append(checksum, frame);
        page[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
    page
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn pages_are_read(bytes in hostile(vec![page()]), reseal: bool) {
        let bytes = Bytes::from(if reseal { resealed(bytes) } else { bytes });
        let (read, peak) = peak_bytes(|| read_page(&bytes));
        prop_assert!(peak <= (8 << 10) + 64 * bytes.len(), "{peak} for {}", bytes.len());
        if let Ok(records) = read {
            let again = Bytes::from(write_page(&records));
            prop_assert_eq!(read_page(&again), Ok(records));
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_tampered_log_gives_what_it_had_or_says_why_not((path, bytes) in tampered()) {
        block_on(async {
            let disk = CrashDisk::default();
            for (name, original) in written() {
                let directory = name.parent().unwrap();
                disk.environment().disk.create_dir_all(directory).unwrap();
                disk.set(&name, original);
            }
            disk.set(&path, bytes);
            let opened = Log::open(&disk.environment(), Path::new(DIRECTORY), IDENTITY, OPTIONS);
            let Ok(Opened { log, .. }) = opened else { return Ok(()) };
            let found = all(&log);
            prop_assert!(records(1..=250, 1).starts_with(&found), "other records after {path:?} was changed");
            // What is there can be built upon.
            let next = log.last().map_or(1, |(index, _)| index.0 + 1);
            append(&log, records(next..=next + 2, 9)).await.unwrap();
            log.shutdown().await;
            Ok(())
        })?;
    }

    #[test]
    fn frames_are_read(bytes in hostile(frames()), salt in prop::sample::select(&[5_u32, 6][..])) {
        let (decoded, peak) = peak_bytes(|| record::Frame::decode(&bytes, salt, 128));
        prop_assert_eq!(peak, 0, "a frame is read in place");
        if let record::Decoded::Frame(frame) = decoded {
            let payload = &bytes[record::HEADER_BYTES..record::HEADER_BYTES + frame.payload_bytes as usize];
            let mut again = Vec::new();
            frame.encode(payload, salt, 128, &mut again);
            prop_assert_eq!(record::Frame::decode(&again, salt, 128), record::Decoded::Frame(frame));
        }
    }
}
