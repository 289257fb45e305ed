//! Apply: what one entry does.

mod context;
mod control;
mod conversion;
mod effects;
mod rehearsal;
mod removal;
mod requests;
mod revert;
mod streams;
#[cfg(test)]
mod tests;

pub(crate) use context::{CommandContext, NoContext, Tables};
pub(crate) use control::refused;
pub(crate) use effects::Effects;
pub(crate) use requests::trap_failure;

use crate::codec::{Codec, Error, Reader};
use crate::machine::{Machine, Output, Stop, World};
use crate::{Body, Entry, Index, Level, RequestView};

impl Machine {
    /// Applies the entry at `index`, which must be the one after [`Machine::applied`].
    ///
    /// # Errors
    /// [`Stop`]; after a park the machine and the state are as before, after a halt they are void.
    pub fn apply(&mut self, index: Index, payload: &[u8], world: &mut World<'_>) -> Result<Output, Stop> {
        if let Some(reason) = self.level_unknown(world.level_max) {
            return Err(Stop::Park(reason));
        }
        let mut reader = Reader::new(payload);
        let entry = match RequestView::header(&mut reader) {
            Ok(Some((time, count))) => return self.apply_requests(index, time, count, reader, world),
            Ok(None) => Entry::from_bytes(payload),
            Err(error) => Err(error),
        };
        let entry = entry.map_err(|error| Stop::Park(undecodable(index, &error)))?;
        self.require(index, &entry.body, world)?;
        self.advance_time(entry.time);
        self.take_back_overdue(index);
        let decision = self.apply_control(index, entry.body, world)?;
        self.settle_rehearsals(index, world);
        self.deadline = self.catalog.deadline();
        self.trail.clear();
        index.encode(&mut self.trail);
        self.position.digest.chain(&self.trail);
        self.position.applied = index;
        Ok(Output::Decision(decision))
    }

    /// What a control entry cannot be applied without is looked for before anything of it is.
    fn require(&self, index: Index, body: &Body, world: &mut World<'_>) -> Result<(), Stop> {
        if let Body::ConvertRows(convert) = body {
            self.require_code_of(&convert.application, world)?;
        }
        if let Body::RaiseLevel(level) = body
            && self.catalog.level != Level(0)
            && *level > world.level_max
        {
            return Err(Stop::Park(format!(
                "entry {index} switches on level {level}, and this binary knows levels up to {}: run a newer binary",
                world.level_max
            )));
        }
        Ok(())
    }

    pub(crate) fn advance_time(&mut self, stamp: crate::TimeMs) {
        // Log time never goes back, whatever the leaders' clocks do.
        self.position.time = self.position.time.max(stamp);
    }

    pub(crate) fn level_unknown(&self, level_max: Level) -> Option<String> {
        let level = self.catalog.level;
        (level > level_max).then(|| {
            format!(
                "the cluster has switched on level {level}, and this binary knows levels up to {level_max}: run a newer binary"
            )
        })
    }
}

fn undecodable(index: Index, error: &Error) -> String {
    match error {
        Error::Unknown { what, number, .. } => format!(
            "entry {index} holds {what} {number}, which this binary does not know: run a newer binary; nothing was skipped"
        ),
        Error::Short { .. } | Error::Invalid { .. } => {
            format!("entry {index} cannot be read ({error}); nothing was skipped")
        }
    }
}

impl Body {
    /// Whether the entry may stand before [`Body::Genesis`].
    fn needs_genesis(&self) -> bool {
        match self {
            Body::Genesis(_) | Body::Tick => false,
            Body::Requests(_)
            | Body::OpenSession
            | Body::ModuleChunk(_)
            | Body::PlanApplication(_)
            | Body::NodeReady(_)
            | Body::ChangeStep(_)
            | Body::RegisterNode(_)
            | Body::RaiseLevel(_)
            | Body::CommitConsumer(_)
            | Body::RemoveConsumer(_)
            | Body::TrimStreams(_)
            | Body::MarkDigest
            | Body::ReportDigest(_)
            | Body::PlanGuarded(_)
            | Body::RemoveApplication(_)
            | Body::PurgeApplication(_)
            | Body::OpenWindow(_)
            | Body::Rehearsed(_)
            | Body::ConvertRows(_)
            | Body::SteerConversion(_)
            | Body::AssignVerification(_)
            | Body::Verified(_)
            | Body::SkipEntry(_)
            | Body::PinConsumer(_)
            | Body::LetGo(_)
            | Body::DropModule(_) => true,
        }
    }
}
