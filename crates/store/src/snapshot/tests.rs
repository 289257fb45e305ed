use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use environment::real::RealDisk;
use machine::{ClusterId, Index, NODE_TABLE, Row, RowSums, Shape, StateDigest, TableId, Term};

use super::*;
use crate::state::{Backend, MemoryBackend};

fn row(bytes: usize) -> Row {
    Row {
        shape: Shape(2),
        document: vec![7; bytes].into(),
    }
}

/// Rows of several tables, small and large, and one of the node's own.
fn rows() -> MemoryBackend {
    let backend = MemoryBackend::default();
    let mut batch = vec![
        (TableId(0), Bytes::from_static(b"position"), Some(row(40))),
        (NODE_TABLE, Bytes::from_static(b"members"), Some(row(10))),
        (TableId(17), Bytes::from_static(b"large"), Some(row(3 << 20))),
    ];
    for number in 0_u32..5000 {
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        batch.push((TableId(16), key, Some(row(number as usize % 300))));
    }
    backend.write(batch).unwrap();
    backend
}

fn header(backend: &MemoryBackend) -> Header {
    let mut sums = RowSums::default();
    let add = &mut |table, key: &[u8], row: &Row| {
        sums.add(table, key, row);
        true
    };
    backend.view().rows(add).unwrap();
    Header {
        cluster: ClusterId(9),
        index: Index(77),
        term: Term(3),
        digest: StateDigest {
            rows: sums.digested,
            history: 5,
        },
        members: Bytes::from_static(b"members"),
        streams: [(
            "ledger.transfers".to_owned(),
            StreamExtent {
                end: machine::Offset(12),
                segments: vec![SegmentExtent {
                    base: machine::Offset(0),
                    bytes: 400,
                    digest: 1 << 100,
                }],
            },
        )]
        .into(),
    }
}

fn read_all(path: &Path) -> Result<(Header, MemoryBackend), Error> {
    let reader = Reader::open(&RealDisk, path)?;
    let header = reader.header().clone();
    let backend = MemoryBackend::default();
    reader.rows(|table, key, row| backend.write(vec![(table, key, Some(row))]).map_err(Error::from))?;
    Ok((header, backend))
}

#[test]
fn what_was_written_is_read_without_the_nodes_own_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let backend = rows();
    let header = header(&backend);
    let totals = write(&RealDisk, &path, &header, &*backend.view()).unwrap();
    assert_eq!(totals.rows, 5002);
    let (read, found) = read_all(&path).unwrap();
    assert_eq!(read, header);
    backend
        .write(vec![(NODE_TABLE, Bytes::from_static(b"members"), None)])
        .unwrap();
    let list = |backend: &MemoryBackend| {
        let mut all = Vec::new();
        let push = &mut |table, key: &[u8], row: &Row| {
            all.push((table, key.to_vec(), row.clone()));
            true
        };
        backend.view().rows(push).unwrap();
        all
    };
    assert_eq!(list(&found), list(&backend));
}

#[test]
fn rows_that_are_not_what_the_digest_says_are_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let backend = rows();
    let header = header(&backend);
    let changed = Bytes::copy_from_slice(&5_u32.to_be_bytes());
    backend.write(vec![(TableId(16), changed, Some(row(4)))]).unwrap();
    let error = write(&RealDisk, &directory.path().join("x"), &header, &*backend.view()).unwrap_err();
    assert!(matches!(error, Error::Rows { .. }), "{error}");
}

#[test]
fn every_flipped_or_missing_byte_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let backend = MemoryBackend::default();
    let some = [1_u32, 2, 3].map(|number| {
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        (TableId(16), key, Some(row(20)))
    });
    backend.write(some.into()).unwrap();
    write(&RealDisk, &path, &header(&backend), &*backend.view()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        assert!(read_all(&path).is_err(), "byte {at} flipped");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(read_all(&path).is_err(), "cut to {at} bytes");
    }
    std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(read_all(&path).is_err(), "a byte more");
}

#[test]
fn a_block_that_says_it_is_huge_is_refused_before_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let mut bytes = crate::format::SNAPSHOT.prefix().to_vec();
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    bytes.extend_from_slice(&[0; 64]);
    std::fs::write(&path, bytes).unwrap();
    let error = read_all(&path).err().unwrap().to_string();
    assert!(error.contains("at most"), "{error}");
}

#[test]
fn the_newest_whole_one_is_found_and_half_written_ones_go() {
    let directory = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(Arc::new(RealDisk), directory.path()).unwrap();
    let backend = rows();
    for index in [5, 9] {
        let header = Header {
            index: Index(index),
            ..header(&backend)
        };
        let path = snapshots.path_unfinished(Index(index));
        write(&RealDisk, &path, &header, &*backend.view()).unwrap();
        snapshots.finish(Index(index)).unwrap();
        snapshots.check(Index(index)).unwrap();
    }
    std::fs::write(snapshots.path_unfinished(Index(11)), b"half").unwrap();
    let snapshots = Snapshots::open(Arc::new(RealDisk), directory.path()).unwrap();
    assert_eq!(snapshots.list().unwrap(), [Index(5), Index(9)]);
    std::fs::write(snapshots.path(Index(9)), b"damaged").unwrap();
    let (newest, wrong) = snapshots.newest().unwrap();
    assert_eq!(newest.map(|header| header.index), Some(Index(5)));
    assert_eq!(wrong.len(), 1);
    snapshots.remove(Index(5)).unwrap();
    assert_eq!(snapshots.list().unwrap(), [Index(9)]);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;
    use crate::allocations::peak_bytes;
    use crate::mutations::{cases, hostile};

    /// A small snapshot, as its file.
    fn written() -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let backend = MemoryBackend::default();
        let some = [1_u32, 2, 3].map(|number| {
            let key = Bytes::copy_from_slice(&number.to_be_bytes());
            (TableId(16), key, Some(row(20)))
        });
        backend.write(some.into()).unwrap();
        write(&RealDisk, &path, &header(&backend), &*backend.view()).unwrap();
        std::fs::read(&path).unwrap()
    }

    /// With the checksum that the block which begins there would have: else few come past it.
    fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let at = crate::format::Format::PREFIX_BYTES;
        let length = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>().copied());
        let end = length.and_then(|length| (at + 8).checked_add(u32::from_le_bytes(length) as usize));
        if let Some(block) = end.and_then(|end| bytes.get(at + 8..end)) {
            let checksum = crc32c::crc32c(block);
            bytes[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        }
        bytes
    }

    proptest! {
        #![proptest_config(cases(500))]

        #[test]
        fn a_tampered_snapshot_is_refused(bytes in hostile(vec![written()]), reseal: bool) {
            let bytes = if reseal { resealed(bytes) } else { bytes };
            let original = written();
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("x");
            std::fs::write(&path, &bytes).unwrap();
            let (read, peak) = peak_bytes(|| read_all(&path));
            // A block is read as a whole, and a file that is shorter than its block says is no reason to make room for it.
            prop_assert!(peak <= (1 << 20) + 64 * bytes.len(), "{peak} for {}", bytes.len());
            // What a block says of itself is all that a checksum can hold against it: the header's words may be others.
            prop_assert!(read.is_err() || bytes == original || reseal);
        }
    }
}
