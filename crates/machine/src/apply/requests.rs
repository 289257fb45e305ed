//! Requests: session check, the version in force, the call, its effects.

use bytes::Bytes;

use crate::codec::{Codec, Reader};
use crate::entry::RequestView;
use crate::machine::{Machine, Output, Stop, World};
use crate::sessions::Known;
use crate::{
    Applications, Call, CallError, CallOutcome, Claim, EVENT_VERSION_FIRST, EventView, Failure, FailureCode, Index,
    Miscast, Misuse, Offset, Outcome, Reply, Row, StateDigest, StateError, StateTxn, TRANSFORM, TableId, TimeMs, Trap,
    Upcast,
};

use super::{CommandContext, Effects, Tables};

/// Requests of an entry for which there is room at once. An entry says itself how many it has, and is not believed.
const REQUESTS_EXPECTED: usize = 1024;

/// What becomes of a command that went well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// What it wrote and emitted is part of the state.
    Effects,
    /// It was only to be seen how it ends.
    Nothing,
}

/// How a command ended, before anything of it has reached the state.
pub(super) struct Played<'a> {
    pub(super) outcome: &'a Outcome,
    /// Void unless it was applied.
    pub(super) effects: &'a Effects,
}

impl Machine {
    pub(super) fn apply_requests(
        &mut self,
        index: Index,
        time: TimeMs,
        count: usize,
        mut reader: Reader<'_>,
        world: &mut World<'_>,
    ) -> Result<Output, Stop> {
        let mut requests = Vec::with_capacity(count.min(REQUESTS_EXPECTED));
        for _ in 0..count {
            let request = RequestView::read(&mut reader);
            requests.push(request.map_err(|error| Stop::Park(super::undecodable(index, &error)))?);
        }
        self.require_code(&requests, world)?;
        self.advance_time(time);
        self.take_back_overdue(index);
        self.trail.clear();
        index.encode(&mut self.trail);
        let mut replies = Vec::with_capacity(count);
        for (place, request) in requests.iter().enumerate() {
            let reply = self.once(index, request.claim.as_ref(), |machine| {
                machine.run(index, place, request, world)
            })?;
            reply.encode(&mut self.trail);
            replies.push(reply);
        }
        world.applications.end_entry();
        world.converter.end_entry();
        if self.rehearsing
            && let Some(rehearser) = world.rehearser.as_deref_mut()
        {
            rehearser.end_entry();
        }
        self.position.digest.chain(&self.trail);
        self.position.applied = index;
        Ok(Output::Replies(replies))
    }

