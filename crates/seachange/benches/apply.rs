//! Apply alone: session, one get, one put, one event, digest and stream, for entries of 256 commands.
//!
//! `cargo bench -p seachange --bench apply`. The WASM application is apps/counter-wat; the native one does the same.
#![allow(missing_docs, clippy::disallowed_methods)] // a program of its own, on real files

mod fixtures;

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use fixtures::node::{COMMANDS, Node};
use fixtures::world;
use store::state::{FjallBackend, FjallOptions};

/// Counters over which commands are spread.
const KEYS: u64 = 100_000;

fn main() {
    // As on a node's worker: a guest that finds too little native stack gets one of its own for each call.
    let worker = std::thread::Builder::new().stack_size(64 << 20).spawn(divan::main);
    worker.expect("a thread").join().expect("measured");
}

#[divan::bench]
fn wasm(bencher: Bencher<'_, '_>) {
    measure(bencher, false);
}

#[divan::bench]
fn native(bencher: Bencher<'_, '_>) {
    measure(bencher, true);
}

fn measure(bencher: Bencher<'_, '_>, native: bool) {
    let world = world::threads();
    let directory = tempfile::tempdir().expect("a directory");
    let backend = FjallBackend::open(&directory.path().join("state"), FjallOptions::default()).expect("a store");
    let streams = directory.path().join("streams");
    let node = RefCell::new(Node::new(native, KEYS, &world.environment, &streams, Arc::new(backend)));
    bencher
        .counter(ItemsCount::new(COMMANDS))
        .with_inputs(|| node.borrow_mut().commands())
        .bench_local_values(|entry| black_box(node.borrow_mut().apply(&entry)));
}
