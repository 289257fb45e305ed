//! Fixed work on the way of a command, of which `cargo xtask counts` counts the instructions.
//!
//! `counts` lists the workloads and how many operations each does; `counts NAME` does one of them, under valgrind. All
//! of it runs on one thread, over the store that keeps rows in memory (the other one has threads of its own) and without
//! chance, so that the same program takes the same instructions each time, however busy the machine is.
#![allow(missing_docs, clippy::disallowed_methods)] // a program of its own, on real files

mod fixtures;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use fixtures::node::Node;
use fixtures::world::{self, World};
use fixtures::{entry, log, node, state, streams, wire};
use machine::codec::Codec;
use machine::{Entry, StateRead};
use store::state::MemoryBackend;

/// Work that is done twice: once to warm up, once to be counted.
type Round<'a> = Box<dyn FnMut() + 'a>;

struct Workload {
    name: &'static str,
    /// Operations of one round.
    operations: u64,
    prepare: for<'a> fn(&'a World, &Path) -> Round<'a>,
}

const RECORDS: u64 = 16;
const APPENDS: u64 = 64;
const ROWS: u64 = 4096;
const ENTRIES: u64 = 16;
/// Few enough that the second round finds nearly all of them.
const KEYS: u64 = 1000;

const WORKLOADS: [Workload; 12] = [
    workload("wire-encode", wire::FRAMES, wire_encode),
    workload("wire-read", wire::FRAMES, wire_read),
    workload("entry-encode", entry::COMMANDS, entry_encode),
    workload("entry-read", entry::COMMANDS, entry_read),
    workload("log-append", RECORDS * APPENDS, log_append),
    workload("apply-native", node::COMMANDS * ENTRIES, apply_native),
    workload("apply-wasm", node::COMMANDS * ENTRIES, apply_wasm),
    workload("state-get", ROWS, state_get),
    workload("state-replace", ROWS, state_replace),
    workload("state-scan", ROWS, state_scan),
    workload("stream-append", streams::EVENTS * ENTRIES, stream_append),
    workload("stream-read", streams::EVENTS * ENTRIES, stream_read),
];

const fn workload(name: &'static str, operations: u64, prepare: for<'a> fn(&'a World, &Path) -> Round<'a>) -> Workload {
    Workload {
        name,
        operations,
        prepare,
    }
}

fn main() {
    // Cargo adds flags of its own.
    let Some(name) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        for workload in &WORKLOADS {
            println!("{} {}", workload.name, workload.operations);
        }
        return;
    };
    let workload = WORKLOADS.iter().find(|workload| workload.name == name);
    let workload = workload.expect("the name of a workload");
    // As on a node's worker: a guest that finds too little native stack gets one of its own for each call.
    let worker = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(|| work(workload));
    worker.expect("a thread").join().expect("done");
}

fn work(workload: &Workload) {
    let world = world::one_thread();
    let directory = tempfile::tempdir().expect("a directory");
    let mut round = (workload.prepare)(&world, directory.path());
    round();
    instructions_counted(&mut round);
}

/// Valgrind counts while this runs, and knows it by its name.
#[inline(never)]
fn instructions_counted(round: &mut Round<'_>) {
    round();
    // With nothing behind it the call would be a jump, and this function already left.
    black_box(());
}

fn wire_encode<'a>(_: &'a World, _: &Path) -> Round<'a> {
    Box::new(|| {
        black_box(wire::encode());
    })
}

fn wire_read<'a>(_: &'a World, _: &Path) -> Round<'a> {
    let bytes = wire::encode();
    let mut buffers = vec![BytesMut::from(&bytes[..]); 2];
    Box::new(move || wire::read(buffers.pop().expect("one for each round")))
}

fn entry_encode<'a>(_: &'a World, _: &Path) -> Round<'a> {
    let entry = entry::entry();
    Box::new(move || {
        black_box(entry.to_bytes());
    })
}

fn entry_read<'a>(_: &'a World, _: &Path) -> Round<'a> {
    let bytes = entry::entry().to_bytes();
    Box::new(move || {
        black_box(Entry::from_bytes(&bytes).expect("an entry"));
    })
}

/// Until they are durable; waiting for the disk takes no instructions.
fn log_append<'a>(world: &'a World, directory: &Path) -> Round<'a> {
    let log = log::open(&world.environment, &directory.join("log"));
    let mut next = 1;
    Box::new(move || {
        for _ in 0..APPENDS {
            log::append(&world.runtime, &log, log::records(next, RECORDS));
            next += RECORDS;
        }
    })
}

fn apply_native<'a>(world: &'a World, directory: &Path) -> Round<'a> {
    apply(world, directory, true)
}

fn apply_wasm<'a>(world: &'a World, directory: &Path) -> Round<'a> {
    // An entry's own and that of the conversions; valgrind gives a process less than 64 GiB of address space.
    host::reserve_instances(4);
    apply(world, directory, false)
}

fn apply<'a>(world: &'a World, directory: &Path, native: bool) -> Round<'a> {
    let backend = Arc::new(MemoryBackend::default());
    let mut node = Node::new(native, KEYS, &world.environment, &directory.join("streams"), backend);
    let mut entries: Vec<Vec<u8>> = (0..2 * ENTRIES).map(|_| node.commands()).collect();
    entries.reverse();
    Box::new(move || {
        for _ in 0..ENTRIES {
            let entry = entries.pop().expect("some for each round");
            black_box(node.apply(&entry));
        }
    })
}

/// Rows that were read before.
fn state_get<'a>(_: &'a World, _: &Path) -> Round<'a> {
    let state = state::filled(Arc::new(MemoryBackend::default()), ROWS, usize::MAX);
    Box::new(move || {
        for number in 0..ROWS {
            black_box(state.get(state::TABLE, &state::key(number)).expect("read"));
        }
    })
}

/// Rows that were written since the last checkpoint.
fn state_replace<'a>(_: &'a World, _: &Path) -> Round<'a> {
    let mut state = state::filled(Arc::new(MemoryBackend::default()), ROWS, usize::MAX);
    Box::new(move || {
        for number in 0..ROWS {
            let before = state.replace(state::TABLE, &state::key(number), Some(state::row()));
            black_box(before.expect("replaced"));
        }
    })
}

/// Rows of which every other one was written since the last checkpoint.
fn state_scan<'a>(_: &'a World, _: &Path) -> Round<'a> {
    let mut state = state::filled(Arc::new(MemoryBackend::default()), ROWS, usize::MAX);
    for number in (0..ROWS).step_by(2) {
        state.put(state::TABLE, &state::key(number), state::row());
    }
    Box::new(move || {
        let mut rows = 0;
        let mut visit = |_: &[u8], row: &machine::Row| {
            black_box(row);
            rows += 1;
            true
        };
        state.scan(state::TABLE, b"", None, false, &mut visit).expect("read");
        assert_eq!(rows, ROWS);
    })
}

fn stream_append<'a>(world: &'a World, directory: &Path) -> Round<'a> {
    let mut streams = streams::open(&world.environment, directory);
    Box::new(move || {
        for _ in 0..ENTRIES {
            streams::append(&mut streams);
        }
    })
}

fn stream_read<'a>(world: &'a World, directory: &Path) -> Round<'a> {
    let mut streams = streams::open(&world.environment, directory);
    for _ in 0..ENTRIES {
        streams::append(&mut streams);
    }
    let reader = streams.reader();
    Box::new(move || {
        // Without it the streams would be closed to their reader.
        black_box(&streams);
        streams::read_events(&reader, ENTRIES * streams::EVENTS);
    })
}
