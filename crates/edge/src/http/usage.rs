//! `GET /v1/apps/{app}/usage`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use client::wire::{Check, CommandUsage, ConsistencyParameter, ConsumerUsage, UsageList, Verdict};
use machine::{Consistency, Index, PlanApplication, Read, ReadValue, Safeguards, Usage, change};

use super::extract::{UrlPath, UrlQuery};
use super::problems::{READ, problems};
use super::{Api, consistency};
use crate::codes::{self, Refusal};

problems!(Problems: READ);

/// Who uses an application
///
/// Each command and version of its payload that was ever run: how often, and when last in log time. A repeat that was answered
/// from the session counts once. And each named consumer of its streams, with the version of events that it gets.
#[utoipa::path(
    get, path = "/v1/apps/{app}/usage", tag = "applications", operation_id = "show_usage",
    params(("app" = String, Path, description = "The application's name.", example = "ledger"), ConsistencyParameter),
    responses((status = 200, description = "By command and version, and by consumer.", body = UsageList), Problems),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    UrlPath(application): UrlPath<String>,
    UrlQuery(parameters): UrlQuery<ConsistencyParameter>,
) -> Result<Json<UsageList>, Refusal> {
    let (index, used) = read(&api, &application, consistency(parameters.consistency)).await?;
    let (consumers, catalog) = (api.cluster.consumers(), api.cluster.catalog());
    let prefix = format!("{application}.");
    let ours = consumers.iter().filter(|(stream, ..)| stream.starts_with(&prefix));
    let readers = ours.map(|(stream, name, consumer)| {
        let pin = catalog.pin(stream, name);
        ConsumerUsage {
            stream: stream.to_owned(),
            name: name.to_owned(),
            event_version: pin.unwrap_or_else(|| catalog.event_version(stream)),
            pinned: pin.is_some(),
            last_ms: consumer.committed.0,
        }
    });
    Ok(Json(UsageList {
        index: index.0,
        application,
        commands: used.into_iter().map(record).collect(),
        consumers: readers.collect(),
    }))
}

async fn read(api: &Api, application: &str, fresh: Consistency) -> Result<(Index, Vec<Usage>), Refusal> {
    let application = application.to_owned();
    let answer = api.read(Read::Usage { application }, fresh).await?;
    match answer.value {
        ReadValue::Usage(used) => Ok((answer.index, used)),
        ReadValue::Document(_) | ReadValue::Pairs { .. } | ReadValue::Answer(_) | ReadValue::Refused(_) => {
            Err(codes::wrong_value())
        }
    }
}

/// Says of each command that a plan drops whether anybody sends it.
pub(super) async fn of_dropped(
    api: &Api,
    (plan, safeguards): (&PlanApplication, &Safeguards),
    now_ms: u64,
) -> Result<Vec<Check>, Refusal> {
    let catalog = api.cluster.catalog();
    let dropped = change::dropped(&catalog, plan, safeguards);
    if dropped.is_empty() {
        return Ok(Vec::new());
    }
    let (_, used) = read(api, &plan.manifest.application, Consistency::Linearizable).await?;
    let dropped = used
        .into_iter()
        .filter(|used| dropped.contains(&(used.command.as_str(), used.version)));
    let checks = dropped.map(|used| Check {
        name: "usage".to_owned(),
        verdict: Verdict::Warning,
        what: format!(
            "clients have sent version {} of command {} {} times, the last time {} s ago in log time: they would be refused",
            used.version,
            used.command,
            used.count,
            now_ms.saturating_sub(used.last.0) / 1000
        ),
    });
    Ok(checks.collect())
}

fn record(used: Usage) -> CommandUsage {
    CommandUsage {
        command: used.command,
        version: used.version,
        count: used.count,
        last_ms: used.last.0,
    }
}
