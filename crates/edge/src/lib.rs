//! What the world sees of a node: the HTTP API, the framed client protocol, and the router, on one port.
//!
//! [`Edge::serve`] takes a listener and a [`machine::Cluster`]. It knows the deterministic half's words and the public
//! API's types and turns the ones into the others. It never decides what a command means, never touches the log, the
//! state or a disk, and does not know what stands behind the cluster it speaks to: a node, or a test.

mod codes;
mod connection;
mod edge;
mod forward;
mod frames;
mod http;
pub mod limits;
mod observe;
mod router;
mod sniff;
mod stop;
mod timer;

pub use edge::{Drained, Edge, EdgeHandle, EdgeOptions, ModuleCheck};
pub use limits::Limits;
pub use observe::{Endpoint, EntryTimes, EntryTimesOf, InvalidEndpoint, MorePage, ObserveOptions};

/// The description of the HTTP API that every node serves at `/v1/openapi.json`: OpenAPI 3.1, made from the handlers.
#[must_use]
pub fn openapi() -> bytes::Bytes {
    http::openapi_text()
}

/// A manifest of the public API as the log has it. Whether it holds together is the machine's to say.
#[must_use]
pub fn read_manifest(manifest: client::wire::Manifest) -> machine::Manifest {
    http::read_manifest(manifest)
}

/// What a manifest of the public API promises beside what stands in the log's; none: nothing.
///
/// # Errors
/// What cannot be read, for people.
pub fn read_contract(manifest: &client::wire::Manifest) -> Result<Option<machine::Contract>, String> {
    http::read_contract(manifest)
}

#[cfg(test)]
#[path = "../../../testing/allocations.rs"]
mod allocations;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[path = "../../../testing/mutations.rs"]
mod mutations;
