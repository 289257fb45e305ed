//! Rehearsal: new versions tried on real commands, apart from what runs them for good, and compared with those in force.

mod compare;

use std::collections::{BTreeMap, BTreeSet};

use machine::codec::{Codec, put_bytes};
use machine::{
    ApplicationVersion, Applications, ChangeId, End, Findings, Index, Miscast, NodeId, Outcome, RehearsalPlan,
    Rehearsed, Rehearser, Sample, StateError, Trial, limits,
};
use serde_json::Value;
use tracing::warn;

pub use self::compare::same_document;
use self::compare::{Verdict, compare};
use crate::{Host, Registry};

/// Tries new versions for one node, and counts what comes out otherwise.
pub struct RehearsalHost {
    node: NodeId,
    applications: Host,
    converter: Host,
    /// Asks conditions, which are not to use up what the above have.
    conditions: Host,
    /// By change: applications are rehearsed side by side.
    open: BTreeMap<ChangeId, Open>,
    reports: Vec<Rehearsed>,
}

/// The window in which this node rehearses.
struct Open {
    window: Index,
    plan: RehearsalPlan,
    findings: Findings,
    /// Some of its commands were not tried here that others try: nothing is said of it.
    has_gap: bool,
}

impl RehearsalHost {
    /// Of a node that can run what `registry` holds.
    #[must_use]
    pub fn new(node: NodeId, registry: &Registry) -> RehearsalHost {
        RehearsalHost {
            node,
            applications: registry.host(),
            converter: registry.host(),
            conditions: registry.host(),
            open: BTreeMap::new(),
            reports: Vec::new(),
        }
    }

    /// What is to be said in the log of the windows that were closed since the last call.
    pub fn take_reports(&mut self) -> Vec<Rehearsed> {
        std::mem::take(&mut self.reports)
    }

    /// Whether commands are tried now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.values().any(|open| !open.has_gap)
    }

    /// Leaves the rest of the window to others.
    pub fn pass_by(&mut self) {
        for open in self.open.values_mut() {
            open.has_gap = true;
        }
    }
}

impl Rehearser for RehearsalHost {
    fn open(&mut self, change: ChangeId, index: Index, nodes: &BTreeSet<NodeId>, plan: &RehearsalPlan) {
        let closed = self.open.remove(&change).filter(|open| !open.has_gap);
        self.reports.extend(closed.map(|open| Rehearsed {
            node: self.node,
            change,
            window: open.window,
            findings: open.findings,
        }));
        // Changes that have ended leave their last window behind.
        while self.open.len() >= limits::APPLICATIONS_MAX {
            self.open.pop_first();
        }
        if nodes.contains(&self.node) {
            let open = Open {
                window: index,
                plan: plan.clone(),
                findings: Findings::default(),
                has_gap: false,
            };
            self.open.insert(change, open);
        }
    }

    fn wants(&mut self, change: ChangeId, window: Index, index: Index, place: usize) -> bool {
        self.open.get(&change).is_some_and(|open| {
            open.window == window
                && !open.has_gap
                // By count and place alone, so that all nodes of the window try the same.
                && open.findings.commands < limits::REHEARSED_IN_WINDOW_MAX
                && is_drawn(index, place, open.plan.one_in)
        })
    }

    fn hosts(&mut self) -> (&mut dyn Applications, &mut dyn Applications) {
        (&mut self.applications, &mut self.converter)
    }

