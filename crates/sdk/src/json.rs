use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::Refusal;

#[cfg(target_arch = "wasm32")]
use crate::guest::append;

/// Collects what is written; a type of its own because a guest copies short pieces in its own way.
struct Writer<'v>(&'v mut Vec<u8>);

impl Write for Writer<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        append(self.0, bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        append(self.0, bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

/// A value as JSON, the way documents are written: no blanks, a struct's fields in their order. For
/// [`Application::migrate`](crate::Application::migrate), which gives bytes.
///
/// # Errors
/// The value cannot be written as JSON, such as a map whose keys are not text.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    encode(value, &mut out)?;
    Ok(out)
}

/// Replaces `out` by the value as JSON.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Refusal> {
    out.clear();
    serde_json::to_writer(Writer(out), value).map_err(|error| {
        Refusal::coded(
            "not_json",
            format!("the application gave a value that cannot be written as JSON: {error}"),
        )
    })
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: impl FnOnce() -> String) -> Result<T, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::coded("malformed", format!("{} is not what it must be: {error}", what())))
}
