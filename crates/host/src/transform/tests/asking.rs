//! Asking the module by hand: what is refused, and why, in parts.

use bytes::Bytes;
use machine::{Call, CallOutcome, Misuse, TRANSFORM, Trap, limits};

/// What the query takes: `u32 length of the program` (little-endian), the program, and the document, which is the rest. The
/// guest's half is `apps/transform/src/payload.rs`.
///
/// # Panics
/// The program has 4 GiB or more, which nothing that reached a node has.
pub(super) fn payload(program: &str, document: &[u8]) -> Vec<u8> {
    let length = u32::try_from(program.len()).expect("a program is far below 4 GiB");
    let mut payload = Vec::with_capacity(size_of::<u32>() + program.len() + document.len());
    payload.extend_from_slice(&length.to_le_bytes());
    payload.extend_from_slice(program.as_bytes());
    payload.extend_from_slice(document);
    payload
}

/// The call that runs a [`payload`].
pub(super) fn call(payload: &[u8]) -> Call<'_> {
    Call::Query {
        query: TRANSFORM,
        payload,
    }
}

/// Why there is no document; the same on every node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The program is none, failed on this document, or did not come to one document, or the document is no JSON.
    #[error("{reason}")]
    Refused {
        /// Stable: `bad_program`, `bad_document`, `program_failed`, `not_one_result` or `result_not_json`.
        code: String,
        /// For people.
        reason: String,
    },
    /// It came to one of its limits.
    #[error("{}", of_trap(.0))]
    Trapped(Trap),
}

/// What a [`call`] came to: the document, as JSON without blanks.
///
/// # Errors
/// See [`Error`].
pub(super) fn answer(outcome: CallOutcome) -> Result<Bytes, Error> {
    match outcome {
        CallOutcome::Done(document) => Ok(document),
        CallOutcome::Refused(body) => Err(refused(&body)),
        CallOutcome::Trapped(trap) => Err(Error::Trapped(trap)),
    }
}

fn refused(body: &[u8]) -> Error {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| {
        body.get(name)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Error::Refused {
        code: text("code"),
        reason: text("reason"),
    }
}

fn of_trap(trap: &Trap) -> String {
    match trap {
        Trap::Fuel => format!(
            "the program used up its fuel of {} units: let it do less, or end",
            limits::FUEL_MAX
        ),
        Trap::Depth => "the program's calls, the document or the result nest too deep: let it recurse less".to_owned(),
        Trap::Guest => format!(
            "the program used up its memory of {} MiB, or its stack: let it keep less at once, and recurse less",
            limits::MEMORY_PAGES_MAX / 16
        ),
        Trap::Misuse(Misuse::Failed(failure)) => failure.detail.clone(),
        Trap::Misuse(Misuse::State(error)) | Trap::State(error) => error.to_string(),
    }
}
