use client::wire::{ChangeRecord, RehearsalRecord, Stage};

use crate::output;
use crate::style::Mark;

/// Colours a piece of text.
pub(super) type Paint = fn(&str, Mark) -> String;

/// Cells of a bar.
const BAR_CELLS: usize = 20;

/// Where a change stands, as lines that are drawn anew: its stages, its nodes, what it waits for, how long it may still stay
/// without a word, and what may be done about it.
pub(super) fn lines(record: &ChangeRecord, now_ms: u64, paint: Paint) -> Vec<String> {
    if record.stage.is_final() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), stages(record.stage, paint)];
    let before_switch = matches!(record.stage, Stage::Preparing | Stage::Ready);
    if before_switch {
        lines.push(nodes(record));
        lines.extend(record.rehearsal.as_ref().map(rehearsed));
    }
    for blocker in &record.blockers {
        lines.push(format!("  waits  {}", paint(&blocker.what, Mark::Notable)));
    }
    if let Some(by) = record.confirm_by_ms.filter(|_| record.stage == Stage::Switched) {
        let left = output::time_left(by, now_ms).to_string();
        lines.push(format!(
            "  goes back by itself in {}, unless confirmed: seachange change confirm {}",
            paint(&left, Mark::Notable),
            record.id
        ));
    }
    if record.reverts_on_trap && record.stage == Stage::Switched {
        lines.push("  goes back by itself at the first command on which only the new version traps".to_owned());
    }
    if let Some((count, max)) = record.refusals.zip(record.refusals_max) {
        lines.push(format!(
            "  {count} of {max} commands refused that the old version would have applied"
        ));
    }
    lines.push(match before_switch {
        true => format!("  give it up: seachange change abort {}", record.id),
        false => format!(
            "  back: seachange change revert {id}    for good: seachange change finalize {id}",
            id = record.id
        ),
    });
    lines
}

/// All stages in a row, the one that it is in marked.
fn stages(stage: Stage, paint: Paint) -> String {
    let all = [Stage::Preparing, Stage::Ready, Stage::Switched, Stage::Finalized];
    let shown = all.map(|one| match one == stage {
        true => paint(&format!("[{one}]"), Mark::Good),
        false => one.to_string(),
    });
    format!("  {}", shown.join(" > "))
}

/// How many of the voters are ready, and which.
fn nodes(record: &ChangeRecord) -> String {
    let ready: Vec<&str> = record
        .readiness
        .iter()
        .filter(|node| node.ready)
        .map(|node| node.name.as_str())
        .collect();
    let missing = record.blockers.iter().filter(|blocker| blocker.node.is_some()).count();
    let total = ready.len() + missing;
    let bar = bar(ready.len() as u64, total as u64);
    let names = match ready.is_empty() {
        true => String::new(),
        false => format!(": {}", ready.join(", ")),
    };
    format!("  {bar} {} of {total} nodes ready{names}", ready.len())
}

fn bar(done: u64, total: u64) -> String {
    let cells = (BAR_CELLS as u64)
        .saturating_mul(done.min(total))
        .checked_div(total)
        .unwrap_or(0) as usize;
    format!("[{}{}]", "#".repeat(cells), "-".repeat(BAR_CELLS - cells))
}

/// How far a rehearsal has come, by whichever of the two that were asked for is less far.
fn rehearsed(rehearsal: &RehearsalRecord) -> String {
    let commands = rehearsal.asked.commands.map(|wanted| (rehearsal.commands, wanted));
    let time = rehearsal.asked.for_ms.map(|wanted| (rehearsal.lasted_ms, wanted));
    let behind = |(done, wanted): &(u64, u64)| done.saturating_mul(1000).checked_div(*wanted).unwrap_or(1000);
    let (done, wanted) = commands.into_iter().chain(time).min_by_key(behind).unwrap_or((1, 1));
    let nodes = match rehearsal.nodes.is_empty() {
        true => String::new(),
        false => format!(" on {}", rehearsal.nodes.join(", ")),
    };
    format!(
        "  {} {} commands rehearsed{nodes}: {} came out otherwise, {} as expected",
        bar(done, wanted),
        output::grouped(rehearsal.commands),
        output::grouped(rehearsal.differed),
        output::grouped(rehearsal.expected),
    )
}

#[cfg(test)]
mod tests {
    use client::wire::{Blocker, ChangeKind, NodeReadiness};

    use super::*;

    fn plain(text: &str, _: Mark) -> String {
        text.to_owned()
    }

    fn record(stage: Stage) -> ChangeRecord {
        let ready = |node: u64, name: &str| NodeReadiness {
            node,
            name: name.into(),
            ready: true,
            instrumented: None,
            reason: None,
        };
        ChangeRecord {
            id: 15,
            kind: ChangeKind::Application,
            application: "ledger".into(),
            from: Some(1),
            to: 2,
            stage,
            finalize: false,
            switch_index: None,
            reverts_on_trap: true,
            confirm_by_ms: Some(600_000),
            refusals: None,
            refusals_max: None,
            reverted: None,
            rehearsal: None,
            verified: Vec::new(),
            readiness: vec![ready(1, "one"), ready(2, "two")],
            blockers: Vec::new(),
            history: Vec::new(),
        }
    }

    #[test]
    fn before_the_switch_it_shows_which_nodes_are_ready_and_what_it_waits_for() {
        let mut record = record(Stage::Preparing);
        record.blockers.push(Blocker {
            node: Some(3),
            name: Some("three".into()),
            since_ms: 0,
            what: "three has not reported: start it".into(),
        });
        let shown = lines(&record, 0, plain);
        assert_eq!(
            shown[1..],
            [
                "  [preparing] > ready > switched > finalized",
                "  [#############-------] 2 of 3 nodes ready: one, two",
                "  waits  three has not reported: start it",
                "  give it up: seachange change abort 15",
            ]
        );
    }

    #[test]
    fn after_the_switch_it_counts_down_and_says_what_may_be_done() {
        let shown = lines(&record(Stage::Switched), 68_000, plain);
        assert_eq!(
            shown[1..],
            [
                "  preparing > ready > [switched] > finalized",
                "  goes back by itself in 8m 52s, unless confirmed: seachange change confirm 15",
                "  goes back by itself at the first command on which only the new version traps",
                "  back: seachange change revert 15    for good: seachange change finalize 15",
            ]
        );
    }

    #[test]
    fn of_one_that_has_ended_nothing_is_left() {
        for stage in [Stage::Finalized, Stage::Aborted, Stage::Reverted] {
            assert!(lines(&record(stage), 0, plain).is_empty());
        }
    }
}
