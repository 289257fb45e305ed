use std::fmt;

use crate::fleet::Number;

/// One of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The one of that number.
    Node(Number),
    /// Whoever leads then.
    Leader,
    /// The first that runs and does not lead then.
    Follower,
}

/// A part of what lies on a node's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// The log.
    Log,
    /// The state's rows.
    State,
    /// The streams.
    Streams,
    /// The snapshots.
    Snapshots,
}

/// Whose connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Of other nodes.
    Peers,
    /// Of clients.
    Clients,
}

/// Something that happens to the cluster: the whole menu of faults, the operator's acts among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A process is killed; nothing that it wrote is lost.
    Kill(Who),
    /// A machine loses its power; what was not synced may be lost, and nobody is told.
    Power(Who),
    /// A machine loses its power in the middle of one of the next so many writes and syncs.
    Die(Who, u64),
    /// A process is started.
    Start(Who),
    /// A process is asked to stop: it hands over and drains.
    Stop(Who),
    /// A process is held as by SIGSTOP.
    Pause(Who),
    /// It goes on.
    Resume(Who),
    /// Between a wake and its step there are up to so many milliseconds; 0: as usual.
    Slow(Who, u64),
    /// Nothing comes from one node to another.
    Cut(Who, Who),
    /// All is well on that link again.
    Mend(Who, Who),
    /// So many pieces in a thousand are lost on the way from one node to another, and sent again later.
    Lossy(Who, Who, u64),
    /// The way from one node to another takes up to so many milliseconds, each piece another time.
    Latency(Who, Who, u64),
    /// The connections that there are between two nodes hang; new ones work.
    Hang(Who, Who),
    /// What was sent to a node long ago, on one connection, comes once more.
    Repeat(Who, Port),
    /// A disk is so many times as slow.
    DiskSlow(Who, u32),
    /// So many bytes are left on a disk.
    DiskFull(Who, u64),
    /// Syncs of a disk fail.
    SyncFails(Who),
    /// A disk is sound again.
    DiskSound(Who),
    /// A bit flips in a file.
    Flip(Who, Area),
    /// A machine's date is off by so many milliseconds.
    Date(Who, i64),
    /// The operator brings in a version, and finalizes it at once or not.
    Upgrade(String, u32, bool),
    /// The operator brings in a version, whose module is replaced by another one on the way.
    Replaced(String, u32),
    /// The operator takes the last change of an application back.
    Revert(String),
    /// The operator brings in a version that goes back by itself unless it is confirmed within so many seconds.
    UpgradeUnlessConfirmed(String, u32, u64),
    /// The operator brings in a version once so many commands were rehearsed on it.
    UpgradeOnceRehearsed(String, u32, u64),
    /// The operator lets the last change of an application switch whatever its rehearsal found.
    Approve(String),
    /// The operator lets the last change of an application stay.
    Confirm(String),
    /// The operator finalizes it.
    Finalize(String),
    /// The operator gives it up.
    Abort(String),
    /// Somebody sends a command at which the program fails, on every node.
    Poison,
    /// From now on the operator skips every entry that nodes stand before because the program fails there.
    Skip,
    /// The operator lets go of the events that the consumer has read.
    Trim,
    /// The operator asks a node for a snapshot, as a backup does.
    Snapshot(Who),
    /// The operator lets a node read its disk again.
    Verify(Who),
    /// The operator orders a node that has stopped to take everything from the others.
    Rebuild(Who),
    /// From its next start on, a node runs a binary that knows levels up to that one.
    Binary(Who, u16),
    /// The operator raises the cluster's level.
    Raise(u16),
    /// A further node joins.
    Join,
    /// Every fault ends, and every node runs.
    Heal,
}

impl fmt::Display for Who {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Node(number) => number.fmt(formatter),
            Who::Leader => formatter.write_str("leader"),
            Who::Follower => formatter.write_str("follower"),
        }
    }
}

impl Area {
    /// In scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Area::Log => "log",
            Area::State => "state",
            Area::Streams => "streams",
            Area::Snapshots => "snapshots",
        }
    }

    /// All of them.
    pub const ALL: [Area; 4] = [Area::Log, Area::State, Area::Streams, Area::Snapshots];
}

impl Port {
    /// In scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Port::Peers => "peers",
            Port::Clients => "clients",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Kill(who) => write!(out, "kill {who}"),
            Act::Power(who) => write!(out, "power {who}"),
            Act::Die(who, operations) => write!(out, "die {who} {operations}"),
            Act::Start(who) => write!(out, "start {who}"),
            Act::Stop(who) => write!(out, "stop {who}"),
            Act::Pause(who) => write!(out, "pause {who}"),
            Act::Resume(who) => write!(out, "resume {who}"),
            Act::Slow(who, ms) => write!(out, "slow {who} {ms}"),
            Act::Cut(from, to) => write!(out, "cut {from} {to}"),
            Act::Mend(from, to) => write!(out, "mend {from} {to}"),
            Act::Lossy(from, to, per_mille) => write!(out, "lossy {from} {to} {per_mille}"),
            Act::Latency(from, to, ms) => write!(out, "latency {from} {to} {ms}"),
            Act::Hang(one, other) => write!(out, "hang {one} {other}"),
            Act::Repeat(who, port) => write!(out, "repeat {who} {}", port.name()),
            Act::DiskSlow(who, times) => write!(out, "disk {who} slow {times}"),
            Act::DiskFull(who, bytes) => write!(out, "disk {who} full {bytes}"),
            Act::SyncFails(who) => write!(out, "disk {who} sync-fails"),
            Act::DiskSound(who) => write!(out, "disk {who} sound"),
            Act::Flip(who, area) => write!(out, "flip {who} {}", area.name()),
            Act::Date(who, ms) => write!(out, "date {who} {ms}"),
            Act::Upgrade(name, version, false) => write!(out, "upgrade {name} {version}"),
            Act::Upgrade(name, version, true) => write!(out, "upgrade {name} {version} finalize"),
            Act::Replaced(name, version) => write!(out, "replaced {name} {version}"),
            Act::Revert(name) => write!(out, "revert {name}"),
            Act::UpgradeUnlessConfirmed(name, version, seconds) => {
                write!(out, "upgrade {name} {version} confirm-within {seconds}")
            }
            Act::UpgradeOnceRehearsed(name, version, commands) => {
                write!(out, "upgrade {name} {version} rehearse {commands}")
            }
            Act::Approve(name) => write!(out, "approve {name}"),
            Act::Confirm(name) => write!(out, "confirm {name}"),
            Act::Finalize(name) => write!(out, "finalize {name}"),
            Act::Abort(name) => write!(out, "abort {name}"),
            Act::Snapshot(who) => write!(out, "snapshot {who}"),
            Act::Verify(who) => write!(out, "verify {who}"),
            Act::Rebuild(who) => write!(out, "rebuild {who}"),
            Act::Binary(who, level) => write!(out, "binary {who} {level}"),
            Act::Raise(level) => write!(out, "raise {level}"),
            Act::Poison => out.write_str("poison"),
            Act::Skip => out.write_str("skip"),
            Act::Trim => out.write_str("trim"),
            Act::Join => out.write_str("join"),
            Act::Heal => out.write_str("heal"),
        }
    }
}
