//! Rehearsals: each node says in the log what it found, and the leader opens one window after the other.

use std::collections::BTreeMap;

use environment::Moment;
use machine::{Body, Catalog, ChangeId, Decision, Index, OpenWindow, Rehearsed, change};
use tracing::{debug, info};

use super::Hands;
use crate::limits::REHEARSAL_WINDOW;

/// The windows that were open when this node last looked, and since when it knows them.
type OpenSince = BTreeMap<ChangeId, (Index, Moment)>;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut unsaid = Vec::new();
    let mut open = OpenSince::new();
    while hands.news(&mut seen).await {
        unsaid.extend(hands.published.take_rehearsed());
        say(&hands, &mut unsaid).await;
        if !hands.group.is_leader() {
            open.clear();
            continue;
        }
        let catalog = hands.published.catalog();
        let running = catalog.changes.iter().filter(|(_, change)| !change.stage.is_final());
        let next = running.filter_map(|(id, _)| change::next_window(&catalog, *id, hands.node));
        let next: Vec<OpenWindow> = next.collect();
        open.retain(|change, _| next.iter().any(|next| next.change == *change));
        for next in next {
            open_if_due(&hands, &catalog, next, &mut open).await;
        }
    }
}

/// Brings what this node found into the log, as long as somebody waits for it.
async fn say(hands: &Hands, unsaid: &mut Vec<Rehearsed>) {
    let catalog = hands.published.catalog();
    unsaid.retain(|said| {
        let window = catalog
            .rehearsals
            .get(&said.change)
            .and_then(|rehearsal| rehearsal.windows.get(&said.window));
        window.is_some_and(|window| !window.found.contains_key(&hands.node))
    });
    for said in unsaid.iter() {
        if let Err(error) = hands
            .leader
            .propose(&*hands.cluster, Body::Rehearsed(said.clone()))
            .await
        {
            debug!(%error, "what was rehearsed could not be reported; trying again");
            return;
        }
    }
}

/// Opens a window once the one before it has been open for long enough.
async fn open_if_due(hands: &Hands, catalog: &Catalog, next: OpenWindow, open: &mut OpenSince) {
    let (change, now) = (next.change, hands.environment.clock.now());
    let known = open.get(&change).filter(|(window, _)| *window == next.after);
    let since = known.map_or(now, |(_, since)| *since);
    open.insert(change, (next.after, since));
    // This node rehearses, since it did not lead when the window was opened, and clients wait for it.
    let rehearses_here = || {
        let window = catalog.rehearsals.get(&change)?.windows.get(&next.after)?;
        Some(window.nodes.contains(&hands.node) && !next.nodes.contains(&hands.node))
    };
    let is_first = next.after == Index::default();
    if !is_first && now < since + REHEARSAL_WINDOW && !rehearses_here().unwrap_or(false) {
        return;
    }
    match hands.cluster.propose(Body::OpenWindow(next)).await {
        Ok(Decision::Refused { reason, .. }) => info!(%change, reason, "no window of a rehearsal was due after all"),
        Ok(_) => debug!(%change, "opened a window of a rehearsal"),
        Err(error) => debug!(%change, %error, "could not open a window; whoever leads tries again"),
    }
}
