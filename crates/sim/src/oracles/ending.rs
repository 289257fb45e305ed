//! The oracles that look at the end, when the cluster is at rest: what clients were told against what is there.

use std::collections::BTreeMap;

use client::wire::{ChangeRecord, Stage};
use machine::{Event, Offset};
use seachange::demo::ledger::Transferred;

use super::linearizable;
use super::watch::Finding;
use crate::clients::{ACCOUNTS, BALANCE};
use crate::fleet::Number;
use crate::history::{History, Outcome};

/// The sum of all balances, always.
const SUM: i64 = ACCOUNTS as i64 * BALANCE;

/// Every acknowledged command was applied once, every other at most once, and what was not done not at all.
///
/// # Errors
/// The first transfer of which that does not hold.
pub fn check_transfers(history: &History, events: &[Event]) -> Result<(), Finding> {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let transferred: Transferred = serde_json::from_slice(&event.value).map_err(|error| {
            (
                "exactly once",
                format!("event {} is no transfer: {error}", event.offset),
            )
        })?;
        *found.entry(transferred.id).or_default() += 1;
    }
    for (id, outcome) in &history.transfers {
        let times = found.remove(id).unwrap_or(0);
        let holds = match outcome {
            Outcome::Applied(_) => times == 1,
            Outcome::Unknown | Outcome::Pending => times <= 1,
            Outcome::Refused | Outcome::Failed(_) | Outcome::NotDone => times == 0,
        };
        if !holds {
            let what = format!("transfer {id} was told as {outcome:?}, and stands in the stream {times} times");
            return Err(("exactly once", what));
        }
    }
    match found.into_keys().next() {
        Some(id) => Err(("exactly once", format!("nobody sent transfer {id}"))),
        None => Ok(()),
    }
}

/// Offsets are dense from the first on.
///
/// # Errors
/// Where they are not.
pub fn check_dense(number: Number, start: Offset, events: &[Event]) -> Result<(), Finding> {
    for (event, expected) in events.iter().zip(start.0..) {
        if event.offset.0 != expected {
            let what = format!("node {number} has offset {} where {expected} is due", event.offset);
            return Err(("dense streams", what));
        }
    }
    Ok(())
}

/// What the consumer has read, from the first event on, is what stands in the stream; gives all of it, with what was
/// trimmed before `start`.
///
/// # Errors
/// The first event that it was told otherwise.
pub fn check_consumed(mut read: Vec<Event>, start: Offset, stands: &[Event]) -> Result<Vec<Event>, Finding> {
    let kept = usize::try_from(start.0).unwrap_or(usize::MAX).min(read.len());
    let told = read.split_off(kept);
    if let Some((told, _)) = told.iter().zip(stands).find(|(told, stands)| told != stands) {
        let what = format!("the consumer was told another event {}", told.offset);
        return Err(("consumers read what stands", what));
    }
    read.extend_from_slice(stands);
    Ok(read)
}

/// Every node has the same stream.
///
/// # Errors
/// The first two that differ.
pub fn check_streams(streams: &BTreeMap<Number, (Offset, Vec<Event>)>) -> Result<(), Finding> {
    let Some((first, (begins, expected))) = streams.first_key_value() else {
        return Ok(());
    };
    for (number, (start, events)) in streams {
        if start != begins {
            let what = format!("the stream begins at {begins} on node {first}, at {start} on node {number}");
            return Err(("equal streams", what));
        }
        if events.len() != expected.len() {
            let (here, there) = (events.len(), expected.len());
            let what = format!("node {first} has {there} events, node {number} {here}");
            return Err(("equal streams", what));
        }
        if let Some((event, _)) = events.iter().zip(expected).find(|(here, there)| here != there) {
            let what = format!("nodes {first} and {number} differ at offset {}", event.offset);
            return Err(("equal streams", what));
        }
    }
    Ok(())
}

/// Money is neither made nor lost, at any time that a query shows.
///
/// # Errors
/// A sum that is another.
pub fn check_sums(history: &History) -> Result<(), Finding> {
    match history.sums.iter().find(|(_, sum)| *sum != SUM) {
        Some((at, sum)) => {
            let what = format!("at {at} ns the balances came to {sum}, and should to {SUM}");
            Err(("sum of balances", what))
        }
        None => Ok(()),
    }
}

/// Operations of a history that a complaint shows: the last ones, where it shows.
const OPERATIONS_SHOWN: usize = 12;

/// What clients saw of each register can have happened in one order.
///
/// # Errors
/// The first register of which that does not hold.
pub fn check_registers(history: &History) -> Result<(), Finding> {
    linearizable::check(&history.registers).map_err(|violation| {
        let (all, shown) = (violation.operations.len(), OPERATIONS_SHOWN);
        let last: Vec<String> = violation.operations[all.saturating_sub(shown)..]
            .iter()
            .map(ToString::to_string)
            .collect();
        let what = format!(
            "{} has no order from the last of {all} operations on: {}",
            violation.key,
            last.join(", ")
        );
        ("linearizable registers", what)
    })
}

