//! The one task that owns a client's state: requests, sessions, connections. Callers and connections speak to it by
//! events; it never waits for anything else.

mod answers;
mod link;
mod pending;
mod sessions;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use environment::channel::mpsc;
use environment::{BoxFuture, Environment, Moment};

use crate::addresses::Addresses;
use crate::counters::Counters;
use crate::wire::Code;
use crate::wire::frames::{self, FromClient, FromServer, Hello};
use crate::{Error, Options, limits};

use link::{Link, LinkId, Made};
use pending::{Caller, Kind, Pending, Ticket};
use sessions::Sessions;
use together::Together;

pub(crate) use pending::{Answer, Ask, Call, Done, NewRequest};
pub(crate) use together::{Ended, NewTogether};

/// All that can wake the driver, apart from time.
enum Event {
    /// A caller asks.
    Called(Call),
    /// Nobody can ask any more.
    CallersGone,
    /// A connection has exchanged its first frames.
    Connected(LinkId, Made),
    /// A connection could not be made, or has ended.
    Lost(LinkId, String),
    /// Answers by correlation id.
    Answers(LinkId, Vec<(u64, FromServer)>),
}

/// Where requests go now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// Nowhere; not before that moment.
    None(Moment),
    /// To a connection that is being made.
    Connecting(LinkId, String),
    /// There.
    Linked(LinkId),
}

pub(crate) struct Driver {
    environment: Environment,
    options: Options,
    counters: Arc<Counters>,
    callers: mpsc::UnboundedReceiver<Call>,
    events: mpsc::Receiver<Event>,
    events_sender: mpsc::Sender<Event>,
    timer: Option<(Moment, BoxFuture<'static, ()>)>,

    addresses: Addresses,
    cluster: Option<u64>,
    route: Route,
    /// The one of the route, and those left that still owe answers.
    links: BTreeMap<LinkId, Link>,
    link_next: u64,
    /// Times in a row that the route failed.
    failures: u32,
    /// Redirections by first frames in a row.
    hops: u32,
    /// Why the last thing that failed did.
    reason: String,

    sessions: Sessions,
    /// The request for our session, while there is one.
    opening: Option<Ticket>,
    /// Boxed, since a map moves what it holds.
    requests: BTreeMap<Ticket, Box<Pending>>,
    /// Commands among those that a caller waits for together, by the first one's ticket.
    together: BTreeMap<Ticket, Together>,
    ticket_next: Ticket,
    /// Requests that have no place in a session yet.
    unclaimed: BTreeSet<Ticket>,
    /// Requests to be sent as soon as there is a link.
    ready: BTreeSet<Ticket>,
    /// Requests that pause.
    delayed: BTreeSet<(Moment, Ticket)>,
    /// When callers stop waiting; one for each caller. Of those that wait for several requests, with the first ticket.
    deadlines: BTreeSet<(Moment, Ticket)>,
}

impl Driver {
    pub(crate) fn new(
        environment: Environment,
        options: Options,
        counters: Arc<Counters>,
        callers: mpsc::UnboundedReceiver<Call>,
    ) -> Self {
        let (events_sender, events) = mpsc::channel(limits::EVENTS_MAX);
        Driver {
            addresses: Addresses::new(&options.addresses),
            environment,
            options,
            counters,
            callers,
            events,
            events_sender,
            timer: None,
            cluster: None,
            route: Route::None(Moment::default()),
            links: BTreeMap::new(),
            link_next: 1,
            failures: 0,
            hops: 0,
            reason: String::new(),
            sessions: Sessions::default(),
            opening: None,
            requests: BTreeMap::new(),
            together: BTreeMap::new(),
            ticket_next: 1,
            unclaimed: BTreeSet::new(),
            ready: BTreeSet::new(),
            delayed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Runs until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            self.wait(&mut batch).await;
            let now = self.environment.clock.now();
            for event in batch.drain(..) {
                match event {
                    Event::Called(Call::One(request)) => self.accept(request),
                    Event::Called(Call::Together(request)) => self.accept_together(request),
                    Event::CallersGone => return,
                    Event::Connected(id, made) => self.connected(id, made, now),
                    Event::Lost(id, reason) => self.lost(id, reason, now),
                    Event::Answers(id, answers) => self.answered(id, answers, now),
                }
            }
            self.expire(now);
            self.drop_silent_links(now);
            self.wake_delayed(now);
            self.connect_if_needed(now);
            self.give_places();
            self.send_ready(now);
        }
    }

