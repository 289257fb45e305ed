//! Rehearsals: each node says in the log what it found, and the leader opens one window after the other.

use environment::Moment;
use machine::{Body, ChangeId, Decision, Index, Rehearsed, change};
use tracing::{debug, info};

use super::Hands;
use crate::limits::REHEARSAL_WINDOW;

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    let mut unsaid = Vec::new();
    // The window that was open when this node last looked, and since when it knows it.
    let mut open: Option<(ChangeId, Index, Moment)> = None;
    while hands.news(&mut seen).await {
        unsaid.extend(hands.published.take_rehearsed());
        say(&hands, &mut unsaid).await;
        open = match hands.group.is_leader() {
            true => open_next(&hands, open).await,
            false => None,
        };
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

/// Opens the next window of the change that is rehearsed, once the last one has been open for long enough.
async fn open_next(hands: &Hands, open: Option<(ChangeId, Index, Moment)>) -> Option<(ChangeId, Index, Moment)> {
    let catalog = hands.published.catalog();
    let now = hands.environment.clock.now();
    let running = catalog.changes.iter().filter(|(_, change)| !change.stage.is_final());
    let mut next = running.filter_map(|(id, _)| change::next_window(&catalog, *id, hands.node));
    let next = next.next()?;
    let key = (next.change, next.after);
    let since = open
        .filter(|(change, window, _)| (*change, *window) == key)
        .map_or(now, |(.., since)| since);
    let is_long = now >= since + REHEARSAL_WINDOW;
    // Nothing is open yet; or this node rehearses, since it did not lead when the window was opened, and clients wait for it.
    let rehearses_here = || {
        let window = catalog.rehearsals.get(&next.change)?.windows.get(&next.after)?;
        Some(window.nodes.contains(&hands.node) && !next.nodes.contains(&hands.node))
    };
    if next.after == Index::default() || is_long || rehearses_here().unwrap_or(false) {
        let change = next.change;
        match hands.cluster.propose(Body::OpenWindow(next)).await {
            Ok(Decision::Refused { reason, .. }) => {
                info!(%change, reason, "no window of a rehearsal was due after all")
            }
            Ok(_) => debug!(%change, "opened a window of a rehearsal"),
            Err(error) => debug!(%change, %error, "could not open a window; whoever leads tries again"),
        }
    }
    Some((key.0, key.1, since))
}
