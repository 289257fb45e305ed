use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use host::{Host, Registry};
use machine::codec::Codec;
use machine::{
    Applications, Body, Catalog, Code, Entry, Event, Index, LEVEL_MAX, Machine, Outcome, Output, Read, ReadError,
    ReadValue, Reply, RequestView, Standing, StateDigest, Stop, Version, World,
};
use store::log::{Log, Record};
use store::snapshot::Header;
use store::state::{Backend, MemoryBackend, State};

use super::recorder::Recorder;
use super::{Error, Proof, RuleChange, Witness, rules};
use crate::checkpoint::members_of;
use crate::limits::{APPEND_BYTES_MAX, REPLAY_LOAD_ROWS};
use crate::raft::{Committed, What};

/// A machine that applies a log again.
pub struct Replay {
    log: Log,
    registry: Registry,
    pub(super) machine: Machine,
    pub(super) state: State,
    applications: Host,
    converter: Host,
    /// The last entry to apply.
    last: Index,
    /// Read from the log, and not yet applied.
    records: VecDeque<Record>,
    /// This machine's digests before the marks that it met.
    marks: BTreeMap<Index, StateDigest>,
    snapshots: BTreeMap<Index, Header>,
    standing: Option<Standing>,
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
    /// As it stands in the log; empty for the Raft library's own.
    pub payload: Bytes,
    /// A reply for each command, in order.
    pub replies: Vec<Reply>,
    /// The events, with their streams, in order.
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
        (snapshots, standing): (BTreeMap<Index, Header>, Option<Standing>),
    ) -> Result<Replay, Error> {
        Ok(Replay {
            log,
            registry: registry.clone(),
            machine: Machine::load(&state)?,
            state,
            applications: registry.host(),
            converter: registry.host(),
            last,
            records: VecDeque::new(),
            marks: BTreeMap::new(),
            snapshots,
            standing,
            awaited: BTreeMap::new(),
            pinned: None,
        })
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.machine.applied()
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
        self.machine.digest()
    }

    /// Applications and changes as of the last entry applied.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.machine.catalog()
    }

    /// Applies the next entry; nothing when there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn step(&mut self) -> Result<Option<Step>, Error> {
        let index = self.machine.applied().next();
        if index > self.last {
            return Ok(None);
        }
        let record = self.record(index)?;
        let committed = Committed::read(record).map_err(|error| stopped(index, error))?;
        let before = self.machine.catalog().clone();
        let mut step = Step {
            index,
            payload: Bytes::new(),
            replies: Vec::new(),
            events: Vec::new(),
            rules: Vec::new(),
            firsts: Vec::new(),
            proofs: Vec::new(),
        };
        match committed.what {
            What::Blank => self.machine.apply_blank(index),
            What::Members(membership) => {
                let (voters, learners) = members_of(&membership);
                self.machine.apply_members(index, voters, learners);
            }
            What::Machine(payload) => {
                step.payload = payload;
                self.apply_payload(&mut step)?;
            }
        }
        if !Arc::ptr_eq(&before, self.machine.catalog()) {
            step.rules = rules::changed(&before, self.machine.catalog(), index, self.machine.time());
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
        let output = match self.apply_once(index, &payload, step) {
            Err(Stop::Park(_)) => {
                let unprepared = self.prepare()?;
                self.apply_once(index, &payload, step).map_err(|stop| match stop {
                    Stop::Park(reason) if unprepared.is_empty() => stopped(index, reason),
                    Stop::Park(reason) => stopped(index, format!("{reason} ({})", unprepared.join("; "))),
                    Stop::Halt(reason) => stopped(index, reason),
                })?
            }
            Err(Stop::Halt(reason)) => return Err(stopped(index, reason)),
            Ok(output) => output,
        };
        match output {
            Output::Replies(replies) => step.replies = replies,
            Output::Decision(_) => {}
        }
        match control.map(|entry| entry.body) {
            Some(Body::MarkDigest) => self.marks.extend(self.machine.marked()),
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

    fn apply_once(&mut self, index: Index, payload: &[u8], step: &mut Step) -> Result<Output, Stop> {
        let mut recorder = Recorder {
            state: &mut self.state,
            events: Vec::new(),
        };
        let mut world = World {
            txn: &mut recorder,
            applications: &mut self.applications,
            converter: &mut self.converter,
            level_max: LEVEL_MAX,
        };
        let output = self.machine.apply(index, payload, &mut world)?;
        step.events = recorder.events;
        Ok(output)
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
            | Body::TrimStreams(_)
            | Body::MarkDigest
            | Body::ReportDigest(_) => return None,
        };
        let tick = Entry {
            time: entry.time,
            body: Body::Tick,
        };
        (plan.manifest.application == *pinned).then(|| tick.to_bytes().into())
    }

    /// Makes every version ready that is not, and says of each one that cannot be why.
    fn prepare(&self) -> Result<Vec<String>, Error> {
        let mut unprepared = Vec::new();
        let applications = self.machine.catalog().applications.values();
        for version in applications.flat_map(|application| application.versions.values()) {
            let (manifest, code) = (&version.manifest, &version.code);
            if self.registry.is_ready(code, manifest) {
                continue;
            }
            let module = match code {
                Code::Wasm { module, .. } => Some(Machine::module_bytes(&self.state, *module)?),
                Code::Native => None,
            };
            if let Err(error) = self.registry.prepare(manifest, code, module.as_deref()) {
                let (name, number) = (&manifest.application, manifest.version);
                unprepared.push(format!("version {number} of {name}: {error}"));
            }
        }
        Ok(unprepared)
    }

    /// Notes the versions that took over, and finds the first command that each answers.
    fn find_firsts(&mut self, step: &mut Step) -> Result<(), Error> {
        let in_the_middle = step.rules.iter().any(|rule| rule.place.is_some());
        // What took over by an entry of its own answers from the next one on, which is looked at then.
        if !in_the_middle && !step.rules.is_empty() {
            self.await_versions(&step.rules);
            return Ok(());
        }
        self.await_versions(&step.rules);
        if self.awaited.is_empty() {
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
    pub(super) fn proofs_here(&self) -> Vec<Proof> {
        let index = self.machine.applied();
        let prove = |witness, theirs, streams_equal| Proof {
            index,
            witness,
            theirs,
            ours: self.machine.digest(),
            streams_equal,
        };
        let streams = self.machine.streams();
        let snapshot = self.snapshots.get(&index).map(|header| {
            let ends = header.streams.iter().map(|(stream, extent)| (stream, &extent.end));
            // One that never had an event has no files.
            let ours = streams
                .iter()
                .filter(|(stream, _)| header.streams.contains_key(*stream));
            prove(Witness::Snapshot, header.digest, ends.eq(ours))
        });
        let standing = self.standing.as_ref().filter(|standing| standing.applied == index);
        let standing =
            standing.map(|standing| prove(Witness::Checkpoint, standing.digest, standing.streams == *streams));
        snapshot.into_iter().chain(standing).collect()
    }

    /// Answers a read as of the last entry applied.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&mut self, read: &Read) -> Result<ReadValue, ReadError> {
        // A version that answered nothing since the start was never asked for.
        self.prepare()
            .map_err(|error| ReadError::Unavailable(error.to_string()))?;
        self.machine
            .read(read, &self.state, &mut self.applications, &mut self.converter)
    }

    /// Answers a read of this machine's version over another's rows.
    pub(super) fn read_over(&mut self, read: &Read, state: &State) -> Result<ReadValue, ReadError> {
        self.machine
            .read(read, state, &mut self.applications, &mut self.converter)
    }

    /// A second machine as of the same entry, over rows of its own.
    pub(super) fn fork(&mut self) -> Result<Replay, Error> {
        self.machine.save(&mut Recorder {
            state: &mut self.state,
            events: Vec::new(),
        });
        if let Some(checkpoint) = self.state.freeze() {
            let written = checkpoint.write()?;
            drop(self.state.finish(written));
        }
        let backend = MemoryBackend::default();
        let (mut batch, mut failed) = (Vec::new(), None);
        self.state.backend().view().rows(&mut |table, key, row| {
            batch.push((table, Bytes::copy_from_slice(key), Some(row.clone())));
            if batch.len() >= REPLAY_LOAD_ROWS {
                failed = backend.write(std::mem::take(&mut batch)).err();
            }
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        backend.write(batch)?;
        let state = State::open(Arc::new(backend), Default::default());
        // Production has nothing to say of it.
        let nobody = (BTreeMap::new(), None);
        Replay::over(self.log.clone(), &self.registry, state, self.last, nobody)
    }

    /// Lets a version answer from here on, whatever the log says of its application's changes.
    pub(super) fn force(
        &mut self,
        manifest: &machine::Manifest,
        code: &Code,
        module: Option<&[u8]>,
    ) -> Result<(), Error> {
        let index = self.machine.applied();
        let refused = |reason: String| Error::Refused { index, reason };
        let ready = self.registry.prepare(manifest, code, module);
        ready.map_err(|error| refused(error.to_string()))?;
        // Those that wrote the rows that are here convert them no longer, and must be ready all the same.
        self.prepare()?;
        let forced = self.machine.force_version(manifest.clone(), code.clone());
        forced.map_err(|decision| match decision {
            machine::Decision::Refused { reason, .. } => refused(reason),
            other => refused(format!("{other:?}")),
        })?;
        self.pinned = Some(manifest.application.clone());
        self.awaited.insert(manifest.application.clone(), manifest.version);
        Ok(())
    }

    /// Ends the instances of what was read.
    pub(super) fn end_reads(&mut self) {
        self.applications.end_entry();
        self.converter.end_entry();
    }
}

fn stopped(index: Index, reason: impl std::fmt::Display) -> Error {
    Error::Stopped {
        index,
        reason: reason.to_string(),
    }
}
