//! The one table of errors: what the cluster says, as a code of the public API. HTTP and frames both answer from it.

use client::wire::{BatchAnswer, BatchOutcome, Code, Problem};
use machine::{Decision, Failure, FailureCode, Index, Offset, ReadError, SubmitError};

/// A request that is answered with an error. Boxed, because it is far larger than what it stands beside in a `Result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub Box<Problem>);

impl Refusal {
    /// With that code; `detail` says what, why, and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Refusal(Box::new(Problem::new(code, detail)))
    }

    /// The request could not be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Refusal::new(Code::Malformed, detail)
    }

    /// With the leader's address.
    pub fn with_leader(mut self, leader_http: Option<String>) -> Self {
        self.0.leader_http = leader_http;
        self
    }

    /// With the first event that a stream still holds.
    pub fn with_first_offset(mut self, first: Offset) -> Self {
        self.0.first_offset = Some(first.0);
        self
    }

    /// With the entry that it concerns.
    pub fn at(mut self, index: Index) -> Self {
        self.0.index = Some(index.0);
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The same as the answer to one command of a batch.
    pub fn in_line(&self, line: u64) -> BatchAnswer {
        BatchAnswer {
            line,
            outcome: match self.code().outcome_unknown() {
                true => BatchOutcome::Unknown,
                false => BatchOutcome::Failed,
            },
            index: self.0.index,
            reply: bytes::Bytes::new(),
            code: Some(self.code()),
            detail: self.0.detail.clone(),
        }
    }
}

/// Why a request or control entry has no answer. The leader's address is the router's to add.
pub(crate) fn of_submit(error: &SubmitError) -> Refusal {
    match error {
        SubmitError::NotLeader { .. } => Refusal::new(
            Code::NotLeader,
            "this node does not lead the cluster, and nothing was done: send the request to the leader",
        ),
        SubmitError::OutcomeUnknown(why) => Refusal::new(
            Code::OutcomeUnknown,
            format!(
                "{why}; the request may have been applied, or may still be: only a request that carries a session and \
                 sequence can safely be sent again"
            ),
        ),
        SubmitError::Overloaded(why) => Refusal::new(
            Code::Overloaded,
            format!("{why}; nothing was done: send the request again after a pause"),
        ),
        SubmitError::TooLarge(why) => Refusal::new(Code::TooLarge, why),
        SubmitError::DiskFull(_) => Refusal::new(Code::DiskFull, format!("{error}; nothing was done")),
        SubmitError::Unavailable(why) => Refusal::new(
            Code::Unavailable,
            format!("{why}; nothing was done: send the request to another node"),
        ),
    }
}

/// A read that was answered with what it did not ask for: a defect of this binary.
pub(crate) fn wrong_value() -> Refusal {
    Refusal::new(
        Code::Internal,
        "the read was answered with a value of another kind: please report this",
    )
}

/// Why a read gave nothing.
pub(crate) fn of_read(error: &ReadError) -> Refusal {
    match error {
        ReadError::UnknownApplication(_) => Refusal::new(
            Code::UnknownApplication,
            format!("{error}: `GET /v1/apps` lists those there are"),
        ),
        ReadError::UnknownTable { application, .. } => Refusal::new(
            Code::UnknownTable,
            format!("{error}: `GET /v1/apps/{application}` lists its tables"),
        ),
        ReadError::UnknownQuery { application, .. } => Refusal::new(
            Code::UnknownQuery,
            format!("{error}: `GET /v1/apps/{application}` lists its queries"),
        ),
        ReadError::UnknownStream(_) => Refusal::new(
            Code::UnknownStream,
            format!("{error}: a stream is named APPLICATION.NAME, and `GET /v1/apps` lists them"),
        ),
        ReadError::Damaged(_) => Refusal::new(
            Code::DiskDamaged,
            format!("{error}; the node stops serving: damage to its state or streams it mends by itself"),
        ),
        ReadError::UnknownSnapshot(why) => Refusal::new(
            Code::UnknownSnapshot,
            format!("{why}; `POST /v1/snapshots` makes one and lists its files"),
        ),
        ReadError::CopyUnderWay(why) => Refusal::new(
            Code::CopyUnderWay,
            format!("{why}: wait until it has ended, or copy off another member"),
        ),
        ReadError::UnknownCopy => Refusal::new(
            Code::UnknownCopy,
            format!("{error}, any more or yet: `POST /v1/copies` begins one"),
        ),
        ReadError::EntriesPurged { .. } => Refusal::new(
            Code::EntriesPurged,
            format!("{error}: begin again with a newer snapshot, `POST /v1/copies` names them"),
        ),
        ReadError::EventVersionUnserved { .. } => Refusal::new(Code::EventVersionUnserved, error.to_string()),
        ReadError::EventsTrimmed { start, .. } => Refusal::new(
            Code::EventsTrimmed,
            format!("{error} for good: read from {start} on, or without `from` for the first event that is there"),
        )
        .with_first_offset(*start),
        ReadError::Failed(failure) => Refusal::new(of_failure_code(failure.code), error.to_string()),
        ReadError::Unconfirmed(_) => Refusal::new(
            Code::ReadUnconfirmed,
            format!("{error}; read again after a pause, or ask with consistency=stale for what this node has"),
        ),
        ReadError::Unavailable(_) => Refusal::new(Code::Unavailable, format!("{error}; read at another node")),
    }
}