    /// Nothing of an entry is applied before all of it can be.
    fn require_code(&self, requests: &[RequestView<'_>], world: &mut World<'_>) -> Result<(), Stop> {
        let mut seen = "";
        for request in requests {
            if request.application == seen {
                continue;
            }
            seen = request.application;
            self.require_code_of(seen, world)?;
        }
        Ok(())
    }

    /// Whatever may be called by a command of that application must be here.
    pub(super) fn require_code_of(&self, name: &str, world: &mut World<'_>) -> Result<(), Stop> {
        for version in self.catalog.kept(name) {
            world
                .applications
                .ready(&version.manifest, &version.code)
                .map_err(Stop::from)?;
        }
        // What brings commands of before into versions that are taken.
        let contracts = self.catalog.contracts.get(name).into_iter().flatten();
        let contracts = contracts
            .filter(|(version, contract)| contract.has_casts() && !self.catalog.is_let_go(name, **version))
            .map(|(_, contract)| contract);
        for transform in contracts.filter_map(|contract| self.catalog.transform_of(contract)) {
            world
                .applications
                .ready(&transform.manifest, &transform.code)
                .map_err(Stop::from)?;
        }
        Ok(())
    }

    /// The reply to a request: that of the first time, where it was answered before, and else what `run` comes to, which a
    /// repeat then gets too.
    pub(crate) fn once(
        &mut self,
        index: Index,
        claim: Option<&Claim>,
        run: impl FnOnce(&mut Machine) -> Result<Outcome, Stop>,
    ) -> Result<Reply, Stop> {
        if let Some(claim) = claim {
            match self.sessions.look_up(claim, self.position.time) {
                Known::New => {}
                Known::Repeat(reply) => return Ok(reply),
                Known::Expired => {
                    return Ok(Reply {
                        index,
                        outcome: Outcome::SessionExpired,
                    });
                }
            }
        }
        let outcome = run(self)?;
        let reply = Reply { index, outcome };
        if let Some(claim) = claim {
            self.sessions.remember(claim, reply.clone());
        }
        Ok(reply)
    }

    fn run(
        &mut self,
        index: Index,
        place: usize,
        request: &RequestView<'_>,
        world: &mut World<'_>,
    ) -> Result<Outcome, Stop> {
        let catalog = self.catalog.clone();
        let Some(tables) = Tables::of(&catalog, request.application) else {
            let detail = catalog.no_application(request.application);
            return Ok(Outcome::Failed(Failure::new(FailureCode::UnknownApplication, detail)));
        };
        let upcasts = match takes(&tables, request) {
            Ok(upcasts) => upcasts,
            Err(failure) => return Ok(Outcome::Failed(failure)),
        };
        self.usage.count(
            request.application,
            request.command,
            request.version,
            self.position.time,
        );
        let outcome = self.call(&tables, (index, place), request, &upcasts, world, Keep::Effects)?;
        let before = match &outcome {
            Outcome::Failed(failure) => self.answer_as_before((index, place), failure.code, request, world)?,
            Outcome::Refused(_) => self.count_refusal(index, place, request, world)?,
            Outcome::Applied(_) | Outcome::SessionExpired => None,
        };
        Ok(before.unwrap_or(outcome))
    }

    /// Runs a command that the version of `tables` takes, once `upcasts` have brought it there.
    pub(super) fn call(
        &mut self,
        tables: &Tables<'_>,
        (index, place): (Index, usize),
        request: &RequestView<'_>,
        upcasts: &[&Upcast],
        world: &mut World<'_>,
        keep: Keep,
    ) -> Result<Outcome, Stop> {
        let manifest = &tables.version.manifest;
        let raised = match upcasts.is_empty() {
            true => None,
            false => match raise(tables, upcasts, request, world.converter)? {
                Ok(raised) => raised,
                Err(failure) => return Ok(Outcome::Failed(failure)),
            },
        };
        let (version, payload) = match &raised {
            Some((version, payload)) => (*version, &payload[..]),
            None => (request.version, request.payload),
        };
        let call = Call::Apply {
            command: request.command,
            version,
            payload,
        };
        let seed = (index.0, place as u64);
        let read = &*world.txn;
        let mut context = CommandContext::writing(tables, read, world.converter, self.position.time, index, seed)
            .with(std::mem::take(&mut self.effects));
        let outcome = world
            .applications
            .call(manifest, &tables.version.code, call, &mut context)?;
        let mut effects = context.into_effects();
        let outcome = ended(outcome)?;
        if keep == Keep::Effects {
            if self.rehearsing {
                let played = Played {
                    outcome: &outcome,
                    effects: &effects,
                };
                self.rehearse(request, (index, place), (tables, &played), world);
            }
            if let Outcome::Applied(_) = outcome {
                self.take_effects(&mut effects, tables, world.txn)?;
            }
        }
        self.effects = effects.cleared();
        Ok(outcome)
    }

    /// What a command wrote and emitted becomes part of the state, all of it, after the call went well.
    fn take_effects(&mut self, effects: &mut Effects, tables: &Tables<'_>, txn: &mut dyn StateTxn) -> Result<(), Stop> {
        let digest = &mut self.position.digest;
        effects
            .writes
            .take(|table, key, row| replace_row(digest, txn, table, key, row))?;
        let promised = tables.contract().map(|contract| &contract.events);
        for (place, (key, value)) in effects.events.iter() {
            let stream = &tables.version.manifest.streams[place];
            crate::codec::put_bytes(stream.as_bytes(), &mut self.trail);
            crate::codec::put_bytes(key.unwrap_or_default(), &mut self.trail);
            crate::codec::put_bytes(value, &mut self.trail);
            let end = match self.position.streams.get_mut(stream) {
                Some(end) => end,
                None => self.position.streams.entry(stream.clone()).or_insert(Offset(0)),
            };
            let event = EventView {
                offset: *end,
                time: self.position.time,
                key,
                value,
                version: promised.map_or(EVENT_VERSION_FIRST, |events| events.version_of(stream)),
            };
            end.0 += 1;
            txn.emit(stream, event);
        }
        Ok(())
    }
}

/// Puts a row in the place of what lies there, in the state and in the digest; none: takes it away.
pub(super) fn replace_row(
    digest: &mut StateDigest,
    txn: &mut dyn StateTxn,
    table: TableId,
    key: &[u8],
    row: Option<Row>,
) -> Result<(), StateError> {
    if let Some(new) = &row {
        digest.add(table, key, new);
    }
    if let Some(old) = txn.replace(table, key, row)? {
        digest.remove(table, key, &old);
    }
    Ok(())
}

/// How a command ended, from how its call did.
pub(super) fn ended(outcome: CallOutcome) -> Result<Outcome, Stop> {
    Ok(match outcome {
        CallOutcome::Done(reply) => Outcome::Applied(reply),
        CallOutcome::Refused(reply) => Outcome::Refused(reply),
        CallOutcome::Trapped(trap) => Outcome::Failed(trap_failure(trap)?),
    })
}

/// Whether the version takes a command, and that version of its payload: as it is, or once these programs have brought it
/// into a version that it takes.
pub(super) fn takes<'a>(tables: &Tables<'a>, request: &RequestView<'_>) -> Result<Vec<&'a Upcast>, Failure> {
    let manifest = &tables.version.manifest;
    let Some(command) = manifest.command(request.command) else {
        let names: Vec<&str> = manifest.commands.iter().map(|command| command.name.as_str()).collect();
        let detail = format!(
            "{} version {} takes no command {:?}: it takes {}",
            manifest.application,
            manifest.version,
            request.command,
            names.join(", ")
        );
        return Err(Failure::new(FailureCode::UnknownCommand, detail));
    };
    if command.versions.contains(&request.version) {
        return Ok(Vec::new());
    }
    let upcasts = tables
        .contract()
        .and_then(|contract| contract.upcasts_of(manifest, request.command, request.version));
    upcasts.ok_or_else(|| {
        let detail = format!(
            "{} version {} does not take version {} of command {}: it takes {:?}",
            manifest.application, manifest.version, request.version, command.name, command.versions
        );
        Failure::new(FailureCode::UnknownCommandVersion, detail)
    })
}

/// Brings a command's payload into a version that is taken; none where there is nothing to do.
pub(super) fn raise(
    tables: &Tables<'_>,
    upcasts: &[&Upcast],
    request: &RequestView<'_>,
    converter: &mut dyn Applications,
) -> Result<Result<Option<(u16, Bytes)>, Failure>, Stop> {
    let mut raised: Option<(u16, Bytes)> = None;
    for upcast in upcasts {
        let document = raised.as_ref().map_or(request.payload, |(_, payload)| payload);
        let Upcast {
            command,
            from,
            to,
            program,
        } = upcast;
        let done = match tables.transform() {
            Some(transform) => crate::transform(transform, converter, program, document),
            None => Err(Miscast::Failed(format!(
                "there is no application {TRANSFORM} to run it"
            ))),
        };
        match done {
            Ok(document) => raised = Some((*to, document)),
            Err(Miscast::Stop(stop)) => return Err(stop),
            Err(Miscast::Failed(why)) => {
                let detail = format!(
                    "the upcast of command {command} from version {from} to {to} gave nothing for the payload {}: {}; its \
                     program: {}",
                    excerpt(document),
                    excerpt(why.as_bytes()),
                    excerpt(program.as_bytes())
                );
                return Ok(Err(Failure::new(FailureCode::CastFailed, detail)));
            }
        }
    }
    Ok(Ok(raised))
}

/// As much of a document as tells which it is.
fn excerpt(document: &[u8]) -> String {
    let text = String::from_utf8_lossy(document);
    match text.char_indices().nth(EXCERPT_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// Of a document that is told of, so many characters are shown.
const EXCERPT_CHARACTERS: usize = 200;

/// A trap as the client sees it: the same on every node, so never an engine's own words.
pub(crate) fn trap_failure(trap: Trap) -> Result<Failure, Stop> {
    let (code, detail) = match trap {
        Trap::Guest => (
            FailureCode::Trapped,
            "the application trapped on this command; nothing was changed",
        ),
        Trap::Fuel => (
            FailureCode::FuelExhausted,
            "the application used up its fuel; nothing was changed",
        ),
        Trap::Depth => (
            FailureCode::DepthExhausted,
            "the application's calls went too deep; nothing was changed",
        ),
        Trap::Misuse(Misuse::Failed(failure)) => return Ok(failure),
        Trap::Misuse(Misuse::State(error)) | Trap::State(error) => return Err(error.into()),
    };
    Ok(Failure::new(code, detail))
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotReady(reason) => Stop::Park(reason),
            CallError::Engine(reason) => Stop::Fault(reason),
        }
    }
}
