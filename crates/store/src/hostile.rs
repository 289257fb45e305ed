//! What lies on disk, given bytes that nobody of good will left there: each decoder answers without a panic and without
//! allocating more than the bytes account for, and what it accepts it writes again with the same meaning.

use std::path::Path;

use bytes::Bytes;
use machine::{Event, Offset, TimeMs};
use proptest::prelude::*;

use crate::allocations::peak_bytes;
use crate::mutations::{cases, hostile};
use crate::streams::batch;

/// What a decoder may hold for each byte that is there, and for none: errors are texts with a path.
fn may_hold(bytes: usize) -> usize {
    (8 << 10) + 64 * bytes
}

fn events(count: u64) -> Vec<Event> {
    let event = |offset: u64| Event {
        offset: Offset(300 + offset),
        time: TimeMs(1_700_000_000_000),
        key: offset.is_multiple_of(2).then(|| Bytes::from(format!("key-{offset}"))),
        value: Bytes::from(format!("{{\"n\":{offset}}}")),
        version: 1 + (offset % 2) as u16,
    };
    (0..count).map(event).collect()
}

fn batch_of(count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    batch::encode(
        TimeMs(1_700_000_000_000),
        events(count).iter().map(Event::view),
        &mut out,
    );
    out
}

/// With the checksum that they would have, had they been written so: else few come past it.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() > 21 {
        let checksum = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn batches_are_read(bytes in hostile(vec![batch_of(1), batch_of(2), batch_of(20)]), reseal: bool) {
        let bytes = Bytes::from(if reseal { resealed(bytes) } else { bytes });
        let (decoded, peak) = peak_bytes(|| {
            let _ = batch::whole_bytes(&bytes);
            batch::check(&bytes).and_then(|header| {
                let whole = bytes.slice(..header.bytes);
                batch::decode(&whole).map(|events| (header, events))
            })
        });
        prop_assert!(peak <= may_hold(bytes.len()), "{peak} for {}", bytes.len());
        if let Ok((header, events)) = decoded {
            prop_assert_eq!(events.len() as u64, u64::from(header.count));
            prop_assert_eq!(header.next.0, events[events.len() - 1].offset.0 + 1);
            // Times may differ within a batch that another wrote: ours has one.
            if events.iter().all(|event| event.time == header.time) {
                let mut again = Vec::new();
                batch::encode(header.time, events.iter().map(Event::view), &mut again);
                prop_assert_eq!(batch::decode(&Bytes::from(again)), Ok(events));
            }
        }
    }

    #[test]
    fn the_beginnings_of_files_are_read(bytes in hostile(vec![crate::format::IDENTITY.prefix().to_vec()])) {
        for format in [crate::format::IDENTITY, crate::format::LOG_SEGMENT, crate::format::STREAM_SEGMENT] {
            let (_, peak) = peak_bytes(|| format.check(&bytes, Path::new("data/some/file")));
            prop_assert!(peak <= may_hold(0), "{peak}");
        }
    }
}
