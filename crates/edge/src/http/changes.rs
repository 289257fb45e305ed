//! `GET|POST /v1/changes`, `GET /v1/changes/{id}`, `GET …/watch`, `POST …/approve|revert|finalize|confirm|abort`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use client::wire;
use client::wire::{
    ChangeKind, ChangeList, ChangeRecord, Code, CodeSource, NodeReadiness, PlanRequest, Planned, StepRequest, StepTaken,
};
use futures::FutureExt;
use machine::{
    Body, Catalog, Change, ChangeId, ChangeStep, Decision, Digest, Index, MeterNumber, NodeId, PlanApplication,
    PlanGuarded, Readiness, Safeguards, Stage, Step, TimeMs,
};

use super::body::{self, Media};
use super::extract::UrlPath;
use super::feed::{Feed, Form};
use super::problems::{ANY, WRITE, problems};
use super::{Api, apps, conversion, decided, parse, parse_or_nothing, rehearsal};
use crate::codes::{self, Refusal};
use crate::limits::{DOCUMENT_BODY_BYTES_MAX, FOLLOW_PAUSE};
use crate::router::Routed;

problems!(ListProblems: ANY);
problems!(ShowProblems: ANY, &[Code::UnknownChange]);
problems!(PlanProblems: WRITE, &[
    Code::ManifestInvalid, Code::ModuleInvalid, Code::ModuleIncomplete, Code::ModuleDigestMismatch, Code::ChangeRefused,
    Code::UnknownApplication,
]);
problems!(StepProblems: WRITE, &[Code::NotFound, Code::UnknownChange, Code::ChangeRefused]);

/// All changes that are kept
#[utoipa::path(
    get, path = "/v1/changes", tag = "changes", operation_id = "list_changes",
    responses((status = 200, description = "By id.", body = ChangeList), ListProblems),
)]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<ChangeList> {
    // The status is taken first: what the catalog shows is then never older than the index says.
    let index = api.cluster.status().applied.0;
    let catalog = api.cluster.catalog();
    let now = api.now();
    let changes = catalog
        .changes
        .iter()
        .map(|(id, change)| record(&catalog, *id, change, now));
    Json(ChangeList {
        index,
        changes: changes.collect(),
    })
}

/// One change
///
/// Where it stands, what each node found, what it waits for and what happened.
#[utoipa::path(
    get, path = "/v1/changes/{change}", tag = "changes", operation_id = "show_change",
    params(("change" = u64, Path, description = "The change's id.", example = 5)),
    responses((status = 200, description = "The change.", body = ChangeRecord), ShowProblems),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    UrlPath(id): UrlPath<u64>,
) -> Result<Json<ChangeRecord>, Refusal> {
    let catalog = api.cluster.catalog();
    match catalog.changes.get(&ChangeId(id)) {
        Some(change) => Ok(Json(record(&catalog, ChangeId(id), change, api.now()))),
        None => Err(unknown(id)),
    }
}

