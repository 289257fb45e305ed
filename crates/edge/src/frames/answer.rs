//! One framed request and its answer.

use std::time::Duration;

use client::wire::Code;
use client::wire::frames::{Failure, FromClient, FromServer, Get, Outcome, Reply, Row, Submit};
use client::wire::limits::{COMMAND_BYTES_MAX, LEADER_WAIT_MS_MAX};
use environment::{Moment, timeout};
use machine::limits::NAME_BYTES_MAX;
use machine::{Body, Claim, Consistency, Decision, NodeId, Read, ReadValue, Request, Sequence, SessionId, SubmitError};

use super::{Frames, SUBMIT, error_answer};
use crate::codes::{self, Refusal};
use crate::observe::Answered;

impl Frames {
    /// Gives the request to the cluster and waits for what came of it.
    pub(super) async fn answer(&self, correlation: u64, request: FromClient) -> (u64, FromServer) {
        let received = self.router.observer.now();
        let (answered, measures) = match request {
            FromClient::Submit(submit) => (self.submit(submit, received).await, &self.submits),
            FromClient::OpenSession => (self.open_session().await, &self.sessions),
            FromClient::Get(get) => (self.get(get).await, &self.gets),
            FromClient::Hello(_) => {
                let refusal = Refusal::malformed("a second Hello on one connection: say it once");
                (Err(refusal), &self.sessions)
            }
        };
        measures.answered(status_of(&answered), self.router.observer.now() - received);
        (correlation, answered.unwrap_or_else(|refusal| error_answer(&refusal)))
    }

    async fn submit(&self, submit: Submit, received: Moment) -> Result<FromServer, Refusal> {
        let (application, command) = (Name::of(&submit.application), Name::of(&submit.command));
        let request = request_of(submit)?;
        let claimed = request.claim.is_some();
        let bytes = request.encoded_bytes_max();
        let observer = &self.router.observer;
        match self.cluster.submit(request).await {
            Ok(reply) => {
                let answered = Answered {
                    route: SUBMIT,
                    application: application.as_str(),
                    command: command.as_str(),
                    status: 200,
                    index: Some(reply.index),
                    asked_by_peer: false,
                    leader: None,
                };
                observer.command_answered(received, None, answered);
                Ok(FromServer::Reply(reply_of(reply)))
            }
            Err(error) => Err(Box::pin(self.redirect(error, claimed, bytes)).await),
        }
    }

    async fn open_session(&self) -> Result<FromServer, Refusal> {
        match self.cluster.propose(Body::OpenSession).await {
            Ok(Decision::SessionOpened(session)) => Ok(FromServer::SessionOpened(session.0)),
            Ok(Decision::Refused { code, reason }) => Err(codes::of_refused(code, &reason)),
            Ok(decision @ (Decision::Done { .. } | Decision::Planned(_) | Decision::Registered(_))) => {
                Err(codes::unexpected(&decision))
            }
            // A session that was opened and never heard of is forgotten by itself: opening another harms nobody.
            Err(error) => Err(Box::pin(self.redirect(error, true, 0)).await),
        }
    }

    /// A read that no leader can confirm now is refused at once: the client asks again, here or elsewhere.
    async fn get(&self, get: Get) -> Result<FromServer, Refusal> {
        let consistency = match get.stale {
            true => Consistency::Stale,
            false => Consistency::Linearizable,
        };
        let read = Read::Get {
            application: get.application,
            table: get.table,
            key: get.key,
        };
        let limit = self.limits.request_time_max;
        match timeout(&self.environment, limit, self.cluster.read(read, consistency)).await {
            Ok(Ok(answer)) => match answer.value {
                ReadValue::Document(document) => Ok(FromServer::Row(Row {
                    index: answer.index.0,
                    document,
                })),
                ReadValue::Pairs { .. } | ReadValue::Answer(_) | ReadValue::Refused(_) => Err(codes::wrong_value()),
            },
            Ok(Err(error)) => Err(codes::of_read(&error)),
            Err(_) => Err(Refusal::new(
                Code::Timeout,
                format!("the read was not answered within {limit:?}: ask again, or at another node"),
            )),
        }
    }

    /// What a client hears whose request was not answered: where to send it again, if it may do so. It waits a little
    /// for a leader to be known, because a client that is told of none can only ask again.
    async fn redirect(&self, error: SubmitError, repeatable: bool, bytes: usize) -> Refusal {
        let leader: Option<NodeId> = match &error {
            SubmitError::NotLeader { leader } => *leader,
            SubmitError::OutcomeUnknown(_) if repeatable => None,
            SubmitError::OutcomeUnknown(_)
            | SubmitError::Overloaded(_)
            | SubmitError::TooLarge(_)
            | SubmitError::DiskFull(_)
            | SubmitError::Unavailable(_) => return codes::of_submit(&error),
        };
        // An unknown outcome stays one, whatever is known of the leader: the client must not take it for undone.
        let in_doubt = matches!(error, SubmitError::OutcomeUnknown(_));
        let limit = self.limits.hold_max.min(Duration::from_millis(LEADER_WAIT_MS_MAX));
        match self.router.leader_http(leader, bytes, limit).await {
            Ok(address @ Some(_)) => codes::of_submit(&error).with_leader(address),
            Ok(None) | Err(_) if in_doubt => codes::of_submit(&error),
            Ok(None) => self.router.no_leader(),
            Err(refusal) => refusal,
        }
    }
}

/// The status that an answer would have over HTTP.
fn status_of(answered: &Result<FromServer, Refusal>) -> u16 {
    match answered {
        Ok(_) => 200,
        Err(refusal) => refusal.0.status,
    }
}

/// A name, kept without the heap for the few commands whose way is told.
struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    length: usize,
}

impl Name {
    /// One that is too long is nobody's, and is left empty.
    fn of(name: &str) -> Name {
        let mut bytes = [0; NAME_BYTES_MAX];
        let length = match bytes.get_mut(..name.len()) {
            Some(room) => {
                room.copy_from_slice(name.as_bytes());
                name.len()
            }
            None => 0,
        };
        Name { bytes, length }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

fn request_of(submit: Submit) -> Result<Request, Refusal> {
    if submit.payload.len() > COMMAND_BYTES_MAX {
        return Err(Refusal::new(
            Code::TooLarge,
            format!("a command's payload may have {COMMAND_BYTES_MAX} bytes and this one has more; nothing was done"),
        ));
    }
    Ok(Request {
        claim: submit.claim.map(|claim| Claim {
            session: SessionId(claim.session),
            sequence: Sequence(claim.sequence),
            settled: Sequence(claim.settled),
        }),
        application: submit.application,
        command: submit.command,
        version: submit.version,
        payload: submit.payload,
    })
}

fn reply_of(reply: machine::Reply) -> Reply {
    Reply {
        index: reply.index.0,
        outcome: match reply.outcome {
            machine::Outcome::Applied(bytes) => Outcome::Applied(bytes),
            machine::Outcome::Refused(bytes) => Outcome::Refused(bytes),
            machine::Outcome::Failed(failure) => Outcome::Failed(Failure {
                code: codes::of_failure_code(failure.code),
                detail: failure.detail,
            }),
            machine::Outcome::SessionExpired => Outcome::SessionExpired,
        },
    }
}
