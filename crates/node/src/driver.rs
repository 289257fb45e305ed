//! One loop that packs what clients send into entries and proposes them.
//!
//! Packing is where throughput comes from: all that has arrived since the last round goes into one entry, and a round
//! begins whenever fewer than a few entries are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use environment::Environment;
use environment::channel::{mpsc, oneshot};
use machine::codec::Codec;
use machine::{
    Body, Decision, Entry, Output, PackedRequests, Reply, SubmitError, Term, TimeMs, limits as log_limits, pack,
};

use crate::limits::{ENTRIES_IN_FLIGHT_MAX, ENTRY_PACK_BYTES, REQUESTS_WAITING_BYTES_MAX, REQUESTS_WAITING_MAX};
use crate::measures::Measures;
use crate::raft::{Applied, Group, GroupError, Proposal};

/// Everything that can wake the driver.
pub enum Event {
    /// A client's request.
    Submit(Submission),
    /// A control entry.
    Propose(Box<Body>, oneshot::Sender<Result<Decision, SubmitError>>),
    /// An entry under way has ended.
    Settled,
    /// The node is stopping.
    Stop,
}

/// Requests that go into the log together, and wait for their replies.
pub struct Submission {
    requests: PackedRequests,
    /// The term in which this node led when it took them: they go into the log in that one or not at all.
    reign: Term,
    replies: oneshot::Sender<Result<Vec<Reply>, SubmitError>>,
    _place: Place,
}

/// Where the replies to requests that were taken together will come.
pub type Replies = oneshot::Receiver<Result<Vec<Reply>, SubmitError>>;

