//! How calls end early.

use machine::{CallError, CallOutcome, FailureCode, Misuse, StateError, Trap, limits};

use super::{ANSWER, Ready, apply, done, guest, guest_with, run};
use crate::testing::Memory;
use crate::wasm::engine::{Engine, with_guest_stack};
use crate::wasm::{Instance, Module, instrument};

fn trap(body: &str) -> Trap {
    match run(body, b"", &mut Memory::default()) {
        CallOutcome::Trapped(trap) => trap,
        other => panic!("{body}: {other:?}"),
    }
}

/// The kind and text of a misuse.
fn misuse(body: &str) -> (FailureCode, String) {
    match trap(body) {
        Trap::Misuse(Misuse::Failed(failure)) => (failure.code, failure.detail),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_guests_own_traps() {
    for body in [
        "unreachable",
        "(drop (i32.div_u (i32.const 1) (local.get $i))) unreachable",
        "(drop (i32.div_s (i32.const 0x80000000) (i32.sub (local.get $i) (i32.const 1)))) unreachable",
        "(drop (i32.load (i32.const 0x7fffffff))) unreachable",
        "(drop (i32.trunc_f64_u (f64.const nan))) unreachable",
    ] {
        assert_eq!(trap(body), Trap::Guest, "{body}");
    }
    let indirect = guest_with("(call_indirect (i32.const 0)) unreachable", "(table 1 funcref)");
    let outcome = Ready::new(&indirect).apply(b"", &mut Memory::default());
    assert_eq!(outcome, CallOutcome::Trapped(Trap::Guest));
}

#[test]
fn an_answer_that_is_none_is_a_trap() {
    for body in [
        "(i64.const 0)",
        "(i64.const -1)",
        "(i32.store8 (i32.const 40000) (i32.const 2)) (call $done (i32.const 0))",
        "(i64.const 0x0002000000000001)",
    ] {
        assert_eq!(trap(body), Trap::Guest, "{body}");
    }
}

#[test]
fn fuel_runs_out() {
    assert_eq!(trap("(loop (br 0)) unreachable"), Trap::Fuel);
}

#[test]
fn an_overdraft_at_the_very_end_counts() {
    // Spends about 10,000 units a round, then one for each byte of a document, then 800 in a block in which the meter
    // never looks: the call returns, with less than nothing if the document is one byte too long.
    let body = |rounds: u64| {
        format!(
            "(local.set $i (i32.const {rounds}))
            (loop (memory.fill (i32.const 50000) (i32.const 1) (i32.const 80000))
                (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
            (drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))
            (if (local.get $len) (then {})) (i64.const 0x0000_9c40_0000_0001)",
            "(drop (i32.const 0)) ".repeat(400)
        )
    };
    let spent = |rounds: u64, document: u64| {
        let mut memory = Memory::default();
        memory.rows.insert(b"t".to_vec(), vec![0; document as usize].into());
        let mut ready = Ready::new(&guest(&body(rounds)));
        let outcome = ready.apply(b"", &mut memory);
        (outcome, ready.host.fuel_spent())
    };
    let (one, two) = (spent(1, 0).1, spent(2, 0).1);
    let rounds = 1 + (limits::FUEL_MAX - one) / (two - one);
    let left = limits::FUEL_MAX - (one + (rounds - 1) * (two - one));
    assert_eq!(spent(rounds, left), (done(b""), limits::FUEL_MAX), "to the last unit");
    assert_eq!(
        spent(rounds, left + 1),
        (CallOutcome::Trapped(Trap::Fuel), limits::FUEL_MAX)
    );
}

#[test]
fn a_trap_costs_the_whole_budget() {
    let mut ready = Ready::new(&guest("unreachable"));
    ready.apply(b"", &mut Memory::default());
    assert_eq!(ready.host.fuel_spent(), limits::FUEL_MAX);
}

const RECURSION: &str = "(func $deep (param i32) (call $deep (local.get 0)))";

/// Recursion with a large frame, which asks the host at every step.
fn greedy_recursion() -> String {
    let loads: String = (0..300).map(|i| format!("(i32.load (i32.const {}))", 4 * i)).collect();
    format!(
        "(func $deep (param i32) (local i64) (drop (call $index)) {loads} (call $deep (local.get 0)) {} drop)",
        "i32.add ".repeat(299)
    )
}

fn recursion_is_cut_off() {
    for recursion in [RECURSION.to_owned(), greedy_recursion()] {
        let mut ready = Ready::new(&guest_with("(call $deep (i32.const 1)) (i64.const 0)", &recursion));
        let outcome = ready.apply(b"", &mut Memory::default());
        assert_eq!(outcome, CallOutcome::Trapped(Trap::Depth));
    }
}

/// Runs a test on a thread with so many bytes of stack.
#[allow(clippy::disallowed_methods)] // A thread of a size that the environment does not have.
fn on_stack(bytes: usize, test: fn()) {
    let thread = std::thread::Builder::new().stack_size(bytes).spawn(test);
    thread.expect("a thread").join().expect("no panic");
}

#[test]
fn endless_recursion_is_cut_off_on_a_small_stack() {
    on_stack(256 << 10, recursion_is_cut_off);
}

#[test]
fn endless_recursion_is_cut_off_on_a_workers_stack() {
    on_stack(64 << 20, recursion_is_cut_off);
}

/// How deep calls of a function of so many instructions may go.
fn deepest(instructions: usize) -> u64 {
    let padded = format!(
        "(func $down (param i32) {} (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))",
        "(drop (i32.const 0)) ".repeat(instructions)
    );
    let passes = |depth: u64| {
        let text = guest_with(
            &format!("(call $down (i32.const {depth})) (call $done (i32.const 0))"),
            &padded,
        );
        match Ready::new(&text).apply(b"", &mut Memory::default()) {
            CallOutcome::Trapped(Trap::Depth) => false,
            CallOutcome::Done(_) => true,
            other => panic!("{depth}: {other:?}"),
        }
    };
    let (mut passing, mut failing) = (0, limits::DEPTH_MAX);
    while failing - passing > 1 {
        let middle = passing + (failing - passing) / 2;
        *if passes(middle) { &mut passing } else { &mut failing } = middle;
    }
    passing
}

#[test]
fn calls_go_as_deep_as_they_may_and_no_call_deeper() {
    // A frame costs so many units an instruction, so frames that are larger by 1,000 of them say how many.
    let (small, large) = (deepest(1000), deepest(2000));
    let (unit_small, unit_large) = (limits::DEPTH_MAX / small, limits::DEPTH_MAX / large);
    assert!(small > 100 && large < small, "{small} {large}");
    let instruction = (unit_large - unit_small) / 2000;
    assert!((8..=16).contains(&instruction), "{instruction} units an instruction");
    assert!(unit_small >= 8 * 2000, "{unit_small}");
}

#[test]
fn a_native_overflow_is_a_fault_of_the_host() {
    // An engine with less stack than the meter's depth asks for, which no node has.
    let engine = Engine::new(256 << 10).expect("an engine");
    let text = guest_with("(call $deep (i32.const 1)) (i64.const 0)", RECURSION);
    let bytes = wat::parse_str(text).expect("the test's own text");
    let metered = instrument(&bytes).expect("accepted");
    let module = Module::compile(&engine, &metered).expect("compiles");
    let called = with_guest_stack(|| {
        let mut instance = Instance::fresh(&module).expect("instantiates");
        instance.call(&apply(b""), &mut Memory::default())
    });
    assert!(
        matches!(&called, Err(CallError::Engine(text)) if text.contains("call stack exhausted")),
        "{called:?}"
    );
}

#[test]
fn a_refused_host_call_ends_the_guest() {
    let unknown = "(call $put (i32.const 8) (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)) \
                   (call $done (i32.const 0))";
    assert_eq!(misuse(unknown), (FailureCode::Misuse, "no nope".into()));
}

#[test]
fn a_failing_disk_is_not_the_guests_doing() {
    let broken = "(call $delete (i32.const 2) (i32.const 6) (i32.const 0) (i32.const 1)) (call $done (i32.const 0))";
    assert_eq!(trap(broken), Trap::State(StateError("the disk is gone".into())));
}

#[test]
fn pointers_outside_the_memory_are_misuse() {
    let done = "(call $done (i32.const 0))";
    for (call, what) in [
        (
            "(call $delete (i32.const -1) (i32.const 1) (i32.const 0) (i32.const 1))",
            "the table",
        ),
        (
            "(call $delete (i32.const 0) (i32.const 1) (i32.const 131072) (i32.const 1))",
            "the key",
        ),
        (
            "(call $delete (i32.const 0) (i32.const 1) (i32.const 131072) (i32.const 0x1000000))",
            "the key",
        ),
        (
            "(call $emit (i32.const 1) (i32.const 1) (i32.const 0) (i32.const -2) (i32.const 0) (i32.const 0))",
            "the event's key",
        ),
        (
            "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 131071) (i32.const 2))",
            "the document",
        ),
    ] {
        let (code, detail) = misuse(&format!("{call} {done}"));
        assert_eq!(code, FailureCode::Misuse);
        assert!(
            detail.contains(what) && detail.contains("outside its memory of 131072 bytes"),
            "{detail}"
        );
    }
    let at_the_edge = "(call $delete (i32.const 0) (i32.const 1) (i32.const 131072) (i32.const 0))";
    assert_eq!(
        run(&format!("{at_the_edge} {done}"), b"", &mut Memory::default()),
        super::done(b"")
    );
}

#[test]
fn places_for_results_outside_the_memory_are_misuse() {
    let mut memory = super::three_rows();
    for (call, what) in [
        (
            "(call $get (i32.const 0) (i32.const 1) (i32.const 1029) (i32.const 1) (i32.const 131071) (i32.const 2))",
            "the place for the document",
        ),
        (
            "(call $scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 9) \
             (i32.const 0) (i32.const 131050) (i32.const -1))",
            "the place for the rows",
        ),
    ] {
        match run(&format!("(drop {call}) (call $done (i32.const 0))"), b"a", &mut memory) {
            CallOutcome::Trapped(Trap::Misuse(Misuse::Failed(failure))) => {
                assert!(failure.detail.contains(what), "{}", failure.detail);
            }
            other => panic!("{call}: {other:?}"),
        }
    }
}

#[test]
fn a_name_that_is_not_text_is_misuse() {
    let (_, detail) =
        misuse("(call $delete (i32.const 12) (i32.const 1) (i32.const 0) (i32.const 1)) (call $done (i32.const 0))");
    assert!(detail.contains("the table that it gave is not UTF-8"), "{detail}");
}

#[test]
fn an_answer_past_its_limit_is_too_large() {
    let body = |bytes: usize| format!("(drop (memory.grow (i32.const 30))) (call $done (i32.const {bytes}))");
    let largest = run(&body(limits::COMMAND_BYTES_MAX), b"", &mut Memory::default());
    assert!(matches!(largest, CallOutcome::Done(bytes) if bytes.len() == limits::COMMAND_BYTES_MAX));
    let (code, _) = misuse(&body(limits::COMMAND_BYTES_MAX + 1));
    assert_eq!(code, FailureCode::TooLarge);
}

#[test]
fn memory_grows_to_the_limit_and_no_further() {
    let grow = |pages: u32| {
        format!("(i32.store (i32.const 40001) (memory.grow (i32.const {pages}))) (call $done (i32.const 4))")
    };
    let all = limits::MEMORY_PAGES_MAX - 2;
    assert_eq!(run(&grow(all), b"", &mut Memory::default()), done(2i32.to_le_bytes()));
    assert_eq!(
        run(&grow(all + 1), b"", &mut Memory::default()),
        done((-1i32).to_le_bytes())
    );
    // 8,192 units a page: within the fuel, and outside of what 32 bits can address.
    assert_eq!(
        run(&grow(20_000), b"", &mut Memory::default()),
        done((-1i32).to_le_bytes())
    );
}

#[test]
fn a_buffer_that_does_not_hold_the_input_is_a_trap() {
    let mut ready = Ready::new(&guest("(call $done (i32.const 0))"));
    // The guests of these tests give out the same place whatever is asked for: 130,048 bytes before the memory's end.
    let fits = vec![0; 131_072 - 1_024 - 5];
    assert_eq!(ready.apply(&fits, &mut Memory::default()), done(b""));
    let too_long = vec![0; fits.len() + 1];
    assert_eq!(
        ready.apply(&too_long, &mut Memory::default()),
        CallOutcome::Trapped(Trap::Guest)
    );
}

#[test]
fn the_tests_answers_lie_where_they_say() {
    assert!(guest("").contains(&(ANSWER.parse::<u64>().expect("a number") << 32).to_string()));
}
