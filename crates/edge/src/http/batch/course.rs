//! The way of one batch: here or to the leader, held when there is none, on from where it stopped.

use std::sync::Arc;

use bytes::Bytes;
use client::Lines;
use client::wire::{BatchAnswer, BatchOutcome, Code};
use environment::channel::mpsc;
use environment::timeout;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use machine::{Outcome, Reply, Request, SubmitError};

use super::super::Api;
use super::parse::Batch;
use crate::codes::{self, Refusal};
use crate::forward::{self, BatchForwarded, Forward};
use crate::router::too_slow;

/// A batch under way.
pub(super) struct Course {
    api: Arc<Api>,
    batch: Batch,
    request: Forward,
    answers: mpsc::Sender<Result<BatchAnswer, Refusal>>,
    /// Commands whose outcome was answered: the first of the batch.
    done: usize,
}

/// What became of one command in one attempt.
enum Line {
    /// It has an outcome.
    Answered(BatchAnswer),
    /// It may have been applied, or may still be.
    Unknown(String),
    /// It was not applied, nor was any behind it, nor will be: worth trying elsewhere.
    NotHere,
    /// The same, and no use trying elsewhere.
    Refused(Refusal),
}

/// How an attempt ended.
enum Ended {
    /// What is not answered was not done, and may be elsewhere.
    NotHere,
    /// What is not answered may have been applied, and carries a session.
    InDoubt(String),
    /// What is not answered gets this as its answer.
    Refused(Refusal),
}

impl Course {
    pub fn new(
        api: Arc<Api>,
        batch: Batch,
        request: Forward,
        answers: mpsc::Sender<Result<BatchAnswer, Refusal>>,
    ) -> Self {
        Course {
            api,
            batch,
            request,
            answers,
            done: 0,
        }
    }

    /// Works until every command is answered, or the batch is refused as a whole.
    pub async fn run(mut self) {
        let Err(refusal) = self.route().await else {
            return;
        };
        if self.done == 0 {
            // Nobody is there any more if this cannot be sent.
            let _ = self.answers.send(Err(refusal)).await;
            return;
        }
        while !self.is_done() {
            self.answer(refusal.in_line(0)).await;
        }
    }

    fn is_done(&self) -> bool {
        self.done == self.batch.commands.len()
    }

    /// Answers the next command, whose line it is.
    async fn answer(&mut self, answer: BatchAnswer) {
        self.done += 1;
        let line = self.done as u64;
        let _ = self.answers.send(Ok(BatchAnswer { line, ..answer })).await;
    }

    async fn route(&mut self) -> Result<(), Refusal> {
        let api = self.api.clone();
        let router = &api.router;
        let mut course = router.begin();
        loop {
            let before = self.done;
            let here = self.try_here(&api).await;
            if self.is_done() {
                return Ok(());
            }
            let mut ended = here;
            let mut avoid = None;
            let status = api.cluster.status();
            let leader = status.leader.filter(|leader| *leader != status.node);
            if matches!(ended, Ended::NotHere) {
                if self.request.from_peer {
                    return Err(course.refuse(router.not_leader(leader)));
                }
                if let Some((node, address)) = leader.and_then(|node| Some((node, router.address(node)?))) {
                    ended = self.try_there(&api, &address).await;
                    avoid = Some(node);
                }
            }
            if self.is_done() {
                return Ok(());
            }
            if self.done > before {
                // Patience and doubt were those of commands that are answered now.
                course = router.begin();
            }
            match ended {
                Ended::NotHere => {}
                Ended::InDoubt(why) => course.doubt = Some(why),
                Ended::Refused(refusal) => return Err(course.refuse(refusal)),
            }
            if self.request.from_peer {
                // The node that passed it on knows what it has and has not got an answer to, and goes on.
                let refusal = router.not_leader(leader);
                return Err(course.refuse(refusal));
            }
            let bytes = self.rest_bytes();
            router.hold(&mut course, bytes, avoid).await?;
        }
    }

    fn rest_bytes(&self) -> usize {
        let rest = &self.batch.commands[self.done..];
        rest.iter().map(|command| command.line.len() + 1).sum()
    }

    /// Tries what is not answered at this node.
    async fn try_here(&mut self, api: &Api) -> Ended {
        let rest = &self.batch.commands[self.done..];
        let requests: Vec<Request> = rest.iter().map(|command| command.request.clone()).collect();
        let pending = api.cluster.submit_in_order(requests);
        let lines = stream::iter(pending).then(|answer| async move { read_reply(answer.await) });
        self.take(api, lines.boxed()).await
    }

