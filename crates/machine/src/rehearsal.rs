//! Rehearsal of a new version on the real commands, before it takes over: what is asked for, and what was found.
//!
//! A rehearsal goes by windows. The leader opens one after the other with entries that name the nodes to rehearse in it; each
//! of these says what it found in a window once the next one is open. A window counts as soon as all of its nodes have said the
//! same of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::{ChangeId, Index, NodeId, StateDigest, TimeMs, Verification, limits, numbered, record};

/// What a rehearsal must have seen before the switch may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RehearsalPlan {
    /// So many commands must have been rehearsed.
    pub commands: u64,
    /// For so many milliseconds of log time it must have gone on.
    pub for_ms: u64,
    /// One in so many commands is rehearsed; 1: every one.
    pub one_in: u64,
    /// So many commands may come out otherwise, beside those that do so as expected.
    pub differences_max: u64,
    /// What is meant to come out otherwise.
    pub expected: Vec<Expected>,
}
record!(RehearsalPlan {
    commands,
    for_ms,
    one_in,
    differences_max,
    expected
});

/// Where two versions may come to different ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// The reply to a command of that name: applied or refused, and with what.
    Reply,
    /// The events of a command in the stream of that name.
    Events,
    /// The rows that a command writes in the table of that name, in the shape of the version before.
    Rows,
    /// Documents of the table of that name that the new version writes, brought into the old shape and back again.
    WayBack,
}
numbered!(Aspect { Reply = 1, Events = 2, Rows = 3, WayBack = 4 });

impl Aspect {
    /// Every one, with its word.
    pub const ALL: [(Aspect, &str); 4] = [
        (Aspect::Reply, "reply"),
        (Aspect::Events, "events"),
        (Aspect::Rows, "rows"),
        (Aspect::WayBack, "way-back"),
    ];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        let found = Aspect::ALL.iter().find(|(aspect, _)| *aspect == self);
        found.map_or("", |(_, word)| word)
    }
}

/// A difference that is meant to be: written `reply:transfer` for all of it, or `rows:accounts/balance` for what lies in the
/// JSON documents there, by a pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// Where.
    pub aspect: Aspect,
    /// The command's, stream's or table's name.
    pub name: String,
    /// The JSON pointer to what may differ; empty: all.
    pub pointer: String,
}
record!(Expected { aspect, name, pointer });

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}{}", self.aspect.word(), self.name, self.pointer)
    }
}

impl Expected {
    /// Whether it is written as it is read, and of a size that the log takes.
    pub(crate) fn is_sound(&self) -> bool {
        self.to_string().parse().as_ref() == Ok(self)
    }
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Expected, String> {
        let unfit = || {
            format!(
                "{text:?} names no difference: give reply:COMMAND, events:STREAM, rows:TABLE or way-back:TABLE, and behind it a \
                 JSON pointer, as in rows:accounts/balance, if only that may differ"
            )
        };
        let (word, rest) = text.split_once(':').ok_or_else(unfit)?;
        let known = Aspect::ALL.iter().find(|(_, known)| *known == word);
        let (aspect, _) = known.ok_or_else(unfit)?;
        let (name, pointer) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if name.is_empty() || name.len() > limits::NAME_BYTES_MAX * 2 || pointer.len() > limits::POINTER_BYTES_MAX {
            return Err(unfit());
        }
        Ok(Expected {
            aspect: *aspect,
            name: name.to_owned(),
            pointer: pointer.to_owned(),
        })
    }
}

/// A difference that a version's own manifest declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredDifference {
    /// Where.
    pub at: Expected,
    /// When it is meant to be, in jq; empty: always.
    pub when: String,
}
record!(DeclaredDifference { at, when });

impl DeclaredDifference {
    /// Whether it has a condition that says nothing.
    pub(crate) fn is_blank(&self) -> bool {
        !self.when.is_empty() && self.when.trim().is_empty()
    }

    /// The condition, if there is one, with what it is, for people.
    pub(crate) fn program(&self) -> Option<(String, &str)> {
        let what = || format!("the condition of the expected difference {}", self.at);
        (!self.when.is_empty()).then(|| (what(), self.when.as_str()))
    }
}

/// The leader opens a window: from the next entry on these nodes rehearse. The window before is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWindow {
    /// Of which change.
    pub change: ChangeId,
    /// The window that is open, so that two leaders do not open two; 0: none.
    pub after: Index,
    /// Who rehearses.
    pub nodes: BTreeSet<NodeId>,
}
record!(OpenWindow { change, after, nodes });

/// A node says what it found in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// Who.
    pub node: NodeId,
    /// Of which change.
    pub change: ChangeId,
    /// The entry that opened the window.
    pub window: Index,
    /// What it found.
    pub findings: Findings,
}
record!(Rehearsed {
    node,
    change,
    window,
    findings
});

/// What came of the commands of one window, or of many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Commands that were rehearsed.
    pub commands: u64,
    /// Those of them that came out otherwise, and not only as expected.
    pub differed: u64,
    /// Those that came out otherwise as expected, and in no other way.
    pub expected: u64,
    /// Those on which only the new version trapped; they are among `differed`.
    pub trapped: u64,
    /// Of all that the new version answered, wrote and emitted: where two nodes have different ones, it is not
    /// deterministic.
    pub digest: StateDigest,
    /// The first that differed.
    pub samples: Vec<Sample>,
}
record!(Findings {
    commands,
    differed,
    expected,
    trapped,
    digest,
    samples
});

