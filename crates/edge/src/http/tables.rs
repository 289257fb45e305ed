//! `GET /v1/apps/{app}/tables/{table}/rows` and `…/rows/{key}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use client::wire::{Code, ConsistencyParameter, Row, RowAnswer, Rows, RowsParameters};
use machine::limits::SCAN_ROWS_MAX;
use machine::{Read, ReadValue};

use super::extract::{Parameters, UrlPath, UrlQuery};
use super::{Api, consistency, wrong_value};
use crate::codes::Refusal;
use crate::limits::SCAN_ROWS_DEFAULT;

impl Parameters for RowsParameters {
    const NAMES: &'static [&'static str] = &["prefix", "start", "end", "limit", "reverse", "consistency"];
}

impl Parameters for ConsistencyParameter {
    const NAMES: &'static [&'static str] = &["consistency"];
}

pub(super) async fn row(
    State(api): State<Arc<Api>>,
    UrlPath((application, table, key)): UrlPath<(String, String, String)>,
    UrlQuery(parameters): UrlQuery<ConsistencyParameter>,
) -> Result<Json<RowAnswer>, Refusal> {
    let read = Read::Get {
        application,
        table: table.clone(),
        key: Bytes::from(key.clone()),
    };
    let answer = api.read(read, consistency(parameters.consistency)).await?;
    match answer.value {
        ReadValue::Document(Some(document)) => Ok(Json(RowAnswer {
            index: answer.index.0,
            row: Row {
                key: key.into(),
                document,
            },
        })),
        ReadValue::Document(None) => {
            let missing = Refusal::new(
                Code::RowNotFound,
                format!("table {table:?} had no row {key:?} as of index {}", answer.index),
            );
            Err(missing.at(answer.index))
        }
        ReadValue::Pairs { .. } | ReadValue::Answer(_) | ReadValue::Refused(_) => Err(wrong_value()),
    }
}

pub(super) async fn rows(
    State(api): State<Arc<Api>>,
    UrlPath((application, table)): UrlPath<(String, String)>,
    UrlQuery(parameters): UrlQuery<RowsParameters>,
) -> Result<Json<Rows>, Refusal> {
    let (start, end) = range(&parameters)?;
    let limit = parameters.limit.unwrap_or(SCAN_ROWS_DEFAULT);
    if limit == 0 {
        return Err(Refusal::malformed("limit=0 asks for no rows: give 1 or more"));
    }
    let read = Read::Scan {
        application,
        table,
        start,
        end,
        limit: limit.min(SCAN_ROWS_MAX),
        reverse: parameters.reverse,
    };
    let answer = api.read(read, consistency(parameters.consistency)).await?;
    match answer.value {
        ReadValue::Pairs { pairs, more } => Ok(Json(Rows {
            index: answer.index.0,
            rows: pairs.into_iter().map(|(key, document)| Row { key, document }).collect(),
            more,
        })),
        ReadValue::Document(_) | ReadValue::Answer(_) | ReadValue::Refused(_) => Err(wrong_value()),
    }
}

/// First key (included) and last key (excluded) of a scan.
fn range(parameters: &RowsParameters) -> Result<(Bytes, Option<Bytes>), Refusal> {
    let bytes = |text: &String| Bytes::from(text.clone());
    match (&parameters.prefix, &parameters.start, &parameters.end) {
        (None, start, end) => Ok((start.as_ref().map(bytes).unwrap_or_default(), end.as_ref().map(bytes))),
        (Some(prefix), None, None) => Ok((bytes(prefix), after_prefix(prefix.as_bytes()))),
        (Some(_), _, _) => Err(Refusal::malformed(
            "prefix excludes start and end: give the one or the others",
        )),
    }
}

/// The first key behind all that begin with `prefix`; none when there can be none.
fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_its_last_byte_counts_on() {
        assert_eq!(after_prefix(b"ab"), Some(Bytes::from_static(b"ac")));
        assert_eq!(after_prefix(b"a\xff\xff"), Some(Bytes::from_static(b"b")));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
