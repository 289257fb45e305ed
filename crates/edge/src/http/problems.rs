//! The problems that an operation may answer with, for the API's description: groups of codes by HTTP status.

use std::collections::BTreeMap;

use client::wire::{Code, PROBLEM_MEDIA_TYPE, Problem};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// Of every operation: its path or parameters may not be readable, and the server may have a defect.
pub(super) const ANY: &[Code] = &[Code::Malformed, Code::Internal];

/// Of every write: it goes to the leader, and its answer may be lost.
pub(super) const WRITE: &[Code] = &[
    Code::Malformed,
    Code::Internal,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::NotLeader,
    Code::NoLeader,
    Code::OutcomeUnknown,
    Code::Overloaded,
    Code::DiskFull,
    Code::Unavailable,
];

/// Of every read of an application's state.
pub(super) const READ: &[Code] = &[
    Code::Malformed,
    Code::Internal,
    Code::ReadUnconfirmed,
    Code::Unavailable,
    Code::Timeout,
    Code::UnknownApplication,
];

/// Of whatever runs an application's code: its failures, as they also stand in the log.
pub(super) const CALL: &[Code] = &[
    Code::ApplicationTrapped,
    Code::FuelExhausted,
    Code::DepthExhausted,
    Code::ApplicationMisuse,
    Code::EffectsTooLarge,
    Code::MigrationFailed,
    Code::EntrySkipped,
    Code::CastFailed,
];

/// `problems!(Name: SET, SET, ...)` makes a type that names those codes in `responses(...)` of an operation. Each is a
/// [`Code`], so none can be documented that is not in the table.
macro_rules! problems {
    ($name:ident: $($set:expr),+ $(,)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
                $crate::http::problems::describe(&[$($set),+])
            }
        }
    };
}

pub(super) use problems;

/// The codes as responses: one for each status, with an example of each code.
pub(super) fn describe(sets: &[&[Code]]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in sets.iter().copied().flatten() {
        let codes = by_status.entry(code.http_status()).or_default();
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), RefOr::T(response(&codes))))
        .collect()
}

fn response(codes: &[Code]) -> Response {
    let lines: Vec<String> = codes
        .iter()
        .map(|code| format!("- `{code}`: {}", code.meaning()))
        .collect();
    let examples = codes.iter().map(|code| {
        let example = ExampleBuilder::new()
            .summary(code.title())
            .value(serde_json::to_value(Problem::new(*code, code.meaning())).ok())
            .build();
        (code.name().to_owned(), example)
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build();
    ResponseBuilder::new()
        .description(lines.join("\n"))
        .content(PROBLEM_MEDIA_TYPE, content)
        .build()
}
