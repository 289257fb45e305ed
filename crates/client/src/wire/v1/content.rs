//! Bytes of applications inside JSON: as JSON when they are JSON, as text when they are a key in UTF-8, else in base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Field `x` and field `x_base64` of a value; neither is there when it is empty.
pub(super) type Value = (Option<Box<RawValue>>, Option<String>);

/// Field `key` and field `key_base64`.
pub(super) type Key = (Option<String>, Option<String>);

/// As [`Value`], of bytes that lie elsewhere.
pub(super) type ValueView<'a> = (Option<Cow<'a, RawValue>>, Option<String>);

/// As [`Key`], of bytes that lie elsewhere.
pub(super) type KeyView<'a> = (Option<&'a str>, Option<String>);

pub(super) fn value_of(bytes: &Bytes) -> Value {
    let (raw, base64) = view_of_value(bytes);
    (raw.map(Cow::into_owned), base64)
}

pub(super) fn view_of_value(bytes: &[u8]) -> ValueView<'_> {
    if bytes.is_empty() {
        return (None, None);
    }
    let raw = match serde_json::from_slice::<&RawValue>(bytes) {
        // Between the tokens of JSON a line end means no more than a blank, and NDJSON and SSE keep one record a line.
        Ok(raw) if raw.get().bytes().any(|byte| b"\n\r".contains(&byte)) => {
            RawValue::from_string(raw.get().replace(['\n', '\r'], " ")).map(Cow::Owned)
        }
        Ok(raw) => Ok(Cow::Borrowed(raw)),
        Err(error) => Err(error),
    };
    match raw {
        Ok(raw) => (Some(raw), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

pub(super) fn value_from(what: &str, value: Value) -> Result<Bytes, String> {
    match value {
        (Some(raw), None) => Ok(Bytes::copy_from_slice(raw.get().as_bytes())),
        (None, Some(text)) => decode(what, &text),
        (None, None) => Ok(Bytes::new()),
        (Some(_), Some(_)) => Err(format!("{what} and {what}_base64 exclude each other: give one of them")),
    }
}

pub(super) fn key_of(bytes: &Bytes) -> Key {
    let (text, base64) = view_of_key(bytes);
    (text.map(str::to_owned), base64)
}

pub(super) fn view_of_key(bytes: &[u8]) -> KeyView<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

pub(super) fn key_from(key: Key) -> Result<Option<Bytes>, String> {
    match key {
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(text)) => decode("key", &text).map(Some),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("key and key_base64 exclude each other: give one of them".into()),
    }
}

fn decode(what: &str, text: &str) -> Result<Bytes, String> {
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(format!("{what}_base64 is not base64: {error}")),
    }
}

/// A field that may be absent, and whose `null` is a value like any other.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}
