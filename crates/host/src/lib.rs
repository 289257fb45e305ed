//! Runs applications: modules that came through the log, and code that is linked into the binary.
//!
//! A [`Registry`] holds what a node can run and makes new versions ready; a [`Host`] makes the calls, one host for each
//! thread that applies or reads; a [`RehearsalHost`] tries new versions beside them. It implements [`machine::Applications`], which is all that the machine sees of it.
//!
//! What it promises: a call's outcome depends on nothing but the module, its input, what the context answered, and the
//! calls before it in the same entry. Fuel and depth are counted by the module's own instrumented code, so that every
//! node, whatever its processor, gets the same result, also when it is "out of fuel".
//!
//! What it never does: it never reads a clock or chance, never opens a file or a socket, and never keeps an instance from
//! one entry to the next. It never turns a fault of this machine into an application's answer: that is a
//! [`CallError`](machine::CallError), and the node parks or stops. It never undoes anything either: when a call traps,
//! what it wrote until then is for the machine to throw away.
//!
//! # Threads
//! A guest may use a deep native stack (some 22 MiB are set aside). The environment's workers have it; on a thread that
//! has less left, each call runs on a stack that is mapped for it, which costs some microseconds.
//!
//! # Linking an application in
//! ```
//! use host::{NativeApplication, Registry};
//! use machine::Version;
//! use sdk::{Application, Command, Context, Refusal, Reply};
//!
//! struct Counter;
//!
//! impl Application for Counter {
//!     fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
//!         let add: u64 = command.json()?;
//!         let mut totals = context.table::<u64>("totals");
//!         let total = totals.get("all")?.unwrap_or(0) + add;
//!         totals.put("all", &total)?;
//!         Reply::json(&total)
//!     }
//! }
//!
//! let registry = Registry::new(vec![NativeApplication::new("counter", Version(1), Counter)]);
//! assert_eq!(registry.linked().count(), 1);
//! ```

mod error;
mod host;
mod native;
mod registry;
mod rehearsal;
mod reply;
#[cfg(test)]
mod testing;
pub mod transform;
mod wasm;

pub use error::{ModuleError, PrepareError};
pub use host::Host;
pub use native::NativeApplication;
pub use registry::Registry;
pub use rehearsal::{RehearsalHost, same_document};
pub use wasm::{meter, reserve_instances};

#[cfg(test)]
#[path = "../../../testing/allocations.rs"]
mod allocations;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[path = "../../../testing/mutations.rs"]
mod mutations;
