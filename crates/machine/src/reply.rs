//! The answer to one command.

use bytes::Bytes;

use crate::codec::{Codec, Error, Reader, put_varint};
use crate::{Index, numbered, record};

/// The answer to one command, and where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The entry in which the command was applied; a repeat gives the first one's.
    pub index: Index,
    /// What came of it.
    pub outcome: Outcome,
}
record!(Reply { index, outcome });

/// What came of a command. Each but `SessionExpired` is final and known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 1: done; the application's reply.
    Applied(Bytes),
    /// 2: the application declined; nothing was changed; its reply says why.
    Refused(Bytes),
    /// 3: the command could not be run, or ended in a trap; nothing was changed.
    Failed(Failure),
    /// 4: the session is unknown or has forgotten this sequence: whether it was applied before cannot be known, and it
    /// was not applied now.
    SessionExpired,
}

/// Why a command failed, by a stable number and a text that is the same on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub code: FailureCode,
    /// For people.
    pub detail: String,
}
record!(Failure { code, detail });

impl Failure {
    /// A failure of that kind.
    #[must_use]
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Failure {
            code,
            detail: detail.into(),
        }
    }
}

/// Kinds of failure, with their numbers in the log and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureCode {
    /// No application of that name is in force.
    UnknownApplication,
    /// The version in force does not name the command.
    UnknownCommand,
    /// The version in force does not take that version of the command.
    UnknownCommandVersion,
    /// The application trapped.
    Trapped,
    /// The application used up its fuel.
    FuelExhausted,
    /// The application's calls went too deep.
    DepthExhausted,
    /// The application asked the host for what it may not: an unknown table or stream, a key or document past its limit.
    Misuse,
    /// Writes, events or reply past their limits.
    TooLarge,
    /// A document could not be brought into the shape that was asked for.
    MigrationFailed,
    /// The program failed at the command's entry, and the operators had it passed by.
    EntrySkipped,
    /// The program that brings the command into a version that is taken failed on its payload.
    CastFailed,
}
numbered!(FailureCode {
    UnknownApplication = 1,
    UnknownCommand = 2,
    UnknownCommandVersion = 3,
    Trapped = 4,
    FuelExhausted = 5,
    DepthExhausted = 6,
    Misuse = 7,
    TooLarge = 8,
    MigrationFailed = 9,
    EntrySkipped = 10,
    CastFailed = 11,
});

impl FailureCode {
    /// The stable name in the public API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FailureCode::UnknownApplication => "unknown_application",
            FailureCode::UnknownCommand => "unknown_command",
            FailureCode::UnknownCommandVersion => "unknown_command_version",
            FailureCode::Trapped => "application_trapped",
            FailureCode::FuelExhausted => "fuel_exhausted",
            FailureCode::DepthExhausted => "depth_exhausted",
            FailureCode::Misuse => "application_misuse",
            FailureCode::TooLarge => "effects_too_large",
            FailureCode::MigrationFailed => "migration_failed",
            FailureCode::EntrySkipped => "entry_skipped",
            FailureCode::CastFailed => "cast_failed",
        }
    }
}

impl Codec for Outcome {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Outcome::Applied(bytes) => {
                put_varint(1, out);
                bytes.encode(out);
            }
            Outcome::Refused(bytes) => {
                put_varint(2, out);
                bytes.encode(out);
            }
            Outcome::Failed(failure) => {
                put_varint(3, out);
                failure.encode(out);
            }
            Outcome::SessionExpired => put_varint(4, out),
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match reader.varint()? {
            1 => Ok(Outcome::Applied(Codec::decode(reader)?)),
            2 => Ok(Outcome::Refused(Codec::decode(reader)?)),
            3 => Ok(Outcome::Failed(Codec::decode(reader)?)),
            4 => Ok(Outcome::SessionExpired),
            number => Err(reader.unknown("Outcome", number)),
        }
    }
}
