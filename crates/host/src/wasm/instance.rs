use bytes::Bytes;
use machine::{Call, CallError, CallOutcome, Context, Misuse, Trap, limits};
use wasmtime::{Extern, Func, Global, ModuleExport, Store, TypedFunc, Val, WasmParams, WasmResults};

use super::abi::{Function, Input, Output};
use super::costs::ABI_VERSION;
use super::guest::{Ended, Guest, Handles};
use super::{Module, lend};
use crate::PrepareError;

/// Bytes that a guest is asked to make room for when it is tried.
const TRIED_BUFFER_BYTES: u32 = 1 << 10;

/// One live copy of a module. After a trap it is to be thrown away.
pub(crate) struct Instance {
    sandbox: Sandbox,
    functions: Functions,
    /// What stands before a call's payload; kept to spare the allocation.
    head: Vec<u8>,
    fuel_spent: u64,
}

/// What the guest runs in.
struct Sandbox {
    store: Store<Guest>,
    handles: Handles,
}

/// The guest's functions. They lie apart from what they run in, so that a call borrows one: a copy costs about as much as
/// the way into the guest.
struct Functions {
    abi_version: TypedFunc<(), i32>,
    buffer: TypedFunc<u32, u32>,
    apply: TypedFunc<(u32, u32), i64>,
    query: TypedFunc<(u32, u32), i64>,
    migrate: TypedFunc<(u32, u32), i64>,
}

/// How a call into the guest ended, when not with a result.
enum Ending {
    /// For a reason that is the same on every node.
    Trap(Trap),
    /// For one that is this node's alone.
    Engine(String),
}

impl Ending {
    fn engine(error: wasmtime::Error) -> Ending {
        Ending::Engine(format!("{error:#}"))
    }
}

impl Instance {
    /// A fresh instance, with its start function run.
    ///
    /// # Errors
    /// This machine could not make it, or it trapped on the way although it did not when it was tried.
    pub(crate) fn fresh(module: &Module) -> Result<Instance, CallError> {
        Instance::start(module).map_err(|ending| match ending {
            Ending::Engine(text) => CallError::Engine(text),
            Ending::Trap(trap) => CallError::Engine(format!(
                "an application's start function trapped ({trap:?}), although it ran when the module was tried"
            )),
        })
    }

    /// Tries what can be tried before there is any command.
    ///
    /// # Errors
    /// The module is not what it should be, or this machine cannot run it.
    pub(super) fn self_test(module: &Module) -> Result<(), PrepareError> {
        let failed = |what: &str, ending: Ending| match ending {
            Ending::Engine(text) => PrepareError::SelfTest(format!("{what} failed: {text}")),
            Ending::Trap(trap) => PrepareError::SelfTest(format!("{what} trapped: {}", describe(&trap))),
        };
        let mut instance = Instance::start(module).map_err(|ending| failed("starting it", ending))?;
        let Instance { sandbox, functions, .. } = &mut instance;
        sandbox.refuel().map_err(|ending| failed("abi_version", ending))?;
        let (version, _) = sandbox
            .enter(&functions.abi_version, ())
            .map_err(|ending| failed("abi_version", ending))?;
        if version != ABI_VERSION {
            return Err(PrepareError::AbiVersion {
                found: version,
                known: ABI_VERSION,
            });
        }
        let (pointer, _) = sandbox
            .enter(&functions.buffer, TRIED_BUFFER_BYTES)
            .map_err(|ending| failed("buffer", ending))?;
        if pointer as usize + TRIED_BUFFER_BYTES as usize > sandbox.handles.memory.data_size(&sandbox.store) {
            return Err(PrepareError::SelfTest(
                "buffer gave a place outside the module's memory: give a pointer to as many bytes as asked for".into(),
            ));
        }
        Ok(())
    }

    /// Makes a call, with fuel and depth of its own.
    ///
    /// # Errors
    /// This machine could not run it; never for anything that the guest did.
    pub(crate) fn call(&mut self, call: &Call<'_>, context: &mut dyn Context) -> Result<CallOutcome, CallError> {
        let outcome = self.outcome(call, context);
        // What a guest that trapped still held in its locals is not known, so the whole budget counts as spent.
        let left = outcome.as_ref().map_or(0, |(_, left)| *left);
        self.fuel_spent = limits::FUEL_MAX.saturating_sub(left.try_into().unwrap_or(0));
        match outcome {
            Ok((outcome, _)) => Ok(outcome),
            Err(Ending::Trap(trap)) => Ok(CallOutcome::Trapped(trap)),
            Err(Ending::Engine(text)) => Err(CallError::Engine(text)),
        }
    }

