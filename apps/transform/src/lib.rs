//! One jq program on one JSON document, as an application: so it is metered and limited like any other, two nodes cannot
//! disagree on what it gives, and a program that never ends or never stops to grow ends in a trap and not in a node's death.
//!
//! It keeps nothing, asks the host for nothing, and provides only those of jq's functions that are the same everywhere: see
//! [`program`].

#![cfg(feature = "guest")]

mod definitions;
mod document;
mod functions;
mod payload;
mod place;
mod program;
mod removal;
mod search;

use jaq_core::{Ctx, Vars};
use jaq_json::Val;
use sdk::{Application, Command, Context, Query, Refusal, Reply};

use payload::Payload;

/// The query that the manifest names.
const QUERY: &str = "transform";
/// Results of a program that are counted; past it the count is given up.
const COUNTED_MAX: usize = 100;
/// Bytes of a program's own error that are shown.
const ERROR_BYTES_MAX: usize = 1 << 10;

/// The application.
pub struct Transform;
sdk::export!(Transform);

impl Application for Transform {
    fn apply(&self, _context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        Err(command.unknown())
    }

    fn query(&self, _context: &mut Context<'_>, query: Query<'_>) -> Result<Reply, Refusal> {
        match query.name {
            QUERY => {
                let payload = Payload::read(query.payload)?;
                transform(payload.program, payload.document).map(Reply::bytes)
            }
            _ => Err(query.unknown()),
        }
    }
}

/// What the program makes of the document, as JSON without blanks.
fn transform(program: &str, document: &[u8]) -> Result<Vec<u8>, Refusal> {
    let filter = program::compile(program)?;
    let input = document::read(document)?;
    let context = Ctx::<program::Data>::new(&filter.lut, Vars::new([]));
    let mut results = filter.id.run((context, input)).map(|result| result.map_err(failed));
    let Some(result) = results.next().transpose()? else {
        return Err(not_one("none"));
    };
    let more = results
        .take(COUNTED_MAX)
        .try_fold(0, |count, result| result.map(|_| count + 1))?;
    match more {
        0 => document::write(&result),
        COUNTED_MAX => Err(not_one(&format!("more than {COUNTED_MAX}"))),
        more => Err(not_one(&(more + 1).to_string())),
    }
}

fn not_one(count: &str) -> Refusal {
    Refusal::coded(
        "not_one_result",
        format!(
            "the program gave {count} results, and a transform makes one document of one: collect many with [ ], and give one where there is none with //"
        ),
    )
}

/// The program ended in an error of its own.
fn failed(exception: jaq_core::Exn<'_, Val>) -> Refusal {
    let what = match exception.get_err().map(jaq_core::Error::into_val) {
        Ok(Val::TStr(text)) => String::from_utf8_lossy(&text).into_owned(),
        Ok(value) => value.to_string(),
        // `break` out of no label is refused when it is compiled, and nothing else ends a program.
        Err(_) => "it was broken off".to_owned(),
    };
    let shown = match what.char_indices().take_while(|(at, _)| *at < ERROR_BYTES_MAX).last() {
        Some((at, last)) if at + last.len_utf8() < what.len() => format!("{}…", &what[..at]),
        _ => what,
    };
    Refusal::coded(
        "program_failed",
        format!("the program failed on this document: {shown}"),
    )
}

#[cfg(test)]
mod tests;
