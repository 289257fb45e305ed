//! Applications that are WASM modules.
//!
//! The way of a module: [`meter`] checks it and writes fuel and depth into its code; [`module`] compiles what came of it
//! and tries it once; [`instance`] is one fresh copy of it at work; [`imports`] are the host functions that it calls.

mod abi;
mod cache;
mod costs;
mod engine;
mod guest;
mod imports;
mod instance;
mod lend;
pub mod meter;
mod module;

#[cfg(test)]
mod tests;

use machine::limits;

pub(crate) use abi::Function;
pub(crate) use cache::compile_once;
pub use engine::reserve_instances;
pub(crate) use engine::with_guest_stack;
pub(crate) use instance::Instance;
pub(crate) use module::Module;

use meter::Policy;

/// Elements that a guest's table of functions may have.
const TABLE_ELEMENTS_MAX: u32 = 65_536;

/// What a module may be. Part of meter number 1.
fn policy() -> Policy {
    Policy {
        module_bytes_max: limits::MODULE_BYTES_MAX,
        memory_pages_max: limits::MEMORY_PAGES_MAX,
        table_elements_max: TABLE_ELEMENTS_MAX,
        ..Policy::default()
    }
}

/// Writes the meter into a module, or says why the module is refused.
pub(crate) fn instrument(module: &[u8]) -> Result<Vec<u8>, meter::Error> {
    meter::instrument(module, &policy(), costs::IMPORTS, costs::EXPORTS).map(|instrumented| instrumented.bytes)
}
