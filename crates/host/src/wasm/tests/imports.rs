//! Each host function, and what it costs.

use bytes::Bytes;
use machine::{CallOutcome, Index, TimeMs, Trap};

use super::{Ready, done, guest, run, three_rows};
use crate::testing::Memory;

/// Answers with the result of an expression and the bytes that it left behind it.
fn result_and(expression: &str, bytes: u32) -> String {
    format!(
        "(i64.store (i32.const 40001) {expression}) (call $done (i32.const {}))",
        8 + bytes
    )
}

fn answer(result: i64, bytes: &[u8]) -> CallOutcome {
    done([&result.to_le_bytes(), bytes].concat())
}

const PAYLOAD: &str = "(i32.const 1029) (i32.sub (local.get $len) (i32.const 5))";

#[test]
fn the_input_lies_where_the_guest_asked_for_it() {
    let body = "(memory.copy (i32.const 40001) (local.get $in) (local.get $len)) (call $done (local.get $len))";
    assert_eq!(run(body, b"xyz", &mut Memory::default()), done(b"\x01\x00c\x01\x00xyz"));
}

#[test]
fn a_refusal_is_told_from_an_answer() {
    let body = "(i32.store8 (i32.const 40000) (i32.const 1)) (i32.store8 (i32.const 40001) (i32.const 63)) \
                (call $done (i32.const 1))";
    let refused = CallOutcome::Refused(Bytes::from_static(b"?"));
    assert_eq!(run(body, b"", &mut Memory::default()), refused);
}

#[test]
fn get_gives_the_document_if_there_is_room() {
    let get = |room: u32| {
        let get = format!("(call $get (i32.const 0) (i32.const 1) {PAYLOAD} (i32.const 40009) (i32.const {room}))");
        result_and(&get, 2)
    };
    assert_eq!(run(&get(2), b"b", &mut three_rows()), answer(2, b"b!"));
    assert_eq!(
        run(&get(1), b"b", &mut three_rows()),
        answer(2, b"\0\0"),
        "no room: the length alone"
    );
    assert_eq!(run(&get(2), b"x", &mut three_rows()), answer(-1, b"\0\0"));
}

#[test]
fn put_and_delete_change_rows() {
    let mut memory = three_rows();
    let put = format!(
        "(call $put (i32.const 0) (i32.const 1) {PAYLOAD} (i32.const 8) (i32.const 4)) (call $done (i32.const 0))"
    );
    assert_eq!(run(&put, b"x", &mut memory), done(b""));
    assert_eq!(memory.rows.get(&b"x"[..]), Some(&Bytes::from_static(b"nope")));
    let delete = format!("(call $delete (i32.const 0) (i32.const 1) {PAYLOAD}) (call $done (i32.const 0))");
    assert_eq!(run(&delete, b"x", &mut memory), done(b""));
    assert_eq!(
        memory,
        Memory {
            calls: 2,
            ..three_rows()
        }
    );
}

fn scan(range: &str, limit: u32, reverse: u32, room: u32) -> String {
    let scan = format!(
        "(call $scan (i32.const 0) (i32.const 1) {range} (i32.const {limit}) (i32.const {reverse}) (i32.const 40009) \
         (i32.const {room}))"
    );
    result_and(&scan, room)
}

fn pair(key: &str) -> Vec<u8> {
    [b"\x01\0\0\0", key.as_bytes(), b"\x02\0\0\0", key.as_bytes(), b"!"].concat()
}

#[test]
fn scan_writes_pairs_in_order() {
    const ALL: &str = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)";
    let of = |keys: &[&str]| keys.iter().flat_map(|key| pair(key)).collect::<Vec<u8>>();
    let run = |range: &str, limit, reverse| run(&scan(range, limit, reverse, 33), b"b", &mut three_rows());
    let filled = |keys: &[&str]| {
        let pairs = of(keys);
        let rest = vec![0; 33 - pairs.len()];
        answer(pairs.len() as i64, &[pairs, rest].concat())
    };
    assert_eq!(run(ALL, 10, 0), filled(&["a", "b", "c"]));
    assert_eq!(run(ALL, 2, 1), filled(&["c", "b"]));
    assert_eq!(run(ALL, 0, 0), filled(&[]));
    let from_b = format!("{PAYLOAD} (i32.const 0) (i32.const -1)");
    assert_eq!(run(&from_b, 10, 0), filled(&["b", "c"]));
    let to_b = format!("(i32.const 0) (i32.const 0) {PAYLOAD}");
    assert_eq!(run(&to_b, 10, 0), filled(&["a"]));
    let empty_end = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)";
    assert_eq!(run(empty_end, 10, 0), filled(&[]));
}