/// Every change has ended, can be taken back, or says what it waits for.
///
/// # Errors
/// One that does none of it.
pub fn check_changes(changes: &[ChangeRecord]) -> Result<(), Finding> {
    let stuck = |change: &&ChangeRecord| {
        // One that is switched waits for the operator's word, unless it was to be finalized by itself.
        let waits_for_a_word = change.stage == Stage::Switched && !change.finalize;
        !change.stage.is_final() && !waits_for_a_word && change.blockers.is_empty()
    };
    match changes.iter().find(stuck) {
        Some(change) => Err((
            "changes end or say why not",
            format!("change {} is {} and names no reason", change.id, change.stage),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::TimeMs;

    fn event(offset: u64, id: &str) -> Event {
        Event {
            offset: Offset(offset),
            time: TimeMs(0),
            key: None,
            value: format!(r#"{{"id":"{id}","from":"a","to":"b","amount":1}}"#).into(),
            version: 1,
        }
    }

    fn told(outcomes: &[(&str, Outcome)]) -> History {
        History {
            transfers: outcomes
                .iter()
                .map(|(id, told)| ((*id).to_owned(), told.clone()))
                .collect(),
            ..History::default()
        }
    }

    #[test]
    fn what_was_acknowledged_stands_there_once() {
        let there = [event(0, "a"), event(1, "b")];
        let all = told(&[
            ("a", Outcome::Applied(3)),
            ("b", Outcome::Unknown),
            ("c", Outcome::Unknown),
        ]);
        assert_eq!(check_transfers(&all, &there), Ok(()));
        let lost = told(&[
            ("a", Outcome::Applied(3)),
            ("b", Outcome::Unknown),
            ("c", Outcome::Applied(5)),
        ]);
        assert!(check_transfers(&lost, &there).is_err());
        let undone = told(&[("a", Outcome::NotDone), ("b", Outcome::Unknown)]);
        assert!(check_transfers(&undone, &there).is_err());
        let doubled = [event(0, "a"), event(1, "b"), event(2, "b")];
        assert!(check_transfers(&all, &doubled).is_err());
        assert!(check_transfers(&told(&[("a", Outcome::Applied(3))]), &there).is_err());
    }

    #[test]
    fn a_change_that_stays_without_a_word_is_found() {
        let change = |stage, finalize| ChangeRecord {
            rehearsal: None,
            verified: Vec::new(),
            id: 7,
            kind: client::wire::ChangeKind::Application,
            application: "ledger".into(),
            from: Some(1),
            to: 2,
            stage,
            finalize,
            switch_index: None,
            reverts_on_trap: false,
            refusals: None,
            refusals_max: None,
            confirm_by_ms: None,
            reverted: None,
            readiness: Vec::new(),
            blockers: Vec::new(),
            history: Vec::new(),
        };
        let ended = [change(Stage::Finalized, true), change(Stage::Switched, false)];
        assert_eq!(check_changes(&ended), Ok(()));
        assert!(check_changes(&[change(Stage::Switched, true)]).is_err());
        assert!(check_changes(&[change(Stage::Preparing, false)]).is_err());
    }

    #[test]
    fn streams_are_dense_and_equal() {
        let there = vec![event(4, "a"), event(5, "b")];
        assert_eq!(check_dense(1, Offset(4), &there), Ok(()));
        assert!(check_dense(1, Offset(3), &there).is_err());
        assert!(check_dense(1, Offset(4), &[event(4, "a"), event(6, "b")]).is_err());
        let start = Offset(4);
        let both = |second: (Offset, Vec<Event>)| BTreeMap::from([(1, (start, there.clone())), (2, second)]);
        assert_eq!(check_streams(&both((start, there.clone()))), Ok(()));
        assert!(check_streams(&both((start, there[..1].to_vec()))).is_err());
        assert!(check_streams(&both((start, vec![event(4, "a"), event(5, "c")]))).is_err());
        assert!(check_streams(&both((Offset(3), there.clone()))).is_err());
    }

    #[test]
    fn a_consumer_keeps_what_is_trimmed_and_was_told_what_stands() {
        let stands = [event(1, "b"), event(2, "c")];
        let read = vec![event(0, "a"), event(1, "b"), event(2, "c")];
        assert_eq!(check_consumed(read.clone(), Offset(1), &stands), Ok(read.clone()));
        let other = vec![event(0, "a"), event(1, "x"), event(2, "c")];
        assert!(check_consumed(other, Offset(1), &stands).is_err());
    }
}
