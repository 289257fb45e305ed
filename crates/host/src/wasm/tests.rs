//! Small guests in text form, run as the machine runs them.

mod imports;
mod instances;
mod refusals;
mod traps;

use machine::manifest::Manifest;
use machine::{Applications, Call, CallError, CallOutcome, Code, Digest, MeterNumber, Shape, Version};

use crate::testing::Memory;
use crate::{Host, PrepareError, Registry};

/// Where the guests of these tests lay their answers: a byte for the kind, then the answer.
const ANSWER: &str = "40000";

/// A guest whose `apply` is `body`, with the parameters `$in` and `$len` and locals `$i` and `$n`. Names lie at 0 (`t`), 1
/// (`s`), 2 (`broken`), 8 (`nope`) and 12 (not UTF-8); with a command of one letter the payload begins at 1029.
fn guest(body: &str) -> String {
    guest_with(body, "")
}

/// The same with more fields.
fn guest_with(body: &str, fields: &str) -> String {
    format!(
        r#"(module
        (import "app_1" "get" (func $get (param i32 i32 i32 i32 i32 i32) (result i64)))
        (import "app_1" "put" (func $put (param i32 i32 i32 i32 i32 i32)))
        (import "app_1" "delete" (func $delete (param i32 i32 i32 i32)))
        (import "app_1" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i64)))
        (import "app_1" "emit" (func $emit (param i32 i32 i32 i32 i32 i32)))
        (import "app_1" "time" (func $time (result i64)))
        (import "app_1" "index" (func $index (result i64)))
        (import "app_1" "random" (func $random (result i64)))
        (memory (export "memory") 2)
        (data (i32.const 0) "tsbrokennope\ff")
        (global $calls (mut i32) (i32.const 0))
        (func (export "abi_version") (result i32) (i32.const 1))
        (func (export "buffer") (param i32) (result i32) (i32.const 1024))
        ;; The answer of so many bytes after the kind.
        (func $done (param $length i32) (result i64)
            (i64.or (i64.const {packed})
                (i64.extend_i32_u (i32.add (local.get $length) (i32.const 1)))))
        ;; Counts the calls of this instance and answers with the count.
        (func $count (result i64)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (i32.store (i32.const 40001) (global.get $calls))
            (call $done (i32.const 4)))
        (func (export "apply") (param $in i32) (param $len i32) (result i64) (local $i i32) (local $n i64) {body})
        (func (export "query") (param i32 i32) (result i64) (call $count))
        (func (export "migrate") (param i32 i32) (result i64) (call $count))
        {fields})"#,
        packed = 40_000u64 << 32,
    )
}

/// A version of application `a` that is ready to run.
struct Ready {
    host: Host,
    manifest: Manifest,
    code: Code,
}

impl Ready {
    fn new(text: &str) -> Ready {
        Ready::try_new(text).expect("the module is ready")
    }

    fn try_new(text: &str) -> Result<Ready, PrepareError> {
        let bytes = wat::parse_str(text).expect("the test's own text");
        let registry = Registry::new(Vec::new());
        let (manifest, code) = (manifest("a"), code(&bytes));
        registry.prepare(&manifest, &code, Some(&bytes))?;
        Ok(Ready {
            host: registry.host(),
            manifest,
            code,
        })
    }

    fn call(&mut self, call: Call<'_>, memory: &mut Memory) -> Result<CallOutcome, CallError> {
        self.host.call(&self.manifest, &self.code, call, memory)
    }

    fn apply(&mut self, payload: &[u8], memory: &mut Memory) -> CallOutcome {
        self.call(apply(payload), memory).expect("the engine works")
    }
}

/// What `body` comes to in a fresh instance.
fn run(body: &str, payload: &[u8], memory: &mut Memory) -> CallOutcome {
    Ready::new(&guest(body)).apply(payload, memory)
}

fn apply(payload: &[u8]) -> Call<'_> {
    Call::Apply {
        command: "c",
        version: 1,
        payload,
    }
}

fn query() -> Call<'static> {
    Call::Query {
        query: "q",
        payload: b"",
    }
}

fn migrate() -> Call<'static> {
    Call::Migrate {
        table: "t",
        from: Shape(1),
        to: Shape(2),
        key: b"k",
        document: b"{}",
    }
}

fn manifest(application: &str) -> Manifest {
    Manifest {
        application: application.into(),
        version: Version(1),
        about: String::new(),
        commands: Vec::new(),
        queries: Vec::new(),
        tables: Vec::new(),
        streams: Vec::new(),
    }
}

fn code(module: &[u8]) -> Code {
    Code::Wasm {
        module: Digest::of(module),
        meter: MeterNumber(super::meter::METER),
    }
}

fn done(answer: impl AsRef<[u8]>) -> CallOutcome {
    CallOutcome::Done(bytes::Bytes::copy_from_slice(answer.as_ref()))
}

/// The answer of a guest's `$count`.
fn counted(calls: u32) -> CallOutcome {
    done(calls.to_le_bytes())
}

/// Rows for tests: `a`, `b`, `c`, each with two bytes.
fn three_rows() -> Memory {
    let mut memory = Memory::default();
    for key in ["a", "b", "c"] {
        memory.rows.insert(key.into(), format!("{key}!").into());
    }
    memory
}
