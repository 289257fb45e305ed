mod advice;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a client may do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request gives the same answer: repeating is of no use.
    No,
    /// Nothing was done: repeat at once at another node (the leader, if named).
    Elsewhere,
    /// Nothing was done: repeat after a pause.
    Later,
    /// It may have been done: repeat only what reads, or what carries the same session and sequence.
    SameClaim,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $status:literal, $retry:ident, $title:literal;)*) => {
        /// Every error of the public API, with its number (frames) and its stable name (JSON). Numbers and names are
        /// never used again for something else. Numbers 1 to 99 are the failures of a command as they stand in the log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Code {
            /// All of them, by number.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The number in frames.
            #[must_use]
            pub fn number(self) -> u16 {
                match self { $(Code::$variant => $number,)* }
            }

            /// The stable name in JSON.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The status of an HTTP answer with this code.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }

            /// A short text for people, the same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// What it means, in a sentence or two for people.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => concat!($($doc),+).trim_ascii_start(),)* }
            }

            /// What a client may do.
            #[must_use]
            pub fn retry(self) -> Retry {
                match self { $(Code::$variant => Retry::$retry,)* }
            }

            /// The code of that number.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Code> {
                match number { $($number => Some(Code::$variant),)* _ => None }
            }

            /// The code of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Code> {
                match name { $($name => Some(Code::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// A code that this binary does not know. Never sent: what an unknown number or name is read as.
    Unrecognised = 0, "unrecognised", 500, SameClaim, "The server gave an error that this client does not know";

    /// No application of that name is in force.
    UnknownApplication = 1, "unknown_application", 404, No, "There is no such application";
    /// The version in force does not name the command.
    UnknownCommand = 2, "unknown_command", 404, No, "The application has no such command";
    /// The version in force does not take that version of the command.
    UnknownCommandVersion = 3, "unknown_command_version", 422, No, "The application does not take that version of the command";
    /// The application trapped; nothing was changed.
    ApplicationTrapped = 4, "application_trapped", 422, No, "The application trapped";
    /// The application used up its fuel; nothing was changed.
    FuelExhausted = 5, "fuel_exhausted", 422, No, "The application used up its fuel";
    /// The application's calls went too deep; nothing was changed.
    DepthExhausted = 6, "depth_exhausted", 422, No, "The application's calls went too deep";
    /// The application asked the host for what it may not; nothing was changed.
    ApplicationMisuse = 7, "application_misuse", 422, No, "The application asked for what it may not";
    /// Writes, events or reply past their limits; nothing was changed.
    EffectsTooLarge = 8, "effects_too_large", 422, No, "The command's effects are too large";
    /// A document could not be brought into the shape that was asked for; nothing was changed.
    MigrationFailed = 9, "migration_failed", 422, No, "A document could not be converted";
    /// The program failed at the command's entry, and the operators had it passed by; nothing was changed.
    EntrySkipped = 10, "entry_skipped", 422, No, "The command was passed by";
    /// The program that brings the command into a version that is taken failed on its payload; nothing was changed.
    CastFailed = 11, "cast_failed", 422, No, "The command could not be brought into a version that is taken";

    /// This node does not lead; nothing was done. Names the leader.
    NotLeader = 100, "not_leader", 421, Elsewhere, "This node does not lead the cluster";
    /// No leader is known; nothing was done.
    NoLeader = 101, "no_leader", 503, Later, "No leader is known";
    /// It may have been applied, or may still be.
    OutcomeUnknown = 102, "outcome_unknown", 504, SameClaim, "The outcome is unknown";
    /// The session is unknown or has forgotten the sequence: not applied now, and whether before cannot be known.
    SessionExpired = 103, "session_expired", 410, No, "The session has expired, the outcome is unknown";
    /// Too much is waiting; nothing was done.
    Overloaded = 104, "overloaded", 503, Later, "The node has too much waiting";
    /// Past a limit; nothing was done.
    TooLarge = 105, "too_large", 413, No, "The request is past a limit";
    /// The request could not be read; nothing was done.
    Malformed = 106, "malformed", 400, No, "The request could not be read";
    /// The node is stopping or cannot serve; nothing was done.
    Unavailable = 107, "unavailable", 503, Elsewhere, "The node cannot serve now";
    /// No leader could confirm that a read is fresh.
    ReadUnconfirmed = 108, "read_unconfirmed", 503, Later, "The read could not be confirmed as fresh";
    /// No version of the protocol or API that both ends speak; nothing was done.
    VersionUnsupported = 109, "version_unsupported", 400, No, "There is no version that both ends speak";
    /// The node belongs to another cluster than the one asked for; nothing was done.
    WrongCluster = 110, "wrong_cluster", 409, No, "The node belongs to another cluster";
    /// A defect of the server.
    Internal = 111, "internal", 500, SameClaim, "The server failed";
    /// No answer within the limit.
    Timeout = 112, "timeout", 504, SameClaim, "There was no answer in time";
    /// No such path.
    NotFound = 113, "not_found", 404, No, "There is nothing at this path";
    /// What lies on the node's disk is damaged: it stops serving and is rebuilt.
    DiskDamaged = 117, "disk_damaged", 500, No, "The node's data is damaged";
    /// The disk has no room; nothing was done.
    DiskFull = 116, "disk_full", 507, Later, "The disk is full";
    /// The path does not take that method.
    MethodNotAllowed = 114, "method_not_allowed", 405, No, "The path does not take this method";
    /// The body's content type is not one that the path takes; nothing was done.
    UnsupportedMediaType = 115, "unsupported_media_type", 415, No, "The path does not take this content type";

    /// The version in force keeps no such table.
    UnknownTable = 200, "unknown_table", 404, No, "The application keeps no such table";
    /// No such stream.
    UnknownStream = 201, "unknown_stream", 404, No, "There is no such stream";
    /// The version in force has no such query.
    UnknownQuery = 202, "unknown_query", 404, No, "The application has no such query";
    /// No such change.
    UnknownChange = 203, "unknown_change", 404, No, "There is no such change";
    /// The table has no row under that key.
    RowNotFound = 204, "row_not_found", 404, No, "The table has no such row";
    /// The stream has no consumer of that name.
    UnknownConsumer = 210, "unknown_consumer", 404, No, "The stream has no such consumer";
    /// The consumer does not stand where it was expected: somebody else moved it.
    ConsumerMoved = 211, "consumer_moved", 409, No, "Somebody else has moved the consumer";
    /// The commit would bring the consumer back, and did not ask for that.
    ConsumerGoesBack = 212, "consumer_goes_back", 409, No, "The consumer would go back";
    /// The cluster keeps no more consumers.
    TooManyConsumers = 213, "too_many_consumers", 409, No, "The cluster keeps no more consumers";
    /// Not a consumer's name.
    ConsumerInvalid = 214, "consumer_invalid", 422, No, "That cannot name a consumer";
    /// The offset lies beyond the stream's end.
    OffsetPastEnd = 215, "offset_past_end", 422, No, "The offset lies beyond the stream's end";
    /// The events are removed. Names the first that is there.
    EventsTrimmed = 216, "events_trimmed", 410, No, "The events are removed from the stream";

    /// No such snapshot at this node, or no such file in it.
    UnknownSnapshot = 205, "unknown_snapshot", 404, No, "There is no such snapshot";
    /// Somebody else is copying the node's log: a node gives one copy at a time.
    CopyUnderWay = 220, "copy_under_way", 503, Later, "Another copy of the node's log is under way";
    /// The copy has ended, or was not asked for anything for too long, or the node was started again.
    UnknownCopy = 221, "unknown_copy", 404, No, "No such copy is under way at this node";
    /// The entry is no longer in the node's log.
    EntriesPurged = 222, "entries_purged", 410, No, "The entries are purged from the node's log";

    /// No program brings the stream's events into that version, or one that does fails on this event.
    EventVersionUnserved = 223, "event_version_unserved", 409, No, "The event cannot be given in that version";

    /// The module is not one that can run here.
    ModuleInvalid = 300, "module_invalid", 422, No, "The module cannot be run";
    /// The bytes do not give the digest they were announced under.
    ModuleDigestMismatch = 301, "module_digest_mismatch", 422, No, "The module's bytes do not have that digest";
    /// Not all of the module has arrived.
    ModuleIncomplete = 302, "module_incomplete", 409, No, "The module has not arrived in full";
    /// The manifest contradicts itself or cannot be read.
    ManifestInvalid = 303, "manifest_invalid", 422, No, "The manifest is refused";
    /// The change, or the step of it, may not be taken; the detail says why.
    ChangeRefused = 304, "change_refused", 409, No, "The change is refused";
    /// The entry cannot be skipped; nothing was done.
    SkipRefused = 305, "skip_refused", 409, No, "The entry is not skipped";
}

impl Retry {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Retry::No => "no",
            Retry::Elsewhere => "elsewhere",
            Retry::Later => "later",
            Retry::SameClaim => "same_claim",
        }
    }
}

