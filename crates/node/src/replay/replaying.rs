use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use host::Registry;
use machine::codec::Codec;
use machine::{
    Body, Catalog, Entry, Event, Index, Outcome, Output, Read, ReadError, ReadValue, Reply, RequestView, StateDigest,
    TimeMs, Version,
};
use store::log::{Log, Record};
use store::state::State;

use super::player::Player;
use super::proof::Witnesses;
use super::{Candidate, Error, Proof, RuleChange, Witness, rules};
use crate::checkpoint::members_of;
use crate::limits::APPEND_BYTES_MAX;
use crate::raft::{Committed, What};

/// A machine that applies a log again.
pub struct Replay {
    log: Log,
    pub(super) player: Player,
    /// The last entry to apply.
    last: Index,
    /// Read from the log, and not yet applied.
    records: VecDeque<Record>,
    /// This machine's digests before the marks that it met.
    marks: BTreeMap<Index, StateDigest>,
    witnesses: Witnesses,
    /// Versions that took over and have not been seen to answer.
    awaited: BTreeMap<String, Version>,
    /// An application whose changes are left out, since its version is forced.
    pinned: Option<String>,
}

/// What one entry did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The entry.
    pub index: Index,
    /// Its time in the log.
    pub time: TimeMs,
    /// As it stands in the log; empty for the Raft library's own.
    pub payload: Bytes,
    /// A reply for each command, in order.
    pub replies: Vec<Reply>,
    /// The events, with their streams, in their order in each of those.
    pub events: Vec<(String, Event)>,
    /// What it changed about the rules.
    pub rules: Vec<RuleChange>,
    /// Commands that are the first under a version.
    pub firsts: Vec<First>,
    /// What production's digest was here.
    pub proofs: Vec<Proof>,
}

/// The first command that a version answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// In which entry.
    pub index: Index,
    /// Which of its commands.
    pub place: usize,
    /// The application.
    pub application: String,
    /// The version.
    pub version: Version,
    /// The command.
    pub command: String,
    /// The answer.
    pub outcome: Outcome,
}

impl Replay {
    pub(super) fn over(
        log: Log,
        registry: &Registry,
        state: State,
        last: Index,
        witnesses: Witnesses,
    ) -> Result<Replay, Error> {
        let player = Player::over(registry, state)?;
        Ok(Replay::of(log, player, last, witnesses))
    }

    fn of(log: Log, player: Player, last: Index, witnesses: Witnesses) -> Replay {
        Replay {
            log,
            player,
            last,
            records: VecDeque::new(),
            marks: BTreeMap::new(),
            witnesses,
            awaited: BTreeMap::new(),
            pinned: None,
        }
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.player.machine.applied()
    }

    /// The last entry that it will apply.
    #[must_use]
    pub fn last(&self) -> Index {
        self.last
    }

    /// Goes on to another entry than it was to.
    pub fn go_on_to(&mut self, last: Index) {
        self.last = last;
    }

