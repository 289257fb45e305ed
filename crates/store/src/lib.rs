//! Bytes on disk: the log, the state, the streams, and the numbers of their formats.
//!
//! Everything here is opaque: this crate knows records, rows and events, but neither what an entry means nor who asked
//! for it. It reaches files through [`environment::Disk`] only (the fjall backend of the state opens its own), never
//! reads a clock, and never panics on what it finds on disk: damage is an error that names the file and the offset.

pub mod format;
pub mod limits;
pub mod log;
pub mod state;
pub mod streams;

#[cfg(test)]
mod crash_disk;
