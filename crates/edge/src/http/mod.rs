//! The HTTP API under `/v1`: one file for each resource, all of them in the table of `routes.rs`, errors as problem
//! details.

mod apps;
mod batch;
mod body;
mod changes;
mod commands;
mod consumers;
mod conversion;
mod copies;
mod cursor;
mod docs;
mod dry_run;
mod entries;
mod errors;
mod events;
mod extract;
mod feed;
mod members;
mod modules;
mod observe;
mod openapi;
pub(crate) mod problem;
mod problems;
mod queries;
mod rehearsal;
mod removal;
mod routes;
mod schema;
mod sessions;
mod snapshots;
mod status;
mod streams;
mod tables;
mod usage;
mod watch;

#[cfg(test)]
pub(crate) use extract::UrlQuery as TestedQuery;

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use client::wire::Code;
use environment::channel::Semaphore;
use environment::{Environment, timeout};
use machine::{Body, Cluster, Decision, Index, MeterNumber, Pending, ReadAnswer, ReadError, TimeMs};
use serde::Serialize;

use crate::codes::{self, Refusal};
use crate::edge::{EdgeOptions, ModuleCheck};
use crate::forward::Forward;
use crate::limits::{self, Limits};
use crate::router::{Routed, Router, Work};
use crate::stop::Stop;

pub(crate) use apps::{read_contract, read_manifest};
pub(crate) use openapi::text as openapi_text;
pub(crate) use routes::routes;

/// In the answer to a write: the entry that decided it, so that a node that passes the answer on can wait until its own
/// state shows it.
pub(crate) const INDEX_HEADER: HeaderName = HeaderName::from_static("seachange-index");

/// What the handlers share.
pub(crate) struct Api {
    environment: Environment,
    cluster: Arc<dyn Cluster>,
    router: Arc<Router>,
    limits: Limits,
    module_check: Option<ModuleCheck>,
    uploads: Semaphore,
    stopping: Stop,
    binary: String,
    meter: MeterNumber,
}

impl Api {
    pub fn new(
        environment: Environment,
        cluster: Arc<dyn Cluster>,
        router: Arc<Router>,
        options: &EdgeOptions,
        stopping: Stop,
    ) -> Self {
        Api {
            environment,
            cluster,
            router,
            limits: options.limits.clone(),
            module_check: options.module_check.clone(),
            uploads: Semaphore::new(limits::MODULES_AT_ONCE),
            stopping,
            binary: options.binary.clone(),
            meter: options.meter,
        }
    }

    /// Reads a write whole, so that it can be done here or passed on.
    async fn take(&self, request: Request, bytes_max: usize, what: &str) -> Result<Forward, Refusal> {
        let (parts, body) = request.into_parts();
        let body = body::read(&self.environment, &self.limits, &parts.headers, body, bytes_max, what).await?;
        Ok(Forward::new(&parts, body))
    }

    /// Brings a control entry into the log, here or at the leader.
    async fn propose(&self, request: Forward, body: Body, repeatable: bool) -> Result<Routed<Decision>, Refusal> {
        let work = Work {
            bytes: request.body.len(),
            repeatable,
            time_max: self.limits.request_time_max,
            request,
        };
        let routed = self.router.route(&work, || self.cluster.propose(body.clone())).await?;
        match routed {
            Routed::Here(Decision::Refused { code, reason }) => Err(codes::of_refused(code, &reason)),
            Routed::Here(decision) => Ok(Routed::Here(decision)),
            Routed::Elsewhere(response) => {
                self.show_here(index_of(response.headers())).await;
                Ok(Routed::Elsewhere(response))
            }
        }
    }

    /// The same for an entry that is done or refused: answers with what `answer` makes of its index, once this node shows it.
    async fn done<T: Serialize>(
        &self,
        request: Forward,
        body: Body,
        repeatable: bool,
        answer: impl FnOnce(Index) -> T,
    ) -> Result<Response, Refusal> {
        match self.propose(request, body, repeatable).await? {
            Routed::Here(Decision::Done { index }) => {
                self.caught_up(index).await;
                Ok(decided(index, answer(index)))
            }
            Routed::Here(decision) => Err(codes::unexpected(&decision)),
            Routed::Elsewhere(response) => Ok(response),
        }
    }