    fn tried(&mut self, trial: Trial<'_>) {
        let Some(open) = self.open.get_mut(&trial.change) else {
            return;
        };
        if !trial.declared.is_empty() {
            // What they come to depends on this command alone, and on no other that the entry has.
            self.conditions.end_entry();
        }
        let mut stopped = None;
        let spent_before = self.conditions.fuel_spent_in_all();
        let mut judge = |condition: &str, both: &Value| {
            let spent = self.conditions.fuel_spent_in_all().saturating_sub(spent_before);
            if spent >= CONDITIONS_FUEL {
                return Err("all the conditions of one command have used up their fuel".to_owned());
            }
            holds(trial.transform, &mut self.conditions, (condition, both)).map_err(|error| match error {
                Miscast::Failed(why) => why,
                Miscast::Stop(stop) => stopped.insert(stop).reason().to_owned(),
            })
        };
        let verdict = compare(&trial, &open.plan.expected, &mut judge);
        if let Some(stop) = stopped {
            return self.failed(trial.change, &StateError(stop.reason().to_owned()));
        }
        let findings = &mut open.findings;
        findings.commands += 1;
        findings.digest.chain(&bytes_of(&trial));
        match verdict {
            Verdict::Equal => {}
            Verdict::AsExpected => findings.expected += 1,
            Verdict::Otherwise(what) => {
                findings.differed += 1;
                if failed(&trial.new) && !failed(&trial.real) {
                    findings.trapped += 1;
                }
                if findings.samples.len() < limits::REHEARSAL_SAMPLES_MAX {
                    findings.samples.push(Sample {
                        index: trial.index,
                        place: trial.place as u64,
                        command: trial.command.to_owned(),
                        what,
                    });
                }
            }
        }
    }

    fn failed(&mut self, change: ChangeId, error: &StateError) {
        warn!(%change, %error, "a command could not be rehearsed; this node says nothing of the window");
        if let Some(open) = self.open.get_mut(&change) {
            open.has_gap = true;
        }
    }

    fn end_entry(&mut self) {
        self.applications.end_entry();
        self.converter.end_entry();
        self.conditions.end_entry();
    }
}

/// Fuel after which a command's conditions are not asked any more: what is left differs unexpectedly.
const CONDITIONS_FUEL: u64 = 200_000_000;

/// Whether a condition holds, in jq, for what lies there under both versions.
fn holds(
    transform: Option<&ApplicationVersion>,
    applications: &mut Host,
    (condition, both): (&str, &Value),
) -> Result<bool, Miscast> {
    let transform = transform.ok_or_else(|| Miscast::Failed("there is nothing that runs it".to_owned()))?;
    let answer = machine::transform(transform, applications, condition, both.to_string().as_bytes())?;
    match &answer[..] {
        b"true" => Ok(true),
        b"false" => Ok(false),
        other => Err(Miscast::Failed(format!(
            "it comes to {}, and not to true or false",
            compare::shown(other)
        ))),
    }
}

fn failed(end: &End) -> bool {
    matches!(end.outcome, Outcome::Failed(_))
}

/// All that the new version did, so that two nodes that differ in any of it are found out.
fn bytes_of(trial: &Trial<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    trial.index.encode(&mut bytes);
    (trial.place as u64).encode(&mut bytes);
    let End { outcome, events, rows } = &trial.new;
    outcome.encode(&mut bytes);
    for (stream, key, value) in events {
        put_bytes(stream.as_bytes(), &mut bytes);
        put_bytes(key.as_deref().unwrap_or_default(), &mut bytes);
        put_bytes(value, &mut bytes);
    }
    for ((table, key), document) in rows {
        put_bytes(table.as_bytes(), &mut bytes);
        put_bytes(key, &mut bytes);
        put_bytes(document.as_deref().unwrap_or_default(), &mut bytes);
    }
    bytes
}

