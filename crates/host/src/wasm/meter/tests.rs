//! The harness: runs a metered guest, and its naive twin, and says how it ended and what it cost.

mod counts;
mod fuzz;
mod limits;
mod output;
mod refusals;
mod twin;

use std::sync::LazyLock;

use wasmtime::{Caller, Config, Engine, Extern, Linker, Module, OptLevel, RegallocAlgorithm, Store, Trap, Val};

use super::{AllowedImport, BUDGET_GLOBAL, DEPTH_GLOBAL, Error, Policy, RequiredExport, ValType, instrument};

/// The host functions of the tests: `put` is charged for two lengths, `tick` has no length.
pub(super) const IMPORTS: &[AllowedImport] = &[
    AllowedImport {
        module: "app_1",
        name: "put",
        params: &[ValType::I32, ValType::I32, ValType::I32, ValType::I32],
        results: &[],
        base_cost: 100,
        byte_cost: 3,
        byte_params: &[1, 3],
    },
    AllowedImport {
        module: "app_1",
        name: "tick",
        params: &[],
        results: &[ValType::I32],
        base_cost: 50,
        byte_cost: 0,
        byte_params: &[],
    },
];

/// The policy of the tests, small enough to be exceeded.
pub(super) fn policy() -> Policy {
    Policy {
        memory_pages_max: 64,
        table_elements_max: 100,
        ..Policy::default()
    }
}

/// Instruments a module in text form.
pub(super) fn metered(text: &str) -> Result<Vec<u8>, Error> {
    let bytes = wat::parse_str(text).expect("the test's own text");
    instrument(&bytes, &policy(), IMPORTS, &[]).map(|it| it.bytes)
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Returned(Vec<String>),
    OutOfFuel,
    TooDeep,
    Trapped(Trap),
    /// The module's own segments do not fit: instantiating it traps.
    NotInstantiated,
}

/// A call's ending, the fuel it spent, and how often it called the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) ending: Ending,
    pub(super) spent: i64,
    pub(super) host_calls: u32,
}

/// What the tests' host keeps.
struct Host {
    calls: u32,
    /// In a twin, which has no wrappers, the host charges for its functions itself.
    charges: bool,
}

pub(super) const BUDGET: i64 = 1_000_000;
pub(super) const DEPTH: i32 = 1 << 20;
const ENGINE_FUEL: u64 = 100_000_000;

/// One call of an exported function.
pub(super) struct Call<'a> {
    pub(super) engine: Engine,
    pub(super) module: &'a [u8],
    pub(super) export: &'a str,
    pub(super) args: &'a [i32],
    pub(super) budget: i64,
    pub(super) depth: i32,
    pub(super) twin: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(module: &'a [u8], export: &'a str, args: &'a [i32]) -> Self {
        static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
            let mut config = config(
                OptLevel::Speed,
                RegallocAlgorithm::Backtracking,
                DEPTH as usize + (256 << 10),
            );
            Engine::new(config.consume_fuel(true)).expect("engine")
        });
        Self {
            engine: ENGINE.clone(),
            module,
            export,
            args,
            budget: BUDGET,
            depth: DEPTH,
            twin: false,
        }
    }

    /// Does around the call what a host must do, and reads the globals as their documentation says.
    pub(super) fn run(&self) -> Outcome {
        let module = Module::new(&self.engine, self.module).expect("the engine takes what the meter wrote");
        let mut store = Store::new(
            &self.engine,
            Host {
                calls: 0,
                charges: self.twin,
            },
        );
        // Only the ordinary engine counts fuel of its own, so that a broken meter fails a test instead of hanging it.
        let _ = store.set_fuel(ENGINE_FUEL);
        let Ok(instance) = linker(&self.engine).instantiate(&mut store, &module) else {
            return Outcome {
                ending: Ending::NotInstantiated,
                spent: self.budget,
                host_calls: 0,
            };
        };
        let budget = instance.get_global(&mut store, BUDGET_GLOBAL).expect("exported");
        let depth = instance.get_global(&mut store, DEPTH_GLOBAL);
        budget.set(&mut store, Val::I64(self.budget)).expect("mutable i64");
        if let Some(depth) = depth {
            depth.set(&mut store, Val::I32(self.depth)).expect("mutable i32");
        }
        let function = instance.get_func(&mut store, self.export).expect("exported");
        let args: Vec<Val> = self.args.iter().copied().map(Val::I32).collect();
        let mut results = vec![Val::I32(0); function.ty(&store).results().len()];
        let called = function.call(&mut store, &args, &mut results);

        let left = budget.get(&mut store).unwrap_i64();
        let depth_left = depth.map_or(0, |depth| depth.get(&mut store).unwrap_i32());
        let ending = match called {
            _ if depth_left < 0 => Ending::TooDeep,
            _ if left < 0 => Ending::OutOfFuel,
            Ok(()) => Ending::Returned(results.iter().map(|value| format!("{value:?}")).collect()),
            Err(error) => Ending::Trapped(*error.downcast_ref::<Trap>().expect("a trap")),
        };
        let spent = if matches!(ending, Ending::Returned(_)) {
            self.budget - left
        } else {
            self.budget
        };
        Outcome {
            ending,
            spent,
            host_calls: store.data().calls,
        }
    }
}

/// An engine with so many bytes of native stack for guests.
pub(super) fn engine(level: OptLevel, registers: RegallocAlgorithm, stack_bytes: usize) -> Engine {
    Engine::new(&config(level, registers, stack_bytes)).expect("engine")
}

fn config(level: OptLevel, registers: RegallocAlgorithm, stack_bytes: usize) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(level)
        .cranelift_regalloc_algorithm(registers)
        .cranelift_nan_canonicalization(true);
    // The second is never used here, but the engine compares the two.
    config.max_wasm_stack(stack_bytes).async_stack_size(stack_bytes);
    config
}

/// Runs a test on a thread with a large native stack.
#[allow(clippy::disallowed_methods)] // a stack of its own size, and no environment here to ask for one
pub(super) fn on_large_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(test)
        .expect("thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap(
            "app_1",
            "put",
            |mut caller: Caller<Host>, _: i32, key: i32, _: i32, value: i32| {
                let bytes = u64::from(key as u32) + u64::from(value as u32);
                called(&mut caller, 100 + 3 * bytes as i64)
            },
        )
        .expect("put");
    linker
        .func_wrap("app_1", "tick", |mut caller: Caller<Host>| {
            called(&mut caller, 50).map(|()| 7)
        })
        .expect("tick");
    linker
}

/// Counts a host call and, for a twin, charges for it.
fn called(caller: &mut Caller<Host>, cost: i64) -> wasmtime::Result<()> {
    if caller.data().charges {
        let Some(Extern::Global(budget)) = caller.get_export(BUDGET_GLOBAL) else {
            panic!("exported")
        };
        let left = budget.get(&mut *caller).unwrap_i64() - cost;
        budget.set(&mut *caller, Val::I64(left)).expect("mutable i64");
        if left < 0 {
            return Err(Trap::UnreachableCodeReached.into());
        }
    }
    caller.data_mut().calls += 1;
    Ok(())
}

/// Required exports of an application, as far as these tests need them.
pub(super) const EXPORTS: &[RequiredExport] = &[RequiredExport {
    name: "apply",
    params: &[ValType::I32, ValType::I32],
    results: &[ValType::I64],
}];
