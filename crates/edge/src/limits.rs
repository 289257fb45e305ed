//! Every limit of what the world may ask of a node at once. Limits of what may stand in the log are the machine's.

use std::time::Duration;

/// Limits that an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, of both protocols; past it new ones wait to be accepted.
    pub connections_max: u32,
    /// Framed requests of one connection that may wait for their answers; past it the connection is not read.
    pub in_flight_max: usize,
    /// Bytes of all requests that are held because no leader is known.
    pub held_bytes_max: usize,
    /// How long one request is held, and re-routed, until it is answered with an error.
    pub hold_max: Duration,
    /// How long an HTTP client may take to send the head of a request, also the next one on a kept connection.
    pub head_time_max: Duration,
    /// How long an HTTP client may take to send a body.
    pub body_time_max: Duration,
    /// How long one HTTP write or read may take here.
    pub request_time_max: Duration,
    /// How long a framed connection may take for the rest of a frame, or to take its answers.
    pub frame_time_max: Duration,
    /// How long a framed connection may be idle.
    pub idle_time_max: Duration,
    /// How often a follower of a stream, or a watcher of a change, hears that the connection lives.
    pub heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 4096,
            in_flight_max: 4096,
            held_bytes_max: 64 << 20,
            hold_max: Duration::from_secs(10),
            head_time_max: Duration::from_secs(60),
            body_time_max: Duration::from_secs(120),
            request_time_max: Duration::from_secs(30),
            frame_time_max: Duration::from_secs(30),
            idle_time_max: Duration::from_secs(3600),
            heartbeat: Duration::from_secs(10),
        }
    }
}

/// Bytes of the head of an HTTP request.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of a body other than a command's or a module's: manifests as JSON, reasons of steps.
pub const DOCUMENT_BODY_BYTES_MAX: usize = 256 << 10;
/// Bytes past a body's limit that are still read and thrown away, so that the client gets to see why.
pub const DISCARD_BYTES_MAX: usize = 64 << 20;
/// How long a client may take to send the bytes that are thrown away.
pub const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);
/// The shortest time between two looks at whether a framed connection stands still.
pub const TICK_MIN: Duration = Duration::from_millis(1);
/// How much longer than another write a module may take: it is compiled once for the check and goes into the log in
/// many pieces.
pub const MODULE_TIME_FACTOR: u32 = 4;
/// Rows that a scan gives when the reader names no limit.
pub const SCAN_ROWS_DEFAULT: usize = 100;
/// Bytes of events that are read from a stream at once.
pub const EVENT_PAGE_BYTES: usize = 256 << 10;
/// Bytes of batches of events that are read and sent at once, about.
pub const EVENT_BATCHES_BYTES: usize = 512 << 10;
/// Bytes of answers that wait to be written before a framed connection is read again.
pub const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Bytes asked of a framed connection at once.
pub const INPUT_BYTES: usize = 64 << 10;
/// Modules that are taken in at the same time: each holds its bytes in memory and is compiled once for the check.
pub const MODULES_AT_ONCE: usize = 2;
/// How long a node waits for its own copy of the state to show what the leader has decided.
pub const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(2);
/// Entries between what is committed and what is applied up to which a node calls itself ready.
pub const READY_LAG_MAX: u64 = 10_000;
/// How long a leader and a majority may take to confirm that a node which calls itself ready reaches them. Less than the
/// second that Kubernetes gives a probe.
pub const READY_TIME_MAX: Duration = Duration::from_millis(800);
/// The first wait between two attempts to route a request; each next one is twice as long.
pub const REROUTE_PAUSE: Duration = Duration::from_millis(20);
/// The longest wait between two attempts to route a request.
pub const REROUTE_PAUSE_MAX: Duration = Duration::from_millis(500);
/// Traces that are kept to be shown: the last ones.
pub const TRACES_RECENT_MAX: usize = 64;
/// And the slowest ones…
pub const TRACES_SLOWEST_MAX: usize = 32;
/// …of this long.
pub const TRACE_SLOWEST_TIME: Duration = Duration::from_secs(600);
/// How long after a slow command was logged the next one is.
pub const SLOW_LOG_AGAIN: Duration = Duration::from_secs(1);
/// Traces that wait to be exported; past it they are dropped, and counted.
pub const EXPORT_WAITING_MAX: usize = 1024;
/// Traces exported in one request.
pub const EXPORT_BATCH_MAX: usize = 128;
/// How long a trace waits for others to be exported with.
pub const EXPORT_PAUSE: Duration = Duration::from_secs(1);
/// How long the collector may take for one request.
pub const EXPORT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long after it was told that the collector does not take traces it is told again.
pub const EXPORT_FAILURE_AGAIN: Duration = Duration::from_secs(60);
/// The wait after the system refused to accept a connection (mostly: no file descriptor was left).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The wait before a stream that said it had grown, and had not, is asked again.
pub const FOLLOW_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a batch of commands.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Commands of a batch: as many as one entry takes, and as many replies as a session remembers, so that a batch that is
/// sent again finds all of its first answers.
pub const BATCH_COMMANDS_MAX: usize = machine::limits::ENTRY_COMMANDS_MAX;
/// Answers to a batch that are known and not yet written.
pub const BATCH_ANSWERS_WAITING_MAX: usize = 256;
/// Bytes of answers to a batch that are written at once, about.
pub const BATCH_CHUNK_BYTES: usize = 64 << 10;
/// How often a watcher looks at what nothing announces: a leader that is lost, a node that parks.
pub const WATCH_PAUSE: Duration = Duration::from_millis(500);
