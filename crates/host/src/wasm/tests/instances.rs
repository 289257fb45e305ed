//! How long an instance lives, and that two hosts agree.

use bytes::Bytes;
use machine::{Applications, CallError, CallOutcome, Context, Index, Misuse, Pair, TimeMs, Trap};

use super::{Ready, apply, code, counted, guest, manifest, migrate, query, three_rows};
use crate::Registry;
use crate::testing::Memory;
use crate::wasm::Module;

/// Counts, and traps when there is a payload.
const COUNTING: &str = "(if (i32.gt_u (local.get $len) (i32.const 5)) (then unreachable)) (call $count)";

#[test]
fn an_instance_lives_for_one_entry() {
    let mut ready = Ready::new(&guest(COUNTING));
    let mut memory = Memory::default();
    assert_eq!(ready.apply(b"", &mut memory), counted(1));
    assert_eq!(ready.apply(b"", &mut memory), counted(2));
    ready.host.end_entry();
    assert_eq!(ready.apply(b"", &mut memory), counted(1));
}

#[test]
fn an_instance_ends_with_its_trap() {
    let mut ready = Ready::new(&guest(COUNTING));
    let mut memory = Memory::default();
    assert_eq!(ready.apply(b"", &mut memory), counted(1));
    assert_eq!(ready.apply(b"!", &mut memory), CallOutcome::Trapped(Trap::Guest));
    assert_eq!(ready.apply(b"", &mut memory), counted(1));
}

#[test]
fn commands_queries_and_conversions_do_not_share_an_instance() {
    let mut ready = Ready::new(&guest(COUNTING));
    let mut memory = Memory::default();
    for round in 1..=3 {
        for call in [apply(b""), query(), migrate()] {
            assert_eq!(ready.call(call, &mut memory), Ok(counted(round)));
        }
    }
    ready.host.end_entry();
    assert_eq!(ready.call(migrate(), &mut memory), Ok(counted(1)));
}

#[test]
fn applications_of_the_same_module_do_not_share_an_instance() {
    let mut ready = Ready::new(&guest(COUNTING));
    let mut memory = Memory::default();
    assert_eq!(ready.apply(b"", &mut memory), counted(1));
    ready.manifest = manifest("b");
    assert_eq!(ready.apply(b"", &mut memory), counted(1));
    ready.manifest = manifest("a");
    assert_eq!(ready.apply(b"", &mut memory), counted(2));
}

#[test]
fn two_versions_live_side_by_side() {
    let one = wat::parse_str(guest(COUNTING)).expect("text");
    let two = wat::parse_str(guest("(call $count)")).expect("text");
    let registry = Registry::new(Vec::new());
    let manifest = manifest("a");
    for module in [&one, &two] {
        registry.prepare(&manifest, &code(module), Some(module)).expect("ready");
    }
    let mut host = registry.host();
    let mut memory = Memory::default();
    let mut call = |module| host.call(&manifest, &code(module), apply(b""), &mut memory);
    assert_eq!(call(&one), Ok(counted(1)));
    assert_eq!(call(&two), Ok(counted(1)));
    assert_eq!(call(&one), Ok(counted(2)));
}

#[test]
fn memory_is_as_in_the_module_after_an_entry() {
    // Adds up a byte of every page, then dirties them all, beyond those that the instance began with too.
    let body = "(drop (memory.grow (i32.const 98)))
        (loop
            (local.set $n (i64.add (local.get $n) (i64.load8_u (i32.mul (local.get $i) (i32.const 65536)))))
            (i32.store8 (i32.mul (local.get $i) (i32.const 65536)) (i32.const 255))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
        (i64.store (i32.const 40001) (local.get $n)) (call $done (i32.const 8))";
    let mut ready = Ready::new(&guest(body));
    for _ in 0..3 {
        let first = super::done(u64::from(b't').to_le_bytes());
        assert_eq!(ready.apply(b"", &mut Memory::default()), first);
        ready.host.end_entry();
    }
}

#[test]
fn what_is_not_ready_is_not_called() {
    let ready = Ready::new(&guest(COUNTING));
    let mut host = Registry::new(Vec::new()).host();
    let error = host.call(&ready.manifest, &ready.code, apply(b""), &mut Memory::default());
    assert!(
        matches!(&error, Err(CallError::NotReady(text)) if text.contains("version 1 of a")),
        "{error:?}"
    );
    assert!(matches!(
        host.ready(&ready.manifest, &ready.code),
        Err(CallError::NotReady(_))
    ));
    let mut host = ready.host;
    assert_eq!(host.ready(&ready.manifest, &ready.code), Ok(()));
}

#[test]
fn a_host_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    let registry = Registry::new(Vec::new());
    is_shared(&registry);
    is_send(&registry.host());
}

