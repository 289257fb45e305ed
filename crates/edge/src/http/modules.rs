//! `PUT /v1/modules/{sha256}`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use client::wire::{Code, ModuleStored};
use environment::channel::oneshot;
use environment::timeout;
use machine::limits::{MODULE_BYTES_MAX, MODULE_CHUNK_BYTES};
use machine::{Body, Decision, Digest, Index, ModuleChunk, SubmitError};

use super::extract::UrlPath;
use super::problems::{WRITE, problems};
use super::{Api, decided, index_of};
use crate::codes::{self, Refusal};
use crate::limits::MODULE_TIME_FACTOR;
use crate::router::{Routed, Work};

problems!(Problems: WRITE, &[Code::ModuleInvalid, Code::ModuleDigestMismatch, Code::ModuleIncomplete]);

/// Send a module
///
/// Brings the code of a version into the log, where every node finds it. It is checked before anything is written, and
/// may be sent again.
#[utoipa::path(
    put, path = "/v1/modules/{module}", tag = "changes", operation_id = "store_module",
    params(("module" = String, Path, description = "The SHA-256 of the bytes, 64 hexadecimal digits.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "The module's bytes, at most 8 MiB."),
    responses((status = 200, description = "It is in the log.", body = ModuleStored), Problems),
)]
pub(super) async fn store(
    State(api): State<Arc<Api>>,
    UrlPath(module): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let Some(digest) = Digest::parse(&module) else {
        return Err(Refusal::malformed(format!(
            "{module:?} is no SHA-256: name the module by 64 hexadecimal digits; nothing was done"
        )));
    };
    let Ok(Ok(_place)) = timeout(&api.environment, api.limits.hold_max, api.uploads.acquire()).await else {
        return Err(codes::of_submit(&SubmitError::Overloaded(
            "other modules are being taken in".into(),
        )));
    };
    let request = api.take(request, MODULE_BYTES_MAX, "a module").await?;
    let bytes = request.body.clone();
    let work = Work {
        bytes: bytes.len(),
        // Pieces that are there already change nothing.
        repeatable: true,
        time_max: api.limits.request_time_max.saturating_mul(MODULE_TIME_FACTOR),
        request,
    };
    match api.router.route(&work, || bring(&api, digest, bytes.clone())).await? {
        Routed::Here(brought) => {
            let index = brought?;
            api.caught_up(index).await;
            let stored = ModuleStored {
                module: digest.to_string(),
                bytes: bytes.len() as u64,
            };
            Ok(decided(index, stored))
        }
        Routed::Elsewhere(response) => {
            api.show_here(index_of(response.headers())).await;
            Ok(response)
        }
    }
}

/// Checks the module and brings it into the log, if this node leads.
async fn bring(api: &Api, digest: Digest, bytes: Bytes) -> Result<Result<Index, Refusal>, SubmitError> {
    let status = api.cluster.status();
    if status.leader != Some(status.node) {
        // The leader checks it: once is enough.
        return Err(SubmitError::NotLeader { leader: status.leader });
    }
    if let Err(refusal) = check(api, digest, bytes.clone()).await {
        return Ok(Err(refusal));
    }
    propose_pieces(api, digest, &bytes).await
}

/// Digest and content. They take a processor for a while, on a thread of their own.
async fn check(api: &Api, digest: Digest, bytes: Bytes) -> Result<(), Refusal> {
    let (answer, answered) = oneshot::channel();
    let module_check = api.module_check.clone();
    api.environment.spawn_worker("edge-module-check", async move {
        let checked = check_bytes(digest, &bytes).and_then(|()| match module_check {
            None => Ok(()),
            Some(module_check) => module_check(&bytes).map_err(|(code, text)| {
                let code = Code::from_name(&code).unwrap_or(Code::ModuleInvalid);
                Refusal::new(code, format!("{text}; nothing was done"))
            }),
        });
        // Nobody waits any more when the client has gone.
        let _ = answer.send(checked);
    });
    answered.await.unwrap_or_else(|_| {
        Err(Refusal::new(
            Code::Internal,
            "the check of the module ended without a result; nothing was done: please report this",
        ))
    })
}

fn check_bytes(digest: Digest, bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::new(
            Code::ModuleInvalid,
            "the module is empty: send its bytes as the body; nothing was done",
        ));
    }
    let found = Digest::of(bytes);
    if found != digest {
        return Err(Refusal::new(
            Code::ModuleDigestMismatch,
            format!("the body's SHA-256 is {found} and not {digest}; nothing was done: send it again"),
        ));
    }
    Ok(())
}

async fn propose_pieces(api: &Api, module: Digest, bytes: &Bytes) -> Result<Result<Index, Refusal>, SubmitError> {
    let mut last = api.cluster.status().applied;
    let here = api
        .cluster
        .catalog()
        .modules
        .get(&module)
        .map_or(0, |module| module.bytes_here);
    // The last piece is sent again where all are here: whoever sends a module is about to plan with it, and it is not to be
    // deleted before that.
    let last_piece = (bytes.len() - 1) / MODULE_CHUNK_BYTES * MODULE_CHUNK_BYTES;
    let mut at = usize::try_from(here).unwrap_or(usize::MAX).min(last_piece);
    while at < bytes.len() {
        let piece = bytes.slice(at..bytes.len().min(at + MODULE_CHUNK_BYTES));
        let next = at + piece.len();
        let body = Body::ModuleChunk(ModuleChunk {
            module,
            bytes_total: bytes.len() as u64,
            at: at as u64,
            bytes: piece,
        });
        match api.cluster.propose(body).await? {
            Decision::Done { index } => last = index,
            Decision::Refused { code, reason } => return Ok(Err(codes::of_refused(code, &reason))),
            decision @ (Decision::SessionOpened(_) | Decision::Planned(_) | Decision::Registered(_)) => {
                return Ok(Err(codes::unexpected(&decision)));
            }
        }
        at = next;
    }
    Ok(Ok(last))
}
