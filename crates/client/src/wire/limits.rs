//! Limits of the framed protocol, the same for both ends.

/// Bytes of one frame after its length: kind, correlation id and body. A command's payload and a reply may have 1 MiB
/// each; the rest is for names and numbers.
pub const FRAME_BYTES_MAX: usize = (1 << 20) + (16 << 10);
/// Bytes of one command's payload, and of one reply: what the cluster takes.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;
/// Bytes of a text for people in a frame; a longer one is cut where it is encoded.
pub const DETAIL_BYTES_MAX: usize = 4 << 10;
/// Bytes of one name or address in a frame; a longer one is refused.
pub const NAME_BYTES_MAX: usize = 256;
/// Addresses in one Hello answer.
pub const HELLO_ADDRESSES_MAX: usize = 64;
/// How far apart the cluster lets the sequences of one session lie.
pub const SESSION_WINDOW: u64 = 4096;
/// Milliseconds for which a node may hold a request of the framed protocol while it waits for a leader to be known,
/// before it must answer `no_leader`. Clients take a longer silence for a dead connection.
pub const LEADER_WAIT_MS_MAX: u64 = 1000;
