//! Whatever bytes come, the meter answers; and what it accepts counts like its twin.

use proptest::prelude::*;

use super::super::guest::Guest;
use super::super::{Error, RequiredExport, ValType, instrument};
use crate::mutations::cases;

use super::{Call, Ending, IMPORTS, policy, twin::twin};

const CORPUS: &[&str] = &[
    r#"(module (import "app_1" "put" (func $put (param i32 i32 i32 i32)))
        (memory (export "memory") 1 3) (table 3 funcref) (elem (i32.const 0) $put $run) (data "passive")
        (global $g (mut i32) (i32.const 6))
        (func $run (export "run") (param i32) (result i32) (local i64 f64)
            (loop $l
                (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 7))
                (call $put (i32.const 0) (i32.const 1) (i32.const 2) (i32.const 3))
                (global.set $g (i32.sub (global.get $g) (i32.const 1)))
                (br_if $l (global.get $g)))
            (block $a (block $b (br_table $a $b 2 (i32.const 4) (local.get 0) (drop) (local.get 0))) (return (i32.const 1)))
            (if (result i32) (i32.load (i32.const 0)) (then (i32.const 3)) (else (unreachable)))))"#,
    r#"(module (memory (export "memory") 1)
        (func $fib (export "run") (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
                (then (local.get 0))
                (else (i32.add
                    (call $fib (i32.sub (local.get 0) (i32.const 1)))
                    (call $fib (i32.rem_u (local.get 0) (i32.const 2))))))))"#,
];

fn corpus() -> Vec<Vec<u8>> {
    CORPUS.iter().map(|text| wat::parse_str(text).expect("text")).collect()
}

/// The meter answers, and never with a defect of its own.
fn answers(bytes: &[u8]) -> Option<Vec<u8>> {
    match instrument(bytes, &policy(), IMPORTS, &[]) {
        Ok(instrumented) => Some(instrumented.bytes),
        Err(Error::Defect { reason }) => panic!("a guest caused a defect: {reason}"),
        Err(_) => None,
    }
}

/// If the mutant still exports `run(i32)`, it ends like its twin, as far as the coarser checks allow.
fn counts_like_its_twin(bytes: &[u8], metered: &[u8]) {
    let guest = Guest::read(bytes, &policy(), IMPORTS).expect("accepted");
    let run = RequiredExport {
        name: "run",
        params: &[ValType::I32],
        results: &[ValType::I32],
    };
    if guest.check_exports(&[run]).is_err() || guest.start.is_some() {
        return;
    }
    let budget = 50_000;
    let outcome = Call {
        budget,
        ..Call::new(metered, "run", &[5])
    }
    .run();
    let naive = Call {
        budget,
        twin: true,
        ..Call::new(&twin(bytes), "run", &[5])
    }
    .run();
    match &outcome.ending {
        Ending::Returned(_) | Ending::NotInstantiated => assert_eq!(outcome, naive),
        Ending::OutOfFuel | Ending::Trapped(_) => assert!(
            !matches!(naive.ending, Ending::Returned(_)),
            "{outcome:?}, twin {naive:?}"
        ),
        Ending::TooDeep => {}
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Truncate(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        8 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        8 => (any::<prop::sample::Index>(), 0u8..0x80).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Mutation::Remove),
        1 => any::<prop::sample::Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        Mutation::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), header in any::<bool>()) {
        let mut module = if header { b"\0asm\x01\0\0\0".to_vec() } else { Vec::new() };
        module.extend(bytes);
        answers(&module);
    }

    #[test]
    fn mutated_modules_are_answered_and_count_like_their_twins(
        pick in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let mut bytes = pick.get(&corpus()).clone();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        if let Some(metered) = answers(&bytes) {
            counts_like_its_twin(&bytes, &metered);
        }
    }
}
