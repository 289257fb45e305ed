//! Where a write goes: it stays here while this node leads, goes to the leader, or is held until there is one.
//!
//! A write is sent again by itself only when nothing was done, or when it carries what makes a repeat harmless. Once it
//! may have been applied, no later refusal makes that undone: the answer is then `outcome_unknown` at best.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use client::wire::{Code, StageName};
use environment::channel::{OwnedSemaphorePermit, Semaphore};
use environment::{Environment, Moment, timeout};
use machine::{Cluster, NodeId, SubmitError};

use crate::codes::{self, Refusal};
use crate::forward::{self, Forward, Forwarded};
use crate::limits::{self, Limits};
use crate::observe::{Notes, Observer};

/// Decides for each write where it goes.
pub(crate) struct Router {
    environment: Environment,
    cluster: Arc<dyn Cluster>,
    held: Arc<Semaphore>,
    hold_max: Duration,
    pub observer: Arc<Observer>,
}

/// A write on its way.
pub(crate) struct Work {
    /// Bytes that it takes while it is held.
    pub bytes: usize,
    /// To do it twice is the same as to do it once.
    pub repeatable: bool,
    /// How long one attempt may take.
    pub time_max: Duration,
    /// The same write as an HTTP request, for the leader.
    pub request: Forward,
}

impl Work {
    fn note(&self, note: impl FnOnce(&Notes)) {
        if let Some(notes) = &self.request.notes {
            note(notes);
        }
    }
}

/// Where a write was answered.
pub(crate) enum Routed<T> {
    /// By this node.
    Here(T),
    /// By the leader, to be passed on as it is.
    Elsewhere(Response),
}

/// What has become of one write so far.
pub(crate) struct Course {
    deadline: Moment,
    pause: Duration,
    holds: u32,
    /// Why it may have been applied, if it may.
    pub doubt: Option<String>,
    /// Its share of what this node holds, once it had to be held.
    place: Option<OwnedSemaphorePermit>,
}

impl Course {
    /// Refuses in the end; a doubt outlives every definite answer that came after it.
    pub fn refuse(&self, refusal: Refusal) -> Refusal {
        match &self.doubt {
            Some(why) if refusal.code() != Code::OutcomeUnknown => {
                let detail = format!("{why}, and then: {}", refusal.0.detail);
                codes::of_submit(&SubmitError::OutcomeUnknown(detail))
            }
            Some(_) | None => refusal,
        }
    }
}

impl Router {
    pub fn new(environment: Environment, cluster: Arc<dyn Cluster>, limits: &Limits, observer: Arc<Observer>) -> Self {
        Router {
            environment,
            cluster,
            held: Arc::new(Semaphore::new(limits.held_bytes_max.min(Semaphore::MAX_PERMITS))),
            hold_max: limits.hold_max,
            observer,
        }
    }

    /// Brings a write to the leader, wherever that is: `attempt` tries it at this node.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn route<T, F>(&self, work: &Work, attempt: impl Fn() -> F) -> Result<Routed<T>, Refusal>
    where
        F: Future<Output = Result<T, SubmitError>>,
    {
        let mut course = self.begin();
        loop {
            work.note(|notes| notes.submitted(self.observer.now()));
            let leader = match timeout(&self.environment, work.time_max, attempt()).await {
                Ok(Ok(value)) => return Ok(Routed::Here(value)),
                Ok(Err(SubmitError::NotLeader { leader })) => leader,
                Ok(Err(SubmitError::OutcomeUnknown(why))) if work.repeatable => {
                    course.doubt = Some(why);
                    None
                }
                Ok(Err(error)) => return Err(course.refuse(codes::of_submit(&error))),
                Err(_) => return Err(too_slow(work.time_max)),
            };
            let leader = leader.filter(|leader| *leader != self.cluster.status().node);
            if work.request.from_peer {
                return Err(course.refuse(self.not_leader(leader)));
            }
            let mut avoid = None;
            if let Some((node, address)) = leader.and_then(|node| Some((node, self.address(node)?))) {
                match self.forward(work, &address, &mut course).await? {
                    Some(response) => return Ok(Routed::Elsewhere(response)),
                    None => avoid = Some(node),
                }
            }
            let begun = self.observer.now();
            let held = self.hold(&mut course, work.bytes, avoid).await;
            work.note(|notes| notes.waited(StageName::Held, begun, self.observer.now()));
            held?;
        }
    }

