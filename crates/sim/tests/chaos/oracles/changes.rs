use anyhow::ensure;
use client::wire::{ChangeRecord, Stage};

/// Every change has ended, or says what it waits for.
pub fn all_ended_or_say_why(changes: &[ChangeRecord]) -> anyhow::Result<()> {
    for change in changes {
        // One that is switched waits for the operator's word, which is a blocker too where it waits for anything else.
        let waits_for_a_word = change.stage == Stage::Switched && !change.finalize;
        ensure!(
            change.stage.is_final() || waits_for_a_word || !change.blockers.is_empty(),
            "change {} stays {} and does not say why: {change:?}",
            change.id,
            change.stage
        );
    }
    Ok(())
}

#[test]
fn a_change_that_stays_without_a_word_is_found() {
    let change = |stage, finalize| ChangeRecord {
        id: 7,
        kind: client::wire::ChangeKind::Application,
        application: "ledger".into(),
        from: Some(1),
        to: 2,
        stage,
        finalize,
        switch_index: None,
        readiness: Vec::new(),
        blockers: Vec::new(),
        history: Vec::new(),
    };
    let ended = [change(Stage::Finalized, true), change(Stage::Switched, false)];
    assert!(all_ended_or_say_why(&ended).is_ok());
    assert!(all_ended_or_say_why(&[change(Stage::Switched, true)]).is_err());
    assert!(all_ended_or_say_why(&[change(Stage::Preparing, false)]).is_err());
}
