//! What the driver does with each answer.

use environment::Moment;

use super::link::LinkId;
use super::pending::{Answer, Kind, Ticket};
use super::{Driver, Route};
use crate::Error;
use crate::wire::frames::{ErrorAnswer, FromServer, Outcome, Reply};
use crate::wire::{Code, Problem, Retry};

impl Driver {
    pub(super) fn answered(&mut self, id: LinkId, answers: Vec<(u64, FromServer)>, now: Moment) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.heard(answers.len(), now);
        for (ticket, answer) in answers {
            // A request that has ended meanwhile, or a second answer to the same.
            let Some(pending) = self.requests.get_mut(&ticket).filter(|pending| pending.on == Some(id)) else {
                continue;
            };
            let kind = pending.kind;
            let is_session = matches!(kind, Kind::SessionForUs | Kind::SessionForCaller);
            let is_command = matches!(kind, Kind::Own | Kind::Forwarded);
            match answer {
                FromServer::Reply(reply) if is_command => self.replied(id, ticket, reply, now),
                FromServer::SessionOpened(session) if is_session => self.session_opened(id, ticket, kind, session),
                FromServer::Row(row) if kind == Kind::Read => {
                    self.served(id);
                    self.finish(ticket, Ok(Answer::Row(row)));
                }
                FromServer::Error(error) => {
                    pending.on = None;
                    self.refused(id, ticket, error, now);
                }
                FromServer::Reply(_)
                | FromServer::SessionOpened(_)
                | FromServer::Row(_)
                | FromServer::HelloAnswer(_) => {
                    return self.lost(id, "an answer of another kind than the request".into(), now);
                }
            }
        }
        let left = self.route != Route::Linked(id);
        if left && self.links.get(&id).is_some_and(|link| link.outstanding == 0) {
            self.links.remove(&id);
        }
    }

    /// The link does what it is for.
    fn served(&mut self, id: LinkId) {
        if self.route == Route::Linked(id)
            && let Some(link) = self.links.get(&id)
        {
            self.failures = 0;
            self.hops = 0;
            self.reason.clear();
            self.addresses.served(&link.address);
        }
    }

    fn replied(&mut self, id: LinkId, ticket: Ticket, reply: Reply, now: Moment) {
        self.served(id);
        match reply.outcome {
            Outcome::SessionExpired => self.expired(ticket, reply, now),
            Outcome::Applied(_) | Outcome::Refused(_) | Outcome::Failed(_) => {
                self.finish(ticket, Ok(Answer::Reply(reply)));
            }
        }
    }

    fn session_opened(&mut self, id: LinkId, ticket: Ticket, kind: Kind, session: u64) {
        self.served(id);
        if kind == Kind::SessionForUs {
            self.counters.sessions.add();
            self.sessions.opened(session);
            self.opening = None;
        }
        self.finish(ticket, Ok(Answer::Session(session)));
    }

    /// The cluster did not apply this attempt, and does not know of earlier ones. Where there was none whose end is
    /// unknown, the request was surely never applied, and goes into a new session.
    fn expired(&mut self, ticket: Ticket, reply: Reply, now: Moment) {
        let Some(pending) = self.requests.get_mut(&ticket) else {
            return;
        };
        pending.on = None;
        let Some(slot) = pending.slot else {
            // Not our session: whoever's it is decides.
            return self.finish(ticket, Ok(Answer::Reply(reply)));
        };
        let doubt = pending.doubt;
        self.sessions.expired(slot.session);
        if doubt {
            let session = slot.session;
            let text = format!("session {session} has expired, and an earlier attempt had no answer");
            return self.finish(ticket, Err(Error::OutcomeUnknown(text)));
        }
        self.sessions.finished(slot);
        if let Some(pending) = self.requests.get_mut(&ticket) {
            pending.slot = None;
        }
        self.delay(ticket, now);
    }

    fn refused(&mut self, id: LinkId, ticket: Ticket, error: ErrorAnswer, now: Moment) {
        if error.code == Code::SessionExpired {
            return self.expired(
                ticket,
                Reply {
                    index: 0,
                    outcome: Outcome::SessionExpired,
                },
                now,
            );
        }
        self.reason = format!("{} ({})", error.detail, error.code);
        match error.code.retry() {
            // A node that knows no leader has waited for one, and one that cannot confirm a read may have been left
            // behind; perhaps another has heard more.
            Retry::Later if !matches!(error.code, Code::NoLeader | Code::ReadUnconfirmed) => self.delay(ticket, now),
            Retry::Later | Retry::Elsewhere => {
                self.leave(id, &error, now);
                self.make_ready(ticket);
            }
            Retry::SameClaim => {
                let Some(pending) = self.requests.get_mut(&ticket) else {
                    return;
                };
                pending.doubt = true;
                if pending.is_repeatable() {
                    self.delay(ticket, now);
                } else {
                    self.finish(ticket, Err(Error::OutcomeUnknown(self.reason.clone())));
                }
            }
            Retry::No => {
                if self.opening == Some(ticket) {
                    self.session_refused(&error);
                }
                self.finish(ticket, Err(problem(error)));
            }
        }
    }

    /// No session is to be had: those who wait for one are told. The next request asks again.
    fn session_refused(&mut self, error: &ErrorAnswer) {
        self.opening = None;
        for ticket in self.unclaimed.clone() {
            self.finish(ticket, Err(problem(error.clone())));
        }
    }

    /// Another node is to be asked. The link stays until it has answered what it still owes: those answers are known
    /// outcomes, which a cut would turn into doubts.
    fn leave(&mut self, id: LinkId, error: &ErrorAnswer, now: Moment) {
        if self.route != Route::Linked(id) {
            return;
        }
        let address = self.links.get(&id).map(|link| link.address.clone()).unwrap_or_default();
        self.addresses.of_no_use(&address, now);
        if let Some(leader) = &error.leader_http
            && *leader != address
            && self.addresses.follow(leader, now)
        {
            self.counters.leader_moves.add();
        }
        self.stumble(format!("{address}: {} ({})", error.detail, error.code), now);
    }
}

fn problem(error: ErrorAnswer) -> Error {
    Error::Problem(Box::new(
        Problem::new(error.code, error.detail).with_leader(error.leader_http),
    ))
}
