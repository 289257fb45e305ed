//! Framed requests and their answers.

use std::time::Duration;

use client::wire::Code;
use client::wire::frames::{Failure, FromServer, Get, Outcome, Reply, Row};
use client::wire::limits::LEADER_WAIT_MS_MAX;
use environment::{Moment, timeout};
use machine::{Body, Consistency, Decision, Index, NodeId, Read, ReadValue, Request, SubmitError};

use super::together::{Asked, Commands};
use super::{Frames, SUBMIT, error_answer};
use crate::codes::{self, Refusal};
use crate::observe::Answered;

/// Answers, each with the correlation id of its request.
pub(super) type Answers = Vec<(u64, FromServer)>;

impl Frames {
    /// Gives what was asked to the cluster and waits for what came of it.
    pub(super) async fn answer(&self, asked: Asked) -> Answers {
        let received = self.router.observer.now();
        let (correlation, answered, measures) = match asked {
            Asked::Together(commands) => return self.submit(commands, received).await,
            Asked::TooLarge(correlation, why) => {
                let refusal = codes::of_submit(&SubmitError::TooLarge(why));
                (correlation, Err(refusal), &self.submits)
            }
            Asked::OpenSession(correlation) => (correlation, self.open_session().await, &self.sessions),
            Asked::Get(correlation, get) => (correlation, self.get(get).await, &self.gets),
            Asked::SecondHello(correlation) => {
                let refusal = Refusal::malformed("a second Hello on one connection: say it once");
                (correlation, Err(refusal), &self.sessions)
            }
        };
        measures.answered(status_of(&answered), self.router.observer.now() - received);
        vec![(correlation, answered.unwrap_or_else(|refusal| error_answer(&refusal)))]
    }

    /// Commands that came together go into the log together.
    async fn submit(&self, commands: Commands, received: Moment) -> Answers {
        let Commands { correlations, requests } = commands;
        let (status, answers) = match self.cluster.submit_together(&requests).await {
            Ok(replies) => {
                let replied = requests.iter().zip(replies).map(|(request, reply)| {
                    self.observe(received, request, reply.index);
                    FromServer::Reply(reply_of(reply))
                });
                (200, correlations.into_iter().zip(replied).collect())
            }
            Err(error) => {
                let claimed = requests.iter().all(|request| request.claim.is_some());
                let bytes = requests.iter().map(Request::encoded_bytes_max).sum();
                let refusal = Box::pin(self.redirect(error, claimed, bytes)).await;
                let refused = correlations.into_iter().map(|each| (each, error_answer(&refusal)));
                (refusal.0.status, refused.collect::<Answers>())
            }
        };
        let took = self.router.observer.now() - received;
        self.submits.answered_together(requests.len() as u64, status, took);
        answers
    }

    fn observe(&self, received: Moment, request: &Request, index: Index) {
        let answered = Answered {
            route: SUBMIT,
            application: &request.application,
            command: &request.command,
            status: 200,
            index: Some(index),
            asked_by_peer: false,
            leader: None,
        };
        self.router.observer.command_answered(received, None, answered);
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
                ReadValue::Pairs { .. } | ReadValue::Usage(_) | ReadValue::Answer(_) | ReadValue::Refused(_) => {
                    Err(codes::wrong_value())
                }
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