    /// Fuel that the last call spent: all of it if it trapped.
    pub(crate) fn fuel_spent(&self) -> u64 {
        self.fuel_spent
    }

    /// A done or refused call, and the fuel that is left of its budget.
    fn outcome(&mut self, call: &Call<'_>, context: &mut dyn Context) -> Result<(CallOutcome, i64), Ending> {
        let Instance {
            sandbox,
            functions,
            head,
            ..
        } = self;
        let too_long = || Ending::Engine("a call's input is longer than the machine's limits allow".into());
        let input = Input::of(call, head).ok_or_else(too_long)?;
        let length = u32::try_from(input.bytes()).map_err(|_| too_long())?;
        sandbox.refuel()?;
        let (pointer, _) = sandbox.enter(&functions.buffer, length)?;
        sandbox.fill(pointer, &input)?;

        let function = match Function::of(call) {
            Function::Apply => &functions.apply,
            Function::Query => &functions.query,
            Function::Migrate => &functions.migrate,
        };
        let (packed, left) = lend::lend(context, || sandbox.enter(function, (pointer, length)))?;
        let output = Output::read(sandbox.handles.memory.data(&sandbox.store), packed);
        let outcome = match output.ok_or(Ending::Trap(Trap::Guest))? {
            Output::Done(bytes) => CallOutcome::Done(bounded(bytes)?),
            Output::Refused(bytes) => CallOutcome::Refused(bounded(bytes)?),
        };
        Ok((outcome, left))
    }

    fn start(module: &Module) -> Result<Instance, Ending> {
        let mut store = Store::new(&module.engine.wasmtime, Guest::default());
        store.limiter(|guest| guest);
        let linked = module.pre.instantiate(&mut store).map_err(not_instantiated)?;
        let exports = &module.exports;
        let mut find = Exported {
            instance: linked,
            store: &mut store,
        };
        let handles = Handles {
            memory: find.export(&exports.memory, Extern::into_memory)?,
            budget: find.global(&exports.budget)?,
            depth: find.global(&exports.depth)?,
        };
        let functions = Functions {
            abi_version: find.function(&exports.abi_version)?,
            buffer: find.function(&exports.buffer)?,
            apply: find.function(&exports.apply)?,
            query: find.function(&exports.query)?,
            migrate: find.function(&exports.migrate)?,
        };
        let start = match &exports.start {
            Some(start) => Some(find.function::<(), ()>(start)?),
            None => None,
        };
        store.data_mut().handles = Some(handles);
        let mut sandbox = Sandbox { store, handles };
        sandbox.refuel()?;
        if let Some(start) = start {
            sandbox.enter(&start, ())?;
        }
        Ok(Instance {
            sandbox,
            functions,
            head: Vec::new(),
            fuel_spent: 0,
        })
    }
}

impl Sandbox {
    /// Gives the guest the whole budget of a call.
    fn refuel(&mut self) -> Result<(), Ending> {
        let fuel = Val::I64(limits::FUEL_MAX as i64);
        self.handles.budget.set(&mut self.store, fuel).map_err(Ending::engine)
    }

    fn left(&mut self) -> Result<i64, String> {
        match self.handles.budget.get(&mut self.store) {
            Val::I64(left) => Ok(left),
            other => Err(format!("the meter's budget is not an i64 but {other:?}")),
        }
    }

    /// Calls one of the guest's functions with the whole depth and what is left of the fuel, and gives what is left of it
    /// after the call.
    fn enter<P: WasmParams, R: WasmResults>(
        &mut self,
        function: &TypedFunc<P, R>,
        params: P,
    ) -> Result<(R, i64), Ending> {
        let depth = Val::I32(limits::DEPTH_MAX as i32);
        self.handles.depth.set(&mut self.store, depth).map_err(Ending::engine)?;
        let results = match function.call(&mut self.store, params) {
            Ok(results) => results,
            Err(error) => return Err(self.why(error)),
        };
        let left = self.left().map_err(Ending::Engine)?;
        // The last stretch of code before the return may have overdrawn the budget.
        if left < 0 {
            return Err(Ending::Trap(Trap::Fuel));
        }
        Ok((results, left))
    }