/// Plan a change
///
/// Installs an application, or brings in its next version. Its module must have been sent before
/// (`PUT /v1/modules/{module}`). The cluster makes itself ready and switches by itself; until it is finalized, the change
/// can be taken back. Rehearsed (`rehearse`), it is first tried on the real commands, on nodes that do not lead, and switches
/// only where it does well; with `verify_data` every stored row is brought into the new shape and back first. It goes back by
/// itself at the first command on which the new version traps and the old one does not (`revert_on_trap`), with one command
/// too many that the new version refuses and the old one would apply (`refusals_max`), and where nobody confirms it in time
/// (`confirm_within_ms`). A version that drops commands which
/// clients may still send is refused, unless it says why it may (`allow_breaking`).
#[utoipa::path(
    post, path = "/v1/changes", tag = "changes", operation_id = "plan_change",
    request_body(content = PlanRequest, description = "The new version.", example = json!({
        "manifest": {
            "application": "ledger", "version": 2, "commands": [{"name": "open"}, {"name": "transfer"}],
            "queries": [{"name": "total"}], "tables": [{"name": "accounts", "shape": 2, "converts": [1]}],
            "streams": [{"name": "ledger.transfers"}]
        },
        "code": {"module": "7f01db2b00000000000000000000000000000000000000000000000000000000"}
    })),
    responses((status = 200, description = "The change's id.", body = Planned), PlanProblems),
)]
pub(super) async fn plan(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refusal> {
    body::check_media(request.headers(), Media::Json)?;
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a plan").await?;
    let (plan, safeguards) = read_plan(parse(&request.body, PLAN_FORM)?, api.meter)?;
    // Every node checks it again in apply; checked here, a manifest that cannot hold costs no entry.
    plan.manifest
        .check()
        .map_err(|error| Refusal::new(Code::ManifestInvalid, format!("{error}; nothing was done")))?;
    let body = match safeguards.is_none() {
        true => Body::PlanApplication(plan),
        false => Body::PlanGuarded(PlanGuarded { plan, safeguards }),
    };
    // A second plan would be refused because of the first: not to be sent twice.
    match api.propose(request, body, false).await? {
        Routed::Here(Decision::Planned(change)) => {
            api.caught_up(Index(change.0)).await;
            Ok(decided(Index(change.0), Planned { change: change.0 }))
        }
        Routed::Here(decision) => Err(codes::unexpected(&decision)),
        Routed::Elsewhere(response) => Ok(response),
    }
}

/// Take a step of a change
///
/// `approve` says that what its rehearsal found is as it should be, `abort` gives it up before its switch, `revert` takes it
/// back after that, `confirm` lets it stay beyond its deadline, `finalize` gives up the way back.
#[utoipa::path(
    post, path = "/v1/changes/{change}/{step}", tag = "changes", operation_id = "step_change",
    params(
        ("change" = u64, Path, description = "The change's id.", example = 5),
        ("step" = String, Path, description = "`approve`, `revert`, `finalize`, `confirm` or `abort`.", example = "finalize"),
    ),
    request_body(content = Option<StepRequest>, description = "Why; may be left out.", example = json!({"reason": "it works"})),
    responses((status = 200, description = "The entry of the step.", body = StepTaken), StepProblems),
)]
pub(super) async fn step(
    State(api): State<Arc<Api>>,
    UrlPath((id, step)): UrlPath<(u64, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let step = match step.as_str() {
        "revert" => Step::Revert,
        "finalize" => Step::Finalize,
        "confirm" => Step::Confirm,
        "approve" => Step::Approve,
        "abort" => Step::Abort,
        other => {
            return Err(Refusal::new(
                Code::NotFound,
                format!("there is no step {other:?}: a change takes approve, revert, finalize, confirm and abort"),
            ));
        }
    };
    body::check_media(request.headers(), Media::Json)?;
    let request = api.take(request, DOCUMENT_BODY_BYTES_MAX, "a step").await?;
    let asked: StepRequest = parse_or_nothing(&request.body, "a step, {\"reason\"} or nothing")?;
    let body = Body::ChangeStep(ChangeStep {
        change: ChangeId(id),
        step,
        reason: asked.reason.unwrap_or_default(),
    });
    api.done(request, body, false, |index| StepTaken {
        change: id,
        index: index.0,
    })
    .await
}

/// Watch a change
///
/// Its record now, and again each time it changes, until it has ended. As lines of JSON, or as server-sent events with
/// `Accept: text/event-stream`.
#[utoipa::path(
    get, path = "/v1/changes/{change}/watch", tag = "changes", operation_id = "watch_change",
    params(("change" = u64, Path, description = "The change's id.", example = 5)),
    responses(
        (status = 200, description = "Records, as they come.", content(
            (ChangeRecord = "application/x-ndjson"), (ChangeRecord = "text/event-stream"),
        )),
        ShowProblems,
    ),
)]
pub(super) async fn watch(
    State(api): State<Arc<Api>>,
    UrlPath(id): UrlPath<u64>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if !api.cluster.catalog().changes.contains_key(&ChangeId(id)) {
        return Err(unknown(id));
    }
    let form = Form::of(&headers);
    Ok(form.answer(Watch {
        api,
        form,
        id: ChangeId(id),
        shown: None,
        ended: false,
    }))
}