    /// Waits a little until this node shows what the leader has answered.
    async fn show_here(&self, decided: Option<Index>) {
        if let Some(index) = decided {
            self.caught_up(index).await;
        }
    }

    /// Log time as near as a node can tell it without the log: for showing how long something has lasted.
    fn now(&self) -> TimeMs {
        TimeMs(self.environment.clock.wall_ms())
    }

    /// Waits a little until this node shows what was decided at `index`: whoever asks next is to see it. A node that is
    /// far behind, or parked, does not hold the answer back for longer.
    async fn caught_up(&self, index: Index) {
        let _ = timeout(
            &self.environment,
            limits::CATCH_UP_TIME_MAX,
            self.cluster.applied(index),
        )
        .await;
    }

    /// Reads, and reads again while no leader can confirm it and the time allows.
    async fn read(&self, read: machine::Read, consistency: machine::Consistency) -> Result<ReadAnswer, Refusal> {
        self.confirmed(|| self.cluster.read(read.clone(), consistency)).await
    }

    /// What this node shows is as fresh as was asked for; gives the index that it shows at least.
    async fn shown(&self, consistency: machine::Consistency) -> Result<Index, Refusal> {
        match consistency {
            machine::Consistency::Linearizable => self.confirmed(|| self.cluster.fresh()).await,
            machine::Consistency::Stale => Ok(self.cluster.status().applied),
        }
    }

    /// Tries what a leader must confirm, again and again while none can and the time allows.
    async fn confirmed<'a, T>(&self, attempt: impl Fn() -> Pending<'a, Result<T, ReadError>>) -> Result<T, Refusal> {
        let deadline = self.environment.clock.now() + self.limits.hold_max;
        let mut pause = limits::REROUTE_PAUSE;
        loop {
            match timeout(&self.environment, self.limits.request_time_max, attempt()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(ReadError::Unconfirmed(_))) if self.environment.clock.now() + pause < deadline => {
                    self.environment.sleep(pause).await;
                    pause = (pause * 2).min(limits::REROUTE_PAUSE_MAX);
                    let left = deadline - self.environment.clock.now();
                    let _ = timeout(&self.environment, left, self.cluster.leader_known(None)).await;
                }
                Ok(Err(error)) => return Err(codes::of_read(&error)),
                Err(_) => {
                    let waited = self.limits.request_time_max.as_secs();
                    return Err(Refusal::new(
                        Code::Timeout,
                        format!("the read was not answered within {waited} s: ask again, or at another node"),
                    ));
                }
            }
        }
    }
}

fn index_of(headers: &HeaderMap) -> Option<Index> {
    headers.get(INDEX_HEADER)?.to_str().ok()?.parse().ok().map(Index)
}

/// The answer to a write that an entry decided.
fn decided(index: Index, answer: impl Serialize) -> Response {
    ([(INDEX_HEADER, HeaderValue::from(index.0))], Json(answer)).into_response()
}

fn consistency(wanted: client::wire::Consistency) -> machine::Consistency {
    match wanted {
        client::wire::Consistency::Linearizable => machine::Consistency::Linearizable,
        client::wire::Consistency::Stale => machine::Consistency::Stale,
    }
}

/// A JSON body of a request, with its shape checked.
fn parse<T: serde::de::DeserializeOwned>(body: &Bytes, what: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::malformed(format!("the body is not {what}: {error}; nothing was done")))
}

/// The same, where the body may be left out.
fn parse_or_nothing<T: serde::de::DeserializeOwned + Default>(body: &Bytes, what: &str) -> Result<T, Refusal> {
    match body.is_empty() {
        true => Ok(T::default()),
        false => parse(body, what),
    }
}
