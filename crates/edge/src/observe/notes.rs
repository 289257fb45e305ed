use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use client::wire::{StageName, Trace, TraceStage};
use environment::{Chance, Moment};

use super::parent::{Parent, Place};

/// When an entry came how far on the node that led, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryTimes {
    /// Its commands were packed and it was proposed.
    pub packed: Option<Moment>,
    /// It was durable in the leader's own log.
    pub appended: Option<Moment>,
    /// It was known to be committed.
    pub committed: Option<Moment>,
    /// Its apply began.
    pub apply_begun: Option<Moment>,
    /// Its apply ended.
    pub applied: Option<Moment>,
}

/// What is noted of a request on its way through the edge.
#[derive(Debug)]
pub(crate) struct Notes {
    pub received: Moment,
    given: Option<Parent>,
    /// The client wants its stages.
    asked: bool,
    place: OnceLock<Place>,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Noted {
    /// When it was last given to the cluster.
    pub submitted: Option<Moment>,
    pub waits: Vec<Wait>,
}

/// Time that it spent held, or at the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub stage: StageName,
    pub from: Moment,
    pub to: Moment,
}

impl Notes {
    pub fn new(received: Moment, given: Option<Parent>, asked: bool) -> Notes {
        Notes {
            received,
            given,
            asked,
            place: OnceLock::new(),
            noted: Mutex::default(),
        }
    }

    /// Its place in a trace, decided when it is first asked for.
    pub fn place(&self, chance: &dyn Chance) -> Place {
        let fresh = || Place {
            sampled: self.is_recorded(),
            ..Place::of(self.given, chance)
        };
        *self.place.get_or_init(fresh)
    }

    /// Whether somebody wants the trace that this request is part of.
    pub fn is_recorded(&self) -> bool {
        self.asked || self.given.is_some_and(|parent| parent.sampled)
    }

    /// It is given to the cluster now.
    pub fn submitted(&self, at: Moment) {
        self.note(|noted| noted.submitted = Some(at));
    }

    /// It spent that time so.
    pub fn waited(&self, stage: StageName, from: Moment, to: Moment) {
        self.note(|noted| noted.waits.push(Wait { stage, from, to }));
    }

