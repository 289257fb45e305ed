//! `GET /v1/watch`: status, changes and applications, each as soon as it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use client::wire::{ApplicationInfo, ChangeRecord, Status, WatchRecord, Watched};
use environment::Moment;
use futures::FutureExt;
use machine::{Catalog, Index, TimeMs};
use serde::Deserialize;

use super::extract::{Parameters, UrlQuery};
use super::feed::{Feed, Form, last_event_id};
use super::problems::{ANY, problems};
use super::{Api, apps, changes, status};
use crate::codes::Refusal;
use crate::limits::{FOLLOW_PAUSE, WATCH_PAUSE};

problems!(Problems: ANY);

const KINDS: [&str; 3] = ["status", "change", "application"];

/// The query string of a watch.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WatchParameters {
    /// Only these kinds, with commas between them: `status`, `change`, `application`.
    #[param(example = "status,change")]
    kinds: Option<String>,
}

impl Parameters for WatchParameters {
    const NAMES: &'static [&'static str] = &["kinds"];
}

/// Watch everything that happens to the cluster
///
/// Begins with how things are: the node's status, each application, and each change that has not ended. Then comes each
/// of them again whenever it has changed, whole. With `Last-Event-ID`, changes that have ended since are shown as well,
/// so that no end is missed. What counts as a change of the status is the role, term, leader, level, members and why the
/// node is parked; how far the log has come is not. Empty lines (or comments) show that the connection lives. As lines of
/// JSON, or as server-sent events with `Accept: text/event-stream`.
#[utoipa::path(
    get, path = "/v1/watch", tag = "cluster", operation_id = "watch",
    params(
        WatchParameters,
        ("Last-Event-ID" = Option<u64>, Header, description = "The `index` of the last record that came."),
    ),
    responses(
        (status = 200, description = "Records, as they come.", content(
            (WatchRecord = "application/x-ndjson"), (WatchRecord = "text/event-stream"),
        )),
        Problems,
    ),
)]
pub(super) async fn watch(
    State(api): State<Arc<Api>>,
    UrlQuery(parameters): UrlQuery<WatchParameters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let form = Form::of(&headers);
    let since = last_event_id(&headers)?.map(Index);
    let kinds = kinds(parameters.kinds.as_deref())?;
    Ok(form.answer(Watch {
        heard: api.environment.clock.now(),
        api,
        form,
        kinds,
        since,
        shown: Shown::default(),
    }))
}

fn kinds(asked: Option<&str>) -> Result<BTreeSet<&'static str>, Refusal> {
    let Some(asked) = asked else {
        return Ok(KINDS.into());
    };
    let named = asked.split(',').map(|name| {
        let known = KINDS.into_iter().find(|kind| *kind == name);
        known.ok_or_else(|| Refusal::malformed(format!("there is no kind {name:?}: give some of {}", KINDS.join(", "))))
    });
    named.collect()
}

struct Watch {
    api: Arc<Api>,
    form: Form,
    kinds: BTreeSet<&'static str>,
    since: Option<Index>,
    shown: Shown,
    /// When the client last heard anything.
    heard: Moment,
}

/// What the client knows. It is bounded as the catalog is.
#[derive(Default)]
struct Shown {
    status: Option<Status>,
    catalog: Option<Arc<Catalog>>,
    changes: BTreeMap<u64, ChangeRecord>,
    applications: BTreeMap<String, ApplicationInfo>,
}

impl Feed for Watch {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if self.api.stopping.is_said() {
                return Ok(None);
            }
            let (applied, news) = self.news()?;
            if !news.is_empty() {
                self.heard = self.api.environment.clock.now();
                return Ok(Some(news));
            }
            let now = self.api.environment.clock.now();
            if now - self.heard >= self.api.limits.heartbeat {
                self.heard = now;
                return Ok(Some(self.form.heartbeat()));
            }
            self.wait(applied).await;
        }
    }
}

impl Watch {
    /// Records of all that has changed since the last look, and the index as of which.
    fn news(&mut self) -> Result<(Index, Bytes), String> {
        // The status is taken first: what the catalog shows is then never older than the index says.
        let status = status::of_node(&self.api);
        let catalog = self.api.cluster.catalog();
        let index = Index(status.applied);
        let mut news = Vec::new();
        let timeless = without_progress(&status);
        if self.shown.status.as_ref() != Some(&timeless) {
            self.shown.status = Some(timeless);
            news.push(Watched::Status {
                status: Box::new(status),
            });
        }
        let same = self
            .shown
            .catalog
            .as_ref()
            .is_some_and(|shown| Arc::ptr_eq(shown, &catalog));
        if !same {
            self.applications(&catalog, &mut news);
            self.changes(&catalog, &mut news);
            self.shown.catalog = Some(catalog);
        }
        let mut out = Vec::new();
        for watched in news {
            if self.kinds.contains(watched.kind()) {
                let record = WatchRecord {
                    index: index.0,
                    watched,
                };
                self.form.put(index.0, &record, &mut out)?;
            }
        }
        Ok((index, out.into()))
    }

    fn applications(&mut self, catalog: &Catalog, news: &mut Vec<Watched>) {
        let shown = std::mem::take(&mut self.shown.applications);
        for (name, application) in &catalog.applications {
            let info = apps::info(catalog, name, application);
            if shown.get(name) != Some(&info) {
                news.push(Watched::Application {
                    application: Box::new(info.clone()),
                });
            }
            self.shown.applications.insert(name.clone(), info);
        }
    }

    fn changes(&mut self, catalog: &Catalog, news: &mut Vec<Watched>) {
        let begins = self.shown.catalog.is_none();
        let shown = std::mem::take(&mut self.shown.changes);
        for (id, change) in &catalog.changes {
            // A blocker says how long it has lasted. That alone is no news: what is compared knows no time.
            let timeless = changes::record(catalog, *id, change, TimeMs(0));
            let last = change.history.last().map(|event| event.index);
            let is_news = match begins {
                true => !change.stage.is_final() || self.since.is_some_and(|since| last > Some(since)),
                false => shown.get(&id.0) != Some(&timeless),
            };
            if is_news {
                let record = changes::record(catalog, *id, change, self.api.now());
                news.push(Watched::Change {
                    change: Box::new(record),
                });
            }
            self.shown.changes.insert(id.0, timeless);
        }
    }

    /// Waits until it is worth another look, for less than a heartbeat.
    async fn wait(&self, applied: Index) {
        let api = &self.api;
        let environment = &api.environment;
        let leader = api.cluster.status().leader;
        let applied = async {
            api.cluster.applied(applied.next()).await;
            // A busy cluster applies thousands of entries a second, and hardly one of them is news.
            environment.sleep(FOLLOW_PAUSE).await;
        }
        .fuse();
        let elected = async {
            api.cluster.leader_known(leader).await;
            environment.sleep(FOLLOW_PAUSE).await;
        }
        .fuse();
        let stopped = api.stopping.said().fuse();
        let paused = environment.sleep(WATCH_PAUSE.min(api.limits.heartbeat)).fuse();
        futures::pin_mut!(applied, elected, stopped, paused);
        futures::select_biased! {
            () = stopped => {}
            () = elected => {}
            () = applied => {}
            () = paused => {}
        }
    }
}

/// The status without what moves with every entry.
fn without_progress(status: &Status) -> Status {
    let mut timeless = status.clone();
    (timeless.last, timeless.committed, timeless.applied) = (0, 0, 0);
    timeless.digest.clear();
    timeless.members.iter_mut().for_each(|member| member.matched = None);
    timeless
}