    /// Waits for events, or for the moment at which something is due.
    async fn wait(&mut self, batch: &mut Vec<Event>) {
        let mut requests = Vec::new();
        poll_fn(|context| {
            match self.callers.poll_recv_many(context, &mut requests, limits::BATCH_MAX) {
                Poll::Ready(0) => batch.push(Event::CallersGone),
                Poll::Ready(_) => batch.extend(requests.drain(..).map(Event::Called)),
                Poll::Pending => {}
            }
            let _ = self.events.poll_recv_many(context, batch, limits::EVENTS_MAX);
            if !batch.is_empty() {
                return Poll::Ready(());
            }
            let Some(due) = self.next_due() else {
                return Poll::Pending;
            };
            let clock = &self.environment.clock;
            let (at, mut timer) = match self.timer.take() {
                Some((at, timer)) if at <= due => (at, timer),
                Some(_) | None => (due, clock.sleep_until(due)),
            };
            match timer.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => {
                    self.timer = Some((at, timer));
                    Poll::Pending
                }
            }
        })
        .await;
    }

    fn next_due(&self) -> Option<Moment> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let delayed = self.delayed.first().map(|(at, _)| *at);
        let silent = self.links.values().filter_map(Link::dead_at).min();
        let connect = match &self.route {
            Route::None(at) if !self.deadlines.is_empty() => Some(*at),
            Route::None(_) | Route::Connecting(..) | Route::Linked(_) => None,
        };
        [deadline, delayed, silent, connect].into_iter().flatten().min()
    }

    fn accept(&mut self, request: NewRequest) {
        let ticket = self.new_ticket();
        self.deadlines.insert((request.deadline, ticket));
        let pending = Pending::new(request);
        self.requests.insert(ticket, Box::new(pending));
        self.make_ready(ticket);
    }

    fn accept_together(&mut self, request: NewTogether) {
        let first = self.ticket_next;
        let together = Together::new(request, first);
        self.deadlines.insert((together.deadline(), first));
        let tickets = together.tickets();
        self.ticket_next = tickets.end;
        self.together.insert(first, together);
        for ticket in tickets {
            // Most find a place at once, and need not wait for one.
            let slot = match self.unclaimed.is_empty() {
                true => self.sessions.take(),
                false => None,
            };
            match slot {
                Some(_) => self.ready.insert(ticket),
                None => self.unclaimed.insert(ticket),
            };
            self.requests.insert(ticket, Box::new(Pending::one_of(first, slot)));
        }
    }

    fn new_ticket(&mut self) -> Ticket {
        let ticket = self.ticket_next;
        self.ticket_next += 1;
        ticket
    }

    /// Puts a request where its next step will be taken.
    fn make_ready(&mut self, ticket: Ticket) {
        match self.requests.get(&ticket) {
            Some(pending) if pending.kind == Kind::Own && pending.slot.is_none() => self.unclaimed.insert(ticket),
            Some(_) => self.ready.insert(ticket),
            None => false,
        };
    }

    fn connect_if_needed(&mut self, now: Moment) {
        match &self.route {
            Route::None(at) if *at <= now && !self.deadlines.is_empty() => {}
            Route::None(_) | Route::Connecting(..) | Route::Linked(_) => return,
        }
        let id = LinkId(self.link_next);
        self.link_next += 1;
        let address = self.addresses.choose();
        let hello = Hello {
            version_min: frames::VERSION_MIN,
            version_max: frames::VERSION_MAX,
            cluster: self.cluster,
            name: self.options.name.clone(),
            binary: env!("CARGO_PKG_VERSION").into(),
        };
        let events = self.events_sender.clone();
        let connect = link::run_connect(self.environment.clone(), id, address.clone(), hello, events);
        self.environment.spawn("client-connect", connect);
        self.route = Route::Connecting(id, address);
    }

    fn connected(&mut self, id: LinkId, made: Made, now: Moment) {
        let address = match &self.route {
            Route::Connecting(connecting, address) if *connecting == id => address.clone(),
            Route::Connecting(..) | Route::None(_) | Route::Linked(_) => return,
        };
        self.counters.connects.add();
        if self.cluster.is_some_and(|cluster| cluster != made.hello.cluster) {
            self.addresses.of_no_use(&address, now);
            return self.stumble(format!("{address} belongs to another cluster than before"), now);
        }
        self.cluster = Some(made.hello.cluster);
        self.addresses.learn(&made.hello.members_http);
        if let Some(leader) = &made.hello.leader_http
            && *leader != address
            && self.hops < limits::HOPS_MAX
            && self.addresses.follow(leader, now)
        {
            // Better to go there before anything is sent than after it has been sent back.
            self.hops += 1;
            self.counters.leader_moves.add();
            self.route = Route::None(now);
            return;
        }
        let link = Link::start(&self.environment, id, address, made, &self.events_sender);
        self.links.insert(id, link);
        self.route = Route::Linked(id);
    }

    /// The route cannot be used: the next is tried, at once the first time, later after pauses.
    fn stumble(&mut self, reason: String, now: Moment) {
        tracing::debug!(client = %self.options.name, %reason, failures = self.failures, "looking for another node");
        self.failures += 1;
        self.reason = reason;
        self.route = Route::None(now + limits::pause(self.failures));
    }

    fn lost(&mut self, id: LinkId, reason: String, now: Moment) {
        match &self.route {
            Route::Connecting(connecting, address) if *connecting == id => {
                let address = address.clone();
                self.addresses.unreachable(&address, now);
                return self.stumble(format!("{address}: {reason}"), now);
            }
            Route::Connecting(..) | Route::None(_) | Route::Linked(_) => {}
        }
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        let reason = format!("{}: {reason}", link.address);
        if self.route == Route::Linked(id) {
            if link.outstanding > 0 {
                self.counters.disconnects.add();
            }
            self.addresses.unreachable(&link.address, now);
            self.stumble(reason.clone(), now);
        }
        let waiting: Vec<Ticket> = self
            .requests
            .iter()
            .filter(|(_, pending)| pending.on == Some(id))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in waiting {
            self.attempt_lost(ticket, &reason);
        }
    }

    /// An attempt has ended without an answer.
    fn attempt_lost(&mut self, ticket: Ticket, reason: &str) {
        let Some(pending) = self.requests.get_mut(&ticket) else {
            return;
        };
        pending.on = None;
        pending.doubt = true;
        if pending.is_repeatable() {
            self.make_ready(ticket);
        } else {
            self.finish(
                ticket,
                Err(Error::OutcomeUnknown(format!(
                    "{reason}; it carries no session, so it is not repeated"
                ))),
            );
        }
    }

    fn drop_silent_links(&mut self, now: Moment) {
        let silent: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.dead_at().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.lost(id, format!("no answer for {} ms", limits::SILENCE.as_millis()), now);
        }
    }

    fn expire(&mut self, now: Moment) {
        while let Some((at, ticket)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.remove(&(at, ticket));
            let mut reason = format!("no answer within {} ms", self.options.deadline.as_millis());
            if !self.reason.is_empty() {
                reason = format!("{reason}; the last error was: {}", self.reason);
            }
            match self.together.get(&ticket).map(Together::tickets) {
                Some(tickets) => tickets.for_each(|ticket| self.give_up(ticket, reason.clone())),
                None => self.give_up(ticket, reason),
            }
        }
    }

    /// Nobody waits for the request any longer, if it is not finished.
    fn give_up(&mut self, ticket: Ticket, reason: String) {
        let error = match self.requests.get(&ticket).is_some_and(|pending| pending.is_in_doubt()) {
            true => Error::OutcomeUnknown(reason),
            false => Error::Unavailable(reason),
        };
        self.finish(ticket, Err(error));
    }

    fn delay(&mut self, ticket: Ticket, now: Moment) {
        if let Some(pending) = self.requests.get_mut(&ticket) {
            pending.repeats += 1;
            // The node that asks for a pause gets one, from the first repeat on.
            let until = now + limits::pause(pending.repeats + 1);
            pending.delayed = Some(until);
            self.delayed.insert((until, ticket));
        }
    }

    fn wake_delayed(&mut self, now: Moment) {
        while let Some((at, ticket)) = self.delayed.first().copied()
            && at <= now
        {
            self.delayed.remove(&(at, ticket));
            if let Some(pending) = self.requests.get_mut(&ticket) {
                pending.delayed = None;
            }
            self.make_ready(ticket);
        }
    }

    /// Gives requests their places in our session; asks for a session if there is none.
    fn give_places(&mut self) {
        while let Some(ticket) = self.unclaimed.first().copied()
            && let Some(slot) = self.sessions.take()
        {
            self.unclaimed.remove(&ticket);
            match self.requests.get_mut(&ticket) {
                Some(pending) => {
                    pending.slot = Some(slot);
                    self.ready.insert(ticket);
                }
                None => self.sessions.finished(slot),
            }
        }
        if !self.unclaimed.is_empty() && !self.sessions.is_open() && self.opening.is_none() {
            let ticket = self.new_ticket();
            self.requests.insert(ticket, Box::new(Pending::session_for_us()));
            self.opening = Some(ticket);
            self.ready.insert(ticket);
        }
    }

    fn send_ready(&mut self, now: Moment) {
        let Route::Linked(id) = self.route else {
            return;
        };
        let mut too_large = Vec::new();
        if let Some(link) = self.links.get_mut(&id) {
            for ticket in std::mem::take(&mut self.ready) {
                let Some(pending) = self.requests.get_mut(&ticket) else {
                    continue;
                };
                let claim = pending.slot.map(|slot| self.sessions.claim(slot));
                let sent = match (pending.frame.as_deref_mut(), &pending.caller) {
                    (Some(frame), _) => {
                        if let (Some(claim), FromClient::Submit(submit)) = (claim, &mut *frame) {
                            submit.claim = Some(claim);
                        }
                        link.send(now, |out| frame.encode(ticket, out))
                    }
                    (None, Some(Caller::Together(first))) => {
                        let together = self.together.get(first);
                        let Some(submit) = together.and_then(|together| together.submit(ticket, claim)) else {
                            continue;
                        };
                        link.send(now, |out| submit.encode(ticket, out))
                    }
                    (None, Some(Caller::Alone { .. }) | None) => continue,
                };
                if let Err(error) = sent {
                    too_large.push((ticket, error));
                    continue;
                }
                pending.on = Some(id);
                if pending.caller.is_some() {
                    self.counters.attempts.add();
                    if pending.attempts > 0 {
                        self.counters.retries.add();
                    }
                }
                pending.attempts += 1;
            }
            link.flush();
        }
        for (ticket, error) in too_large {
            self.finish(ticket, Err(Error::problem(Code::TooLarge, error.to_string())));
        }
    }

    /// Ends a request and tells its caller.
    fn finish(&mut self, ticket: Ticket, result: Result<Answer, Error>) {
        let Some(pending) = self.requests.remove(&ticket) else {
            return;
        };
        self.unclaimed.remove(&ticket);
        self.ready.remove(&ticket);
        if let Some(until) = pending.delayed {
            self.delayed.remove(&(until, ticket));
        }
        if let Some(slot) = pending.slot {
            self.sessions.finished(slot);
        }
        match pending.caller {
            Some(Caller::Alone { deadline, answer, .. }) => {
                self.deadlines.remove(&(deadline, ticket));
                // A caller that no longer waits wants no answer.
                let _ = answer.send(Done {
                    result,
                    attempts: pending.attempts,
                });
            }
            Some(Caller::Together(first)) => self.finish_one_of(first, ticket, result),
            None => {}
        }
    }

    fn finish_one_of(&mut self, first: Ticket, ticket: Ticket, result: Result<Answer, Error>) {
        let all_ended = self
            .together
            .get_mut(&first)
            .is_some_and(|together| together.finish(ticket, result));
        if all_ended && let Some(together) = self.together.remove(&first) {
            self.deadlines.remove(&(together.deadline(), first));
            together.tell();
        }
    }
}