impl Code {
    /// Where a node explains it: the `type` of a problem, relative to the node that answered.
    #[must_use]
    pub fn path(self) -> String {
        format!("/v1/errors/{}", self.name())
    }

    /// Whether the request may have taken effect all the same.
    #[must_use]
    pub fn outcome_unknown(self) -> bool {
        self.retry() == Retry::SameClaim || self == Code::SessionExpired
    }

    /// The code of that name, or [`Code::Unrecognised`].
    #[must_use]
    pub fn from_name_or_unrecognised(name: &str) -> Code {
        Code::from_name(name).unwrap_or(Code::Unrecognised)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Code::from_name_or_unrecognised(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_distinct_and_lead_back() {
        let numbers: BTreeSet<u16> = Code::ALL.iter().map(|code| code.number()).collect();
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!((numbers.len(), names.len()), (Code::ALL.len(), Code::ALL.len()));
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
            assert_eq!(Code::from_name(code.name()), Some(*code));
            assert!((400..600).contains(&code.http_status()), "{code}");
        }
    }

    /// What was once released stays: a line may be added here, and none changed.
    #[test]
    fn numbers_are_kept_for_ever() {
        let lines: Vec<String> = Code::ALL
            .iter()
            .map(|code| format!("{} {} {}", code.number(), code.name(), code.http_status()))
            .collect();
        expect_test::expect_file!["code.numbers.txt"].assert_eq(&(lines.join("\n") + "\n"));
    }
}