/// Counts what waits, so that it stays bounded.
#[derive(Clone, Default)]
pub struct Admission(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// Places among what waits; given back when dropped.
struct Place {
    admission: Admission,
    requests: usize,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.0.requests.fetch_sub(self.requests, Ordering::Relaxed);
        self.admission.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Admission {
    /// Requests that wait, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        let waiting = &self.0;
        (
            waiting.requests.load(Ordering::Relaxed),
            waiting.bytes.load(Ordering::Relaxed),
        )
    }

    /// Lets requests in, with where their replies will come.
    ///
    /// # Errors
    /// [`SubmitError::Overloaded`] when too much waits.
    pub fn admit(&self, packed: PackedRequests, reign: Term) -> Result<(Submission, Replies), SubmitError> {
        let (count, bytes) = (packed.count(), packed.bytes());
        let requests = self.0.requests.fetch_add(count, Ordering::Relaxed) + count;
        let total = self.0.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let place = Place {
            admission: self.clone(),
            requests: count,
            bytes,
        };
        if requests > REQUESTS_WAITING_MAX || total > REQUESTS_WAITING_BYTES_MAX {
            let text = format!("{requests} requests of {total} bytes wait: send fewer at once, or try again");
            return Err(SubmitError::Overloaded(text));
        }
        let (replies, wait) = oneshot::channel();
        Ok((
            Submission {
                requests: packed,
                reign,
                replies,
                _place: place,
            },
            wait,
        ))
    }
}

/// Packs and proposes.
pub struct Driver {
    environment: Environment,
    group: Group,
    events: mpsc::UnboundedReceiver<Event>,
    events_back: mpsc::UnboundedSender<Event>,
    waiting: Vec<Submission>,
    in_flight: usize,
    stopped: bool,
    stamp: TimeMs,
    measures: Arc<Measures>,
}

impl Driver {
    /// Over a group.
    pub fn new(
        environment: Environment,
        group: Group,
        events: mpsc::UnboundedReceiver<Event>,
        events_back: mpsc::UnboundedSender<Event>,
        measures: Arc<Measures>,
    ) -> Driver {
        Driver {
            environment,
            group,
            events,
            events_back,
            waiting: Vec::new(),
            in_flight: 0,
            stopped: false,
            stamp: TimeMs(0),
            measures,
        }
    }

    /// Works for as long as the node lives.
    pub async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            self.take(event).await;
            while self.waiting.len() < log_limits::ENTRY_COMMANDS_MAX
                && let Ok(event) = self.events.try_recv()
            {
                self.take(event).await;
            }
            if self.stopped {
                return;
            }
            while self.in_flight < ENTRIES_IN_FLIGHT_MAX && !self.waiting.is_empty() {
                self.propose_waiting().await;
            }
        }
    }

    async fn take(&mut self, event: Event) {
        match event {
            Event::Submit(submission) => self.waiting.push(submission),
            Event::Propose(body, decision) => self.propose_control(*body, decision).await,
            Event::Settled => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.measures.driver.in_flight.set(self.in_flight as u64);
            }
            Event::Stop => self.stopped = true,
        }
    }

    /// The leader's stamp: its wall clock, but never back.
    fn stamp(&mut self) -> TimeMs {
        self.stamp = self.stamp.max(TimeMs(self.environment.clock.wall_ms()));
        self.stamp
    }

    async fn propose_waiting(&mut self) {
        let Some(reign) = self.waiting.first().map(|first| first.reign) else {
            return;
        };
        let of_reign = self.waiting.iter().take_while(|submission| submission.reign == reign);
        let count = how_many_fit(of_reign.map(|submission| (submission.requests.count(), submission.requests.bytes())));
        let rest = self.waiting.split_off(count.min(self.waiting.len()));
        let now = std::mem::replace(&mut self.waiting, rest);
        let packed = self.measures.clock.now();
        let payload = pack(self.stamp(), now.iter().map(|submission| &submission.requests));
        let commands = now.iter().map(|submission| submission.requests.count()).sum();
        self.measures.driver.entry_commands.size(commands);
        match self.group.propose_in(reign, payload.into()).await {
            Ok(proposal) => {
                self.in_flight += 1;
                self.measures.driver.in_flight.set(self.in_flight as u64);
                let (group, settled, measures) = (self.group.clone(), self.events_back.clone(), self.measures.clone());
                self.environment.spawn("replies", async move {
                    let waiting = now
                        .into_iter()
                        .map(|waiting| (waiting.requests.count(), waiting.replies));
                    crate::replies::deliver(proposal, waiting, &group, &measures, packed).await;
                    settled.send(Event::Settled).ok();
                });
            }
            Err(error) => {
                let error = submit_error(error, &self.group);
                for submission in now {
                    submission.replies.send(Err(error.clone())).ok();
                }
            }
        }
    }

    /// Control entries stand alone, behind what was submitted before them.
    async fn propose_control(&mut self, body: Body, decision: oneshot::Sender<Result<Decision, SubmitError>>) {
        while !self.waiting.is_empty() {
            self.propose_waiting().await;
        }
        let payload: Bytes = Entry {
            time: self.stamp(),
            body,
        }
        .to_bytes()
        .into();
        match self.group.propose(payload).await {
            Ok(proposal) => {
                let group = self.group.clone();
                self.environment.spawn("decision", async move {
                    let decided = decided(proposal, &group).await;
                    decision.send(decided).ok();
                });
            }
            Err(error) => drop(decision.send(Err(submit_error(error, &self.group)))),
        }
    }
}

/// How many submissions, of so many requests and bytes each, go into one entry: at least the first, if there is one.
fn how_many_fit(sizes: impl Iterator<Item = (usize, usize)>) -> usize {
    let (mut requests, mut bytes) = (0, 0);
    let fitting = sizes.take_while(|(of_requests, of_bytes)| {
        requests += of_requests;
        bytes += of_bytes;
        requests <= log_limits::ENTRY_COMMANDS_MAX && bytes <= ENTRY_PACK_BYTES
    });
    fitting.count().max(1)
}

async fn decided(proposal: Proposal, group: &Group) -> Result<Decision, SubmitError> {
    match proposal.outcome().await.map(|(_, applied)| applied) {
        Ok(Applied::Output(Output::Decision(decision))) => Ok(decision),
        Ok(Applied::Output(Output::Replies(_)) | Applied::Nothing | Applied::Unknown(_)) => Err(
            SubmitError::OutcomeUnknown("the entry was answered as one of another kind".to_owned()),
        ),
        Err(error) => Err(submit_error(error, group)),
    }
}

/// The group's word as the port's.
pub fn submit_error(error: GroupError, group: &Group) -> SubmitError {
    match error {
        GroupError::NotLeader => SubmitError::NotLeader {
            leader: group.other_leader(),
        },
        GroupError::Unknown(reason) => SubmitError::OutcomeUnknown(reason),
        GroupError::Refused(reason) => SubmitError::Unavailable(reason),
    }
}

#[cfg(test)]
mod tests;