#[test]
fn two_hosts_agree_on_outcome_effects_and_fuel() {
    // Reads all rows into a hash, writes it back under a random key, and traps on every fourth command.
    let body = r#"
        (local.set $i (i32.const 0))
        (local.set $n (call $scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)
            (i32.const 100) (i32.const 0) (i32.const 50000) (i32.const 10000)))
        (loop $each
            (i64.store (i32.const 40001) (i64.add (i64.mul (i64.load (i32.const 40001)) (i64.const 31))
                (i64.load8_u (i32.add (i32.const 50000) (local.get $i)))))
            (br_if $each (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.wrap_i64 (local.get $n)))))
        (f64.store (i32.const 40009) (f64.div (f64.convert_i64_u (call $time)) (f64.const 0)))
        (i64.store (i32.const 30000) (call $random))
        (call $put (i32.const 0) (i32.const 1) (i32.const 30000) (i32.const 8) (i32.const 40001) (i32.const 16))
        (call $emit (i32.const 1) (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 40001) (i32.const 8))
        (if (i64.eqz (i64.rem_u (i64.load (i32.const 30000)) (i64.const 4))) (then unreachable))
        (call $done (i32.const 16))"#;
    let run = || {
        let mut ready = Ready::new(&guest(body));
        let mut memory = three_rows();
        let mut trace = Vec::new();
        for command in 0..40 {
            let outcome = ready.apply(b"", &mut memory);
            trace.push((outcome, ready.host.fuel_spent()));
            if command % 7 == 6 {
                ready.host.end_entry();
            }
        }
        (trace, memory)
    };
    let (trace, memory) = run();
    assert_eq!((trace.clone(), memory), run());
    assert!(matches!(trace[3], (CallOutcome::Trapped(Trap::Guest), _)));
    // Part of what a log means: if this number changes, a new meter number is due.
    assert_eq!(trace[0].1, 7_835);
}

#[test]
fn compiling_again_gives_the_same_module() {
    let bytes = wat::parse_str(guest(COUNTING)).expect("text");
    let once = Module::prepare(&bytes).expect("ready");
    let again = Module::prepare(&bytes).expect("ready");
    assert_eq!(once.instrumented(), again.instrumented());
}

/// A context that brings each document it reads into shape by a call of its own, as the machine does.
struct Converting {
    ready: Ready,
    memory: Memory,
}

impl Context for Converting {
    fn get(&mut self, table: &str, key: &[u8]) -> Result<Option<Bytes>, Misuse> {
        self.memory.get(table, key)?;
        match self.ready.call(migrate(), &mut self.memory) {
            Ok(CallOutcome::Done(document)) => Ok(Some(document)),
            other => panic!("{other:?}"),
        }
    }
    fn put(&mut self, table: &str, key: &[u8], document: &[u8]) -> Result<(), Misuse> {
        self.memory.put(table, key, document)
    }
    fn delete(&mut self, table: &str, key: &[u8]) -> Result<(), Misuse> {
        self.memory.delete(table, key)
    }
    fn scan(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Misuse> {
        self.memory.scan(table, start, end, limit, reverse)
    }
    fn emit(&mut self, stream: &str, key: Option<&[u8]>, value: &[u8]) -> Result<(), Misuse> {
        self.memory.emit(stream, key, value)
    }
    fn time(&self) -> TimeMs {
        self.memory.time()
    }
    fn index(&self) -> Index {
        self.memory.index()
    }
    fn random(&mut self) -> u64 {
        self.memory.random()
    }
}

#[test]
fn a_host_call_may_itself_make_calls() {
    // Reads three times: the conversions count in an instance of the other host's, the reads still reach the context.
    let get =
        "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 40001) (i32.const 4)))";
    let mut outer = Ready::new(&guest(&format!("{get} {get} {get} (call $done (i32.const 4))")));
    let mut context = Converting {
        ready: Ready::new(&guest(COUNTING)),
        memory: three_rows(),
    };
    let outcome = outer.host.call(&outer.manifest, &outer.code, apply(b""), &mut context);
    assert_eq!(outcome, Ok(counted(3)));
    assert_eq!(context.memory.calls, 3);
}
