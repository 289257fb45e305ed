//! Snapshots: everything as of one index, in one file, with the segments of the streams named by their digests.
//!
//! | what | bytes |
//! |---|---|
//! | magic and format | 12 |
//! | blocks, one after the other | length u32, CRC-32C of all after it u32, kind u8, body |
//!
//! Integers of the frame are little-endian; bodies are in the machine's codec. The first block is the [`Header`], then
//! come rows in order of table and key, and the last block says how many there were and what they sum up to. A file
//! without its last block is none.
//!
//! In a data directory they lie under `snapshots`, named after their index with 20 digits; the stream's segments stay
//! where they are. A bundle is a directory with a file `snapshot` and, under `streams`, those segments that whoever takes
//! it does not have.

mod block;
mod directory;
mod error;
mod header;
mod reader;
mod writer;

pub use directory::{SNAPSHOT_FILE, STREAMS_DIRECTORY, Snapshots};
pub use error::Error;
pub use header::{Header, SegmentExtent, StreamExtent};
pub use reader::Reader;
pub use writer::write;

#[cfg(test)]
mod tests;
