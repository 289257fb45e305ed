//! Modules that are not made ready.

use machine::{Code, Digest, MeterNumber, Version};

use super::{Ready, code, guest, guest_with, manifest};
use crate::{PrepareError, Registry};

fn refused(text: &str) -> PrepareError {
    Ready::try_new(text).err().expect("refused")
}

#[test]
fn bytes_must_be_those_that_were_announced() {
    let registry = Registry::new(Vec::new());
    let bytes = wat::parse_str(guest("(i64.const 0)")).expect("text");
    let other = Code::Wasm {
        module: Digest::of(b"other"),
        meter: registry.meter(),
    };
    let refused = registry
        .prepare(&manifest("a"), &other, Some(&bytes))
        .expect_err("refused");
    assert_eq!(refused.code(), "module_digest_mismatch");
    let refused = registry.prepare(&manifest("a"), &other, None).expect_err("refused");
    assert_eq!((refused.code(), refused.is_local()), ("module_missing", true));
    assert!(!registry.is_ready(&other, &manifest("a")));
}

#[test]
fn the_meter_must_be_known() {
    let registry = Registry::new(Vec::new());
    let bytes = wat::parse_str(guest("(i64.const 0)")).expect("text");
    let code = Code::Wasm {
        module: Digest::of(&bytes),
        meter: MeterNumber(99),
    };
    let refused = registry
        .prepare(&manifest("a"), &code, Some(&bytes))
        .expect_err("refused");
    assert_eq!((refused.code(), refused.is_local()), ("meter_unknown", true));
}

#[test]
fn a_module_must_keep_to_the_interface() {
    let registry = Registry::new(Vec::new());
    let check = |bytes: &[u8]| registry.check(bytes).map_err(|error| error.code());
    let text = |text: &str| wat::parse_str(text).expect("the test's own text");
    assert_eq!(check(b"hello"), Err("module_not_wasm"));
    assert_eq!(check(&text("(module)")), Err("module_memory_not_exported"));
    assert_eq!(
        check(&text(r#"(module (memory (export "memory") 1))"#)),
        Err("module_export_missing")
    );
    let wasi = guest("(i64.const 0)").replacen("\"app_1\" \"get\"", "\"wasi_snapshot_preview1\" \"fd_write\"", 1);
    assert_eq!(check(&text(&wasi)), Err("module_import_not_allowed"));
    let typed = guest("(i64.const 0)").replacen("(result i64)))", "(result i32)))", 1);
    assert_eq!(check(&text(&typed)), Err("module_import_type"));
    let float =
        guest("(i64.const 0)").replace(r#"(export "query") (param i32 i32)"#, r#"(export "query") (param i32)"#);
    assert_eq!(check(&text(&float)), Err("module_export_type"));
    assert_eq!(check(&text(&guest("(i64.const 0)"))), Ok(()));
    assert!(!registry.check(b"hello").expect_err("refused").is_local());
}

#[test]
fn a_module_must_speak_this_version() {
    let text = guest("(i64.const 0)").replace("(result i32) (i32.const 1))", "(result i32) (i32.const 2))");
    assert_eq!(refused(&text), PrepareError::AbiVersion { found: 2, known: 1 });
}

#[test]
fn a_module_is_tried() {
    for (fields, says) in [
        (
            "(func $start unreachable) (start $start)",
            "starting it trapped: it panicked",
        ),
        (
            "(func $start (loop (br 0))) (start $start)",
            "starting it trapped: it used up its fuel",
        ),
        (
            "(func $start (drop (call $time))) (start $start)",
            "it called the host in its start function",
        ),
        (
            r#"(data (i32.const 131071) "xx")"#,
            "starting it trapped: it panicked or reached outside its memory",
        ),
    ] {
        let refused = refused(&guest_with("(i64.const 0)", fields));
        assert_eq!(refused.code(), "module_self_test_failed");
        assert!(refused.to_string().contains(says), "{refused}");
    }
    let far = guest("(i64.const 0)").replace("(result i32) (i32.const 1024))", "(result i32) (i32.const 131000))");
    assert!(refused(&far).to_string().contains("buffer gave a place outside"));
}

#[test]
fn a_start_function_is_run_in_each_instance() {
    let text = guest_with(
        "(call $count)",
        "(func $start (global.set $calls (i32.const 7))) (start $start)",
    );
    let outcome = Ready::new(&text).apply(b"", &mut crate::testing::Memory::default());
    assert_eq!(outcome, super::counted(8));
}

#[test]
fn native_code_must_be_linked_in() {
    let registry = Registry::new(Vec::new());
    let refused = registry
        .prepare(&manifest("a"), &Code::Native, None)
        .expect_err("refused");
    let expected = PrepareError::NativeNotLinked {
        application: "a".into(),
        version: Version(1),
    };
    assert_eq!(refused, expected);
}

#[test]
fn making_ready_again_or_at_once_is_the_same() {
    let bytes = wat::parse_str(guest("(i64.const 12345)")).expect("text");
    let registry = Registry::new(Vec::new());
    let prepare = || {
        registry
            .prepare(&manifest("a"), &code(&bytes), Some(&bytes))
            .expect("ready")
    };
    let digests: Vec<Digest> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(prepare)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    assert_eq!(
        registry.prepare(&manifest("a"), &code(&bytes), None),
        Ok(digests[0]),
        "the bytes are not needed again"
    );
    assert!(registry.is_ready(&code(&bytes), &manifest("a")));
    registry.forget(&code(&bytes));
    assert!(!registry.is_ready(&code(&bytes), &manifest("a")));
}
