use bytes::Bytes;
use hyper::Method;

/// Whether a request may be sent again when it was left without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It reads, or doing it twice is the same as once.
    Freely,
    /// Only when surely nothing was done.
    IfNotDone,
}

/// A request of the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Path and query string, escaped.
    pub path: String,
    /// Headers, without Host, User-Agent and Content-Length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Whether it may be sent again.
    pub repeat: Repeat,
}

impl HttpRequest {
    /// A `GET`.
    pub fn get(path: impl Into<String>) -> Self {
        HttpRequest {
            method: Method::GET,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            repeat: Repeat::Freely,
        }
    }

    /// A `POST`, not to be repeated.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        HttpRequest {
            method: Method::POST,
            body: body.into(),
            repeat: Repeat::IfNotDone,
            ..HttpRequest::get(path)
        }
    }

    /// A `PUT`, which may be repeated.
    pub fn put(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        HttpRequest {
            method: Method::PUT,
            body: body.into(),
            ..HttpRequest::get(path)
        }
    }

    /// A `DELETE`, not to be repeated.
    pub fn delete(path: impl Into<String>) -> Self {
        HttpRequest {
            method: Method::DELETE,
            repeat: Repeat::IfNotDone,
            ..HttpRequest::get(path)
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With another rule for repeating.
    #[must_use]
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// Whether it is soon answered by any node that can answer at all, unlike a module that goes into the log.
    pub(super) fn is_read(&self) -> bool {
        self.repeat == Repeat::Freely && self.method != Method::PUT
    }
}

/// Bytes as one segment of a path or one value of a query string (RFC 3986, section 2).
pub(crate) fn escape(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(*byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A query string with its question mark, or nothing.
pub(crate) fn query_string(pairs: &[(&str, Option<String>)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if let Some(value) = value {
            out.push(if out.is_empty() { '?' } else { '&' });
            out.push_str(name);
            out.push('=');
            out.push_str(&escape(value));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_parameters_are_escaped() {
        assert_eq!(escape("Ada/1 ü"), "Ada%2F1%20%C3%BC");
        assert_eq!(escape(b"\xff\x00"), "%FF%00");
        let pairs = [("a", Some("x&y".to_owned())), ("b", None), ("c", Some("1".to_owned()))];
        assert_eq!(query_string(&pairs), "?a=x%26y&c=1");
        assert_eq!(query_string(&[]), "");
    }
}
