//! Documents, strictly as RFC 8259 has them on both sides. What jaq reads and writes by itself is more than that: comments,
//! `NaN`, keys of any kind.

use std::io::Write as _;

use jaq_json::{Num, Val};
use sdk::Refusal;
use serde::de::IgnoredAny;

/// Up to here every integer is a floating-point number of its own (2^53).
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads a document. Numbers that are not computed with stay as they are written.
pub(crate) fn read(document: &[u8]) -> Result<Val, Refusal> {
    let refuse = |why: String| Refusal::coded("bad_document", format!("the document is not JSON: {why}"));
    let text = std::str::from_utf8(document)
        .map_err(|error| refuse(format!("it is not UTF-8 after its first {} bytes", error.valid_up_to())))?;
    // The one is strict, the other keeps what numbers look like.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| refuse(error.to_string()))?;
    jaq_json::read::parse_single(document).map_err(|error| refuse(error.to_string()))
}

/// Writes a document, without blanks.
pub(crate) fn write(value: &Val) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    write_value(value, &mut out).map_err(|what| {
        Refusal::coded(
            "result_not_json",
            format!("the program's result holds {what}, which JSON cannot express: give something else in its stead"),
        )
    })?;
    Ok(out)
}

/// What JSON cannot express.
type Odd = &'static str;

fn write_value(value: &Val, out: &mut Vec<u8>) -> Result<(), Odd> {
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(number) => write_number(number, out)?,
        Val::TStr(text) => write_text(text, out)?,
        Val::BStr(_) => return Err("bytes that are no text"),
        Val::Arr(elements) => {
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(element, out)?;
            }
            out.push(b']');
        }
        Val::Obj(fields) => {
            out.push(b'{');
            for (at, (key, field)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                match key {
                    Val::TStr(text) => write_text(text, out)?,
                    _ => return Err("an object with a key that is no text"),
                }
                out.push(b':');
                write_value(field, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(text: &[u8], out: &mut Vec<u8>) -> Result<(), Odd> {
    let text = std::str::from_utf8(text).map_err(|_| "a text that is not UTF-8")?;
    serde_json::to_writer(out, text).map_err(|_| "a text that cannot be written")
}

fn write_number(number: &Num, out: &mut Vec<u8>) -> Result<(), Odd> {
    let written = match number {
        Num::Float(value) if value.is_nan() => return Err("NaN"),
        Num::Float(value) if value.is_infinite() => return Err("a number without end"),
        // As jq does, and so that it can be read as an integer again: 6 / 2 is 3, not 3.0.
        Num::Float(value) if value.trunc() == *value && value.abs() < EXACT_MAX => write!(out, "{}", *value as i64),
        Num::Dec(digits) => {
            let (sign, digits) = plain(digits);
            write!(out, "{sign}{digits}")
        }
        Num::Int(_) | Num::BigInt(_) | Num::Float(_) => write!(out, "{number}"),
    };
    written.map_err(|_| "a number that cannot be written")
}

/// A number's sign and digits without what a program may write and JSON does not allow: `+1.5`, `007.5`.
fn plain(digits: &str) -> (&str, &str) {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.strip_prefix('+').unwrap_or(digits)),
    };
    let begins = digits.bytes().take_while(|byte| *byte == b'0').count();
    let whole = digits.as_bytes().get(begins).is_some_and(u8::is_ascii_digit);
    (sign, &digits[if whole { begins } else { begins.saturating_sub(1) }..])
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_number_is_written_as_json_has_it() {
        for (odd, written) in [
            ("1.10", ("", "1.10")),
            ("-0.50", ("-", "0.50")),
            ("+1.5", ("", "1.5")),
            ("007.5", ("", "7.5")),
            ("000.5e3", ("", "0.5e3")),
            ("0e0", ("", "0e0")),
        ] {
            assert_eq!(plain(odd), written, "{odd}");
        }
    }
}
