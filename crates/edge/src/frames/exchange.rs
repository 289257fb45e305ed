//! The loop of one framed connection: answers out, requests in, until one side ends it.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use client::wire::Code;
use client::wire::frames::{FromClient, FromServer};
use environment::BoxFuture;
use futures::StreamExt;
use futures::future::poll_fn;
use futures::stream::FuturesUnordered;

use super::answer::Answers;
use super::pipe::Pipe;
use super::together::{Asked, Together};
use super::{CONNECTION, Frames, error_answer};
use crate::codes::Refusal;
use crate::limits;

/// What the loop does with the connection.
enum Reading {
    /// Takes requests.
    Open,
    /// The node stops: requests that still come are declined, and those that run are answered.
    Stopping,
    /// Reads no more; what is said at the end, if anything, is said after the last answer.
    Ended(Option<Refusal>),
}

/// Sees a connection that stands still.
struct Patience<'a> {
    frames: &'a Frames,
    tick: BoxFuture<'static, ()>,
    reads: u64,
    writes: u64,
    idle_ticks: u32,
}

impl Frames {
    /// Answers requests until the client or the node ends the connection.
    pub(super) async fn exchange(&self, pipe: &mut Pipe) -> Result<(), String> {
        let mut running = FuturesUnordered::new();
        let mut in_flight = 0;
        let mut reading = Reading::Open;
        let mut patience = Patience::new(self);
        let mut stopping = pin!(self.stopping.said());
        poll_fn(|context| {
            if matches!(reading, Reading::Open) && stopping.as_mut().poll(context).is_ready() {
                reading = Reading::Stopping;
            }
            if let Poll::Ready(refusal) = patience.poll(context, pipe, running.is_empty()) {
                return Poll::Ready(Err(refusal));
            }
            loop {
                let mut moved = false;
                while pipe.unwritten() < limits::OUTPUT_BYTES_MAX {
                    let next: Poll<Option<Answers>> = running.poll_next_unpin(context);
                    let Poll::Ready(Some(answers)) = next else {
                        break;
                    };
                    in_flight -= answers.len();
                    for (correlation, answer) in &answers {
                        pipe.push(*correlation, answer);
                    }
                    moved = true;
                }
                if let Poll::Ready(Err(error)) = pipe.poll_write(context) {
                    return Poll::Ready(Err(error.to_string()));
                }
                let free = self.limits.in_flight_max.saturating_sub(in_flight);
                let start = |asked: Asked| {
                    in_flight += asked.answers();
                    running.push(self.answer(asked));
                };
                match self.take(context, pipe, &mut reading, free, start) {
                    Ok(taken) => moved |= taken,
                    Err(error) => return Poll::Ready(Err(error.to_string())),
                }
                let all_said = running.is_empty() && pipe.unwritten() == 0;
                if all_said && let Some(ended) = reading.farewell(pipe) {
                    return Poll::Ready(ended);
                }
                if !moved {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Takes requests that have come, at most `free` of them; false when there was nothing to take.
    fn take(
        &self,
        context: &mut Context<'_>,
        pipe: &mut Pipe,
        reading: &mut Reading,
        free: usize,
        mut start: impl FnMut(Asked),
    ) -> io::Result<bool> {
        let mut together = Together::default();
        let taken = self.take_each(context, pipe, reading, free, |correlation, request| {
            together.add(correlation, request).for_each(&mut start);
        });
        together.give().into_iter().for_each(start);
        taken
    }

    fn take_each(
        &self,
        context: &mut Context<'_>,
        pipe: &mut Pipe,
        reading: &mut Reading,
        free: usize,
        mut take: impl FnMut(u64, FromClient),
    ) -> io::Result<bool> {
        let mut taken = 0;
        while taken < free && pipe.unwritten() < limits::OUTPUT_BYTES_MAX {
            if let Reading::Ended(_) = reading {
                break;
            }
            let frame = match pipe.take_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => match pipe.poll_fill(context) {
                    Poll::Ready(Ok(0)) => {
                        *reading = Reading::Ended(None);
                        return Ok(true);
                    }
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                },
                Err(error) => {
                    *reading = Reading::Ended(Some(Refusal::malformed(error.to_string())));
                    return Ok(true);
                }
            };
            taken += 1;
            match (FromClient::decode(&frame), &reading) {
                (Ok(request), Reading::Open) => take(frame.correlation, request),
                (Ok(_), Reading::Stopping | Reading::Ended(_)) => pipe.push(frame.correlation, &stops()),
                (Err(error), _) => {
                    *reading = Reading::Ended(Some(Refusal::malformed(error.to_string())));
                }
            }
        }
        Ok(taken > 0)
    }
}

impl Reading {
    /// Called when every request was answered: the connection's last word, and how it ended, if it ends.
    fn farewell(&self, pipe: &mut Pipe) -> Option<Result<(), String>> {
        match self {
            Reading::Open => None,
            Reading::Stopping => {
                pipe.push(CONNECTION, &stops());
                Some(Ok(()))
            }
            Reading::Ended(None) => Some(Ok(())),
            Reading::Ended(Some(refusal)) => {
                pipe.push(CONNECTION, &error_answer(refusal));
                Some(Err(refusal.0.detail.clone()))
            }
        }
    }
}

fn stops() -> FromServer {
    error_answer(&Refusal::new(
        Code::Unavailable,
        "this node stops, and nothing was done: send the request to another node",
    ))
}

impl<'a> Patience<'a> {
    fn new(frames: &'a Frames) -> Self {
        Patience {
            frames,
            tick: Patience::next_tick(frames),
            reads: 0,
            writes: 0,
            idle_ticks: 0,
        }
    }

    fn next_tick(frames: &Frames) -> BoxFuture<'static, ()> {
        let clock = &frames.environment.clock;
        clock.sleep_until(clock.now() + frames.limits.frame_time_max.max(limits::TICK_MIN))
    }

    /// Ready, with the reason, when the connection has stood still for too long: in the middle of a frame, with
    /// answers that nobody takes, or with nothing to do.
    fn poll(&mut self, context: &mut Context<'_>, pipe: &mut Pipe, nothing_runs: bool) -> Poll<String> {
        while Pin::new(&mut self.tick).poll(context).is_ready() {
            self.tick = Patience::next_tick(self.frames);
            let limit = self.frames.limits.frame_time_max;
            let no_write = pipe.writes == self.writes;
            let no_read = pipe.reads == self.reads;
            (self.reads, self.writes) = (pipe.reads, pipe.writes);
            if no_write && pipe.unwritten() > 0 {
                return Poll::Ready(format!("its answers were not taken for {limit:?}"));
            }
            self.idle_ticks = match no_read && no_write && nothing_runs {
                true => self.idle_ticks.saturating_add(1),
                false => 0,
            };
            let reason = if no_read && nothing_runs && pipe.has_partial_frame() {
                format!("the rest of a frame did not come within {limit:?}")
            } else if limit * self.idle_ticks >= self.frames.limits.idle_time_max {
                "it was idle for too long".to_owned()
            } else {
                continue;
            };
            pipe.push(CONNECTION, &error_answer(&Refusal::malformed(reason.clone())));
            return Poll::Ready(reason);
        }
        Poll::Pending
    }
}
