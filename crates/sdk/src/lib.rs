//! What authors of applications compile against.
//!
//! An application is a type that implements [`Application`]: given a command and the tables, it says what changes. The
//! same code runs as a WASM guest (see [`export!`]), linked into a server, and in the author's own unit tests (see
//! [`testing::MemoryHost`]). `docs/applications.md` tells the whole way from nothing to a running application.
//!
//! This crate never reads a clock, chance, a file or the network, and neither may an application: every node runs the
//! same commands and must come to the same bytes. Documents, events and replies are written as JSON with fields in the
//! order of the struct; therefore **no `HashMap` or `HashSet` may stand in anything that is written**, nor be iterated
//! on the way there: its order differs from process to process. Use `BTreeMap`.

mod application;
mod context;
mod host;
mod input;
mod json;
mod output;
mod scan;
mod table;

#[cfg(any(target_arch = "wasm32", test))]
#[doc(hidden)]
#[allow(unsafe_code)] // The border of the guest: the host's imports, and the allocator.
pub mod guest;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use application::Application;
pub use context::Context;
pub use host::Host;
pub use input::{Command, Migration, Query};
pub use json::to_json;
pub use output::{Refusal, Reply};
pub use scan::{Row, Scan};
pub use table::Table;

/// Number of the ABI between guest and host that this crate speaks; its imports live in the module `app_1`.
pub const ABI_VERSION: i32 = 1;

/// Exports an application from a WASM module: `sdk::export!(Ledger);`, once in the crate.
///
/// The argument is a value that can stand in a `static`, such as a unit struct. On other targets the macro gives nothing.
#[macro_export]
macro_rules! export {
    ($application:expr) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)] // The exports' names are part of the ABI, so they must not be mangled.
        const _: () = {
            static APPLICATION: &dyn $crate::Application = &$application;

            #[unsafe(no_mangle)]
            extern "C" fn abi_version() -> i32 {
                $crate::ABI_VERSION
            }
            #[unsafe(no_mangle)]
            extern "C" fn buffer(len: usize) -> usize {
                $crate::guest::buffer(len)
            }
            #[unsafe(no_mangle)]
            extern "C" fn apply(pointer: usize, len: usize) -> u64 {
                $crate::guest::apply(APPLICATION, pointer, len)
            }
            #[unsafe(no_mangle)]
            extern "C" fn query(pointer: usize, len: usize) -> u64 {
                $crate::guest::query(APPLICATION, pointer, len)
            }
            #[unsafe(no_mangle)]
            extern "C" fn migrate(pointer: usize, len: usize) -> u64 {
                $crate::guest::migrate(APPLICATION, pointer, len)
            }
        };
    };
}
