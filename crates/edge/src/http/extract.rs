//! Paths and query strings, with a problem as the answer to what cannot be read.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
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
