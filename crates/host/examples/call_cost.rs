//! What a command costs: one get, one put and one event, in an entry of 1, 64 and 256 commands, linked in and as a module.
//!
//! `cargo run --release -p seachange-host --example call_cost` prints nanoseconds for each command. The tables are a map in
//! memory, so that the cost is the host's alone; the module is written by hand and does no JSON, and neither does its
//! linked twin.
#![allow(clippy::disallowed_methods)] // It measures time; nothing here is replicated.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use host::{Host, NativeApplication, Registry};
use machine::{Applications, Call, CallOutcome, Code, Context, Digest, Index, Manifest, Misuse, Pair, TimeMs, Version};

/// Reads the row under the payload, writes 16 bytes there, and emits them.
const MODULE: &str = r#"(module
    (import "app_1" "get" (func $get (param i32 i32 i32 i32 i32 i32) (result i64)))
    (import "app_1" "put" (func $put (param i32 i32 i32 i32 i32 i32)))
    (import "app_1" "emit" (func $emit (param i32 i32 i32 i32 i32 i32)))
    (memory (export "memory") 2)
    (data (i32.const 0) "ts")
    (func (export "abi_version") (result i32) (i32.const 1))
    (func (export "buffer") (param i32) (result i32) (i32.const 1024))
    (func (export "apply") (param $in i32) (param $len i32) (result i64)
        (local $key i32) (local $key_len i32)
        (local.set $key (i32.add (local.get $in) (i32.const 5)))
        (local.set $key_len (i32.sub (local.get $len) (i32.const 5)))
        (drop (call $get (i32.const 0) (i32.const 1) (local.get $key) (local.get $key_len) (i32.const 4096) (i32.const 1024)))
        (i64.store (i32.const 4096) (i64.add (i64.load (i32.const 4096)) (i64.const 1)))
        (call $put (i32.const 0) (i32.const 1) (local.get $key) (local.get $key_len) (i32.const 4096) (i32.const 16))
        (call $emit (i32.const 1) (i32.const 1) (local.get $key) (local.get $key_len) (i32.const 4096) (i32.const 16))
        (i64.const 0x0000_0800_0000_0009))
    (func (export "query") (param i32 i32) (result i64) (i64.const 0))
    (func (export "migrate") (param i32 i32) (result i64) (i64.const 0)))"#;

struct Linked;

impl sdk::Application for Linked {
    fn apply(&self, context: &mut sdk::Context<'_>, command: sdk::Command<'_>) -> Result<sdk::Reply, sdk::Refusal> {
        let mut document = Vec::with_capacity(16);
        let host = context.host();
        host.get("t", command.payload, &mut document);
        document.resize(16, 0);
        document[0] = document[0].wrapping_add(1);
        host.put("t", command.payload, &document);
        host.emit("s", Some(command.payload), &document);
        Ok(sdk::Reply::bytes(vec![0; 8]))
    }
}

#[derive(Default)]
struct Tables {
    rows: BTreeMap<Vec<u8>, Bytes>,
    event_bytes: usize,
}

impl Context for Tables {
    fn get(&mut self, _: &str, key: &[u8]) -> Result<Option<Bytes>, Misuse> {
        Ok(self.rows.get(key).cloned())
    }
    fn put(&mut self, _: &str, key: &[u8], document: &[u8]) -> Result<(), Misuse> {
        let document = Bytes::copy_from_slice(document);
        match self.rows.get_mut(key) {
            Some(row) => *row = document,
            None => drop(self.rows.insert(key.to_vec(), document)),
        }
        Ok(())
    }
    fn delete(&mut self, _: &str, key: &[u8]) -> Result<(), Misuse> {
        self.rows.remove(key);
        Ok(())
    }
    fn scan(&mut self, _: &str, _: &[u8], _: Option<&[u8]>, _: usize, _: bool) -> Result<Vec<Pair>, Misuse> {
        Ok(Vec::new())
    }
    fn emit(&mut self, _: &str, _: Option<&[u8]>, value: &[u8]) -> Result<(), Misuse> {
        self.event_bytes += value.len();
        Ok(())
    }
    fn time(&self) -> TimeMs {
        TimeMs(0)
    }
    fn index(&self) -> Index {
        Index(1)
    }
    fn random(&mut self) -> u64 {
        0
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let module = wat::parse_str(MODULE)?;
    let registry = Registry::new(vec![NativeApplication::new("cost", Version(1), Linked)]);
    let manifest = Manifest {
        application: "cost".into(),
        version: Version(1),
        about: String::new(),
        commands: Vec::new(),
        queries: Vec::new(),
        tables: Vec::new(),
        streams: Vec::new(),
    };
    let wasm = Code::Wasm {
        module: Digest::of(&module),
        meter: registry.meter(),
    };
    registry.prepare(&manifest, &wasm, Some(&module))?;
    let worker = std::thread::Builder::new().stack_size(64 << 20).spawn(move || {
        let mut host = registry.host();
        for (name, code) in [("linked in", Code::Native), ("module", wasm)] {
            for commands in [1, 64, 256] {
                let nanoseconds = measure(&mut host, &manifest, &code, commands);
                println!("{name:<10} {commands:>4} commands in an entry: {nanoseconds:>8.0} ns a command");
            }
        }
    })?;
    worker.join().map_err(|_| "the measurement panicked")?;
    Ok(())
}

/// Nanoseconds for each command, in entries of so many; the best of five runs.
fn measure(host: &mut Host, manifest: &Manifest, code: &Code, commands: u64) -> f64 {
    let mut tables = Tables::default();
    let entries = 100_000 / commands.max(5);
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begun = Instant::now();
        for entry in 0..entries {
            for command in 0..commands {
                let key = ((entry * 31 + command * 7919) % 1000).to_le_bytes();
                let call = Call::Apply {
                    command: "c",
                    version: 1,
                    payload: &key,
                };
                let outcome = host.call(manifest, code, call, &mut tables);
                assert!(matches!(outcome, Ok(CallOutcome::Done(_))), "{outcome:?}");
            }
            host.end_entry();
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / (entries * commands) as f64);
    }
    best
}
