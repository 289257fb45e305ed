//! Bytes on disk: the log, the state, the streams, snapshots, and the numbers of their formats.
//!
//! Everything here is opaque: this crate knows records, rows and events, but neither what an entry means nor who asked
//! for it. It reaches files through [`environment::Disk`] only (the fjall backend of the state opens its own), never
//! lets a clock decide anything (the log times its syncs), and never panics on what it finds on disk: damage is an error that names the file and the offset.
//!
//! Rows are written behind: seen at once, durable with the checkpoint that holds them.
//! ```
//! use std::sync::Arc;
//!
//! use machine::{Row, Shape, StateRead, TableId};
//! use store::state::{MemoryBackend, State, StateOptions};
//!
//! let backend = Arc::new(MemoryBackend::default());
//! let mut state = State::open(backend.clone(), StateOptions::default());
//! let row = Row { shape: Shape(1), document: "{}".into() };
//! state.put(TableId(16), b"ada", row.clone());
//! assert_eq!(state.get(TableId(16), b"ada"), Ok(Some(row.clone())));
//!
//! // What no checkpoint holds is gone with the process, and comes back by replaying the log.
//! let after_crash = State::open(backend.clone(), StateOptions::default());
//! assert_eq!(after_crash.get(TableId(16), b"ada"), Ok(None));
//!
//! let written = state.freeze().expect("none is under way").write()?;
//! drop(state.finish(written));
//! let after_checkpoint = State::open(backend, StateOptions::default());
//! assert_eq!(after_checkpoint.get(TableId(16), b"ada"), Ok(Some(row)));
//! # Ok::<(), store::state::Error>(())
//! ```

mod entry_txn;
pub mod format;
pub mod limits;
pub mod log;
pub mod snapshot;
pub mod state;
pub mod streams;

pub use entry_txn::EntryTxn;

#[cfg(test)]
mod crash_disk;

#[cfg(test)]
#[path = "../../../testing/allocations.rs"]
mod allocations;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[path = "../../../testing/mutations.rs"]
mod mutations;