fn unknown(id: u64) -> Refusal {
    Refusal::new(
        Code::UnknownChange,
        format!("there is no change {id}, or it is no longer kept: `GET /v1/changes` lists them"),
    )
}

/// What a plan looks like.
pub(super) const PLAN_FORM: &str = "a plan, {\"manifest\", \"code\", \"finalize\", \"confirm_within_ms\", \"revert_on_trap\", \"refusals_max\", \
     \"allow_breaking\", \"rehearse\", \"verify_data\"}";

pub(super) fn read_plan(
    plan: PlanRequest,
    meter_default: MeterNumber,
) -> Result<(PlanApplication, Safeguards), Refusal> {
    for command in &plan.manifest.commands {
        let is_schema = |spec: &wire::SchemaSpec| spec.schema.is_object() || spec.schema.is_boolean();
        if let Some(spec) = command.schemas.iter().find(|spec| !is_schema(spec)) {
            return Err(Refusal::malformed(format!(
                "the schema of version {} of command {} is none: `schema` is an object, or true or false; nothing was done",
                spec.version, command.name
            )));
        }
    }
    let contract = apps::read_contract(&plan.manifest)
        .map_err(|why| Refusal::malformed(format!("the manifest: {why}; nothing was done")))?;
    let safeguards = Safeguards {
        confirm_within_ms: plan.confirm_within_ms,
        revert_on_trap: plan.revert_on_trap.unwrap_or(!plan.finalize),
        refusals_max: plan.refusals_max,
        allow_breaking: plan.allow_breaking,
        rehearse: plan.rehearse.map(rehearsal::read).transpose()?,
        verify_data: plan.verify_data,
        contract: contract.map(Box::new),
    };
    let plan = PlanApplication {
        manifest: apps::read_manifest(plan.manifest),
        code: read_code(plan.code, meter_default)?,
        finalize: plan.finalize,
    };
    Ok((plan, safeguards))
}

fn read_code(code: CodeSource, meter_default: MeterNumber) -> Result<machine::Code, Refusal> {
    match code {
        CodeSource::Native => Ok(machine::Code::Native),
        CodeSource::Module { digest, meter } => Ok(machine::Code::Wasm {
            module: Digest::parse(&digest).ok_or_else(|| {
                Refusal::malformed(format!(
                    "{digest:?} is no SHA-256: give 64 hexadecimal digits; nothing was done"
                ))
            })?,
            meter: meter.map_or(meter_default, MeterNumber),
        }),
    }
}