/// A command that failed, and where.
pub(crate) fn of_failure(failure: &Failure, index: Index) -> Refusal {
    Refusal::new(of_failure_code(failure.code), failure.detail.clone()).at(index)
}

/// The session is not known any more, or has forgotten the sequence.
pub(crate) fn session_expired() -> Refusal {
    Refusal::new(
        Code::SessionExpired,
        "the session is unknown or has forgotten this sequence: the command was not applied now, and whether it was \
         before cannot be known; look at the state, then go on in a new session",
    )
}

/// The machine refused a control entry. Its own names are the API's where the API has them.
pub(crate) fn of_refused(code: &str, reason: &str) -> Refusal {
    let general = match code {
        "module_too_large" => Code::TooLarge,
        "module_chunk_invalid" | "module_chunk_out_of_order" => Code::ModuleIncomplete,
        "no_cluster" => Code::Unavailable,
        other => match Code::from_name(other) {
            Some(known) => return Refusal::new(known, reason),
            None => Code::ChangeRefused,
        },
    };
    Refusal::new(general, format!("{reason} ({code})"))
}

/// A decision that does not belong to the entry proposed: a defect of the node.
pub(crate) fn unexpected(decision: &Decision) -> Refusal {
    Refusal::new(
        Code::Internal,
        format!("the entry was decided with {decision:?}, which is no answer to it: please report this"),
    )
}

/// The machine's numbers and the API's are the same, and stay so; each is named here so that a new one is not forgotten.
pub(crate) fn of_failure_code(code: FailureCode) -> Code {
    match code {
        FailureCode::UnknownApplication => Code::UnknownApplication,
        FailureCode::UnknownCommand => Code::UnknownCommand,
        FailureCode::UnknownCommandVersion => Code::UnknownCommandVersion,
        FailureCode::Trapped => Code::ApplicationTrapped,
        FailureCode::FuelExhausted => Code::FuelExhausted,
        FailureCode::DepthExhausted => Code::DepthExhausted,
        FailureCode::Misuse => Code::ApplicationMisuse,
        FailureCode::TooLarge => Code::EffectsTooLarge,
        FailureCode::MigrationFailed => Code::MigrationFailed,
        FailureCode::EntrySkipped => Code::EntrySkipped,
        FailureCode::CastFailed => Code::CastFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_the_same_names_here_and_in_the_log() {
        let codes = [
            FailureCode::UnknownApplication,
            FailureCode::UnknownCommand,
            FailureCode::UnknownCommandVersion,
            FailureCode::Trapped,
            FailureCode::FuelExhausted,
            FailureCode::DepthExhausted,
            FailureCode::Misuse,
            FailureCode::TooLarge,
            FailureCode::MigrationFailed,
            FailureCode::EntrySkipped,
            FailureCode::CastFailed,
        ];
        for code in codes {
            assert_eq!(of_failure_code(code).name(), code.name());
        }
    }

    #[test]
    fn a_reason_that_the_api_does_not_name_keeps_its_name_in_the_text() {
        let refusal = of_refused("version_exists", "version 2 is there already");
        assert_eq!(refusal.code(), Code::ChangeRefused);
        assert_eq!(refusal.0.detail, "version 2 is there already (version_exists)");
        assert_eq!(of_refused("unknown_change", "x").code(), Code::UnknownChange);
    }
}