    /// Tries what is not answered at the leader.
    async fn try_there(&mut self, api: &Api, address: &str) -> Ended {
        let rest = &self.batch.commands[self.done..];
        let mut body = Vec::with_capacity(self.rest_bytes());
        for command in rest {
            body.extend_from_slice(&command.line);
            body.push(b'\n');
        }
        let first = rest.first().and_then(|command| command.request.claim);
        let request = self.request.part(body.into(), first.map(|claim| claim.sequence.0));
        let limit = api.limits.request_time_max;
        match forward::forward_batch(&api.environment, limit, address, &request).await {
            BatchForwarded::Begun(lines) => {
                let lines = lines_of_leader(lines, rest.len());
                self.take(api, lines).await
            }
            BatchForwarded::NothingDone(why) => {
                tracing::debug!(address, why, "the leader did not take a forwarded batch");
                Ended::NotHere
            }
            BatchForwarded::Refused(refusal) => Ended::Refused(refusal),
            BatchForwarded::Unknown(why) if self.batch.repeatable => Ended::InDoubt(why),
            BatchForwarded::Unknown(why) => Ended::Refused(unknown(why)),
        }
    }

    /// Answers commands from the lines of one attempt, as far as they have an outcome.
    async fn take(&mut self, api: &Api, mut lines: BoxStream<'_, Line>) -> Ended {
        let limit = api.limits.request_time_max;
        let mut doubt: Option<String> = None;
        loop {
            let line = match timeout(&api.environment, limit, lines.next()).await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(_) => return Ended::Refused(too_slow(limit)),
            };
            match line {
                // It is asked for once more, behind the one in doubt.
                Line::Answered(_) if self.batch.repeatable && doubt.is_some() => {}
                Line::Answered(answer) => self.answer(answer).await,
                Line::Unknown(why) => {
                    if !self.batch.repeatable {
                        self.answer(unknown(why.clone()).in_line(0)).await;
                    }
                    doubt.get_or_insert(why);
                }
                Line::NotHere | Line::Refused(_) if self.batch.repeatable && doubt.is_some() => break,
                // To do it now could put it before one that may still be applied.
                Line::NotHere | Line::Refused(_) if doubt.is_some() => return Ended::Refused(behind_doubt()),
                Line::NotHere => return Ended::NotHere,
                Line::Refused(refusal) => return Ended::Refused(refusal),
            }
        }
        match doubt {
            Some(why) => Ended::InDoubt(why),
            None => Ended::NotHere,
        }
    }
}

fn unknown(why: String) -> Refusal {
    codes::of_submit(&SubmitError::OutcomeUnknown(why))
}

fn behind_doubt() -> Refusal {
    Refusal::new(
        Code::Unavailable,
        "it was not tried, and nothing was done: whether a command before it in the batch was applied is not known, and \
         it must not come before that one; look at the state, then send it again",
    )
}

fn read_reply(answered: Result<Reply, SubmitError>) -> Line {
    let reply = match answered {
        Ok(reply) => reply,
        Err(SubmitError::NotLeader { .. }) => return Line::NotHere,
        Err(SubmitError::OutcomeUnknown(why)) => return Line::Unknown(why),
        Err(
            error @ (SubmitError::Overloaded(_)
            | SubmitError::TooLarge(_)
            | SubmitError::DiskFull(_)
            | SubmitError::Unavailable(_)),
        ) => return Line::Refused(codes::of_submit(&error)),
    };
    let answered = |outcome, reply_bytes: Bytes| BatchAnswer {
        line: 0,
        outcome,
        index: Some(reply.index.0),
        reply: reply_bytes,
        code: None,
        detail: String::new(),
    };
    Line::Answered(match reply.outcome {
        Outcome::Applied(bytes) => answered(BatchOutcome::Applied, bytes),
        Outcome::Refused(bytes) => answered(BatchOutcome::Refused, bytes),
        Outcome::Failed(failure) => codes::of_failure(&failure, reply.index).in_line(0),
        Outcome::SessionExpired => codes::session_expired().in_line(0),
    })
}

/// The leader's answers to `count` commands; those that did not come are unknown.
fn lines_of_leader(lines: Lines, count: usize) -> BoxStream<'static, Line> {
    stream::unfold((Some(lines), 0), move |(lines, came)| async move {
        if came == count {
            return None;
        }
        let lost = |why: String| Line::Unknown(format!("the leader's answer was lost ({why})"));
        let Some(mut lines) = lines else {
            return Some((lost("it ended early".to_owned()), (None, came + 1)));
        };
        match lines.next().await {
            Ok(Some(line)) => Some((read_line(&line), (Some(lines), came + 1))),
            Ok(None) => Some((lost("it ended early".to_owned()), (None, came + 1))),
            Err(error) => Some((lost(error.to_string()), (None, came + 1))),
        }
    })
    .boxed()
}

fn read_line(line: &[u8]) -> Line {
    let answer: BatchAnswer = match serde_json::from_slice(line) {
        Ok(answer) => answer,
        Err(error) => return Line::Unknown(format!("the leader's answer could not be read ({error})")),
    };
    // An entry decided it: nothing more is to be said.
    let Some(code) = answer.code.filter(|_| answer.index.is_none()) else {
        return Line::Answered(answer);
    };
    match code {
        Code::SessionExpired => Line::Answered(answer),
        code if code.outcome_unknown() => Line::Unknown(answer.detail),
        code if forward::is_elsewhere(code) => Line::NotHere,
        code => Line::Refused(Refusal::new(code, answer.detail)),
    }
}
