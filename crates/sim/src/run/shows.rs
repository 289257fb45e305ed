//! What scripts wait for and print. What is printed holds no index and no time, so that it stays as a record.

use machine::{Catalog, ChangeId, TimeMs};

use super::Run;
use crate::oracles::watch::Finding;
use crate::script::{Condition, Topic};

impl Run {
    /// Whether what a script waits for has come.
    pub(super) fn is_met(&self, condition: &Condition) -> bool {
        let status = |who| self.who(who).and_then(|number| self.fleet.machine(number)?.status());
        match condition {
            Condition::Leader => self.fleet.leader().is_some(),
            Condition::Serving(who) => status(*who).is_some(),
            Condition::Parked(who) => status(*who).is_some_and(|status| status.parked.is_some()),
            Condition::Applying(who) => {
                status(*who).is_some_and(|status| status.parked.is_none() && status.applied >= self.watch.committed())
            }
            Condition::Stopped(who) => {
                let machine = self.who(*who).and_then(|number| self.fleet.machine(number));
                machine.is_some_and(|machine| machine.stopped_by_itself().is_some())
            }
            Condition::Change(application, stage) => {
                let last = self.last_change(application);
                last.is_some_and(|(name, _)| name == stage.name())
            }
            Condition::Agreement => self.agrees(),
            Condition::Acknowledged(count) => self.shared.history.lock().acknowledged >= *count,
        }
    }

    /// Prints something.
    pub(super) fn show(&mut self, topic: &Topic) -> Result<Vec<String>, Finding> {
        let lines = match topic {
            Topic::Versions => self.of_each(|catalog| {
                let versions = catalog.applications.iter().map(|(name, application)| {
                    let version = application
                        .in_force
                        .map_or_else(|| "none".to_owned(), |it| it.to_string());
                    format!("{name} {version}")
                });
                versions.collect::<Vec<_>>().join(", ")
            }),
            Topic::Parked => self.each(|run, number| {
                let status = run.fleet.machine(number)?.status()?;
                Some(without_numbers(&status.parked?))
            }),
            Topic::Stopped => self.each(|run, number| {
                let reason = run.fleet.machine(number)?.stopped_by_itself()?;
                Some(without_numbers(&reason))
            }),
            Topic::Change(application) => match self.last_change(application) {
                Some((stage, blockers)) => {
                    let mut lines = vec![stage];
                    lines.extend(blockers.into_iter().map(|blocker| format!("waits: {blocker}")));
                    lines
                }
                None => vec!["there is none".to_owned()],
            },
            Topic::Streams => self.each(|run, number| {
                let cluster = run.fleet.machine(number)?.shown.lock().cluster.clone()?;
                let streams = cluster.streams().into_iter();
                let shown = streams.map(|(name, status)| match status.start.0 {
                    0 => format!("{name} whole"),
                    _ => format!("{name} trimmed"),
                });
                Some(shown.collect::<Vec<_>>().join(", "))
            }),
            Topic::Levels => self.of_each(|catalog| catalog.level.to_string()),
            Topic::Errors => self.shared.history.lock().errors.keys().cloned().collect(),
            Topic::Verdict => {
                self.come_to_rest()?;
                vec!["all is well".to_owned()]
            }
        };
        Ok(lines)
    }

    fn each(&self, line: impl Fn(&Run, u8) -> Option<String>) -> Vec<String> {
        let lines = self.numbers().into_iter();
        lines
            .filter_map(|number| Some(format!("{number}: {}", line(self, number)?)))
            .collect()
    }

    fn of_each(&self, line: impl Fn(&Catalog) -> String) -> Vec<String> {
        self.each(|run, number| {
            let cluster = run.fleet.machine(number)?.shown.lock().cluster.clone()?;
            Some(line(&cluster.catalog()))
        })
    }

    /// The stage and blockers of an application's last change.
    fn last_change(&self, application: &str) -> Option<(String, Vec<String>)> {
        let catalog = self.any_cluster()?.catalog();
        let last: Option<(&ChangeId, _)> = catalog
            .changes
            .iter()
            .rfind(|(_, change)| change.application == application);
        let (id, change) = last?;
        let blockers = machine::change::report(&catalog, *id, TimeMs(0)).blockers;
        let waits = blockers.into_iter().map(|blocker| without_numbers(&blocker.what));
        Some((format!("{:?}", change.stage).to_lowercase(), waits.collect()))
    }
}

/// Numbers are left out of what is recorded: they change with anything.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            digit if digit.is_ascii_digit() => {
                if !out.ends_with('#') {
                    out.push('#');
                }
            }
            other => out.push(other),
        }
    }
    out
}
