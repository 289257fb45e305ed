//! Modules that somebody tampered with, brought as far as they go: refused, or metered, compiled and tried, and never a
//! panic, nor more memory than their bytes account for.

use std::path::Path;

use proptest::prelude::*;

use crate::allocations::peak_bytes;
use crate::mutations::{cases, hostile, mutated};
use crate::wasm::{Module, instrument};

/// The modules of the example applications, as they are kept.
fn kept() -> Vec<Vec<u8>> {
    static KEPT: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    let read = || {
        let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps");
        let names = [
            "bench-1/bench",
            "counter-wat/counter",
            "flights-1/flights",
            "ledger-2/ledger",
        ];
        let read = |name: &&str| std::fs::read(apps.join(format!("{name}.wasm"))).expect("it is kept");
        names.iter().map(read).collect()
    };
    KEPT.get_or_init(read).clone()
}

/// A small one, of which a single byte matters more.
fn small() -> Vec<u8> {
    kept().into_iter().min_by_key(Vec::len).expect("there are some")
}

/// What the meter may hold for each byte of a module: it reads it into lists, and writes some bytes for each of its own.
fn may_hold(bytes: usize) -> usize {
    (256 << 10) + 200 * bytes
}

/// Found by `a_tampered_small_module_is_answered`: the validator makes room for all imports that are announced.
#[test]
fn a_section_that_announces_more_than_its_bytes_can_hold_is_refused_before_room_is_made() {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    // An import section of three bytes, which says that it has 999,999 imports.
    bytes.extend_from_slice(&[2, 3, 0xbf, 0x84, 0x3d]);
    let (answer, peak) = peak_bytes(|| instrument(&bytes));
    assert!(peak < 64 << 10, "{peak}");
    let error = answer.expect_err("refused").to_string();
    assert!(error.contains("999999"), "{error}");
}

fn metered(bytes: &[u8]) -> Result<Option<Vec<u8>>, TestCaseError> {
    let (answer, peak) = peak_bytes(|| instrument(bytes));
    prop_assert!(peak <= may_hold(bytes.len()), "{peak} for {}", bytes.len());
    if let Err(error) = &answer {
        let defect = matches!(error, crate::ModuleError::Defect { .. });
        prop_assert!(!defect, "a guest caused a defect: {error}");
    }
    Ok(answer.ok())
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn tampered_modules_are_answered(bytes in hostile(kept())) {
        metered(&bytes)?;
    }

    #[test]
    fn a_tampered_small_module_is_answered(bytes in hostile(vec![small()])) {
        metered(&bytes)?;
    }

    #[test]
    fn what_the_meter_accepts_is_compiled_and_tried(bytes in mutated(vec![small()])) {
        if metered(&bytes)?.is_some() {
            // It may be refused here too: it traps when it is started, or gives a place outside its memory.
            let _ = Module::prepare(&bytes);
        }
    }
}