    /// The digest as of the last entry applied.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        self.player.machine.digest()
    }

    /// Applications and changes as of the last entry applied.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.player.machine.catalog()
    }

    /// Applies the next entry; nothing when there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn step(&mut self) -> Result<Option<Step>, Error> {
        let index = self.player.machine.applied().next();
        if index > self.last {
            return Ok(None);
        }
        let record = self.record(index)?;
        let committed = Committed::read(record).map_err(|error| stopped(index, error))?;
        let before = self.player.machine.catalog().clone();
        let mut step = Step {
            index,
            time: TimeMs::default(),
            payload: Bytes::new(),
            replies: Vec::new(),
            events: Vec::new(),
            rules: Vec::new(),
            firsts: Vec::new(),
            proofs: Vec::new(),
        };
        match committed.what {
            What::Blank => self.player.machine.apply_blank(index),
            What::Members(membership) => {
                let (voters, learners) = members_of(&membership);
                self.player.machine.apply_members(index, voters, learners);
            }
            What::Machine(payload) => {
                step.payload = payload;
                self.apply_payload(&mut step)?;
            }
        }
        step.time = self.player.machine.time();
        if !Arc::ptr_eq(&before, self.player.machine.catalog()) {
            step.rules = rules::changed(&before, self.player.machine.catalog(), index, step.time);
        }
        self.find_firsts(&mut step)?;
        step.proofs.extend(self.proofs_here());
        Ok(Some(step))
    }

    fn record(&mut self, index: Index) -> Result<Record, Error> {
        if self.records.is_empty() {
            let end = self.last.next();
            self.records = self.log.read(index, end, APPEND_BYTES_MAX)?.into();
        }
        match self.records.pop_front() {
            Some(record) if record.index == index => Ok(record),
            Some(_) | None => Err(stopped(index, "it is not in the log")),
        }
    }

    fn apply_payload(&mut self, step: &mut Step) -> Result<(), Error> {
        let index = step.index;
        let control = match RequestView::is_of(&step.payload) {
            true => None,
            // One that cannot be read is refused by the machine, with its reason.
            false => Entry::from_bytes(&step.payload).ok(),
        };
        let instead = control.as_ref().and_then(|entry| self.left_out(entry));
        let payload = instead.unwrap_or_else(|| step.payload.clone());
        let (output, events) = self.player.apply(index, &payload)?;
        step.events = events;
        match output {
            Output::Replies(replies) => step.replies = replies,
            Output::Decision(_) => {}
        }
        match control.map(|entry| entry.body) {
            Some(Body::MarkDigest) => self.marks.extend(self.player.machine.marked()),
            Some(Body::ReportDigest(report)) => {
                step.proofs.extend(self.marks.get(&report.mark).map(|ours| Proof {
                    index: report.mark,
                    witness: Witness::Node {
                        node: report.node,
                        reported: index,
                    },
                    theirs: report.digest,
                    ours: *ours,
                    streams_equal: true,
                }));
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// What is applied in the place of an entry that would change an application whose version is forced.
    fn left_out(&self, entry: &Entry) -> Option<Bytes> {
        let pinned = self.pinned.as_ref()?;
        let plan = match &entry.body {
            Body::PlanApplication(plan) => plan,
            Body::PlanGuarded(guarded) => &guarded.plan,
            Body::Genesis(_)
            | Body::Requests(_)
            | Body::OpenSession
            | Body::ModuleChunk(_)
            | Body::NodeReady(_)
            | Body::ChangeStep(_)
            | Body::RegisterNode(_)
            | Body::Tick
            | Body::RaiseLevel(_)
            | Body::CommitConsumer(_)
            | Body::RemoveConsumer(_)
            | Body::PinConsumer(_)
            | Body::DropModule(_)
            | Body::LetGo(_)
            | Body::TrimStreams(_)
            | Body::RemoveApplication(_)
            | Body::PurgeApplication(_)
            | Body::MarkDigest
            | Body::OpenWindow(_)
            | Body::ConvertRows(_)
            | Body::AssignVerification(_)
            | Body::Verified(_)
            | Body::SkipEntry(_)
            | Body::SteerConversion(_)
            | Body::Rehearsed(_)
            | Body::ReportDigest(_) => return None,
        };
        let tick = Entry {
            time: entry.time,
            body: Body::Tick,
        };
        (plan.manifest.application == *pinned).then(|| tick.to_bytes().into())
    }

    /// Notes the versions that took over, and finds the first command that each answers.
    fn find_firsts(&mut self, step: &mut Step) -> Result<(), Error> {
        let in_the_middle = step.rules.iter().any(|rule| rule.place.is_some());
        self.await_versions(&step.rules);
        // What took over by an entry of its own answers from the next one on, which is looked at then.
        let only_then = !in_the_middle && !step.rules.is_empty();
        if only_then || self.awaited.is_empty() {
            return Ok(());
        }
        let requests = RequestView::all(&step.payload).map_err(|error| stopped(step.index, error))?;
        let from = step.rules.iter().filter_map(|rule| rule.place).min().unwrap_or(0);
        for (place, (request, reply)) in requests.iter().flatten().zip(&step.replies).enumerate() {
            // A repeat was answered before, and one whose session is gone never was.
            let is_fresh = reply.index == step.index && reply.outcome != Outcome::SessionExpired;
            if !is_fresh || (place as u64) < from {
                continue;
            }
            if let Some(version) = self.awaited.remove(request.application) {
                step.firsts.push(First {
                    index: step.index,
                    place,
                    application: request.application.to_owned(),
                    version,
                    command: request.command.to_owned(),
                    outcome: reply.outcome.clone(),
                });
            }
        }
        Ok(())
    }

    fn await_versions(&mut self, rules: &[RuleChange]) {
        for rule in rules.iter().filter(|rule| rule.is_switch()) {
            if let Some(after) = rule.after {
                self.awaited.insert(rule.application.clone(), after);
            }
        }
    }

    /// What production's digest was as of the last entry applied, as far as states that lie here say so.
    #[must_use]
    pub fn proofs_here(&self) -> Vec<Proof> {
        let index = self.player.machine.applied();
        let prove = |witness, theirs, streams_equal| Proof {
            index,
            witness,
            theirs,
            ours: self.player.machine.digest(),
            streams_equal,
        };
        let streams = self.player.machine.streams();
        let snapshot = self.witnesses.snapshots.get(&index).map(|header| {
            let ends = header.streams.iter().map(|(stream, extent)| (stream, &extent.end));
            // One that never had an event has no files.
            let ours = streams
                .iter()
                .filter(|(stream, _)| header.streams.contains_key(*stream));
            prove(Witness::Snapshot, header.digest, ends.eq(ours))
        });
        let standing = self.witnesses.standing.as_ref();
        let standing = standing
            .filter(|standing| standing.applied == index)
            .map(|standing| prove(Witness::Checkpoint, standing.digest, standing.streams == *streams));
        let said = self.witnesses.said.get(&index);
        let said = said.map(|digest| prove(Witness::Asked, *digest, true));
        snapshot.into_iter().chain(standing).chain(said).collect()
    }

    /// Answers a read as of the last entry applied.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&mut self, read: &Read) -> Result<ReadValue, ReadError> {
        self.player.read(read)
    }

    /// A second machine as of the same entry, over rows of its own.
    pub(super) fn fork(&mut self) -> Result<Replay, Error> {
        let player = self.player.fork()?;
        // Production has nothing to say of it.
        Ok(Replay::of(self.log.clone(), player, self.last, Witnesses::default()))
    }

    /// Lets a version answer from here on, whatever the log says of its application's changes.
    pub(super) fn force(&mut self, candidate: &Candidate) -> Result<(), Error> {
        self.player.force(candidate)?;
        let manifest = &candidate.manifest;
        self.pinned = Some(manifest.application.clone());
        self.awaited.insert(manifest.application.clone(), manifest.version);
        Ok(())
    }
}

fn stopped(index: Index, reason: impl std::fmt::Display) -> Error {
    Error::Stopped {
        index,
        reason: reason.to_string(),
    }
}
