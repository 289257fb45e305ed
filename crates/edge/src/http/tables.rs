//! `GET /v1/apps/{app}/tables`, `GET …/tables/{table}/rows` and `…/rows/{key}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use bytes::Bytes;
use client::wire::{Code, ConsistencyParameter, Row, RowAnswer, Rows, RowsParameters, TableList};
use machine::limits::SCAN_ROWS_MAX;
use machine::{Read, ReadError, ReadValue};

use super::cursor::{self, Range};
use super::extract::{Parameters, UrlPath, UrlQuery, parameter_bytes, path_bytes};
use super::problems::{ANY, READ, problems};
use super::{Api, apps, consistency};
use crate::codes::{self, Refusal};
use crate::limits::SCAN_ROWS_DEFAULT;

problems!(ListProblems: ANY, &[Code::UnknownApplication]);
problems!(RowProblems: READ, &[Code::UnknownTable, Code::RowNotFound, Code::MigrationFailed]);
problems!(RowsProblems: READ, &[Code::UnknownTable, Code::MigrationFailed]);

impl Parameters for RowsParameters {
    const NAMES: &'static [&'static str] = &["prefix", "start", "end", "limit", "reverse", "cursor", "consistency"];
}

impl Parameters for ConsistencyParameter {
    const NAMES: &'static [&'static str] = &["consistency"];
}

/// The tables of an application
///
/// Those of the version in force.
#[utoipa::path(
    get, path = "/v1/apps/{app}/tables", tag = "reads", operation_id = "list_tables",
    params(("app" = String, Path, description = "The application's name.", example = "ledger")),
    responses((status = 200, description = "As the manifest names them.", body = TableList), ListProblems),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    UrlPath(application): UrlPath<String>,
) -> Result<Json<TableList>, Refusal> {
    // The status is taken first: what the catalog shows is then never older than the index says.
    let index = api.cluster.status().applied.0;
    let catalog = api.cluster.catalog();
    match catalog.in_force(&application) {
        Some(version) => Ok(Json(TableList {
            index,
            application,
            version: version.manifest.version.0,
            tables: version.manifest.tables.iter().map(apps::show_table).collect(),
        })),
        None => Err(codes::of_read(&ReadError::UnknownApplication(application))),
    }
}

/// One row
///
/// Its document comes in the shape of the version in force. Bytes of the key that are no text are percent-escaped.
#[utoipa::path(
    get, path = "/v1/apps/{app}/tables/{table}/rows/{key}", tag = "reads", operation_id = "get_row",
    params(
        ("app" = String, Path, description = "The application's name.", example = "ledger"),
        ("table" = String, Path, description = "The table's name.", example = "accounts"),
        ("key" = String, Path, description = "The key.", example = "ada"),
        ConsistencyParameter,
    ),
    responses((status = 200, description = "The row.", body = RowAnswer), RowProblems),
)]
pub(super) async fn row(
    State(api): State<Arc<Api>>,
    uri: Uri,
    UrlQuery(parameters): UrlQuery<ConsistencyParameter>,
) -> Result<Json<RowAnswer>, Refusal> {
    // A key may be any bytes, and axum's paths are text.
    let [application, table] = [2, 4].map(|place| path_bytes(&uri, place));
    let [application, table] = [application, table].map(|name| String::from_utf8_lossy(&name).into_owned());
    let key = path_bytes(&uri, 6);
    let read = Read::Get {
        application,
        table: table.clone(),
        key: key.clone(),
    };
    let answer = api.read(read, consistency(parameters.consistency)).await?;
    match answer.value {
        ReadValue::Document(Some(document)) => Ok(Json(RowAnswer {
            index: answer.index.0,
            row: Row { key, document },
        })),
        ReadValue::Document(None) => {
            let key = String::from_utf8_lossy(&key);
            let missing = Refusal::new(
                Code::RowNotFound,
                format!("table {table:?} had no row {key:?} as of index {}", answer.index),
            );
            Err(missing.at(answer.index))
        }
        ReadValue::Pairs { .. } | ReadValue::Usage(_) | ReadValue::Answer(_) | ReadValue::Refused(_) => {
            Err(codes::wrong_value())
        }
    }
}

/// Rows in order of key
///
/// A page of them, as of one index. While `more` is true, the same request with `cursor` set to `next` gives the page
/// behind it: nothing that stays in the table is left out or given twice, whatever is written in between.
#[utoipa::path(
    get, path = "/v1/apps/{app}/tables/{table}/rows", tag = "reads", operation_id = "scan_rows",
    params(
        ("app" = String, Path, description = "The application's name.", example = "ledger"),
        ("table" = String, Path, description = "The table's name.", example = "accounts"),
        RowsParameters,
    ),
    responses((status = 200, description = "The page.", body = Rows), RowsProblems),
)]
pub(super) async fn rows(
    State(api): State<Arc<Api>>,
    UrlPath((application, table)): UrlPath<(String, String)>,
    uri: Uri,
    UrlQuery(parameters): UrlQuery<RowsParameters>,
) -> Result<Json<Rows>, Refusal> {
    let mut range = range(&uri)?;
    if let Some(cursor) = &parameters.cursor {
        range = cursor::behind(cursor, range, parameters.reverse)?;
    }
    let limit = parameters.limit.unwrap_or(SCAN_ROWS_DEFAULT);
    if limit == 0 {
        return Err(Refusal::malformed("limit=0 asks for no rows: give 1 or more"));
    }
    let read = Read::Scan {
        application,
        table,
        start: range.start,
        end: range.end,
        limit: limit.min(SCAN_ROWS_MAX),
        reverse: parameters.reverse,
    };
    let answer = api.read(read, consistency(parameters.consistency)).await?;
    match answer.value {
        ReadValue::Pairs { pairs, more } => Ok(Json(Rows {
            index: answer.index.0,
            next: match pairs.last() {
                Some((last, _)) if more => Some(cursor::at(last, parameters.reverse)),
                Some(_) | None => None,
            },
            rows: pairs.into_iter().map(|(key, document)| Row { key, document }).collect(),
            more,
        })),
        ReadValue::Document(_) | ReadValue::Usage(_) | ReadValue::Answer(_) | ReadValue::Refused(_) => {
            Err(codes::wrong_value())
        }
    }
}

/// The keys that a scan asks for.
fn range(uri: &Uri) -> Result<Range, Refusal> {
    let [prefix, start, end] = ["prefix", "start", "end"].map(|name| parameter_bytes(uri, name));
    match (prefix, start, end) {
        (None, start, end) => Ok(Range {
            start: start.unwrap_or_default(),
            end,
        }),
        (Some(prefix), None, None) => Ok(Range {
            end: after_prefix(&prefix),
            start: prefix,
        }),
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