    /// Why a call ended early, as the meter documents it.
    fn why(&mut self, error: wasmtime::Error) -> Ending {
        match self.store.data_mut().misuse.take() {
            Some(Misuse::State(error)) => return Ending::Trap(Trap::State(error)),
            Some(misuse @ Misuse::Failed(_)) => return Ending::Trap(Trap::Misuse(misuse)),
            None => {}
        }
        let trap = error.downcast_ref::<wasmtime::Trap>().copied();
        if !trap.is_some_and(is_guests_own) && !error.is::<Ended>() {
            return Ending::engine(error);
        }
        let Val::I32(depth) = self.handles.depth.get(&mut self.store) else {
            return Ending::Engine("the meter's depth is not an i32".into());
        };
        match self.left() {
            Err(text) => Ending::Engine(text),
            Ok(_) if depth < 0 => Ending::Trap(Trap::Depth),
            Ok(left) if left < 0 => Ending::Trap(Trap::Fuel),
            Ok(_) => Ending::Trap(Trap::Guest),
        }
    }

    /// Writes a call's input where the guest made room for it.
    fn fill(&mut self, pointer: u32, input: &Input<'_>) -> Result<(), Ending> {
        let start = pointer as usize;
        let room = start
            .checked_add(input.bytes())
            .and_then(|end| self.handles.memory.data_mut(&mut self.store).get_mut(start..end))
            .ok_or(Ending::Trap(Trap::Guest))?;
        let (head, rest) = room.split_at_mut(input.head.len());
        head.copy_from_slice(input.head);
        rest.copy_from_slice(input.rest);
        Ok(())
    }
}

/// Finds an instance's exports.
struct Exported<'s> {
    instance: wasmtime::Instance,
    store: &'s mut Store<Guest>,
}

impl Exported<'_> {
    fn export<T>(&mut self, export: &ModuleExport, kind: fn(Extern) -> Option<T>) -> Result<T, Ending> {
        let found = self.instance.get_module_export(&mut *self.store, export);
        found
            .and_then(kind)
            .ok_or_else(|| Ending::Engine("an instance lacks an export that its module has".into()))
    }

    fn global(&mut self, export: &ModuleExport) -> Result<Global, Ending> {
        self.export(export, Extern::into_global)
    }

    fn function<P: WasmParams, R: WasmResults>(&mut self, export: &ModuleExport) -> Result<TypedFunc<P, R>, Ending> {
        let function: Func = self.export(export, Extern::into_func)?;
        function.typed(&*self.store).map_err(Ending::engine)
    }
}

/// Traps that a guest's code can cause by itself. Any other is a limit of the engine's, which only a fault of the host's
/// lets a guest reach.
fn is_guests_own(trap: wasmtime::Trap) -> bool {
    use wasmtime::Trap;
    matches!(
        trap,
        Trap::MemoryOutOfBounds
            | Trap::TableOutOfBounds
            | Trap::IndirectCallToNull
            | Trap::BadSignature
            | Trap::IntegerOverflow
            | Trap::IntegerDivisionByZero
            | Trap::BadConversionToInteger
            | Trap::UnreachableCodeReached
    )
}

/// A module whose own segments do not fit traps when it is instantiated, on every node.
fn not_instantiated(error: wasmtime::Error) -> Ending {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) if is_guests_own(*trap) => Ending::Trap(Trap::Guest),
        Some(_) | None => Ending::engine(error),
    }
}

/// An answer within the limit.
fn bounded(answer: &[u8]) -> Result<Bytes, Ending> {
    crate::reply::bounded(answer)
        .map(Bytes::copy_from_slice)
        .map_err(Ending::Trap)
}

fn describe(trap: &Trap) -> String {
    match trap {
        Trap::Guest => "it panicked or reached outside its memory".into(),
        Trap::Fuel => format!("it used up its fuel of {} units", limits::FUEL_MAX),
        Trap::Depth => "its calls went too deep".into(),
        Trap::Misuse(Misuse::Failed(failure)) => failure.detail.clone(),
        Trap::Misuse(Misuse::State(error)) | Trap::State(error) => error.to_string(),
    }
}