    /// Passes a write on; none when it is to be tried again.
    async fn forward(&self, work: &Work, address: &str, course: &mut Course) -> Result<Option<Response>, Refusal> {
        let begun = self.observer.now();
        let forwarded = forward::forward(&self.environment, work.time_max, address, &work.request).await;
        work.note(|notes| notes.waited(StageName::Forwarded, begun, self.observer.now()));
        let measures = &self.observer.measures;
        match &forwarded {
            Forwarded::Answered(_) => measures.forwarded.increment(),
            Forwarded::NothingDone(_) => measures.forwarded_in_vain.increment(),
            Forwarded::Unknown(_) => measures.forwarded_unknown.increment(),
        }
        match forwarded {
            // What the leader says of this attempt says nothing of an earlier one that may have been applied.
            Forwarded::Answered(response) if course.doubt.is_some() && takes_nothing(&response) => {
                let why = course.doubt.take().unwrap_or_default();
                Err(codes::of_submit(&SubmitError::OutcomeUnknown(why)))
            }
            Forwarded::Answered(response) => Ok(Some(response)),
            Forwarded::NothingDone(why) => {
                tracing::debug!(address, why, "the leader did not take a forwarded request");
                Ok(None)
            }
            Forwarded::Unknown(why) if work.repeatable => {
                course.doubt = Some(why);
                Ok(None)
            }
            Forwarded::Unknown(why) => Err(codes::of_submit(&SubmitError::OutcomeUnknown(why))),
        }
    }

    /// The course of a write that arrives now.
    pub fn begin(&self) -> Course {
        Course {
            deadline: self.environment.clock.now() + self.hold_max,
            pause: limits::REROUTE_PAUSE,
            holds: 0,
            doubt: None,
            place: None,
        }
    }

    /// Waits until it is worth another try: for a leader, or for another one than `avoid`, which did not take it.
    ///
    /// # Errors
    /// This node holds too much already, or the write for too long.
    pub async fn hold(&self, course: &mut Course, bytes: usize, avoid: Option<NodeId>) -> Result<(), Refusal> {
        if course.place.is_none() {
            course.place = Some(self.place(bytes).map_err(|refusal| course.refuse(refusal))?);
        }
        let measures = &self.observer.measures;
        let _counted = (measures.held.hold(1), measures.held_bytes.hold(bytes as u64));
        let clock = &self.environment.clock;
        let begun = clock.now();
        let left = course.deadline - begun;
        if left.is_zero() {
            return Err(course.refuse(self.no_leader()));
        }
        // The leader that did not take it may still be the leader, and only have been restarted or just elected.
        let patience = match avoid {
            Some(_) => left.min(course.pause),
            None => left,
        };
        let known = self.cluster.leader_known(avoid);
        let _ = timeout(&self.environment, patience, known).await;
        // The first try after that comes at once; nodes that contradict each other do not make the later ones a busy
        // loop.
        if course.holds > 0 {
            self.environment
                .sleep(course.pause - (clock.now() - begun).min(course.pause))
                .await;
            course.pause = (course.pause * 2).min(limits::REROUTE_PAUSE_MAX);
        }
        course.holds += 1;
        Ok(())
    }

    /// Finds the leader's address for a client that goes there by itself, waiting for at most `limit` until there is a
    /// leader; none is found when there is still none.
    ///
    /// # Errors
    /// Too much is held already.
    pub async fn leader_http(
        &self,
        leader: Option<NodeId>,
        bytes: usize,
        limit: Duration,
    ) -> Result<Option<String>, Refusal> {
        if let Some(address) = leader.and_then(|leader| self.address(leader)) {
            return Ok(Some(address));
        }
        let _place = self.place(bytes)?;
        let known = self.cluster.leader_known(None);
        let _ = timeout(&self.environment, limit, known).await;
        Ok(self.cluster.status().leader.and_then(|leader| self.address(leader)))
    }

    /// The address at which a node serves the world, once that is known here.
    pub fn address(&self, node: NodeId) -> Option<String> {
        let catalog = self.cluster.catalog();
        Some(catalog.nodes.get(&node)?.http_address.clone())
    }

    /// The refusal of a write by a node that does not lead and is not to pass it on.
    pub fn not_leader(&self, leader: Option<NodeId>) -> Refusal {
        let address = leader.and_then(|leader| self.address(leader));
        codes::of_submit(&SubmitError::NotLeader { leader }).with_leader(address)
    }

    /// The refusal of a write for which no leader was found.
    pub fn no_leader(&self) -> Refusal {
        Refusal::new(
            Code::NoLeader,
            "no leader took the request in time, and nothing was done: a majority of the voters must be up and reach \
             each other; send it again after a pause, and see `GET /v1/status` for the members",
        )
    }

    fn place(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.held.clone().try_acquire_many_owned(permits).map_err(|_| {
            codes::of_submit(&SubmitError::Overloaded(
                "no leader is known, and this node holds as many requests as it may until there is one".into(),
            ))
        })
    }
}

pub(crate) fn too_slow(limit: Duration) -> Refusal {
    let waited = limit.as_secs();
    codes::of_submit(&SubmitError::OutcomeUnknown(format!(
        "the cluster did not answer within {waited} s"
    )))
}

/// Whether an answer says that the request was not even taken in.
fn takes_nothing(response: &Response) -> bool {
    use axum::http::StatusCode;
    [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::PAYLOAD_TOO_LARGE,
    ]
    .contains(&response.status())
}
