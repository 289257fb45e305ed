use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use host::{Host, Registry, transform};
use machine::{
    Applications, Code, Contract, Decision, Event, Index, LEVEL_MAX, Machine, Output, Read, ReadError, ReadValue,
    SkipEntry, StateError, Stop, TRANSFORM, World,
};
use store::EntryTxn;
use store::state::{Backend, MemoryBackend, State, Write};

use super::{Candidate, Error};
use crate::limits::REPLAY_LOAD_ROWS;

/// A machine over rows in memory, with all that it needs to apply entries.
pub(super) struct Player {
    pub registry: Registry,
    pub machine: Machine,
    pub state: State,
    applications: Host,
    converter: Host,
    skips: Arc<Skips>,
}

/// Entries that are passed by, each with the decision and where it stands.
pub(super) type Skips = BTreeMap<Index, (Index, SkipEntry)>;

/// An entry's output, and its events with their streams.
pub(super) type Played = (Output, Vec<(String, Event)>);

impl Player {
    /// The machine as its rows say.
    pub fn over(registry: &Registry, state: State) -> Result<Player, StateError> {
        let machine = Machine::load(&state)?;
        Ok(Player::of(registry, machine, state))
    }

    /// A machine over rows that say nothing of it.
    pub fn of(registry: &Registry, machine: Machine, state: State) -> Player {
        Player {
            registry: registry.clone(),
            machine,
            state,
            applications: registry.host(),
            converter: registry.host(),
            skips: Arc::default(),
        }
    }

    /// A second one as of the same entry, over rows of its own.
    pub fn fork(&mut self) -> Result<Player, Error> {
        self.machine.save(&mut EntryTxn::new(&mut self.state));
        if let Some(checkpoint) = self.state.freeze() {
            let written = checkpoint.write()?;
            drop(self.state.finish(written));
        }
        let backend = MemoryBackend::default();
        let (mut batch, mut failed) = (Vec::<Write>::new(), None);
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
        let mut fork = Player::over(&self.registry, state)?;
        fork.skips = self.skips.clone();
        Ok(fork)
    }

    /// Passes by what the log says is to be passed by.
    pub fn skip(&mut self, skips: Skips) {
        self.skips = Arc::new(skips);
    }

    /// Applies an entry; makes code ready first where the machine waits for it.
    pub fn apply(&mut self, index: Index, payload: &[u8]) -> Result<Played, Error> {
        let stopped = |reason: String| Error::Stopped { index, reason };
        match self.apply_once(index, payload) {
            Ok(played) => Ok(played),
            Err(stop @ (Stop::Halt(_) | Stop::Fault(_) | Stop::Diverged { .. })) => {
                Err(stopped(stop.reason().to_owned()))
            }
            Err(Stop::Park(_)) => {
                let unprepared = self.prepare()?;
                self.apply_once(index, payload).map_err(|stop| match stop {
                    Stop::Park(reason) if unprepared.is_empty() => stopped(reason),
                    Stop::Park(reason) => stopped(format!("{reason} ({})", unprepared.join("; "))),
                    other => stopped(other.reason().to_owned()),
                })
            }
        }
    }

    fn apply_once(&mut self, index: Index, payload: &[u8]) -> Result<Played, Stop> {
        let mut txn = EntryTxn::new(&mut self.state);
        let mut world = World {
            txn: &mut txn,
            applications: &mut self.applications,
            converter: &mut self.converter,
            rehearser: None,
            level_max: LEVEL_MAX,
        };
        let output = match self.skips.get(&index) {
            Some((by, skip)) => self.machine.skip(index, payload, (*by, skip), LEVEL_MAX)?,
            None => self.machine.apply(index, payload, &mut world)?,
        };
        Ok((output, txn.into_events().collect()))
    }

    /// Makes every version ready that is not, and says of each one that cannot be why.
    fn prepare(&self) -> Result<Vec<String>, StateError> {
        let mut unprepared = Vec::new();
        for version in self.machine.catalog().needed() {
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

    /// Lets a version answer from the next entry on.
    pub fn force(&mut self, candidate: &Candidate) -> Result<(), Error> {
        let has_programs = candidate.contract.programs().next().is_some();
        if has_programs && self.machine.catalog().in_force(TRANSFORM).is_none() {
            self.force(&Candidate {
                manifest: transform::manifest(),
                contract: Contract::default(),
                code: transform::code(),
                module: Some(transform::MODULE.to_vec()),
            })?;
        }
        let Candidate {
            manifest,
            contract,
            code,
            module,
        } = candidate;
        let index = self.machine.applied();
        let refused = |reason: String| Error::Refused { index, reason };
        let ready = self.registry.prepare(manifest, code, module.as_deref());
        ready.map_err(|error| refused(error.to_string()))?;
        // Those that wrote the rows that are here convert them no longer, and must be ready all the same.
        self.prepare()?;
        let forced = self
            .machine
            .force_version(manifest.clone(), contract.clone(), code.clone());
        forced.map_err(|decision| match decision {
            Decision::Refused { reason, .. } => refused(reason),
            other => refused(format!("{other:?}")),
        })
    }

    /// Answers a read.
    pub fn read(&mut self, read: &Read) -> Result<ReadValue, ReadError> {
        // A version that has answered nothing since the start was never asked for.
        self.prepare()
            .map_err(|error| ReadError::Unavailable(error.to_string()))?;
        self.machine
            .read(read, &self.state, &mut self.applications, &mut self.converter)
    }

    /// Answers a read of this machine's version over another's rows.
    pub fn read_over(&mut self, read: &Read, state: &State) -> Result<ReadValue, ReadError> {
        self.machine
            .read(read, state, &mut self.applications, &mut self.converter)
    }

    /// Ends the instances of what was read.
    pub fn end_reads(&mut self) {
        self.applications.end_entry();
        self.converter.end_entry();
    }
}
