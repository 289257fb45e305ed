//! Both limits, what is charged before it runs, and the start function.

use wasmtime::{OptLevel, RegallocAlgorithm, Trap};

use super::super::{FRAME_BASE_UNITS, FRAME_VALUE_UNITS, START_EXPORT};
use super::{Call, Ending, engine, metered, on_large_stack};

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    for body in [
        "(loop (br 0))",
        "(loop (loop (br 1)))",
        "(loop (br_if 0 (i32.const 1)))",
        "(loop (br_table 0 0 (i32.const 5)))",
    ] {
        let text = format!(r#"(module (memory (export "memory") 1) (func (export "run") {body}))"#);
        let module = metered(&text).expect("accepted");
        assert_eq!(Call::new(&module, "run", &[]).run().ending, Ending::OutOfFuel, "{body}");
    }
}

#[test]
fn an_endless_tree_of_calls_runs_out_of_fuel() {
    let text = r#"(module (memory (export "memory") 1)
        (func $f (export "run") (param i32)
            (if (local.get 0) (then
                (call $f (i32.sub (local.get 0) (i32.const 1)))
                (call $f (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let module = metered(text).expect("accepted");
    assert_eq!(Call::new(&module, "run", &[1000]).run().ending, Ending::OutOfFuel);
}

#[test]
fn depth_is_counted_exactly() {
    // Values: one parameter, and local.get, if, local.get, i32.const, i32.sub, call (with one parameter), end, end; the
    // `if` has no type.
    let text = r#"(module (memory (export "memory") 1)
        (func $f (export "run") (param i32)
            (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let module = metered(text).expect("accepted");
    let frame = (FRAME_BASE_UNITS + 10 * FRAME_VALUE_UNITS) as i32;
    let with = |depth, calls| {
        Call {
            depth,
            ..Call::new(&module, "run", &[calls])
        }
        .run()
        .ending
    };
    assert_eq!(with(frame * 11, 10), Ending::Returned(vec![]));
    assert_eq!(with(frame * 11 - 1, 10), Ending::TooDeep);
    assert_eq!(with(frame - 1, 0), Ending::TooDeep);
}

#[test]
fn depth_is_given_back_when_a_call_returns() {
    let text = r#"(module (memory (export "memory") 1) (table 1 funcref) (elem (i32.const 0) $g)
        (func $g (call $h)) (func $h)
        (func (export "run") (param i32)
            (loop $l
                (call $g) (call_indirect (i32.const 0))
                (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let module = metered(text).expect("accepted");
    let outcome = Call {
        depth: 2_000,
        ..Call::new(&module, "run", &[500])
    }
    .run();
    assert_eq!(outcome.ending, Ending::Returned(vec![]));
}

/// Functions that recurse for ever with frames as large as an optimiser may be made to make them.
fn greedy_frames() -> Vec<(&'static str, String)> {
    let start = r#"func $f (export "run") (param i32)"#;
    let mut all = greedy_signatures(start);
    all.extend(greedy_values(start));
    let module = |functions| {
        format!(r#"(module (memory (export "memory") 1) (table 1 funcref) (elem (i32.const 0) $f) {functions})"#)
    };
    all.into_iter()
        .map(|(name, functions)| (name, module(functions)))
        .collect()
}

/// Frames whose size lies in what is passed and returned.
fn greedy_signatures(start: &str) -> Vec<(&'static str, String)> {
    let many = "i64 ".repeat(100);
    let zeros = "(i64.const 0) ".repeat(100);
    let drops = "drop ".repeat(100);
    vec![
        ("empty", format!("({start} (call $f (local.get 0)))")),
        (
            "indirect",
            format!("({start} (call_indirect (param i32) (local.get 0) (i32.const 0)))"),
        ),
        (
            "params",
            format!(
                r#"(func $f (param {many}) (call $f {zeros})) (func (export "run") (param i32) (call $f {zeros}))"#
            ),
        ),
        (
            "results",
            format!(
                "({start} (call $g (local.get 0)) {drops})
                (func $g (param i32) (result {many}) (call $f (local.get 0)) {zeros})"
            ),
        ),
        (
            "forwarded",
            format!(
                "({start} (call $g) (call $h)) (func $g (result {many}) {zeros})
                (func $h (param {many}) (call $f (i32.const 0)))"
            ),
        ),
    ]
}

/// Frames whose size lies in values that live across the call.
fn greedy_values(start: &str) -> Vec<(&'static str, String)> {
    let call = "(call $f (local.get 0))";
    let loads: String = (0..300).map(|i| format!("(i32.load (i32.const {}))", 4 * i)).collect();
    let adds = "i32.add ".repeat(300);
    let locals = "(local i64) ".repeat(200);
    let set: String = (1..=200)
        .map(|i| format!("(local.set {i} (i64.load (i32.const {})))", 8 * i))
        .collect();
    let sum: String = (1..=200)
        .map(|i| format!("(i64.store (i32.const {}) (local.get {i}))", 8 * i))
        .collect();
    let open = "(loop ".repeat(60);
    let close = "(br_if 0 (local.get 0)))".repeat(60);
    vec![
        (
            "stack",
            format!("({start} (local i32) {loads} {call} (i32.const 1) {adds} (local.set 1))"),
        ),
        (
            "locals",
            format!("({start} {locals} (loop {set} {call} {sum} (br_if 0 (local.get 0))))"),
        ),
        ("loops", format!("({start} {locals} {open} {set} {call} {sum} {close})")),
    ]
}

#[test]
fn endless_recursion_hits_the_depth_limit_before_the_native_stack() {
    const DEPTH: i32 = 4 << 20;
    // The native stack is hardly larger than the budget, so a unit is shown to cover a byte of the engine's frames.
    const STACK: usize = DEPTH as usize + (64 << 10);
    on_large_stack(|| {
        for (name, text) in greedy_frames() {
            let module = metered(&text).expect("accepted");
            for (level, registers) in [
                (OptLevel::None, RegallocAlgorithm::SinglePass),
                (OptLevel::None, RegallocAlgorithm::Backtracking),
                (OptLevel::Speed, RegallocAlgorithm::Backtracking),
                (OptLevel::SpeedAndSize, RegallocAlgorithm::Backtracking),
            ] {
                let engine = engine(level, registers, STACK);
                let call = Call {
                    engine,
                    depth: DEPTH,
                    budget: i64::MAX,
                    ..Call::new(&module, "run", &[1])
                };
                assert_eq!(call.run().ending, Ending::TooDeep, "{name}, {level:?}, {registers:?}");
            }
        }
    });
}

#[test]
fn large_operands_are_charged_before_they_run() {
    // Each would trap or fail of itself if it ran, and would then not be out of fuel.
    for instruction in [
        "(memory.fill (i32.const 0) (i32.const 0) (i32.const -1))",
        "(memory.copy (i32.const 0) (i32.const 0) (i32.const -1))",
        "(memory.init 0 (i32.const 0) (i32.const 0) (i32.const -1))",
        "(table.init 0 (i32.const 0) (i32.const 0) (i32.const -1))",
        "(table.copy (i32.const 0) (i32.const 0) (i32.const -1))",
        "(drop (memory.grow (i32.const -1)))",
        "(call $put (i32.const 0) (i32.const -1) (i32.const 0) (i32.const -1))",
    ] {
        let text = format!(
            r#"(module (import "app_1" "put" (func $put (param i32 i32 i32 i32)))
                (memory (export "memory") 1) (table 1 funcref) (data "") (elem func)
                (func (export "run") {instruction}))"#
        );
        let module = metered(&text).expect("accepted");
        let outcome = Call::new(&module, "run", &[]).run();
        assert_eq!(
            (outcome.ending, outcome.host_calls),
            (Ending::OutOfFuel, 0),
            "{instruction}"
        );
        let rich = Call {
            budget: i64::MAX,
            ..Call::new(&module, "run", &[])
        }
        .run();
        assert!(
            !matches!(rich.ending, Ending::OutOfFuel),
            "{instruction} with ample fuel"
        );
    }
}

#[test]
fn an_import_is_not_reached_without_fuel_for_it() {
    let text = r#"(module (import "app_1" "tick" (func $tick (result i32))) (memory (export "memory") 1)
        (func (export "run") (drop (call $tick))))"#;
    let module = metered(text).expect("accepted");
    // Entry 2, call 4, drop 1, and the import's 50.
    let outcome = Call {
        budget: 56,
        ..Call::new(&module, "run", &[])
    }
    .run();
    assert_eq!((outcome.ending, outcome.host_calls), (Ending::OutOfFuel, 0));
    let outcome = Call {
        budget: 57,
        ..Call::new(&module, "run", &[])
    }
    .run();
    assert_eq!(
        (outcome.ending, outcome.host_calls, outcome.spent),
        (Ending::Returned(vec![]), 1, 57)
    );
}

#[test]
fn an_exported_import_is_its_wrapper() {
    let text = r#"(module (import "app_1" "tick" (func $tick (result i32))) (memory (export "memory") 1)
        (export "run" (func $tick)))"#;
    let module = metered(text).expect("accepted");
    let outcome = Call::new(&module, "run", &[]).run();
    assert_eq!(
        (outcome.ending, outcome.spent),
        (Ending::Returned(vec!["I32(7)".into()]), 50)
    );
    let outcome = Call {
        budget: 49,
        ..Call::new(&module, "run", &[])
    }
    .run();
    assert_eq!((outcome.ending, outcome.host_calls), (Ending::OutOfFuel, 0));
}

#[test]
fn growth_stops_at_the_policys_limit() {
    let text = r#"(module (memory (export "memory") 1)
        (func (export "run") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    let module = metered(text).expect("accepted");
    let grow = |pages| Call::new(&module, "run", &[pages]).run().ending;
    assert_eq!(grow(63), Ending::Returned(vec!["I32(1)".into()]));
    assert_eq!(grow(64), Ending::Returned(vec!["I32(-1)".into()]));
}

#[test]
fn a_start_function_is_run_by_the_host_under_both_limits() {
    let text = |body: &str| {
        format!(
            r#"(module (memory (export "memory") 1) (global $g (mut i32) (i32.const 1))
            (func $start (global.set $g (i32.const 5)) {body}) (start $start)
            (func (export "run") (result i32) (global.get $g)))"#
        )
    };
    let module = metered(&text("")).expect("accepted");
    assert_eq!(
        Call::new(&module, "run", &[]).run().ending,
        Ending::Returned(vec!["I32(1)".into()]),
        "not run by the engine"
    );
    let outcome = Call::new(&module, START_EXPORT, &[]).run();
    assert_eq!((outcome.ending, outcome.spent), (Ending::Returned(vec![]), 4));
    let module = metered(&text("(loop (br 0))")).expect("accepted");
    assert_eq!(Call::new(&module, START_EXPORT, &[]).run().ending, Ending::OutOfFuel);
    let module = metered(&text("(unreachable)")).expect("accepted");
    assert_eq!(
        Call::new(&module, START_EXPORT, &[]).run().ending,
        Ending::Trapped(Trap::UnreachableCodeReached)
    );
}