    fn note(&self, note: impl FnOnce(&mut Noted)) {
        note(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn noted(&self) -> Noted {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a request's way is told from.
pub(super) struct Way<'a> {
    pub received: Moment,
    pub noted: &'a Noted,
    /// Of the entry in which the command was applied, where that was proposed here.
    pub entry: EntryTimes,
    /// What the leader told of its part.
    pub leader: Option<&'a Trace>,
    pub answered: Moment,
}

impl Way<'_> {
    /// Whether the entry was there before the request came: an earlier one's answer was repeated.
    pub fn is_repeat(&self) -> bool {
        self.entry.applied.is_some_and(|applied| applied < self.received)
    }

    /// The stages, in the order in which they began.
    pub fn stages(&self) -> Vec<TraceStage> {
        let mut stages = Vec::with_capacity(8);
        let mut stage = |stage: StageName, from: Moment, to: Moment| {
            stages.push(TraceStage {
                stage,
                node: None,
                at_us: microseconds(from - self.received),
                us: microseconds(to - from),
            });
        };
        let first_wait = self.noted.waits.first().map(|wait| wait.from);
        let routed = [self.noted.submitted, first_wait].into_iter().flatten().min();
        stage(StageName::Routed, self.received, routed.unwrap_or(self.answered));
        for wait in &self.noted.waits {
            stage(wait.stage, wait.from, wait.to);
        }
        let entry = &self.entry;
        if let (Some(submitted), Some(packed)) = (self.noted.submitted, entry.packed)
            && packed >= submitted
        {
            stage(StageName::Queued, submitted, packed);
            let mut ready = packed;
            for (name, end) in [
                (StageName::Appended, entry.appended),
                (StageName::Committed, entry.committed),
            ] {
                if let Some(end) = end {
                    stage(name, packed, end);
                    ready = ready.max(end);
                }
            }
            if let (Some(begun), Some(applied)) = (entry.apply_begun, entry.applied) {
                stage(StageName::Waited, ready, begun);
                stage(StageName::Applied, begun, applied);
                stage(StageName::Answered, applied, self.answered);
            }
        }
        stages.extend(self.leaders_stages());
        stages.sort_by_key(|stage| stage.at_us);
        stages
    }

    /// The leader's clock is another one: its part is put into the middle of the time that its answer took.
    fn leaders_stages(&self) -> Vec<TraceStage> {
        let passed_on = self.noted.waits.iter().rfind(|wait| wait.stage == StageName::Forwarded);
        let (Some(wait), Some(leader)) = (passed_on, self.leader) else {
            return Vec::new();
        };
        let spare = microseconds(wait.to - wait.from).saturating_sub(leader.total_us);
        let begin = microseconds(wait.from - self.received) + spare / 2;
        let moved = leader.stages.iter().map(|stage| TraceStage {
            node: stage.node.or(Some(leader.node)),
            at_us: begin.saturating_add(stage.at_us),
            ..stage.clone()
        });
        moved.collect()
    }
}

pub(super) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(microseconds: u64) -> Moment {
        Moment(Duration::from_micros(microseconds))
    }

    fn shown(stages: &[TraceStage]) -> Vec<String> {
        let show = |stage: &TraceStage| {
            let node = stage.node.map_or(String::new(), |node| format!(" at {node}"));
            format!("{}{node} {}+{}", stage.stage.name(), stage.at_us, stage.us)
        };
        stages.iter().map(show).collect()
    }

    fn entry() -> EntryTimes {
        EntryTimes {
            packed: Some(at(1300)),
            appended: Some(at(1900)),
            committed: Some(at(2400)),
            apply_begun: Some(at(2500)),
            applied: Some(at(2600)),
        }
    }

    #[test]
    fn a_command_at_the_leader_passes_every_stage_but_those_of_waiting_for_one() {
        let notes = Notes::new(at(1000), None, false);
        notes.submitted(at(1100));
        let noted = notes.noted();
        let way = Way {
            received: notes.received,
            noted: &noted,
            entry: entry(),
            leader: None,
            answered: at(2700),
        };
        assert!(!way.is_repeat());
        let expected = [
            "routed 0+100",
            "queued 100+200",
            "appended 300+600",
            "committed 300+1100",
            "waited 1400+100",
            "applied 1500+100",
            "answered 1600+100",
        ];
        assert_eq!(shown(&way.stages()), expected);
    }

    #[test]
    fn an_answer_from_before_has_no_stages_of_its_entry() {
        let notes = Notes::new(at(5000), None, false);
        notes.submitted(at(5100));
        let noted = notes.noted();
        let way = Way {
            received: notes.received,
            noted: &noted,
            entry: entry(),
            leader: None,
            answered: at(5900),
        };
        assert!(way.is_repeat());
        assert_eq!(shown(&way.stages()), ["routed 0+100"]);
    }

    #[test]
    fn the_leaders_part_stands_within_the_time_that_its_answer_took() {
        let notes = Notes::new(at(0), None, false);
        notes.submitted(at(10));
        notes.waited(StageName::Held, at(20), at(120));
        notes.submitted(at(120));
        notes.waited(StageName::Forwarded, at(130), at(1130));
        let leader = Trace {
            trace_id: String::new(),
            span_id: String::new(),
            parent_span_id: None,
            node: 2,
            route: String::new(),
            application: String::new(),
            command: String::new(),
            status: 200,
            index: Some(7),
            repeated: false,
            received_ms: 0,
            total_us: 800,
            stages: vec![TraceStage {
                stage: StageName::Queued,
                node: None,
                at_us: 50,
                us: 60,
            }],
        };
        let noted = notes.noted();
        let way = Way {
            received: notes.received,
            noted: &noted,
            entry: EntryTimes::default(),
            leader: Some(&leader),
            answered: at(1200),
        };
        let expected = ["routed 0+20", "held 20+100", "forwarded 130+1000", "queued at 2 280+60"];
        assert_eq!(shown(&way.stages()), expected);
    }
}
