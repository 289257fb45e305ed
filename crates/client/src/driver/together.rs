//! Commands whose caller waits for all of them at once: one deadline, one wake-up. To the cluster each is a request of its
//! own, with a ticket and a place in the session of its own, and is repeated by itself.

use environment::Moment;
use environment::channel::{OwnedSemaphorePermit, oneshot};

use super::pending::{Answer, Ticket};
use crate::wire::frames::{Claim, SubmitRef};
use crate::{Command, Error};

/// Commands on their way to the driver, at least one.
pub(crate) struct NewTogether {
    pub(crate) application: String,
    pub(crate) commands: Vec<Command>,
    pub(crate) deadline: Moment,
    /// As many places as there are commands.
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) answer: oneshot::Sender<Vec<Ended>>,
}

/// How one of them ended; none: nobody said.
pub(crate) type Ended = Option<Result<Answer, Error>>;

/// Commands of one caller, of which some are not finished. Their tickets are consecutive.
pub(super) struct Together {
    request: NewTogether,
    first: Ticket,
    ended: Vec<Ended>,
    unfinished: usize,
}

impl Together {
    pub(super) fn new(request: NewTogether, first: Ticket) -> Self {
        let count = request.commands.len();
        Together {
            first,
            ended: (0..count).map(|_| None).collect(),
            unfinished: count,
            request,
        }
    }

    pub(super) fn deadline(&self) -> Moment {
        self.request.deadline
    }

    pub(super) fn tickets(&self) -> std::ops::Range<Ticket> {
        self.first..self.first + self.ended.len() as u64
    }

    /// The command that has this ticket, to be sent with that claim.
    pub(super) fn submit(&self, ticket: Ticket, claim: Option<Claim>) -> Option<SubmitRef<'_>> {
        let command = self.request.commands.get(self.position(ticket)?)?;
        Some(SubmitRef {
            claim,
            application: &self.request.application,
            command: &command.name,
            version: command.version,
            payload: &command.payload,
        })
    }

    /// Notes how one of them ended; true when it was the last.
    pub(super) fn finish(&mut self, ticket: Ticket, result: Result<Answer, Error>) -> bool {
        let place = self.position(ticket).and_then(|at| self.ended.get_mut(at));
        if let Some(place @ None) = place {
            *place = Some(result);
            self.unfinished -= 1;
        }
        self.unfinished == 0
    }

    /// Wakes the caller, and gives the places among the requests in flight back.
    pub(super) fn tell(self) {
        let NewTogether { permit, answer, .. } = self.request;
        drop(permit);
        // A caller that no longer waits wants no answer.
        let _ = answer.send(self.ended);
    }

    fn position(&self, ticket: Ticket) -> Option<usize> {
        usize::try_from(ticket.checked_sub(self.first)?).ok()
    }
}
