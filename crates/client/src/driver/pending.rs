use environment::Moment;
use environment::channel::{OwnedSemaphorePermit, oneshot};

use super::link::LinkId;
use super::sessions::Slot;
use super::together::NewTogether;
use crate::Error;
use crate::wire::frames::{FromClient, Get, Reply, Row, Submit};

/// Number of a request, never used again by its client; its correlation id too.
pub(super) type Ticket = u64;

/// What a caller asks of the driver.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A command, in the client's own session.
    Submit(Submit),
    /// A command with whatever claim it carries, or none.
    Forward(Submit),
    /// A session for somebody else.
    OpenSession,
    /// A row.
    Get(Get),
}

/// What callers send to the driver.
pub(crate) enum Call {
    /// One request.
    One(NewRequest),
    /// Commands that one caller waits for together.
    Together(NewTogether),
}

/// A request on its way to the driver.
pub(crate) struct NewRequest {
    pub(crate) ask: Ask,
    pub(crate) deadline: Moment,
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) answer: oneshot::Sender<Done>,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) result: Result<Answer, Error>,
    pub(crate) attempts: u32,
}

/// What was answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Session(u64),
    Row(Row),
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A caller's, in our session.
    Own,
    /// A caller's, with a claim of its own or none.
    Forwarded,
    /// A session for a caller.
    SessionForCaller,
    /// The client's own session.
    SessionForUs,
    /// A caller's, and it changes nothing.
    Read,
}

/// A request that is not finished.
pub(super) struct Pending {
    pub(super) kind: Kind,
    /// What is sent; none: it is one of several that lie together.
    pub(super) frame: Option<Box<FromClient>>,
    pub(super) caller: Option<Caller>,
    /// Its place in our session, once it has one.
    pub(super) slot: Option<Slot>,
    /// The link on which it waits for an answer.
    pub(super) on: Option<LinkId>,
    /// Until when it pauses.
    pub(super) delayed: Option<Moment>,
    /// An attempt ended without an answer that says what came of it.
    pub(super) doubt: bool,
    pub(super) attempts: u32,
    pub(super) repeats: u32,
}

/// Who waits for a request.
pub(super) enum Caller {
    /// Somebody for it alone.
    Alone {
        deadline: Moment,
        answer: oneshot::Sender<Done>,
        /// The place among the requests in flight; given back when the request ends.
        _permit: OwnedSemaphorePermit,
    },
    /// Whoever waits for those that begin with this ticket.
    Together(Ticket),
}

impl Pending {
    pub(super) fn new(request: NewRequest) -> Self {
        let (kind, frame) = match request.ask {
            Ask::Submit(submit) => (Kind::Own, FromClient::Submit(submit)),
            Ask::Forward(submit) => (Kind::Forwarded, FromClient::Submit(submit)),
            Ask::OpenSession => (Kind::SessionForCaller, FromClient::OpenSession),
            Ask::Get(get) => (Kind::Read, FromClient::Get(get)),
        };
        let caller = Caller::Alone {
            deadline: request.deadline,
            answer: request.answer,
            _permit: request.permit,
        };
        Pending {
            caller: Some(caller),
            ..Pending::bare(kind, Some(Box::new(frame)))
        }
    }

    /// One of the commands that begin with that ticket, with its place in our session if it has one already.
    pub(super) fn one_of(first: Ticket, slot: Option<Slot>) -> Self {
        Pending {
            slot,
            caller: Some(Caller::Together(first)),
            ..Pending::bare(Kind::Own, None)
        }
    }

    pub(super) fn session_for_us() -> Self {
        Pending::bare(Kind::SessionForUs, Some(Box::new(FromClient::OpenSession)))
    }

    fn bare(kind: Kind, frame: Option<Box<FromClient>>) -> Self {
        Pending {
            kind,
            frame,
            caller: None,
            slot: None,
            on: None,
            delayed: None,
            doubt: false,
            attempts: 0,
            repeats: 0,
        }
    }

    /// Whether sending it again can do no harm when an earlier attempt may have been applied.
    pub(super) fn is_repeatable(&self) -> bool {
        match (self.kind, self.frame.as_deref()) {
            (Kind::SessionForCaller | Kind::SessionForUs | Kind::Own | Kind::Read, _) => true,
            (Kind::Forwarded, Some(FromClient::Submit(submit))) => submit.claim.is_some(),
            (Kind::Forwarded, Some(FromClient::Hello(_) | FromClient::OpenSession | FromClient::Get(_)) | None) => {
                false
            }
        }
    }

    /// Whether it may have taken effect, as far as is known now. A session that nobody uses is no effect.
    pub(super) fn is_in_doubt(&self) -> bool {
        match self.kind {
            Kind::Own | Kind::Forwarded => self.doubt || self.on.is_some(),
            Kind::SessionForCaller | Kind::SessionForUs | Kind::Read => false,
        }
    }
}
