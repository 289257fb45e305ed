//! Every kind of refusal, with the words a person reads.

use expect_test::{Expect, expect};

use super::super::{Error, Policy, instrument};
use super::{EXPORTS, IMPORTS, policy};

/// What an accepted guest looks like; `more` goes into the module.
fn guest(more: &str) -> String {
    format!(
        r#"(module {more} (memory (export "memory") 1)
            (func (export "apply") (param i32 i32) (result i64) (i64.const 0)))"#
    )
}

fn refusal(bytes: &[u8], policy: &Policy) -> String {
    match instrument(bytes, policy, IMPORTS, EXPORTS) {
        Ok(_) => "accepted".into(),
        Err(error) => format!("{}: {error}", error.code()),
    }
}

fn check(text: &str, expected: Expect) {
    check_with(text, &policy(), expected);
}

fn check_with(text: &str, policy: &Policy, expected: Expect) {
    expected.assert_eq(&refusal(&wat::parse_str(text).expect("text"), policy));
}

#[test]
fn an_ordinary_guest_is_accepted() {
    check(&guest(""), expect!["accepted"]);
}

#[test]
fn not_a_module() {
    expect![[r#"1: these bytes are not a WebAssembly module (they do not begin with \0asm and version 1): send the .wasm file of a core module as the compiler wrote it"#]].assert_eq(&refusal(b"", &policy()));
    expect![[r#"1: these bytes are not a WebAssembly module (they do not begin with \0asm and version 1): send the .wasm file of a core module as the compiler wrote it"#]].assert_eq(&refusal(b"#!/bin/sh", &policy()));
    expect!["2: this is a WebAssembly component, and applications are core modules: build for wasm32-unknown-unknown and leave out the step that makes a component"].assert_eq(&refusal(b"\0asm\x0d\0\x01\0", &policy()));
}

#[test]
fn invalid() {
    check(
        r#"(module (func (result i32) (i64.const 0)))"#,
        expect![
            "3: the module is not valid WebAssembly (at byte 26: type mismatch: expected i32, found i64): it was damaged on the way or its compiler is at fault; build it again"
        ],
    );
    expect!["3: the module is not valid WebAssembly (at byte 9: unexpected end-of-file): it was damaged on the way or its compiler is at fault; build it again"].assert_eq(&refusal(b"\0asm\x01\0\0\0\x01", &policy()));
}

/// One use each of what guests may not use.
const REFUSED_FEATURES: [&str; 19] = [
    "(func (drop (v128.const i64x2 0 0)))",
    "(func (param v128))",
    "(func (param v128 v128 v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))",
    "(func (drop (i32.atomic.load (i32.const 0))))",
    "(memory 1)",
    "(func $f (return_call $f))",
    "(table 1 funcref) (func (return_call_indirect (i32.const 0)))",
    "(tag)",
    "(func (throw 0)) (tag)",
    "(type (struct))",
    "(type (array i32))",
    "(func (param anyref))",
    "(func (param externref))",
    "(table 1 funcref) (table 1 funcref)",
    "(table 1 funcref) (func (drop (table.get 0 (i32.const 0))))",
    "(table 1 funcref) (func (drop (table.grow 0 (ref.null func) (i32.const 0))))",
    "(func (param (ref null 0)))",
    "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
    "(func (result i64 i64) (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)))",
];

#[test]
fn features() {
    let feature = |more: &str| {
        let bytes = wat::parse_str(guest(more)).expect("text");
        match instrument(&bytes, &policy(), IMPORTS, EXPORTS) {
            Err(Error::FeatureNotAllowed { feature, .. }) => feature.to_owned(),
            other => format!("{other:?}"),
        }
    };
    let seen = REFUSED_FEATURES
        .map(|more| format!("{more}: {}\n", feature(more)))
        .concat();
    expect![[r#"
        (func (drop (v128.const i64x2 0 0))): SIMD
        (func (param v128)): SIMD
        (func (param v128 v128 v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2))): SIMD
        (func (drop (i32.atomic.load (i32.const 0)))): threads
        (memory 1): more than one memory
        (func $f (return_call $f)): tail calls
        (table 1 funcref) (func (return_call_indirect (i32.const 0))): tail calls
        (tag): exceptions
        (func (throw 0)) (tag): exceptions
        (type (struct)): garbage-collected types
        (type (array i32)): garbage-collected types
        (func (param anyref)): reference types
        (func (param externref)): reference types
        (table 1 funcref) (table 1 funcref): reference types
        (table 1 funcref) (func (drop (table.get 0 (i32.const 0)))): reference types
        (table 1 funcref) (func (drop (table.grow 0 (ref.null func) (i32.const 0)))): reference types
        (func (param (ref null 0))): reference types
        (global i32 (i32.add (i32.const 1) (i32.const 2))): extended constant expressions
        (func (result i64 i64) (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))): wide arithmetic
    "#]]
    .assert_eq(&seen);
    let memory = |kind: &str| guest("").replace("(export \"memory\") 1", &format!("(export \"memory\") {kind}"));
    check(
        &memory("1 1 shared"),
        expect![
            "4: the module uses threads, which applications may not use because every replica must get the same result at a known cost (at byte 24: threads must be enabled for shared memories): build without the target feature atomics, and with one unshared memory"
        ],
    );
    check(
        &memory("i64 1"),
        expect![
            "4: the module uses 64-bit memory, which applications may not use because every replica must get the same result at a known cost (at byte 24: memory64 must be enabled for 64-bit memories): build for wasm32 instead of wasm64"
        ],
    );
    check(
        &memory("1 (pagesize 1)"),
        expect![
            "4: the module uses a proposal beyond the allowed ones, which applications may not use because every replica must get the same result at a known cost (at byte 24: the custom page sizes proposal must be enabled to customize a memory's page size): build for the compiler's default features"
        ],
    );
    check(
        &guest("(func (drop (v128.const i64x2 0 0)))"),
        expect![
            "4: the module uses SIMD, which applications may not use because every replica must get the same result at a known cost (at byte 55: SIMD support is not enabled): build without the target feature simd128"
        ],
    );
}

/// Limits that are soon exceeded.
fn small() -> Policy {
    Policy {
        module_bytes_max: 120,
        functions_max: 2,
        function_bytes_max: 20,
        locals_max: 4,
        arity_max: 3,
        globals_max: 1,
        imports_max: 1,
        exports_max: 3,
        ..policy()
    }
}

#[test]
fn sizes_of_code() {
    let small = small();
    check_with(&guest(""), &small, expect!["accepted"]);
    check_with(
        &guest(&format!("(data \"{}\")", "x".repeat(100))),
        &small,
        expect![
            "5: the module has 159 bytes and the limit is 120: strip debug information, build for size, or split the application"
        ],
    );
    check_with(
        &guest("(func) (func)"),
        &small,
        expect![
            "6: the module has 3 functions and the limit is 2, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
    check_with(
        &guest(&format!("(func {})", "nop ".repeat(20))),
        &small,
        expect![
            "6: the module has 22 bytes in one function and the limit is 20, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
    check_with(
        &guest("(func (param i32) (local i32 i32 i32 i64))"),
        &small,
        expect![
            "6: the module has 5 locals in one function and the limit is 4, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
    check_with(
        &guest("(type (func (param i32 i32 i32 i32)))"),
        &small,
        expect![
            "6: the module has 4 parameters in one type and the limit is 3, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
    check_with(
        &guest("(type (func (result i32 i32 i32 i32)))"),
        &small,
        expect![
            "6: the module has 4 results in one type and the limit is 3, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
    check_with(
        &guest("(global i32 (i32.const 0)) (global i32 (i32.const 0))"),
        &small,
        expect![
            "6: the module has 2 globals and the limit is 1, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
}

#[test]
fn sizes_of_what_is_declared() {
    let small = small();
    let tick = r#"(import "app_1" "tick" (func (result i32)))"#;
    check_with(
        &guest(&tick.repeat(2)),
        &small,
        expect![
            "6: the module has 2 imports and the limit is 1, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
    check_with(
        &guest(r#"(memory (export "a") (export "b") 1)"#)
            .replace("(memory (export \"memory\") 1)", r#"(export "memory" (memory 0))"#),
        &small,
        expect![
            "6: the module has 4 exports and the limit is 3, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
    check(
        &guest("").replace("\"memory\") 1", "\"memory\") 65"),
        expect![
            "14: the module asks for a memory of at least 65 pages of 64 KiB and the limit is 64: lower its initial memory or its static data"
        ],
    );
    check(
        &guest("(table 101 funcref)"),
        expect![
            "15: the module asks for a table of at least 101 elements and the limit is 100: take fewer functions by pointer, or split the application"
        ],
    );
}

#[test]
fn imports() {
    check(
        &guest(r#"(import "app_1" "tick" (func (result i32)))"#),
        expect!["accepted"],
    );
    check(
        &guest(r#"(import "env" "abort" (func))"#),
        expect![
            "7: the module imports env.abort, which the host does not offer: import only the functions of the application interface (a wasi or env import usually comes from a library that expects an operating system)"
        ],
    );
    check(
        &guest(r#"(import "app_1" "tick" (func (result i64)))"#),
        expect![
            "9: the module imports app_1.tick with type () -> (i64) and the host offers it with type () -> (i32): use the declarations of the interface version you import"
        ],
    );
    check(
        &guest(r#"(import "app_1" "tick" (global i32))"#),
        expect![
            "8: the module imports app_1.tick as a global, and only functions may be imported: define it in the module and export it"
        ],
    );
    check(
        r#"(module (import "env" "memory" (memory 1)))"#,
        expect![
            "8: the module imports env.memory as a memory, and only functions may be imported: define it in the module and export it"
        ],
    );
    let long = "n".repeat(5000);
    let bytes = wat::parse_str(guest(&format!(r#"(import "env" "{long}" (func))"#))).expect("text");
    assert!(refusal(&bytes, &policy()).len() < 600, "long names are cut");
}

#[test]
fn exports() {
    check(
        r#"(module (memory (export "memory") 1))"#,
        expect![
            "10: the module does not export the function apply of type (i32, i32) -> (i64), which the host calls: export it under exactly this name"
        ],
    );
    check(
        r#"(module (memory (export "memory") 1) (func (export "apply")))"#,
        expect![
            "11: the module exports apply as () -> () and the host calls it as (i32, i32) -> (i64): change its declaration"
        ],
    );
    check(
        r#"(module (memory (export "memory") 1) (global (export "apply") i32 (i32.const 0)))"#,
        expect![
            "11: the module exports apply as a global and the host calls it as (i32, i32) -> (i64): change its declaration"
        ],
    );
    check(
        r#"(module (memory 1))"#,
        expect![
            "12: the module does not export its memory under the name memory, through which the host passes data: export it (compilers do so unless told otherwise)"
        ],
    );
    check(
        r#"(module)"#,
        expect![
            "12: the module does not export its memory under the name memory, through which the host passes data: export it (compilers do so unless told otherwise)"
        ],
    );
    check(
        r#"(module (func (export "memory")))"#,
        expect![
            "12: the module does not export its memory under the name memory, through which the host passes data: export it (compilers do so unless told otherwise)"
        ],
    );
    check(
        &guest(r#"(global (export "seachange:budget") (mut i64) (i64.const 0))"#),
        expect![
            "13: the module exports seachange:budget, and names that begin with seachange: belong to the host: rename the export"
        ],
    );
}

#[test]
fn a_guest_cannot_name_the_meters_globals() {
    // In the instrumented module, 0 and 1 would be the meter's.
    check(
        &guest("(func (global.set 0 (i64.const 1)))"),
        expect![
            "3: the module is not valid WebAssembly (at byte 57: unknown global: global index out of bounds): it was damaged on the way or its compiler is at fault; build it again"
        ],
    );
    check(
        &guest("(func (drop (global.get 1)))"),
        expect![
            "3: the module is not valid WebAssembly (at byte 55: unknown global: global index out of bounds): it was damaged on the way or its compiler is at fault; build it again"
        ],
    );
}

#[test]
fn the_fastest_growing_function_still_fits() {
    // Two bytes each, which become 26 to 32; see `Policy::function_bytes_max`.
    let text = |count: usize| {
        guest(&format!(
            "(func (param i32) (result i32) (local.get 0) {})",
            "(memory.grow) ".repeat(count)
        ))
    };
    let limits = Policy {
        function_bytes_max: 1 << 20,
        ..Policy::default()
    };
    check_with(&text((384 << 9) - 8), &Policy::default(), expect!["accepted"]);
    check_with(
        &text(400_000),
        &limits,
        expect![
            "6: the module has 10400054 bytes in one function once it is metered and the limit is 7654321, which keeps compiling it quick on every node: split the code up, or build for size"
        ],
    );
}

#[test]
fn what_llvm_writes_is_accepted() {
    use wasm_encoder::*;
    // `call_indirect` with the table's index in five bytes, for the linker to fill in.
    let mut body = Function::new([]);
    body.instructions().i32_const(0);
    body.raw(*b"\x11\x00\x80\x80\x80\x80\x00");
    body.instructions().end();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut tables = TableSection::new();
    let element_type = RefType::FUNCREF;
    tables.table(TableType {
        element_type,
        minimum: 1,
        maximum: Some(1),
        table64: false,
        shared: false,
    });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    let mut code = CodeSection::new();
    code.function(&body);
    let producers = CustomSection {
        name: "producers".into(),
        data: b"not even well-formed".into(),
    };
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&tables)
        .section(&memories)
        .section(&exports);
    module.section(&code).section(&producers);
    let accepted = instrument(&module.finish(), &policy(), IMPORTS, &[]);
    assert!(accepted.is_ok(), "{accepted:?}");
}
