//! The parts of a command's way, each alone: wire, entry codec, log, state, streams.
//!
//! `cargo bench -p seachange --bench parts`; a name narrows it down, such as `--bench parts -- log`. Payloads,
//! documents and events have 256 bytes. Files lie under the system's directory for temporary ones: `TMPDIR` names
//! another disk.
#![allow(missing_docs, clippy::disallowed_methods)] // a program of its own, on real files

mod fixtures;

fn main() {
    divan::main();
}

/// A command's frame, from a client to a node.
mod wire {
    use bytes::BytesMut;
    use divan::Bencher;
    use divan::counter::ItemsCount;

    use crate::fixtures::wire::{self, FRAMES};

    #[divan::bench]
    fn encode(bencher: Bencher<'_, '_>) {
        bencher.counter(ItemsCount::new(FRAMES)).bench(wire::encode);
    }

    #[divan::bench]
    fn read(bencher: Bencher<'_, '_>) {
        let bytes = wire::encode();
        bencher
            .counter(ItemsCount::new(FRAMES))
            .with_inputs(|| BytesMut::from(&bytes[..]))
            .bench_local_values(wire::read);
    }
}

/// An entry of 256 commands.
mod entry {
    use divan::Bencher;
    use divan::counter::ItemsCount;
    use machine::Entry;
    use machine::codec::Codec;

    use crate::fixtures::entry::{self, COMMANDS};

    #[divan::bench]
    fn encode(bencher: Bencher<'_, '_>) {
        let entry = entry::entry();
        bencher.counter(ItemsCount::new(COMMANDS)).bench(|| entry.to_bytes());
    }

    #[divan::bench]
    fn read(bencher: Bencher<'_, '_>) {
        let bytes = entry::entry().to_bytes();
        bencher
            .counter(ItemsCount::new(COMMANDS))
            .bench(|| Entry::from_bytes(&bytes).expect("an entry"));
    }
}

mod log {
    use divan::Bencher;
    use divan::counter::ItemsCount;
    use machine::{Index, Term};

    use crate::fixtures::{log, world};

    /// Records of one append where a log is filled.
    const FILL: u64 = 10_000;

    /// Until it is durable.
    #[divan::bench(args = [1, 16, 256])]
    fn append_and_sync(bencher: Bencher<'_, '_>, count: u64) {
        let world = world::threads();
        let directory = tempfile::tempdir().expect("a directory");
        let log = log::open(&world.environment, &directory.path().join("log"));
        let mut next = 1;
        bencher
            .counter(ItemsCount::new(count))
            .with_inputs(|| {
                let records = log::records(next, count);
                next += count;
                records
            })
            .bench_local_values(|records| log::append(&world.runtime, &log, records));
    }

    /// A log of so many records, as a node finds it at its start.
    #[divan::bench(args = [100_000, 1_000_000], sample_count = 3, sample_size = 1)]
    fn open_again(bencher: Bencher<'_, '_>, count: u64) {
        let world = world::threads();
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let log = log::open(&world.environment, &path);
        for from in (1..=count).step_by(FILL as usize) {
            let records = log::records(from, FILL.min(count + 1 - from));
            log::append(&world.runtime, &log, records);
        }
        world.runtime.block_on(log.shutdown());
        bencher.counter(ItemsCount::new(count)).bench_local(|| {
            let log = log::open(&world.environment, &path);
            assert_eq!(log.last(), Some((Index(count), Term(1))));
        });
    }
}

/// 100,000 rows.
mod state {
    use std::hint::black_box;
    use std::sync::Arc;

    use divan::Bencher;
    use divan::counter::ItemsCount;
    use machine::StateRead;
    use store::state::{FjallBackend, FjallOptions, MemoryBackend, State, StateOptions};
    use tempfile::TempDir;

    use crate::fixtures::state::{self, TABLE, key, row};

    const ROWS: u64 = 100_000;
    /// Rows of one sample.
    const STEP: u64 = 1000;
    /// Bytes that hold all of them.
    const ALL: usize = 256 << 20;

