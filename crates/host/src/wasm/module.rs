use machine::Digest;
use wasmtime::{InstancePre, ModuleExport};

use super::engine::{Engine, with_guest_stack};
use super::guest::Guest;
use super::meter::{BUDGET_GLOBAL, DEPTH_GLOBAL, START_EXPORT};
use super::{Instance, instrument};
use crate::PrepareError;

/// A module with the meter in it, compiled, tried, and ready to be instantiated.
pub(crate) struct Module {
    /// The engine it is compiled for.
    pub(super) engine: Engine,
    /// Everything about an instance that can be done beforehand.
    pub(super) pre: InstancePre<Guest>,
    /// Where its exports are.
    pub(super) exports: Exports,
    instrumented: Digest,
}

/// Exports of a module, looked up once.
pub(super) struct Exports {
    pub(super) memory: ModuleExport,
    pub(super) budget: ModuleExport,
    pub(super) depth: ModuleExport,
    pub(super) start: Option<ModuleExport>,
    pub(super) abi_version: ModuleExport,
    pub(super) buffer: ModuleExport,
    pub(super) apply: ModuleExport,
    pub(super) query: ModuleExport,
    pub(super) migrate: ModuleExport,
}

impl Module {
    /// Brings a module as its author gave it all the way to readiness.
    ///
    /// # Errors
    /// It is refused, does not compile, or fails its self-test.
    pub(crate) fn prepare(source: &[u8]) -> Result<Module, PrepareError> {
        let instrumented = instrument(source)?;
        let engine = Engine::shared().map_err(PrepareError::Engine)?;
        let module = Module::compile(&engine, &instrumented)?;
        with_guest_stack(|| Instance::self_test(&module))?;
        Ok(module)
    }

    /// Compiles a module that has the meter in it.
    ///
    /// # Errors
    /// It does not compile.
    pub(super) fn compile(engine: &Engine, instrumented: &[u8]) -> Result<Module, PrepareError> {
        let failed = |error: wasmtime::Error| PrepareError::Compile(format!("{error:#}"));
        let compiled = wasmtime::Module::new(&engine.wasmtime, instrumented).map_err(failed)?;
        let find = |name: &str| {
            let missing = || PrepareError::Compile(format!("the instrumented module lost its export {name}"));
            compiled.get_export_index(name).ok_or_else(missing)
        };
        let exports = Exports {
            memory: find("memory")?,
            budget: find(BUDGET_GLOBAL)?,
            depth: find(DEPTH_GLOBAL)?,
            start: compiled.get_export_index(START_EXPORT),
            abi_version: find("abi_version")?,
            buffer: find("buffer")?,
            apply: find("apply")?,
            query: find("query")?,
            migrate: find("migrate")?,
        };
        let pre = engine.linker.instantiate_pre(&compiled).map_err(failed)?;
        Ok(Module {
            engine: engine.clone(),
            pre,
            exports,
            instrumented: Digest::of(instrumented),
        })
    }

    /// The digest of the module with the meter in it, to be compared between nodes.
    pub(crate) fn instrumented(&self) -> Digest {
        self.instrumented
    }
}
