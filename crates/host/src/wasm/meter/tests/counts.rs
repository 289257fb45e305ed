//! Fuel counts: the same as the naive twin's, and, for small guests, as counted by hand.

use expect_test::{Expect, expect};

use super::{BUDGET, Call, Ending, metered, twin::twin};

/// Runs `run` with each list of arguments, metered and as a twin, with ample fuel and with every budget around the total.
fn check(text: &str, calls: &[&[i32]], expected: Expect) {
    let module = metered(text).expect("accepted");
    let twin = twin(&wat::parse_str(text).expect("text"));
    let mut seen = String::new();
    for args in calls {
        let outcome = Call::new(&module, "run", args).run();
        let naive = Call {
            twin: true,
            ..Call::new(&twin, "run", args)
        }
        .run();
        assert_eq!(outcome, naive, "{args:?} differs from the twin");
        if let Ending::Returned(_) = outcome.ending {
            check_edge(&module, &twin, args, outcome.spent);
        }
        seen += &format!(
            "{args:?}: {:?}, fuel {}, host calls {}\n",
            outcome.ending, outcome.spent, outcome.host_calls
        );
    }
    expected.assert_eq(&seen);
}

/// Exactly the total is enough, and one unit less is not.
fn check_edge(module: &[u8], twin: &[u8], args: &[i32], total: i64) {
    for (budget, enough) in [(total, true), (total - 1, false), (total / 2, false), (0, false)] {
        let outcome = Call {
            budget,
            ..Call::new(module, "run", args)
        }
        .run();
        let naive = Call {
            budget,
            twin: true,
            ..Call::new(twin, "run", args)
        }
        .run();
        assert_eq!(outcome.ending, naive.ending, "budget {budget} of {total}");
        assert_eq!(
            matches!(outcome.ending, Ending::Returned(_)),
            enough,
            "budget {budget} of {total}"
        );
    }
}

