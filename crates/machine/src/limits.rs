//! Every limit that the deterministic half knows. They are part of what a log means: to change one is to change the
//! level of the cluster.

/// Bytes of one command's payload, and of one reply.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;
/// Bytes of one key of a table.
pub const KEY_BYTES_MAX: usize = 1 << 10;
/// Bytes of one document.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Bytes of one event's key and value together.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// Bytes of all writes and events of one command.
pub const EFFECTS_BYTES_MAX: usize = 16 << 20;
/// Bytes of one name: application, table, stream, command, node, consumer.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of one module.
pub const MODULE_BYTES_MAX: usize = 8 << 20;
/// Bytes of a module carried by one entry.
pub const MODULE_CHUNK_BYTES: usize = 256 << 10;
/// Milliseconds of log time for which a module that no version needs is kept from when a piece of it came last.
pub const MODULE_IDLE_MS: u64 = 60 * 60 * 1000;
/// Bytes of a manifest in its encoded form.
pub const MANIFEST_BYTES_MAX: usize = 64 << 10;
/// Commands, tables or streams that one manifest may name.
pub const MANIFEST_ITEMS_MAX: usize = 256;
/// Applications of one cluster.
pub const APPLICATIONS_MAX: usize = 256;
/// Commands that a change's new version may be allowed to refuse beyond what the old one would, before it is taken back: each
/// is noted in the catalog.
pub const REFUSALS_MAX: u64 = 10_000;
/// Bytes of the reason for which a change may break clients.
pub const REASON_BYTES_MAX: usize = 1024;
/// Bytes of the JSON pointer of a difference that is expected in a rehearsal.
pub const POINTER_BYTES_MAX: usize = 256;
/// Differences that a plan may expect in a rehearsal.
pub const EXPECTED_MAX: usize = 64;
/// Commands that a node tries in one window of a rehearsal; the others of that window are passed by.
pub const REHEARSED_IN_WINDOW_MAX: u64 = 10_000;
/// Windows of a rehearsal that wait for a node to say what it found; past it the oldest never counts.
pub const REHEARSAL_WINDOWS_MAX: usize = 8;
/// Milliseconds of log time after which a node that has not said what it found of its rows is passed by.
pub const VERIFICATION_MS_MAX: u64 = 60 * 60 * 1000;
/// Milliseconds of log time for which a window of a rehearsal waits for its nodes to say what they found.
pub const REHEARSAL_SILENCE_MS: u64 = 30 * 1000;
/// Commands that came out otherwise and are kept as samples.
pub const REHEARSAL_SAMPLES_MAX: usize = 16;
/// Bytes of what a sample says.
pub const SAMPLE_BYTES_MAX: usize = 1024;
/// Rows that one entry deletes of an application that is purged: few enough that nobody waits for it.
pub const PURGE_ROWS_MAX: usize = 1000;
/// Rows of a table that one entry looks at to bring them into the newest shape.
pub const CONVERT_ROWS_MAX: usize = 256;
/// Bytes of such rows, about, and of what they are converted to.
pub const CONVERT_BYTES_MAX: usize = 256 << 10;
/// Rows a second that are brought into the newest shape, unless an operator says otherwise.
pub const CONVERSION_RATE_DEFAULT: u64 = 10_000;
/// Rows a second that an operator may ask for.
pub const CONVERSION_RATE_MAX: u64 = 1_000_000;
/// Rows that could not be brought into the newest shape and are kept as samples.
pub const CONVERSION_SAMPLES_MAX: usize = 16;
/// Bytes of a version's contract: programs, most of all.
pub const CONTRACT_BYTES_MAX: usize = 64 << 10;
/// Programs that bring one command, one after the other, into a version that is taken.
pub const UPCASTS_MAX: usize = 8;
/// Commands in one entry.
pub const ENTRY_COMMANDS_MAX: usize = 4096;
/// Bytes of one entry.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Sessions kept; past it the one unused for longest is forgotten.
pub const SESSIONS_MAX: usize = 10_000;
/// Milliseconds of log time after which an unused session is forgotten.
pub const SESSION_IDLE_MS_MAX: u64 = 30 * 60 * 1000;
/// How far the sequences of one session may lie apart: replies older than this are forgotten.
pub const SESSION_WINDOW: u64 = 4096;
/// Bytes of replies kept for one session; past it the oldest are forgotten, and the window with them.
pub const SESSION_REPLY_BYTES_MAX: u64 = 4 << 20;
/// Bytes of replies kept for all sessions; past it the session unused for longest is forgotten.
pub const SESSIONS_REPLY_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a node's address.
pub const ADDRESS_BYTES_MAX: usize = 256;
/// Rows that one scan gives at most.
pub const SCAN_ROWS_MAX: usize = 10_000;
/// Bytes that one scan gives at most.
pub const SCAN_BYTES_MAX: usize = 4 << 20;
/// Members of one cluster.
pub const NODES_MAX: usize = 64;
/// Named consumers of one cluster.
pub const CONSUMERS_MAX: usize = 1000;
/// Finished changes kept for the record.
pub const CHANGES_KEPT_MAX: usize = 1000;
/// Fuel of one apply, query or migrate: units of the meter, one an instruction.
pub const FUEL_MAX: u64 = 200_000_000;
/// Call depth of a guest, in units of the meter.
pub const DEPTH_MAX: u64 = 16 << 20;
/// Pages of 64 KiB that a guest's memory may have.
pub const MEMORY_PAGES_MAX: u32 = 1024;