#[test]
fn scan_writes_as_many_pairs_as_fit() {
    const ALL: &str = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)";
    let run = |room: u32| run(&scan(ALL, 10, 0, room), b"", &mut three_rows());
    assert_eq!(run(32), answer(22, &[pair("a"), pair("b"), vec![0; 10]].concat()));
    assert_eq!(run(11), answer(11, &pair("a")));
    assert_eq!(run(10), answer(-11, &[0; 10]), "not even the first fits");
    assert_eq!(run(0), answer(-11, b""));
}

#[test]
fn emit_appends_an_event_with_or_without_a_key() {
    let mut memory = Memory::default();
    let emit = |key: &str| {
        format!("(call $emit (i32.const 1) (i32.const 1) {key} (i32.const 8) (i32.const 4)) (call $done (i32.const 0))")
    };
    run(&emit(PAYLOAD), b"k", &mut memory);
    run(&emit("(i32.const 0) (i32.const 0)"), b"k", &mut memory);
    run(&emit("(i32.const 0) (i32.const -1)"), b"k", &mut memory);
    let event = |key: Option<&[u8]>| (key.map(<[u8]>::to_vec), b"nope".to_vec());
    assert_eq!(memory.events, [event(Some(b"k")), event(Some(b"")), event(None)]);
}

#[test]
fn time_index_and_random_come_from_the_context() {
    let mut memory = Memory {
        time: TimeMs(u64::MAX),
        index: Index(7),
        chance: 40,
        ..Memory::default()
    };
    assert_eq!(run(&result_and("(call $time)", 0), b"", &mut memory), answer(-1, b""));
    assert_eq!(run(&result_and("(call $index)", 0), b"", &mut memory), answer(7, b""));
    let sum = "(i64.mul (call $random) (call $random))";
    assert_eq!(run(&result_and(sum, 0), b"", &mut memory), answer(41 * 42, b""));
}

/// Fuel that a body spends more than one that does nothing.
fn cost(body: &str, memory: &mut Memory) -> u64 {
    let spent = |body: &str, memory: &mut Memory| {
        let mut ready = Ready::new(&guest(body));
        let outcome = ready.apply(b"b", memory);
        assert!(matches!(outcome, CallOutcome::Done(_)), "{outcome:?}");
        ready.host.fuel_spent()
    };
    spent(&format!("{body} (call $done (i32.const 0))"), memory) - spent("(call $done (i32.const 0))", memory)
}

#[test]
fn host_calls_cost_what_the_table_says() {
    // Eleven parameters and less, at one unit each, a call at four, a drop at one.
    let get =
        "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 1029) (i32.const 1) (i32.const 0) (i32.const 0)))";
    assert_eq!(
        cost(get, &mut three_rows()),
        11 + 2_000 + 2 + 2,
        "table, key and document"
    );
    assert_eq!(cost(get, &mut Memory::default()), 11 + 2_000 + 2, "no document");
    let put = "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 50))";
    assert_eq!(cost(put, &mut Memory::default()), 10 + 1_000 + 2 * 54);
    let delete = "(call $delete (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 3))";
    assert_eq!(cost(delete, &mut Memory::default()), 8 + 1_000 + 2 * 4);
    let scan = "(drop (call $scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1029) (i32.const 1) \
                (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0)))";
    assert_eq!(
        cost(scan, &mut three_rows()),
        15 + 4_000 + 1 + 1 + 500 + 3,
        "one row before b"
    );
    let emit = "(call $emit (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 50))";
    assert_eq!(cost(emit, &mut Memory::default()), 10 + 500 + 2 * 54);
    let unkeyed = "(call $emit (i32.const 1) (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 50))";
    assert_eq!(cost(unkeyed, &mut Memory::default()), 10 + 500 + 2 * 51);
    for function in ["time", "index", "random"] {
        assert_eq!(
            cost(&format!("(drop (call ${function}))"), &mut Memory::default()),
            5 + 20,
            "{function}"
        );
    }
}

#[test]
fn reading_large_documents_uses_up_the_fuel() {
    let mut memory = Memory::default();
    memory.rows.insert(b"b".to_vec(), vec![0; 1_000_000].into());
    let body = "(loop (drop (call $get (i32.const 0) (i32.const 1) (i32.const 1029) (i32.const 1) (i32.const 0) \
                (i32.const 0))) (br 0)) unreachable";
    assert_eq!(run(body, b"b", &mut memory), CallOutcome::Trapped(Trap::Fuel));
    assert_eq!(
        memory.calls, 200,
        "each read is charged although nothing was handed over"
    );
}
