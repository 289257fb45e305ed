//! Paths and query strings, with a problem as the answer to what cannot be read.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::codes::Refusal;

/// The variable parts of a path.
pub(crate) struct UrlPath<T>(pub T);

/// The parameters behind the question mark.
pub(crate) struct UrlQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for UrlPath<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(UrlPath(value)),
            Err(rejection) => Err(Refusal::malformed(format!(
                "the path {:?} could not be read: {}",
                parts.uri.path(),
                rejection.body_text()
            ))),
        }
    }
}

/// The parameters that a route takes.
pub(crate) trait Parameters {
    /// Their names: one that is not known is refused, because a misspelt limit would otherwise be none.
    const NAMES: &'static [&'static str];
}

impl<S: Send + Sync, T: DeserializeOwned + Parameters + Send> FromRequestParts<S> for UrlQuery<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let names = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        for name in names.map(|pair| pair.split('=').next().unwrap_or_default()) {
            if !T::NAMES.contains(&name) {
                return Err(Refusal::malformed(format!(
                    "there is no parameter {name:?} here: give some of {}",
                    T::NAMES.join(", ")
                )));
            }
        }
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(UrlQuery(value)),
            Err(rejection) => Err(Refusal::malformed(format!(
                "the parameters {:?} could not be read: {}",
                parts.uri.query().unwrap_or_default(),
                rejection.body_text()
            ))),
        }
    }
}

/// The part of a path that stands at that place, from 0 behind the first slash, as the bytes it stands for.
pub(crate) fn path_bytes(uri: &Uri, place: usize) -> Bytes {
    let part = uri.path().split('/').nth(place + 1).unwrap_or_default();
    unescape(part.as_bytes()).into()
}

/// The first parameter of that name, as the bytes it stands for: keys need not be text.
pub(crate) fn parameter_bytes(uri: &Uri, name: &str) -> Option<Bytes> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(unescape(value.replace('+', " ").as_bytes()).into())
}

/// Percent-escapes as the bytes they stand for (RFC 3986, section 2.1). A percent sign that begins none stands for
/// itself, as in the URL standard.
fn unescape(text: &[u8]) -> Vec<u8> {
    let nibble = |at: usize| text.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, nibble(at + 1), nibble(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
                at += 3;
            }
            (byte, _, _) => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bytes() {
        let uri: Uri = "/v1/a%2Fb/%ff%00?start=%FF+%&prefix=&end".parse().unwrap();
        assert_eq!(path_bytes(&uri, 1), b"a/b"[..]);
        assert_eq!(path_bytes(&uri, 2), b"\xff\0"[..]);
        assert_eq!(path_bytes(&uri, 3), b""[..]);
        assert_eq!(parameter_bytes(&uri, "start").unwrap(), b"\xff %"[..]);
        assert_eq!(parameter_bytes(&uri, "prefix").unwrap(), b""[..]);
        assert_eq!(parameter_bytes(&uri, "end"), None);
        assert_eq!(parameter_bytes(&uri, "st"), None);
    }
}