/// Whether one of the commands that are tried stands there, where one in `one_in` is. SplitMix64's finisher spreads them.
fn is_drawn(index: Index, place: usize, one_in: u64) -> bool {
    if one_in <= 1 {
        return true;
    }
    let mut value = index.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(place as u64);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (value ^ (value >> 31)).is_multiple_of(one_in)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use machine::DeclaredDifference;

    use super::*;
    use crate::transform;

    fn plan(one_in: u64) -> RehearsalPlan {
        RehearsalPlan {
            commands: 10,
            for_ms: 0,
            one_in,
            differences_max: 0,
            expected: Vec::new(),
        }
    }

    fn end(reply: &str) -> End {
        End {
            outcome: Outcome::Applied(Bytes::from(reply.to_owned())),
            events: Vec::new(),
            rows: BTreeMap::new(),
        }
    }

    fn trial(place: usize, new: &str) -> Trial<'static> {
        Trial {
            change: ChangeId(5),
            index: Index(9),
            place,
            command: "put",
            real: end("1"),
            new: end(new),
            lossy: Vec::new(),
            declared: &[],
            transform: None,
        }
    }

    fn rehearsing(one_in: u64) -> RehearsalHost {
        let mut host = RehearsalHost::new(NodeId(2), &Registry::new(Vec::new()));
        let nodes = [NodeId(2), NodeId(3)].into();
        host.open(ChangeId(5), Index(7), &nodes, &plan(one_in));
        host
    }

    fn next_window(host: &mut RehearsalHost) -> Vec<Rehearsed> {
        host.open(ChangeId(5), Index(20), &[NodeId(3)].into(), &plan(1));
        host.take_reports()
    }

    #[test]
    fn what_was_found_in_a_window_is_said_once_the_next_is_open() {
        let mut host = rehearsing(1);
        assert!(host.wants(ChangeId(5), Index(7), Index(9), 0));
        assert!(!host.wants(ChangeId(5), Index(8), Index(9), 0), "another window");
        host.tried(trial(0, "1"));
        host.tried(trial(1, "2"));
        assert!(host.take_reports().is_empty());
        let reports = next_window(&mut host);
        let findings = &reports[0].findings;
        assert_eq!(
            (reports.len(), reports[0].window, findings.commands, findings.differed),
            (1, Index(7), 2, 1)
        );
        assert_eq!(findings.samples[0].what, "reply:put: 1 → 2");
        assert!(!host.is_open(), "this node does not rehearse in the next window");
        // Another end is another digest, and so is another place.
        let digest = |place, new| {
            let mut host = rehearsing(1);
            host.tried(trial(place, new));
            next_window(&mut host)[0].findings.digest
        };
        assert_ne!(digest(0, "1"), digest(0, "2"));
        assert_ne!(digest(0, "1"), digest(1, "1"));
        assert_eq!(digest(0, "1"), digest(0, "1"));
    }

    /// What is said of replies `old` and `new` where the version declares that difference, under that condition.
    fn declared(at: &str, when: &str, (old, new): (End, End)) -> Findings {
        let registry = Registry::new(Vec::new());
        let transform = ApplicationVersion {
            manifest: transform::manifest(),
            code: transform::code(),
        };
        let prepared = registry.prepare(&transform.manifest, &transform.code, Some(transform::MODULE));
        prepared.expect("the kept module runs");
        let mut host = RehearsalHost::new(NodeId(2), &registry);
        host.open(ChangeId(5), Index(7), &[NodeId(2)].into(), &plan(1));
        let declared = [DeclaredDifference {
            at: at.parse().unwrap(),
            when: when.to_owned(),
        }];
        host.tried(Trial {
            real: old,
            new,
            declared: &declared,
            transform: Some(&transform),
            ..trial(0, "1")
        });
        next_window(&mut host).remove(0).findings
    }

    #[test]
    fn a_declared_difference_is_expected_where_its_condition_holds() {
        let replies = || (end(r#"{"sum":5,"fee":0}"#), end(r#"{"sum":4,"fee":1}"#));
        let check = |at: &str, when: &str, says: &str| {
            let found = declared(at, when, replies());
            let says_so = found.samples.first().map_or("", |sample| &sample.what);
            assert_eq!((found.commands, says_so), (1, says), "{at} {when}");
            assert_eq!(found.expected, u64::from(says.is_empty()), "{at} {when}");
        };
        check("reply:put", "", "");
        check(
            "reply:put",
            r#".command == "put" and .old.sum - .new.fee == .new.sum"#,
            "",
        );
        check(
            "reply:put",
            ".old.sum == .new.sum",
            "reply:put/fee: 0 → 1; reply:put/sum: 5 → 4",
        );
        check("reply:put/fee", ".new == .old + 1", "reply:put/sum: 5 → 4");
        check("reply:put/fee", "true", "reply:put/sum: 5 → 4");
        check("reply:get", "true", "reply:put/fee: 0 → 1; reply:put/sum: 5 → 4");
        check(
            "reply:put",
            ".new.sum",
            "the condition of the expected difference reply:put: it comes to 4, and not to true or false; reply:put/fee: 0 \
             → 1; reply:put/sum: 5 → 4",
        );
        for (when, why) in [("def f: f; f", "fuel"), (".old | error", "5"), ("(", "compile")] {
            let found = declared("reply:put", when, replies());
            assert_eq!((found.differed, found.expected), (1, 0), "{when}");
            let told = &found.samples[0].what;
            assert!(
                told.starts_with("the condition of the expected difference reply:put: "),
                "{told}"
            );
            assert!(told.contains(why), "{when}: {told}");
        }
    }

    #[test]
    fn a_condition_sees_how_a_command_ended_and_what_is_not_there() {
        let is_expected = |at: &str, when: &str, ends: (End, End)| declared(at, when, ends).expected == 1;
        let refused = End {
            outcome: Outcome::Refused(Bytes::from_static(b"no")),
            ..end("")
        };
        let ended = r#".old.applied.sum == 5 and .new.refused == "no""#;
        assert!(is_expected("reply:put", ended, (end(r#"{"sum":5}"#), refused)));
        let wrote = |document: Option<&'static str>| {
            let mut end = end("1");
            if let Some(document) = document {
                let place = ("accounts".to_owned(), Bytes::from_static(b"ada"));
                end.rows.insert(place, Some(Bytes::from_static(document.as_bytes())));
            }
            end
        };
        let is_new = r#".key == "ada" and (has("old") | not) and .new.fee == 1"#;
        assert!(is_expected(
            "rows:accounts",
            is_new,
            (wrote(None), wrote(Some(r#"{"fee":1}"#)))
        ));
        assert!(!is_expected(
            "rows:accounts",
            is_new,
            (wrote(None), wrote(Some(r#"{"fee":2}"#)))
        ));
        let emitted = |key: Option<&'static str>, values: &[&'static str]| {
            let events = values
                .iter()
                .map(|value| ("log".to_owned(), key.map(Bytes::from), Bytes::from(*value)));
            End {
                events: events.collect(),
                ..end("1")
            }
        };
        let more = ".new == .old + [2]";
        assert!(is_expected(
            "events:log",
            more,
            (emitted(None, &["1"]), emitted(None, &["1", "2"]))
        ));
        let keyed = r#".old.key == null and .new.key == "k""#;
        assert!(is_expected(
            "events:log",
            keyed,
            (emitted(None, &["1"]), emitted(Some("k"), &["1"]))
        ));
    }

    #[test]
    fn a_node_that_cannot_run_a_condition_says_nothing_of_the_window() {
        let transform = ApplicationVersion {
            manifest: transform::manifest(),
            code: transform::code(),
        };
        let mut host = rehearsing(1);
        let declared = [DeclaredDifference {
            at: "reply:put".parse().unwrap(),
            when: "true".to_owned(),
        }];
        host.tried(Trial {
            declared: &declared,
            transform: Some(&transform),
            ..trial(0, "2")
        });
        assert!(next_window(&mut host).is_empty());
    }

    #[test]
    fn a_window_with_a_gap_is_not_spoken_of() {
        let mut host = rehearsing(1);
        host.tried(trial(0, "2"));
        host.failed(ChangeId(5), &StateError("the disk is gone".into()));
        assert!(!host.wants(ChangeId(5), Index(7), Index(9), 1));
        assert!(next_window(&mut host).is_empty());
    }

    #[test]
    fn one_command_in_many_is_tried_and_so_many_in_a_window() {
        let mut host = rehearsing(10);
        let drawn = (0..10_000)
            .filter(|place| host.wants(ChangeId(5), Index(7), Index(9), *place))
            .count();
        assert!((800..1_200).contains(&drawn), "{drawn}");
        let mut host = rehearsing(1);
        for place in 0..limits::REHEARSED_IN_WINDOW_MAX as usize {
            assert!(host.wants(ChangeId(5), Index(7), Index(9), place));
            host.tried(trial(place, "2"));
        }
        assert!(!host.wants(ChangeId(5), Index(7), Index(9), 0));
        assert_eq!(
            next_window(&mut host)[0].findings.samples.len(),
            limits::REHEARSAL_SAMPLES_MAX
        );
    }
}