    /// All rows in the store, and none in memory beside the store's own blocks.
    fn filled(cache_bytes: usize) -> (TempDir, State) {
        let directory = tempfile::tempdir().expect("a directory");
        let backend = FjallBackend::open(&directory.path().join("state"), FjallOptions::default()).expect("a store");
        let state = state::filled(Arc::new(backend), ROWS, cache_bytes);
        (directory, state)
    }

    /// Each row was read before and is in memory.
    fn warm() -> (TempDir, State) {
        let (directory, state) = filled(ALL);
        for number in 0..ROWS {
            state.get(TABLE, &key(number)).expect("a row");
        }
        (directory, state)
    }

    fn measure(bencher: Bencher<'_, '_>, mut work: impl FnMut(u64)) {
        let mut next = 0;
        bencher.counter(ItemsCount::new(STEP)).bench_local(|| {
            for number in next..next + STEP {
                work(number % ROWS);
            }
            next += STEP;
        });
    }

    #[divan::bench]
    fn get_from_memory(bencher: Bencher<'_, '_>) {
        let (_directory, state) = warm();
        measure(bencher, |number| {
            black_box(state.get(TABLE, &key(number)).expect("a row"));
        });
    }

    #[divan::bench]
    fn get_from_the_store(bencher: Bencher<'_, '_>) {
        let (_directory, state) = filled(0);
        measure(bencher, |number| {
            black_box(state.get(TABLE, &key(number)).expect("a row"));
        });
    }

    #[divan::bench]
    fn replace(bencher: Bencher<'_, '_>) {
        let (_directory, mut state) = warm();
        measure(bencher, |number| {
            black_box(state.replace(TABLE, &key(number), Some(row())).expect("a row"));
        });
    }

    /// The first row of a scan, where all rows were written since the last one and lie in memory: whoever applies waits.
    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn first_scan(bencher: Bencher<'_, '_>) {
        let scattered = |number: u64| key(number * 7919 % ROWS);
        let written = || {
            let mut state = State::open(Arc::new(MemoryBackend::default()), StateOptions::default());
            for number in 0..ROWS {
                state.put(TABLE, &scattered(number), row());
            }
            state
        };
        bencher.with_inputs(written).bench_local_values(|state| {
            state.scan(TABLE, &[], None, false, &mut |_, _| false).expect("a scan");
            state
        });
    }

    /// From what was written to what is durable, all rows.
    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn checkpoint(bencher: Bencher<'_, '_>) {
        let (_directory, mut state) = filled(ALL);
        bencher
            .counter(ItemsCount::new(ROWS))
            .bench_local(|| state::write(&mut state, ROWS));
    }
}

mod streams {
    use divan::Bencher;
    use divan::counter::{BytesCount, ItemsCount};
    use store::streams::StreamReader;

    use crate::fixtures::streams::{self, EVENTS};
    use crate::fixtures::{PAYLOAD_BYTES, world};

    const ENTRIES: u64 = 400;

    /// The events of one entry.
    #[divan::bench]
    fn append(bencher: Bencher<'_, '_>) {
        let world = world::threads();
        let directory = tempfile::tempdir().expect("a directory");
        let mut streams = streams::open(&world.environment, directory.path());
        bencher
            .counter(ItemsCount::new(EVENTS))
            .bench_local(|| streams::append(&mut streams));
    }

    #[divan::bench]
    fn read_events(bencher: Bencher<'_, '_>) {
        read(bencher, streams::read_events);
    }

    #[divan::bench]
    fn read_batches(bencher: Bencher<'_, '_>) {
        read(bencher, streams::read_batches);
    }

    /// A stream of 100,000 events from its start.
    fn read(bencher: Bencher<'_, '_>, read: fn(&StreamReader, u64)) {
        let world = world::threads();
        let directory = tempfile::tempdir().expect("a directory");
        let mut streams = streams::open(&world.environment, directory.path());
        for _ in 0..ENTRIES {
            streams::append(&mut streams);
        }
        let (reader, events) = (streams.reader(), ENTRIES * EVENTS);
        bencher
            .counter(ItemsCount::new(events))
            .counter(BytesCount::new(events * PAYLOAD_BYTES))
            .bench_local(|| read(&reader, events));
    }
}