impl Findings {
    /// Adds what came of another window.
    pub(crate) fn fold(&mut self, other: Findings) {
        self.commands = self.commands.saturating_add(other.commands);
        self.differed = self.differed.saturating_add(other.differed);
        self.expected = self.expected.saturating_add(other.expected);
        self.trapped = self.trapped.saturating_add(other.trapped);
        self.samples.extend(other.samples);
        self.samples.truncate(limits::REHEARSAL_SAMPLES_MAX);
    }

    /// Within the limits that any honest node keeps.
    pub(crate) fn is_sound(&self) -> bool {
        let fits = |sample: &Sample| {
            sample.what.len() <= limits::SAMPLE_BYTES_MAX && sample.command.len() <= limits::NAME_BYTES_MAX
        };
        self.samples.len() <= limits::REHEARSAL_SAMPLES_MAX && self.samples.iter().all(fits)
    }
}

/// A command that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The entry.
    pub index: Index,
    /// The command's place in it, from 0.
    pub place: u64,
    /// The command's name.
    pub command: String,
    /// Both ends, for people.
    pub what: String,
}
record!(Sample {
    index,
    place,
    command,
    what
});

/// How far a rehearsal has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rehearsal {
    /// The window that is open, by the entry that opened it.
    pub open: Option<Index>,
    /// The open window, and those of which not every node has said what it found.
    pub windows: BTreeMap<Index, Window>,
    /// Log time at which the first window was opened.
    pub since: Option<TimeMs>,
    /// Log time at which the last window that counts was closed.
    pub until: Option<TimeMs>,
    /// Of all windows that count.
    pub found: Findings,
    /// A window of which two nodes said two things.
    pub unlike: Option<Index>,
    /// What comes out otherwise is as it should be, an operator said.
    pub approved: bool,
    /// What came of the stored rows, where they are looked at too.
    pub data: Verification,
}
record!(Rehearsal {
    open,
    windows,
    since,
    until,
    found,
    unlike,
    approved,
    data
});

/// One window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    /// Who rehearses in it.
    pub nodes: BTreeSet<NodeId>,
    /// Log time at which it was closed.
    pub closed: Option<TimeMs>,
    /// What nodes found.
    pub found: BTreeMap<NodeId, Findings>,
}
record!(Window { nodes, closed, found });

impl Rehearsal {
    /// Milliseconds of log time that it has gone on for.
    #[must_use]
    pub fn lasted_ms(&self) -> u64 {
        let (since, until) = (self.since.unwrap_or_default(), self.until.unwrap_or_default());
        until.0.saturating_sub(since.0)
    }

    /// Whether it has seen all that was asked for.
    #[must_use]
    pub fn has_seen_enough(&self, plan: &RehearsalPlan) -> bool {
        self.until.is_some() && self.found.commands >= plan.commands && self.lasted_ms() >= plan.for_ms
    }

    /// Whether the switch may come, for all that the rehearsal has to say.
    #[must_use]
    pub fn has_passed(&self, plan: &RehearsalPlan) -> bool {
        self.unlike.is_none() && self.has_seen_enough(plan) && !self.waits_for_approval(plan)
    }

    /// Whether more came out otherwise than may, and nobody has said that it should.
    #[must_use]
    pub fn waits_for_approval(&self, plan: &RehearsalPlan) -> bool {
        self.found.differed > plan.differences_max && !self.approved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expected_difference_is_written_as_it_is_read_and_nothing_else_is() {
        for text in [
            "reply:transfer",
            "rows:accounts/balance",
            "events:ledger.transfers/a~1b/0",
            "way-back:accounts",
        ] {
            assert_eq!(text.parse::<Expected>().map(|it| it.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "reply", "reply:", "row:accounts", "rows:/balance"] {
            assert!(
                text.parse::<Expected>().is_err_and(|why| why.contains("JSON pointer")),
                "{text}"
            );
        }
        let long = format!("rows:a/{}", "x".repeat(limits::POINTER_BYTES_MAX));
        assert!(long.parse::<Expected>().is_err());
    }

    #[test]
    fn what_came_out_otherwise_may_be_approved_and_nothing_else() {
        let plan = RehearsalPlan {
            commands: 5,
            for_ms: 1_000,
            one_in: 1,
            differences_max: 1,
            expected: Vec::new(),
        };
        let mut rehearsal = Rehearsal {
            since: Some(TimeMs(10)),
            until: Some(TimeMs(1_010)),
            ..Rehearsal::default()
        };
        rehearsal.found.commands = 5;
        rehearsal.found.differed = 1;
        assert!(rehearsal.has_passed(&plan));
        rehearsal.found.differed = 2;
        assert!(rehearsal.has_seen_enough(&plan) && !rehearsal.has_passed(&plan));
        rehearsal.approved = true;
        assert!(rehearsal.has_passed(&plan));
        let early = Rehearsal {
            until: Some(TimeMs(1_009)),
            ..rehearsal.clone()
        };
        assert!(!early.has_passed(&plan));
        rehearsal.unlike = Some(Index(7));
        assert!(!rehearsal.has_passed(&plan));
    }
}
