//! The meter: fuel and a limit on call depth, written into a guest's own code when it is installed.
//!
//! An engine's fuel count and the depth at which its stack overflows change with its version and its optimiser, so neither
//! may decide the result of a replicated command. [`instrument`] therefore rewrites a core module so that it counts for
//! itself, in plain WebAssembly whose meaning no engine may change.
//!
//! How it counts:
//! - Fuel is an `i64` global, cached in a local of each function. Each basic block is charged as a whole when it is
//!   entered. The count is checked at function entry, at loop heads, before imports, and before instructions whose work
//!   depends on an operand (`memory.fill`, `memory.grow`, …), which are charged for that operand before they run. The
//!   local is flushed to the global around calls and on every way out of the function.
//! - Depth is an `i32` global. A frame subtracts a static cost, an upper bound on its native frame in bytes
//!   (see [`FRAME_BASE_UNITS`]), from what its caller left, keeps the remainder in a local and hands it on before each call.
//! - Imports are called only through appended wrappers that charge first, also when they are reached through a table.
//! - Both limits trap as `unreachable`; the sign of the two globals tells which (see [`BUDGET_GLOBAL`]).
//!
//! Between two checks a guest can overdraw its budget by one straight stretch of code in each of the frames that return
//! meanwhile. The depth limit bounds that: eight depth units an instruction make it some two million units at most for a
//! depth budget of 16 MiB.
//!
//! It never runs a guest, never looks at names or debug information (both are dropped), and is a pure function: the same
//! bytes in give the same bytes out. The output is part of the replicated state by its digest, so a change of one output
//! byte is a new meter with a new number.

mod body;
mod cost;
mod emit;
mod error;
mod features;
mod guest;
mod policy;

#[cfg(test)]
mod tests;

pub use cost::{FRAME_BASE_UNITS, FRAME_VALUE_UNITS};
pub use error::Error;
pub use policy::{AllowedImport, Policy, RequiredExport};
pub use wasmparser::ValType;

/// Number of this meter. Like the number of an on-disk format it is never reused, and old meters are kept.
pub const METER: u16 = 1;

/// Names with this prefix belong to the meter: a guest that exports one is refused.
pub const RESERVED_PREFIX: &str = "seachange:";

/// The exported mutable `i64` global that holds the remaining fuel.
///
/// The host sets it, to zero or more, before each call (and before running [`START_EXPORT`]), and reads it afterwards:
/// - Returned, and zero or more: the fuel spent is what was set minus what is left.
/// - Returned, and negative: the last stretch overdrew the budget. This counts as out of fuel; throw the result away.
/// - Trapped: first see [`DEPTH_GLOBAL`]. Otherwise negative means out of fuel, and zero or more means that the trap is
///   the guest's own. The count then lacks what the running frames had cached in their locals, so **charge the whole
///   budget** after any trap.
///
/// An import may lower the global while it runs, to charge for what it could not know before (the size of a row it read);
/// the guest's next check sees it. It must never raise it.
pub const BUDGET_GLOBAL: &str = "seachange:budget";

/// The exported mutable `i32` global that holds the remaining depth, in units of at most one byte of native stack.
///
/// The host sets it to the whole depth budget before each call (it holds nothing useful afterwards) and after a trap reads
/// it before [`BUDGET_GLOBAL`]: negative, and only then, the trap means that the calls went too deep. Give the engine a
/// native stack larger than this budget; an overflow of the native stack is a fault of the host, never a result.
pub const DEPTH_GLOBAL: &str = "seachange:depth";

/// The name under which a module's start function, if it has one, is exported instead of being run by the engine.
///
/// It takes and returns nothing. The host runs it once after instantiation, with both globals set as for any call.
pub const START_EXPORT: &str = "seachange:start";

/// A guest module with the meter written into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrumented {
    /// The new module. Its digest is what nodes compare with each other.
    pub bytes: Vec<u8>,
}

/// Validates `module` against `policy`, `imports` and `exports`, and writes the meter into its code.
///
/// # Errors
/// Every reason to refuse a guest is its own [`Error`].
///
/// # Panics
/// Never for any bytes in `module`; only when `imports` itself is nonsense (see [`AllowedImport`]).
pub fn instrument(
    module: &[u8],
    policy: &Policy,
    imports: &[AllowedImport],
    exports: &[RequiredExport],
) -> Result<Instrumented, Error> {
    imports.iter().for_each(AllowedImport::assert_sound);
    let guest = guest::Guest::read(module, policy, imports)?;
    guest.check_exports(exports)?;
    let bytes = emit::module(&guest, policy)?;
    guest::validate_output(&bytes)?;
    Ok(Instrumented { bytes })
}
