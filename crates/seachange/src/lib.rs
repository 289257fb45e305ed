//! The one binary of Seachange, as a library: the parts put together, and the commands around them.

pub mod acknowledgements;
pub mod assemble;
pub mod bench;
pub mod bookmark;
pub mod commands;
pub mod config;
pub mod connection;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod interrupt;
pub mod local_cluster;
pub mod output;
pub mod package;
pub mod running;
pub mod server;
pub mod style;
pub mod watch;
pub mod watched;

pub use host::NativeApplication;
pub use machine::Version;
pub use running::Running;
pub use server::{Server, ServerBuilder};

#[cfg(test)]
#[path = "../../../testing/allocations.rs"]
mod allocations;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[path = "../../../testing/mutations.rs"]
mod mutations;
