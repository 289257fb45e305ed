//! The framed client protocol, version 1. It shares its port with HTTP: a connection whose first eight bytes are
//! [`MAGIC`] speaks it.
//!
//! After the magic the client sends [`FromClient::Hello`] and the server answers [`FromServer::HelloAnswer`] (or
//! [`FromServer::Error`] with `version_unsupported` or `wrong_cluster`, and closes); after that there are requests and
//! answers, many in flight, the answers in any order. A frame is
//!
//! ```text
//! u32le length of what follows | u8 kind | u64le correlation id | body
//! ```
//!
//! An answer carries the correlation id of its request; the client chooses ids, and never one that is still in flight
//! on the connection. Id 0 is that of the Hello, and of an error that concerns the whole connection, after which the server
//! closes it. Integers in bodies are little-endian varints (LEB128), texts and byte strings carry their length in
//! front, options a 0 or 1. The body of a Submit is, byte for byte, a request as it stands in an entry of the log, so
//! that a server may keep the bytes.
//!
//! Hello and its answer keep their layout in every version: later versions add behind, and readers ignore what is
//! behind the fields they know. Every other body must end where its fields do.

mod error;
mod from_client;
mod from_server;
mod raw;
mod reader;

pub use error::FrameError;
pub(crate) use from_client::SubmitRef;
pub use from_client::{Claim, FromClient, Get, Hello, Submit};
pub use from_server::{ErrorAnswer, Failure, FromServer, HelloAnswer, Outcome, Reply, Row};
pub use raw::{RawFrame, decode, encode};

/// The first bytes of a connection that speaks this protocol.
pub const MAGIC: &[u8; 8] = b"SEACHNG1";
/// The lowest version that this binary speaks.
pub const VERSION_MIN: u16 = 1;
/// The highest version that this binary speaks.
pub const VERSION_MAX: u16 = 1;

/// The version to speak, given what the other end offers: the highest that both know.
#[must_use]
pub fn negotiate(min: u16, max: u16) -> Option<u16> {
    let highest = max.min(VERSION_MAX);
    (highest >= min.max(VERSION_MIN)).then_some(highest)
}

/// Kinds of frames. Numbers are never used again for something else.
mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const HELLO_ANSWER: u8 = 2;
    pub(super) const SUBMIT: u8 = 3;
    pub(super) const OPEN_SESSION: u8 = 4;
    pub(super) const REPLY: u8 = 5;
    pub(super) const SESSION_OPENED: u8 = 6;
    pub(super) const ERROR: u8 = 7;
    pub(super) const GET: u8 = 8;
    pub(super) const ROW: u8 = 9;
}

#[cfg(test)]
mod tests;
