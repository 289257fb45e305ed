//! `POST /v1/apps/{app}/conversion`, and how far rows are.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use client::wire::{Code, ConversionRecord, ConversionRequest, ConversionSteered, UnconvertedRow, VerifiedRecord};
use machine::{Body, Catalog, ChangeId, Conversion, SteerConversion, Unconverted};

use super::body::{self, Media};
use super::extract::UrlPath;
use super::problems::{WRITE, problems};
use super::{Api, parse};
use crate::codes::Refusal;
use crate::limits::DOCUMENT_BODY_BYTES_MAX;

problems!(Problems: WRITE, &[Code::ChangeRefused]);

/// Steer the conversion of rows
///
/// Once a version is here to stay, rows that lie in an older shape are converted in the background. This pauses it, resumes it
/// and sets its pace; `GET /v1/apps/{app}` shows how far it is.
#[utoipa::path(
    post, path = "/v1/apps/{app}/conversion", tag = "applications", operation_id = "steer_conversion",
    params(("app" = String, Path, description = "The application's name.", example = "ledger")),
    request_body(content = ConversionRequest, description = "What is to be otherwise.", example = json!({"paused": true})),
    responses((status = 200, description = "The entry.", body = ConversionSteered), Problems),
)]
pub(super) async fn steer(
    State(api): State<Arc<Api>>,
    UrlPath(application): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    body::check_media(request.headers(), Media::Json)?;
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a conversion").await?;
    let asked: ConversionRequest = parse(&request.body, "{\"paused\", \"rows_per_second\"}")?;
    let body = Body::SteerConversion(SteerConversion {
        application,
        paused: asked.paused,
        rate: asked.rows_per_second,
    });
    api.done(request, body, true, |index| ConversionSteered { index: index.0 })
        .await
}

/// Those of an application, by table.
pub(super) fn records(catalog: &Catalog, application: &str) -> Vec<ConversionRecord> {
    let conversions = catalog.conversions.get(application);
    conversions
        .into_iter()
        .flatten()
        .map(|(table, conversion)| record(table, conversion))
        .collect()
}

/// What nodes found of the stored rows for a change.
pub(super) fn verified(catalog: &Catalog, change: ChangeId) -> Vec<VerifiedRecord> {
    let Some(data) = catalog.rehearsals.get(&change).map(|rehearsal| &rehearsal.data) else {
        return Vec::new();
    };
    let records = data.found.iter().map(|(node, rows)| VerifiedRecord {
        node: catalog.node_name(*node),
        as_of: rows.as_of.0,
        rows: rows.rows,
        failed: rows.failed,
        approved: data.approved,
        samples: rows.samples.iter().map(sample).collect(),
    });
    records.collect()
}

fn sample(sample: &Unconverted) -> UnconvertedRow {
    UnconvertedRow {
        key: String::from_utf8_lossy(&sample.key).into_owned(),
        why: sample.why.clone(),
    }
}

fn record(table: &str, conversion: &Conversion) -> ConversionRecord {
    ConversionRecord {
        table: table.to_owned(),
        to: conversion.to.0,
        looked: conversion.looked,
        converted: conversion.converted,
        failed: conversion.failed,
        reached: String::from_utf8_lossy(&conversion.reached).into_owned(),
        since_ms: conversion.since.0,
        done_ms: conversion.done.map(|done| done.0),
        paused: conversion.paused,
        rows_per_second: conversion.rate,
        samples: conversion.samples.iter().map(sample).collect(),
    }
}
