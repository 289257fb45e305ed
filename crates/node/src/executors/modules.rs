//! Makes the code of every version ready that this node runs or will run, and reports on changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use environment::Moment;
use environment::channel::oneshot;
use host::Registry;
use machine::{
    ApplicationVersion, Applications, Body, Catalog, Change, ChangeId, Code, Contract, Digest, Index, Machine, Miscast,
    NodeReady, Readiness, Version,
};
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

/// By the version's code, application and number, what programs its contract has, and what runs them.
type Found = BTreeMap<Key, Prepared>;
type Key = (Code, String, u32, Digest, Option<Version>);

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut found = Found::new();
    loop {
        let catalog = hands.published.catalog();
        for version in catalog.needed() {
            let key = key_of(&catalog, version);
            if is_due(&hands, version, found.get(&key)) {
                let readiness = prepare(&hands, &catalog, version.clone()).await;
                note(&hands, version, key, readiness, &mut found);
            }
        }
        forget(&hands, &mut found);
        report(&hands, &catalog, &found).await;
        if !hands.news(&mut seen).await {
            return;
        }
    }
}

fn is_due(hands: &Hands, version: &ApplicationVersion, found: Option<&Prepared>) -> bool {
    match found {
        None => true,
        Some(prepared)
            if matches!(prepared.readiness, Readiness::Ready { .. })
                && hands.registry.is_ready(&version.code, &version.manifest) =>
        {
            false
        }
        Some(prepared) => hands.environment.clock.now() >= prepared.again,
    }
}

fn note(hands: &Hands, version: &ApplicationVersion, key: Key, readiness: Readiness, found: &mut Found) {
    let again = hands.environment.clock.now() + RETRY_AFTER;
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

fn key_of(catalog: &Catalog, version: &ApplicationVersion) -> Key {
    let contract = contract_of(catalog, version);
    let programs: Vec<&str> = contract
        .into_iter()
        .flat_map(|contract| contract.programs().map(|(_, program)| program))
        .collect();
    (
        version.code.clone(),
        version.manifest.application.clone(),
        version.manifest.version.0,
        Digest::of(programs.join("\0").as_bytes()),
        contract.and_then(|contract| contract.transform),
    )
}

fn contract_of<'c>(catalog: &'c Catalog, version: &ApplicationVersion) -> Option<&'c Contract> {
    catalog.contract(&version.manifest.application, version.manifest.version)
}

/// Frees the code of versions that are not needed any more: let go, given up before they answered, or gone with their application.
fn forget(hands: &Hands, found: &mut Found) {
    let is_idle = |catalog: &Catalog, found: &Found| {
        let needed: BTreeSet<&Code> = catalog.needed().map(|version| &version.code).collect();
        let idle = found.keys().filter(|(code, ..)| !needed.contains(code));
        idle.cloned().collect::<Vec<Key>>()
    };
    if is_idle(&hands.published.catalog(), found).is_empty() {
        return;
    }
    // What is published is behind what is applied. Nothing is applied meanwhile, so that no entry that looked whether its code is
    // here finds it gone when it calls it.
    let held = hands.held.read();
    for key in is_idle(held.machine.catalog(), found) {
        let (code, application, number, ..) = &key;
        hands.registry.forget(code);
        info!(application, version = number, "let go: nothing calls it any more");
        found.remove(&key);
    }
}

fn tell(version: &ApplicationVersion, readiness: &Readiness) {
    let (application, number) = (&version.manifest.application, version.manifest.version);
    match readiness {
        Readiness::Ready { .. } => info!(application, version = %number, "ready to run"),
        Readiness::Failed { reason } => warn!(application, version = %number, reason, "cannot run"),
    }
}

/// Compiles on a thread of its own.
async fn prepare(hands: &Hands, catalog: &Arc<Catalog>, version: ApplicationVersion) -> Readiness {
    let (done, wait) = oneshot::channel();
    let catalog = catalog.clone();
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
        let compiled = prepared.map_err(|error| error.to_string());
        let ready = compiled.and_then(|instrumented| {
            compile_programs(&catalog, &version, &registry)?;
            Ok(Digest(instrumented.0))
        });
        let readiness = match ready {
            Ok(instrumented) => Readiness::Ready { instrumented },
            Err(reason) => {
                measures.compile_failures.increment();
                Readiness::Failed { reason }
            }
        };
        done.send(readiness).ok();
    });
    let lost = || Readiness::Failed {
        reason: "the compiler's thread ended without a result".to_owned(),
    };
    wait.await.unwrap_or_else(|_| lost())
}

/// Compiles each program of the version's contract, so that none is found to be none by the first command that needs it.
fn compile_programs(catalog: &Catalog, version: &ApplicationVersion, registry: &Registry) -> Result<(), String> {
    // What answers already is not tried again.
    let (name, number) = (&version.manifest.application, version.manifest.version);
    let is_to_come = |change: &Change| change.application == *name && change.to == number && !change.stage.is_final();
    if !catalog.changes.values().any(is_to_come) {
        return Ok(());
    }
    let Some(contract) = contract_of(catalog, version) else {
        return Ok(());
    };
    let Some(transform) = catalog.transform_of(contract) else {
        return Ok(());
    };
    let mut host = registry.host();
    for (what, program) in contract.programs() {
        let compiled = machine::compiles(transform, &mut host, program);
        host.end_entry();
        compiled.map_err(|error| match error {
            Miscast::Failed(why) => format!("{what} cannot be compiled: {why}"),
            Miscast::Stop(stop) => format!("{what} could not be tried: {}", stop.reason()),
        })?;
    }
    Ok(())
}

/// Says in the log what was found, for every change that waits for it and does not know it.
async fn report(hands: &Hands, catalog: &Catalog, found: &Found) {
    for (id, change) in catalog.changes.iter().filter(|(_, change)| !change.stage.is_final()) {
        let version = catalog
            .applications
            .get(&change.application)
            .and_then(|application| application.versions.get(&change.to));
        let Some(Prepared { readiness, .. }) = version.and_then(|version| found.get(&key_of(catalog, version))) else {
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
