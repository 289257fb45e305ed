//! What is done to a data directory before a node serves from it: a snapshot that arrived is installed, and what cannot be
//! trusted is rebuilt, from this node's own snapshot and log where they suffice, else from the others.
//!
//! Every step may be cut off by a crash and is done again at the next start: the notes say what is under way until it is
//! done.

mod bundle;
mod fetch;
mod install;
mod rebuild;

pub use bundle::{Bundle, INCOMING};
pub use fetch::{Front, Source, settle};
pub use install::{LogFate, OpenBackend, Site, install, wait_for};
pub use rebuild::rebuild;