/// The change as the API, the command line and the console show it, as of `now`.
pub(super) fn record(catalog: &Catalog, id: ChangeId, change: &Change, now: TimeMs) -> ChangeRecord {
    let blockers = machine::change::report(catalog, id, now).blockers;
    let guarded = catalog.guarded.get(&id);
    let refusals_max = guarded.and_then(|guarded| guarded.safeguards.refusals_max);
    ChangeRecord {
        id: id.0,
        kind: ChangeKind::Application,
        application: change.application.clone(),
        from: change.from.map(|version| version.0),
        to: change.to.0,
        stage: show_stage(change.stage),
        finalize: change.finalize,
        switch_index: change.switch_index.map(|index| index.0),
        reverts_on_trap: catalog.reverts_on_trap(id),
        refusals: guarded
            .filter(|_| refusals_max.is_some())
            .map(|guarded| guarded.refusals),
        refusals_max,
        confirm_by_ms: guarded.and_then(|guarded| guarded.deadline).map(|deadline| deadline.0),
        reverted: guarded.and_then(|guarded| guarded.reverted).map(|at| wire::RevertedAt {
            index: at.index.0,
            command: at.place,
        }),
        rehearsal: rehearsal::record(catalog, id),
        verified: conversion::verified(catalog, id),
        readiness: change
            .readiness
            .iter()
            .map(|(node, readiness)| show_readiness(catalog, *node, readiness))
            .collect(),
        blockers: blockers
            .into_iter()
            .map(|blocker| wire::Blocker {
                node: blocker.node.map(|node| node.0),
                name: blocker.node.map(|node| catalog.node_name(node)),
                since_ms: blocker.since.0,
                what: blocker.what,
            })
            .collect(),
        history: change
            .history
            .iter()
            .map(|event| wire::ChangeEvent {
                index: event.index.0,
                time_ms: event.time.0,
                what: event.what.clone(),
            })
            .collect(),
    }
}

fn show_stage(stage: Stage) -> wire::Stage {
    match stage {
        Stage::Preparing => wire::Stage::Preparing,
        Stage::Ready => wire::Stage::Ready,
        Stage::Switched => wire::Stage::Switched,
        Stage::Finalized => wire::Stage::Finalized,
        Stage::Aborted => wire::Stage::Aborted,
        Stage::Reverted => wire::Stage::Reverted,
    }
}

fn show_readiness(catalog: &Catalog, node: NodeId, readiness: &Readiness) -> NodeReadiness {
    let (ready, instrumented, reason) = match readiness {
        Readiness::Ready { instrumented } => (true, Some(instrumented.to_string()), None),
        Readiness::Failed { reason } => (false, None, Some(reason.clone())),
    };
    NodeReadiness {
        node: node.0,
        name: catalog.node_name(node),
        ready,
        instrumented,
        reason,
    }
}

struct Watch {
    api: Arc<Api>,
    form: Form,
    id: ChangeId,
    shown: Option<ChangeRecord>,
    ended: bool,
}

impl Feed for Watch {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        while !self.ended {
            let index = self.api.cluster.status().applied;
            let catalog = self.api.cluster.catalog();
            let Some(change) = catalog.changes.get(&self.id) else {
                return Ok(None);
            };
            // A blocker says how long it has lasted. That alone is no news: what is compared knows no time.
            let timeless = record(&catalog, self.id, change, TimeMs(0));
            if self.shown.as_ref() != Some(&timeless) {
                self.shown = Some(timeless);
                self.ended = change.stage.is_final();
                let mut out = Vec::new();
                let id = change.history.last().map_or(self.id.0, |event| event.index.0);
                self.form
                    .put(id, &record(&catalog, self.id, change, self.api.now()), &mut out)?;
                return Ok(Some(out.into()));
            }
            drop(catalog);
            match self.wait(index.next()).await {
                Woken::Applied => {}
                Woken::Stopped => return Ok(None),
                Woken::Heartbeat => return Ok(Some(self.form.heartbeat())),
            }
        }
        Ok(None)
    }
}

/// Why a wait for news ended.
enum Woken {
    Applied,
    Heartbeat,
    Stopped,
}

impl Watch {
    async fn wait(&self, index: Index) -> Woken {
        let environment = &self.api.environment;
        let applied = async {
            self.api.cluster.applied(index).await;
            // A busy cluster applies thousands of entries a second, and hardly one of them is this change's.
            environment.sleep(FOLLOW_PAUSE).await;
        }
        .fuse();
        let heartbeat = environment.sleep(self.api.limits.heartbeat).fuse();
        let stopped = self.api.stopping.said().fuse();
        futures::pin_mut!(applied, heartbeat, stopped);
        futures::select_biased! {
            () = applied => Woken::Applied,
            () = stopped => Woken::Stopped,
            () = heartbeat => Woken::Heartbeat,
        }
    }
}