#[test]
fn straight_line_by_hand() {
    // Entry 2, local.get 1, i32.const 1, i32.add 1, end 0.
    check(
        r#"(module (memory (export "memory") 1)
            (func (export "run") (param i32) (result i32) local.get 0 i32.const 1 i32.add))"#,
        &[&[41]],
        expect![[r#"
            [41]: Returned(["I32(42)"]), fuel 5, host calls 0
        "#]],
    );
}

#[test]
fn loop_by_hand() {
    // Entry 2; each round local.get, const, sub, tee, br_if: 5.
    check(
        r#"(module (memory (export "memory") 1)
            (func (export "run") (param i32)
                (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#,
        &[&[1], &[10], &[1000]],
        expect![[r#"
            [1]: Returned([]), fuel 7, host calls 0
            [10]: Returned([]), fuel 52, host calls 0
            [1000]: Returned([]), fuel 5002, host calls 0
        "#]],
    );
}

#[test]
fn locals_and_dear_instructions_by_hand() {
    // Entry 2 + 9 locals / 4 = 4; two consts and div_u 1 + 1 + 8; const, convert, sqrt 1 + 1 + 8; drop 1; popcnt 4.
    check(
        r#"(module (memory (export "memory") 1)
            (func (export "run") (result i32) (local i32 i32 i32 i32 i64 i64 i64 f32 f64)
                (drop (f64.sqrt (f64.convert_i32_s (i32.const 9))))
                (i32.popcnt (i32.div_u (i32.const 30) (i32.const 2)))))"#,
        &[&[]],
        expect![[r#"
            []: Returned(["I32(4)"]), fuel 29, host calls 0
        "#]],
    );
}

#[test]
fn nested_blocks_and_ifs() {
    check(
        r#"(module (memory (export "memory") 1)
            (func (export "run") (param i32 i32) (result i32) (local i32)
                (block $out
                    (loop $rows
                        (br_if $out (i32.eqz (local.get 0)))
                        (if (i32.and (local.get 0) (i32.const 1))
                            (then (local.set 2 (i32.add (local.get 2) (local.get 1))))
                            (else (block $skip
                                (br_if $skip (i32.gt_u (local.get 2) (i32.const 20)))
                                (local.set 2 (i32.add (local.get 2) (i32.const 3))))))
                        (if (i32.eq (local.get 0) (i32.const 3)) (then (local.set 1 (i32.const 1))))
                        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                        (br $rows)))
                (local.get 2)))"#,
        &[&[0, 5], &[1, 5], &[9, 5], &[30, 2]],
        expect![[r#"
            [0, 5]: Returned(["I32(0)"]), fuel 6, host calls 0
            [1, 5]: Returned(["I32(5)"]), fuel 26, host calls 0
            [9, 5]: Returned(["I32(27)"]), fuel 196, host calls 0
            [30, 2]: Returned(["I32(44)"]), fuel 628, host calls 0
        "#]],
    );
}

#[test]
fn branch_tables_that_stay_and_that_leave() {
    check(
        r#"(module (memory (export "memory") 1)
            (func $pick (param i32) (result i32)
                (block $c (block $b (block $a
                    (br_table $a $b $c (local.get 0)))
                    (return (i32.const 1)))
                    (nop))
                (i32.const 3))
            (func $leave (param i32) (result i32)
                (block $a (result i32)
                    (br_table $a 1 1 (i32.const 9) (local.get 0)))
                (i32.const 1) (i32.add))
            (func $perhaps (param i32)
                (block $a (br_table 1 $a $a (local.get 0))))
            (func (export "run") (param i32) (result i32)
                (call $perhaps (local.get 0))
                (i32.add (call $pick (local.get 0)) (call $leave (local.get 0)))))"#,
        &[&[0], &[1], &[2], &[7], &[-1]],
        expect![[r#"
            [0]: Returned(["I32(11)"]), fuel 44, host calls 0
            [1]: Returned(["I32(12)"]), fuel 42, host calls 0
            [2]: Returned(["I32(12)"]), fuel 41, host calls 0
            [7]: Returned(["I32(12)"]), fuel 41, host calls 0
            [-1]: Returned(["I32(12)"]), fuel 41, host calls 0
        "#]],
    );
}

#[test]
fn early_returns_and_branches_out_of_the_function() {
    check(
        r#"(module (memory (export "memory") 1)
            (func $inner (param i32) (result i32)
                (i32.const 5)
                (br_if 0 (i32.eq (local.get 0) (i32.const 1)))
                (if (i32.eq (local.get 0) (i32.const 2)) (then (br 1 (i32.const 6))))
                (if (i32.eq (local.get 0) (i32.const 3)) (then (return (i32.const 7))))
                (drop)
                (block (loop (br_if 1 (i32.eq (local.get 0) (i32.const 4))) (br 2 (i32.const 8))))
                (i32.const 9))
            (func (export "run") (param i32) (result i32)
                (i32.add (call $inner (local.get 0)) (i32.const 100))))"#,
        &[&[1], &[2], &[3], &[4], &[5]],
        expect![[r#"
            [1]: Returned(["I32(105)"]), fuel 16, host calls 0
            [2]: Returned(["I32(106)"]), fuel 22, host calls 0
            [3]: Returned(["I32(107)"]), fuel 26, host calls 0
            [4]: Returned(["I32(109)"]), fuel 30, host calls 0
            [5]: Returned(["I32(108)"]), fuel 31, host calls 0
        "#]],
    );
}

#[test]
fn unreachable_code_is_left_out() {
    check(
        r#"(module (memory (export "memory") 1)
            (func (export "run") (param i32) (result i32)
                (block $b (result i32)
                    (br $b (i32.const 4))
                    (block (loop (if (i32.const 1) (then (nop)) (else (br 0)))))
                    (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))
                    (call 0) (i32.add))
                (if (result i32) (local.get 0)
                    (then (return (i32.const 1)) (drop) (unreachable))
                    (else (i32.const 2)))
                (i32.add)
                (return) (nop) (i32.const 3)))"#,
        &[&[0], &[1]],
        expect![[r#"
            [0]: Returned(["I32(6)"]), fuel 9, host calls 0
            [1]: Returned(["I32(1)"]), fuel 8, host calls 0
        "#]],
    );
}

#[test]
fn recursion() {
    check(
        r#"(module (memory (export "memory") 1)
            (func $fib (export "run") (param i32) (result i32)
                (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
                    (then (local.get 0))
                    (else (i32.add
                        (call $fib (i32.sub (local.get 0) (i32.const 1)))
                        (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"#,
        &[&[1], &[10], &[15]],
        expect![[r#"
            [1]: Returned(["I32(1)"]), fuel 7, host calls 0
            [10]: Returned(["I32(55)"]), fuel 2471, host calls 0
            [15]: Returned(["I32(610)"]), fuel 27615, host calls 0
        "#]],
    );
}

#[test]
fn indirect_calls_also_of_imports() {
    check(
        r#"(module
            (import "app_1" "put" (func $put (param i32 i32 i32 i32)))
            (import "app_1" "tick" (func $tick (result i32)))
            (memory (export "memory") 1)
            (table 4 funcref)
            (elem (i32.const 0) $tick $own $put)
            (func $own (result i32) (i32.const 3))
            (export "tick" (func $tick))
            (func (export "run") (param i32) (result i32)
                (call $put (i32.const 0) (i32.const 10) (i32.const 0) (i32.const 20))
                (i32.add (call $tick) (call_indirect (result i32) (local.get 0)))))"#,
        &[&[0], &[1], &[2], &[3], &[9]],
        expect![[r#"
            [0]: Returned(["I32(14)"]), fuel 314, host calls 3
            [1]: Returned(["I32(10)"]), fuel 267, host calls 2
            [2]: Trapped(BadSignature), fuel 1000000, host calls 2
            [3]: Trapped(IndirectCallToNull), fuel 1000000, host calls 2
            [9]: Trapped(TableOutOfBounds), fuel 1000000, host calls 2
        "#]],
    );
}

#[test]
fn bulk_instructions() {
    check(
        r#"(module (memory (export "memory") 1) (table 8 funcref)
            (data $d "0123456789abcdef0123456789abcdef") (elem $e func $f $f)
            (func $f)
            (func (export "run") (param i32) (result i32)
                (memory.fill (i32.const 0) (i32.const 1) (local.get 0))
                (memory.copy (i32.const 64) (i32.const 0) (local.get 0))
                (memory.init $d (i32.const 0) (i32.const 0) (i32.const 17))
                (data.drop $d)
                (table.init $e (i32.const 0) (i32.const 0) (i32.const 2))
                (table.copy (i32.const 2) (i32.const 0) (i32.const 2))
                (elem.drop $e)
                (drop (memory.grow (i32.const 1)))
                (call $f)
                (memory.fill (i32.const 0) (i32.const 1) (local.get 0))
                (memory.size)))"#,
        &[&[0], &[7], &[8], &[1000], &[100_000]],
        expect![[r#"
            [0]: Returned(["I32(2)"]), fuel 8399, host calls 0
            [7]: Returned(["I32(2)"]), fuel 8399, host calls 0
            [8]: Returned(["I32(2)"]), fuel 8402, host calls 0
            [1000]: Returned(["I32(2)"]), fuel 8774, host calls 0
            [100000]: Trapped(MemoryOutOfBounds), fuel 1000000, host calls 0
        "#]],
    );
}

#[test]
fn several_results_and_block_parameters() {
    check(
        r#"(module (memory (export "memory") 1)
            (func $two (param i32) (result i32 i64) (local.get 0) (i64.const 4))
            (func (export "run") (param i32) (result i32 i64)
                (call $two (local.get 0))
                (loop $l (param i32 i64) (result i32 i64)
                    (i64.const 1) (i64.add)
                    (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                    (br_if $l (local.get 0)))))"#,
        &[&[1], &[5]],
        expect![[r#"
            [1]: Returned(["I32(1)", "I64(5)"]), fuel 19, host calls 0
            [5]: Returned(["I32(5)", "I64(9)"]), fuel 51, host calls 0
        "#]],
    );
}

#[test]
fn a_trap_of_the_guests_own_costs_the_whole_budget() {
    check(
        r#"(module (memory (export "memory") 1)
            (func (export "run") (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then (unreachable)))
                (if (i32.eq (local.get 0) (i32.const 1)) (then (return (i32.div_u (i32.const 1) (i32.const 0)))))
                (i32.load (local.get 0))))"#,
        &[&[0], &[1], &[-4], &[8]],
        expect![[r#"
            [0]: Trapped(UnreachableCodeReached), fuel 1000000, host calls 0
            [1]: Trapped(IntegerDivisionByZero), fuel 1000000, host calls 0
            [-4]: Trapped(MemoryOutOfBounds), fuel 1000000, host calls 0
            [8]: Returned(["I32(0)"]), fuel 11, host calls 0
        "#]],
    );
    assert_eq!(BUDGET, 1_000_000, "the snapshots say so");
}
