//! The bytes that come out.

use expect_test::expect;
use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload};

use super::super::METER;
use super::metered;

/// A guest with a bit of everything that the meter touches.
const SAMPLE: &str = r#"(module $named
    (import "app_1" "put" (func $put (param i32 i32 i32 i32)))
    (memory (export "memory") 1 1000)
    (table 3 500 funcref)
    (global $g (mut i32) (i32.const 1))
    (elem (i32.const 0) $put $run)
    (data "passive") (data (i32.const 8) "active")
    (start $run)
    (func $run (export "run") (local i32 i64)
        (loop $l
            (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 7))
            (call $put (i32.const 0) (i32.const 1) (i32.const 2) (i32.const 3))
            (call_indirect (i32.const 1))
            (br_if $l (local.get 0)))
        (if (global.get $g) (then (return) (nop)) (else (unreachable)))))"#;

/// If this fails, the meter has changed: nodes with the old and the new one would disagree about installed modules. Keep
/// the old meter, and give the new one a new number.
#[test]
fn meter_1_writes_these_bytes() {
    assert_eq!(METER, 1);
    let bytes = metered(SAMPLE).expect("accepted");
    assert_eq!(bytes, metered(SAMPLE).expect("accepted"), "the same bytes each time");
    let digest: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    expect!["409 bytes, sha256 c4fc815743bdfcce5c303f7d9b9abd665c99211b31336e831358cbc36c58257c"]
        .assert_eq(&format!("{} bytes, sha256 {digest}", bytes.len()));
}

#[test]
fn sections_are_in_order_and_custom_sections_are_gone() {
    let bytes = metered(SAMPLE).expect("accepted");
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.expect("valid") {
            Payload::CustomSection(section) => panic!("custom section {} is still there", section.name()),
            Payload::StartSection { .. } => panic!("the start section is still there"),
            Payload::MemorySection(section) => {
                sections.push("memory");
                assert_eq!(
                    section.into_iter().next().expect("one").expect("valid").maximum,
                    Some(64)
                );
            }
            Payload::TableSection(section) => {
                sections.push("table");
                assert_eq!(
                    section.into_iter().next().expect("one").expect("valid").ty.maximum,
                    Some(100)
                );
            }
            Payload::DataCountSection { .. } => sections.push("data count"),
            Payload::CodeSectionStart { count, .. } => {
                sections.push("code");
                assert_eq!(count, 2, "one function and one wrapper");
            }
            Payload::DataSection(_) => sections.push("data"),
            _ => {}
        }
    }
    assert_eq!(sections, ["table", "memory", "data count", "code", "data"]);
}

#[test]
fn a_smaller_maximum_of_the_guests_own_stays() {
    let bytes = metered(r#"(module (memory (export "memory") 1 2) (table 1 3 funcref))"#).expect("accepted");
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.expect("valid") {
            Payload::MemorySection(section) => {
                assert_eq!(
                    section.into_iter().next().expect("one").expect("valid").maximum,
                    Some(2)
                );
            }
            Payload::TableSection(section) => {
                assert_eq!(
                    section.into_iter().next().expect("one").expect("valid").ty.maximum,
                    Some(3)
                );
            }
            _ => {}
        }
    }
}
