//! Every limit of a node that is its own affair: none of them changes what the log means.

use std::time::Duration;

/// Bytes of one frame between peers: the largest entry, and room for what is sent with it.
pub const PEER_FRAME_BYTES_MAX: usize = 32 << 20;
/// Connections from peers at once.
pub const PEER_CONNECTIONS_MAX: usize = 256;
/// Answers that one connection between peers may have to wait for.
pub const PEER_CALLS_MAX: usize = 1024;
/// How often a node rebuilds what it cannot read before its start fails.
pub const REBUILDS_MAX: u32 = 3;
/// How long a peer may take for its hello.
pub const PEER_HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection to a peer may take.
pub const PEER_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a follower may take to make entries durable before the connection to it is made anew.
pub const PEER_APPEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call to a peer other than of Raft may take.
pub const PEER_CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Fuel after which a page of events that are brought into an earlier version ends: about a second of a reader's time.
pub const DOWNCAST_PAGE_FUEL: u64 = 200_000_000;
/// Requests that wait for their turn or their reply; past it the node answers that it is overloaded.
pub const REQUESTS_WAITING_MAX: usize = 65_536;
/// Bytes of those.
pub const REQUESTS_WAITING_BYTES_MAX: usize = 256 << 20;
/// Entries proposed and not yet applied.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 4;
/// Bytes of requests packed into one entry, about.
pub const ENTRY_PACK_BYTES: usize = 1 << 20;

/// Entries sent to a follower in one frame.
pub const APPEND_ENTRIES_MAX: u64 = 512;
/// Bytes of entries read from the log at once.
pub const APPEND_BYTES_MAX: usize = 4 << 20;

/// Bytes of entries that wait for the applier in memory; those past it are read from the log again.
pub const APPLY_QUEUE_BYTES_MAX: usize = 64 << 20;
/// How many of them.
pub const APPLY_QUEUE_ENTRIES_MAX: usize = 65_536;
/// Entries applied under one hold of the state.
pub const APPLY_BATCH_MAX: usize = 64;
/// How long a parked applier waits before it looks again, unless something wakes it.
pub const PARK_RETRY: Duration = Duration::from_millis(200);
/// Bytes of written rows, or of applied entries, after which a checkpoint is due.
pub const CHECKPOINT_BYTES: usize = 32 << 20;
/// Time after which a checkpoint is due, if anything was written.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// A peer that was not heard from for this long, and does not answer, counts as lost. Only for showing.
pub const PEER_SILENT: Duration = Duration::from_secs(1);
/// A checkpoint that takes this long is worth a warning.
pub const CHECKPOINT_SLOW: Duration = Duration::from_secs(10);
/// An entry that takes this long to apply is worth a warning.
pub const APPLY_SLOW: Duration = Duration::from_millis(500);
/// How long after it was told that requests are refused for overload it is told again.
pub const OVERLOAD_AGAIN: Duration = Duration::from_secs(10);
/// Entries whose times are kept, for traces.
pub const ENTRY_TIMES: usize = 1024;

/// Threads that answer reads.
pub const READERS: usize = 2;
/// Reads that wait for a thread.
pub const READS_WAITING_MAX: usize = 4096;

/// Milliseconds between a leader's heartbeats.
pub const HEARTBEAT_MS: u64 = 50;
/// Milliseconds without one after which a follower seeks votes: from.
pub const ELECTION_MS_MIN: u64 = 200;
/// To.
pub const ELECTION_MS_MAX: u64 = 450;
/// How long the leader leaves a window of a rehearsal open before it opens the next.
pub const REHEARSAL_WINDOW: Duration = Duration::from_secs(1);
/// Entries that may wait for the applier before it leaves the rest of a window to other nodes: one that falls behind would be
/// a slow successor.
pub const REHEARSAL_BEHIND: usize = 1_000;
/// How long a node waits before it looks at its rows again, where that failed.
pub const VERIFICATION_RETRY: Duration = Duration::from_secs(5);
/// How far apart batches of converted rows are, at the pace that was asked for.
pub const CONVERSION_STEP: Duration = Duration::from_millis(20);
/// The time between two batches, in times of what the first of them took.
pub const CONVERSION_SHARE: u32 = 3;
/// How often the leader looks whether a change or a member has a step due, beside being woken.
pub const EXECUTOR_INTERVAL: Duration = Duration::from_millis(200);
/// How often the leader looks whether streams hold more than is to be kept.
pub const RETENTION_INTERVAL: Duration = Duration::from_secs(1);
/// How often the leader looks whether there is a module that nothing needs.
pub const COLLECTION_INTERVAL: Duration = Duration::from_secs(1);
/// Entries by which a learner may lag behind when it is made a voter.
pub const PROMOTE_LAG_MAX: u64 = 64;

