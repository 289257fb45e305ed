//! Makes the code of every version ready that this node runs or will run, and reports on changes.

use std::collections::BTreeMap;
use std::time::Duration;

use environment::Moment;
use environment::channel::oneshot;
use machine::{ApplicationVersion, Body, Catalog, ChangeId, Code, Digest, Index, Machine, NodeReady, Readiness};
use tracing::{info, warn};

use super::Hands;

/// How long a version that could not be prepared is left alone before the next attempt: it may have been this node's
/// fault, and gone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What came of preparing a version, and when it may be tried again.
struct Prepared {
    readiness: Readiness,
    again: Moment,
}

/// By the version's code, application and number.
type Found = BTreeMap<(Code, String, u32), Prepared>;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut found = Found::new();
    loop {
        let catalog = hands.published.catalog();
        for version in wanted(&catalog) {
            if is_due(&hands, version, found.get(&key_of(version))) {
                let readiness = prepare(&hands, version.clone()).await;
                note(&hands, version, readiness, &mut found);
            }
        }
        report(&hands, &catalog, &found).await;
        if !hands.news(&mut seen).await {
            return;
        }
    }
}

fn is_due(hands: &Hands, version: &ApplicationVersion, found: Option<&Prepared>) -> bool {
    match found {
        None => true,
        Some(_) if hands.registry.is_ready(&version.code, &version.manifest) => false,
        Some(prepared) => hands.environment.clock.now() >= prepared.again,
    }
}

fn note(hands: &Hands, version: &ApplicationVersion, readiness: Readiness, found: &mut Found) {
    let again = hands.environment.clock.now() + RETRY_AFTER;
    let key = key_of(version);
    let news = found.get(&key).is_none_or(|before| before.readiness != readiness);
    if news {
        tell(version, &readiness);
    }
    found.insert(key, Prepared { readiness, again });
    if news {
        // Whoever is parked for it can go on.
        hands.published.changed.set(hands.published.changed.get().next());
    }
}

fn key_of(version: &ApplicationVersion) -> (Code, String, u32) {
    (
        version.code.clone(),
        version.manifest.application.clone(),
        version.manifest.version.0,
    )
}

/// Every kept version may be needed: to run, to go back to, or to read a row that it wrote.
fn wanted(catalog: &Catalog) -> impl Iterator<Item = &ApplicationVersion> {
    catalog
        .applications
        .values()
        .flat_map(|application| application.versions.values())
}

fn tell(version: &ApplicationVersion, readiness: &Readiness) {
    let (application, number) = (&version.manifest.application, version.manifest.version);
    match readiness {
        Readiness::Ready { .. } => info!(application, version = %number, "ready to run"),
        Readiness::Failed { reason } => warn!(application, version = %number, reason, "cannot run"),
    }
}

/// Compiles on a thread of its own.
async fn prepare(hands: &Hands, version: ApplicationVersion) -> Readiness {
    let (done, wait) = oneshot::channel();
    let (held, registry, measures) = (hands.held.clone(), hands.registry.clone(), hands.measures.clone());
    hands.environment.spawn_worker("compile", async move {
        let module = match &version.code {
            Code::Wasm { module, .. } => match Machine::module_bytes(&held.read().state, *module) {
                Ok(bytes) => Some(bytes),
                Err(error) => {
                    done.send(Readiness::Failed {
                        reason: error.to_string(),
                    })
                    .ok();
                    return;
                }
            },
            Code::Native => None,
        };
        let begun = measures.clock.now();
        let prepared = registry.prepare(&version.manifest, &version.code, module.as_deref());
        measures.compile.time(measures.clock.now() - begun);
        let readiness = match prepared {
            Ok(instrumented) => Readiness::Ready {
                instrumented: Digest(instrumented.0),
            },
            Err(error) => {
                measures.compile_failures.increment();
                Readiness::Failed {
                    reason: error.to_string(),
                }
            }
        };
        done.send(readiness).ok();
    });
    let lost = || Readiness::Failed {
        reason: "the compiler's thread ended without a result".to_owned(),
    };
    wait.await.unwrap_or_else(|_| lost())
}

/// Says in the log what was found, for every change that waits for it and does not know it.
async fn report(hands: &Hands, catalog: &Catalog, found: &Found) {
    for (id, change) in catalog.changes.iter().filter(|(_, change)| !change.stage.is_final()) {
        let version = catalog
            .applications
            .get(&change.application)
            .and_then(|application| application.versions.get(&change.to));
        let Some(Prepared { readiness, .. }) = version.and_then(|version| found.get(&key_of(version))) else {
            continue;
        };
        if change.readiness.get(&hands.node) == Some(readiness) {
            continue;
        }
        send_report(hands, *id, readiness.clone()).await;
    }
}

async fn send_report(hands: &Hands, change: ChangeId, readiness: Readiness) {
    let body = Body::NodeReady(NodeReady {
        node: hands.node,
        change,
        readiness,
    });
    if let Err(error) = hands.leader.propose(&*hands.cluster, body).await {
        warn!(%change, %error, "could not report; trying again");
    }
}
