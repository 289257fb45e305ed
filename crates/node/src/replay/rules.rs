//! What an entry changed about the rules: which version answers, and what became of changes.

use machine::{Catalog, ChangeId, Index, TimeMs, Version};

/// One thing that an entry did to the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleChange {
    /// The entry.
    pub index: Index,
    /// Its time in the log.
    pub time: TimeMs,
    /// The application; empty where the cluster's level changed.
    pub application: String,
    /// The change that it is a part of.
    pub change: Option<ChangeId>,
    /// What happened, as the change's history has it.
    pub what: String,
    /// The version in force before this entry.
    pub before: Option<Version>,
    /// And after it.
    pub after: Option<Version>,
    /// From which command of this entry on, where it was in the middle of it.
    pub place: Option<u64>,
}

impl RuleChange {
    /// Whether another version answers from here on.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.before != self.after
    }
}

/// All that differs between the catalogs before and after an entry.
pub(super) fn changed(before: &Catalog, after: &Catalog, index: Index, time: TimeMs) -> Vec<RuleChange> {
    let mut rules = Vec::new();
    let in_force = |catalog: &Catalog, application: &str| catalog.applications.get(application)?.in_force;
    for (id, change) in &after.changes {
        let known = before.changes.get(id).map_or(0, |change| change.history.len());
        let news = change.history.get(known..).unwrap_or_default();
        let reverted = |catalog: &Catalog| catalog.guarded.get(id).and_then(|guarded| guarded.reverted);
        let place = reverted(after)
            .filter(|_| reverted(before).is_none())
            .map(|at| at.place);
        let versions = [before, after].map(|catalog| in_force(catalog, &change.application));
        for (at, event) in news.iter().enumerate() {
            // An entry may do several things to a change, and the last one is what it comes to.
            let last = at + 1 == news.len();
            rules.push(RuleChange {
                index,
                time,
                application: change.application.clone(),
                change: Some(*id),
                what: event.what.clone(),
                before: versions[0],
                after: if last { versions[1] } else { versions[0] },
                place: place.filter(|_| last),
            });
        }
    }
    if before.level != after.level {
        rules.push(RuleChange {
            index,
            time,
            application: String::new(),
            change: None,
            what: format!("the cluster's level: {} → {}", before.level, after.level),
            before: None,
            after: None,
            place: None,
        });
    }
    rules
}