/// Bytes of entries applied after which the next snapshot is due, unless options say otherwise.
pub const SNAPSHOT_LOG_BYTES: u64 = 256 << 20;
/// Bytes of a snapshot from which on the next one is due only after half as many of log, if that is more.
pub const SNAPSHOT_LARGE_BYTES: u64 = 64 << 20;
/// Entries that are kept in the log behind the newest snapshot, unless options say otherwise: a node that was away for no
/// longer needs no snapshot.
pub const LOG_KEEP_ENTRIES: u64 = 10_000;
/// Bytes of the snapshot from before a change and of the log behind it that are kept for replay, unless options say otherwise.
pub const REPLAY_KEEP_BYTES: u64 = 1 << 30;
/// Entries that are purged from the log at once, at least.
pub const LOG_PURGE_ENTRIES_MIN: u64 = 64;
/// Time between two scans of everything that lies on disk, unless options say otherwise.
pub const SCAN_INTERVAL: Duration = Duration::from_secs(3600);
/// Snapshots kept: the newest, and the one before it for those who are still fetching it.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Older ones that are kept as long as somebody fetches them.
pub const SNAPSHOTS_IN_USE_MAX: usize = 2;
/// Bytes of a snapshot or a segment sent in one frame.
pub const SNAPSHOT_PIECE_BYTES: usize = 1 << 20;
/// How long a peer may take to make a snapshot for this node.
pub const SNAPSHOT_MAKE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a peer may take to send one piece.
pub const SNAPSHOT_PIECE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a node that must be rebuilt waits before it asks the others again.
pub const REBUILD_RETRY: Duration = Duration::from_secs(1);
/// Bytes of rows written at once when a snapshot is installed.
pub const INSTALL_BATCH_BYTES: usize = 8 << 20;
/// How often a leader asks a node whether it has installed its snapshot.
pub const SNAPSHOT_POLL: Duration = Duration::from_millis(200);
/// For how long a leader offers the same snapshot to a node that cannot be reached.
pub const SNAPSHOT_OFFER_TIME: Duration = Duration::from_secs(60);
/// How long a node that has registered waits for that to show here before it does so again.
pub const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);
/// How often the upkeep looks whether something is due.
pub const UPKEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes that must be free on the disk, unless options say otherwise: below it the node takes no writes.
pub const DISK_RESERVE_BYTES: u64 = 256 << 20;
/// Bytes that must be free for a node to start: below it, it waits.
pub const DISK_START_BYTES_MIN: u64 = 16 << 20;

/// Rows that replay takes from a snapshot, or from the machine that it forks, at once.
pub const REPLAY_LOAD_ROWS: usize = 4096;
/// Bytes of a recording.
pub const RECORDING_BYTES_MAX: usize = 64 << 20;
/// Bytes of a file of the node's state that replay copies at once, to look at its checkpoint.
pub const REPLAY_COPY_BYTES: usize = 1 << 20;

/// Bytes of entries that a copy is given at once.
pub const COPY_PAGE_BYTES: usize = 1 << 20;
/// How many of them.
pub const COPY_PAGE_ENTRIES: u64 = 4096;
/// A copy that is asked for nothing for this long has ended.
pub const COPY_IDLE: Duration = Duration::from_secs(30);
