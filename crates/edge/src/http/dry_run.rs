//! `POST /v1/changes/dry-run`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use client::wire::{Check, Code, DryRun, Forecast, PlanRequest, StepAhead, Verdict};
use machine::change::{self, Preview};

use super::body::{self, Media};
use super::problems::{READ, problems};
use super::{Api, changes, parse, usage};
use crate::codes::Refusal;
use crate::limits::DOCUMENT_BODY_BYTES_MAX;

problems!(Problems: READ, &[Code::Malformed, Code::TooLarge, Code::UnsupportedMediaType]);

/// What a plan would come to
///
/// Looks at all that must hold, and says what would happen step by step and what would undo it. Nothing is written. The
/// module need not have been sent: that is then a check that does not hold yet.
#[utoipa::path(
    post, path = "/v1/changes/dry-run", tag = "changes", operation_id = "dry_run_change",
    request_body(content = PlanRequest, description = "As for `POST /v1/changes`.", example = json!({
        "manifest": {
            "application": "ledger", "version": 2, "commands": [{"name": "open"}, {"name": "transfer"}],
            "queries": [{"name": "total"}], "tables": [{"name": "accounts", "shape": 2, "converts": [1]}],
            "streams": [{"name": "ledger.transfers"}]
        },
        "code": {"module": "7f01db2b00000000000000000000000000000000000000000000000000000000"}
    })),
    responses((status = 200, description = "What it would come to.", body = DryRun), Problems),
)]
pub(super) async fn look(State(api): State<Arc<Api>>, request: Request) -> Result<Json<DryRun>, Refusal> {
    body::check_media(request.headers(), Media::Json)?;
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a plan").await?;
    let request: PlanRequest = parse(&request.body, changes::PLAN_FORM)?;
    let (plan, safeguards) = changes::read_plan(request, api.meter)?;
    let index = api.shown(machine::Consistency::Linearizable).await?;
    let preview = change::preview(&api.cluster.catalog(), &plan, &safeguards);
    let Preview { from, checks, steps } = preview;
    let unasked = usage::of_dropped(&api, (&plan, &safeguards), api.now().0).await?;
    let checks: Vec<Check> = checks
        .into_iter()
        .map(|check| Check {
            name: check.name.to_owned(),
            verdict: show_verdict(check.verdict),
            what: check.what,
        })
        .chain(unasked)
        .collect();
    Ok(Json(DryRun {
        index: index.0,
        application: plan.manifest.application,
        from: from.map(|version| version.0),
        to: plan.manifest.version.0,
        forecast: Forecast::of(&checks),
        checks,
        steps: steps
            .into_iter()
            .map(|step| StepAhead {
                name: step.name.to_owned(),
                what: step.what,
                undo: step.undo,
            })
            .collect(),
    }))
}

fn show_verdict(verdict: change::Verdict) -> Verdict {
    match verdict {
        change::Verdict::Met => Verdict::Met,
        change::Verdict::Pending => Verdict::Pending,
        change::Verdict::Warning => Verdict::Warning,
        change::Verdict::Refused => Verdict::Refused,
    }
}
