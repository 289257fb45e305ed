use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use environment::channel::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use environment::{Environment, Moment, timeout};

use crate::counters::Counters;
use crate::driver::{Answer, Ask, Call, Done, Driver, Ended, NewRequest, NewTogether};
use crate::wire::frames::{Get, Outcome, Reply, Row, Submit};
use crate::wire::{self, Code, CommandOutcome, CommandReply, Consistency, Problem};
use crate::{Counts, Error, Options, limits};

/// Submits commands to a cluster, exactly once each. Cloning shares connections, session and limits; the last clone
/// that is dropped closes them.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    environment: Environment,
    options: Options,
    /// Bounded by `places`: whoever sends holds one.
    requests: mpsc::UnboundedSender<Call>,
    places: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// A command, as [`Client::submit_all`] takes many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What the application calls it.
    pub name: Cow<'static, str>,
    /// Version of the payload.
    pub version: u16,
    /// The payload.
    pub payload: Bytes,
}

/// How a submitted command ended, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// As [`Client::submit`] gives it.
    pub result: Result<CommandReply, Error>,
    /// Times that it was sent: 1 when nothing had to be repeated, 0 when it never left.
    pub attempts: u32,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("options", &self.inner.options)
            .field("counts", &self.counts())
            .finish()
    }
}

impl Client {
    /// A client of the cluster at those addresses. Connects, and opens its session, when it is first used.
    ///
    /// # Errors
    /// [`Error::Invalid`], as [`Options::check`].
    pub fn connect(environment: Environment, options: Options) -> Result<Client, Error> {
        options.check()?;
        let (requests, callers) = mpsc::unbounded_channel();
        let counters = Arc::new(Counters::default());
        let driver = Driver::new(environment.clone(), options.clone(), counters.clone(), callers);
        environment.spawn("client", driver.run());
        let places = Arc::new(Semaphore::new(options.in_flight_max));
        Ok(Client {
            inner: Arc::new(Inner {
                environment,
                options,
                requests,
                places,
                counters,
            }),
        })
    }

    /// Runs a command, repeating it with the same session and sequence until it is answered or the deadline passes.
    /// A future that is dropped does not take the command back.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] when an attempt was left without an answer, [`Error::Unavailable`] when surely nothing
    /// was done, [`Error::Problem`] for failures of the application (nothing was changed) and requests that nobody can
    /// serve. A refusal by the application is a reply.
    pub async fn submit(
        &self,
        application: &str,
        command: &str,
        version: u16,
        payload: impl Into<Bytes>,
    ) -> Result<CommandReply, Error> {
        self.submit_traced(application, command, version, payload).await.result
    }

    /// As [`Client::submit`], and says how often it was sent.
    pub async fn submit_traced(
        &self,
        application: &str,
        command: &str,
        version: u16,
        payload: impl Into<Bytes>,
    ) -> Traced {
        let submit = Submit {
            claim: None,
            application: application.to_owned(),
            command: command.to_owned(),
            version,
            payload: payload.into(),
        };
        let done = match check(application, command, &submit.payload) {
            Ok(()) => self.ask(Ask::Submit(submit)).await,
            Err(error) => Done {
                result: Err(error),
                attempts: 0,
            },
        };
        let result = done.result.and_then(|answer| match answer {
            Answer::Reply(reply) => command_reply(reply),
            Answer::Session(_) | Answer::Row(_) => Err(mismatch()),
        });
        self.count(&result);
        Traced {
            result,
            attempts: done.attempts,
        }
    }

    /// Runs many commands of one application, each exactly as [`Client::submit`] would, for much less than a call for each:
    /// they share one deadline, and the caller wakes once, when all of them have ended. Gives the outcome of each, in the
    /// order of the commands.
    ///
    /// Nothing ties them together in the log: they go there in their order as long as nothing goes wrong, and one that is
    /// refused, fails or must be sent again holds up no other. Commands beyond [`Options::in_flight_max`] wait until those
    /// before them have ended.
    ///
    /// # Errors
    /// For each command as [`Client::submit`].
    pub async fn submit_all(&self, application: &str, commands: Vec<Command>) -> Vec<Result<CommandReply, Error>> {
        let checked: Vec<Result<(), Error>> = commands
            .iter()
            .map(|command| check(application, &command.name, &command.payload))
            .collect();
        let good = commands.into_iter().zip(&checked);
        let good = good.filter_map(|(command, checked)| checked.is_ok().then_some(command));
        let mut ended = self.ask_together(application, good.collect()).await.into_iter();
        let results = checked.into_iter().map(|checked| {
            let result = checked.and_then(|()| match ended.next().flatten() {
                Some(Ok(Answer::Reply(reply))) => command_reply(reply),
                Some(Ok(Answer::Session(_) | Answer::Row(_))) => Err(mismatch()),
                Some(Err(error)) => Err(error),
                None => Err(task_ended()),
            });
            self.count(&result);
            result
        });
        results.collect()
    }

    /// Brings somebody else's request to the leader as it is, with its claim. One that carries a claim is repeated as
    /// it is; one without is never sent again once it may have been received. For nodes that hand requests on.
    ///
    /// # Errors
    /// As [`Client::submit`], but every reply of the cluster is a reply here, an expired session too.
    pub async fn forward(&self, submit: Submit) -> Result<Reply, Error> {
        check(&submit.application, &submit.command, &submit.payload)?;
        let result = match self.ask(Ask::Forward(submit)).await.result {
            Ok(Answer::Reply(reply)) => Ok(reply),
            Ok(Answer::Session(_) | Answer::Row(_)) => Err(mismatch()),
            Err(error) => Err(error),
        };
        self.count(&result);
        result
    }

    /// Opens a session for somebody else; the client's own needs no call.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Problem`].
    pub async fn open_session(&self) -> Result<u64, Error> {
        let result = match self.ask(Ask::OpenSession).await.result {
            Ok(Answer::Session(session)) => Ok(session),
            Ok(Answer::Reply(_) | Answer::Row(_)) => Err(mismatch()),
            Err(error) => Err(error),
        };
        self.count(&result);
        result
    }

    /// Reads one row by its key: its document in the shape of the version in force, or none where there is no such row,
    /// and the index that it shows. It is asked again until it is answered or the deadline passes; many may be in flight
    /// on the one connection, to the leader.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Problem`] for what nobody can answer: an unknown application or table.
    pub async fn get(
        &self,
        application: &str,
        table: &str,
        key: impl AsRef<[u8]>,
        consistency: Consistency,
    ) -> Result<(u64, Option<Bytes>), Error> {
        let get = Get {
            application: application.to_owned(),
            table: table.to_owned(),
            key: Bytes::copy_from_slice(key.as_ref()),
            stale: consistency == Consistency::Stale,
        };
        let names = [("application", application), ("table", table)];
        let result = match check_names(names).and_then(|()| check_key(&get.key)) {
            Ok(()) => self.ask(Ask::Get(get)).await.result,
            Err(error) => Err(error),
        };
        let result = match result {
            // A copy, since the bytes share a read buffer that is many times larger than most documents.
            Ok(Answer::Row(Row { index, document })) => {
                Ok((index, document.map(|document| Bytes::copy_from_slice(&document))))
            }
            Ok(Answer::Reply(_) | Answer::Session(_)) => Err(mismatch()),
            Err(error) => Err(error),
        };
        self.count(&result);
        result
    }

    /// What this client, with all its clones, has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.counters.read()
    }

    /// How it reaches the cluster.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    async fn ask(&self, ask: Ask) -> Done {
        let inner = &self.inner;
        inner.counters.requests.add();
        let deadline = inner.environment.clock.now() + inner.options.deadline;
        let permit = match self.places(1, deadline).await {
            Ok(permit) => permit,
            Err(error) => {
                return Done {
                    result: Err(error),
                    attempts: 0,
                };
            }
        };
        let (answer, done) = oneshot::channel();
        if inner
            .requests
            .send(Call::One(NewRequest {
                ask,
                deadline,
                permit,
                answer,
            }))
            .is_err()
        {
            return Done {
                result: Err(no_task()),
                attempts: 0,
            };
        }
        match done.await {
            Ok(done) => done,
            Err(_) => Done {
                result: Err(task_ended()),
                attempts: 0,
            },
        }
    }

    /// Gives how each command ended, in their order.
    async fn ask_together(&self, application: &str, commands: Vec<Command>) -> Vec<Ended> {
        let inner = &self.inner;
        inner.counters.requests.add_many(commands.len() as u64);
        let deadline = inner.environment.clock.now() + inner.options.deadline;
        let count_max = inner.options.in_flight_max.min(limits::TOGETHER_MAX);
        let mut commands = commands.into_iter().peekable();
        let mut waiting = Vec::new();
        while commands.peek().is_some() {
            let commands: Vec<Command> = commands.by_ref().take(count_max).collect();
            waiting.push(self.ask_some(application, commands, deadline).await);
        }
        let mut ended = Vec::new();
        for (count, waiting) in waiting {
            let before = ended.len();
            match waiting {
                Ok(waiting) => ended.extend(waiting.await.unwrap_or_default()),
                Err(error) => ended.extend((0..count).map(|_| Some(Err(error.clone())))),
            }
            ended.resize_with(before + count, || None);
        }
        ended
    }

    /// Hands commands to the driver, as soon as there are places for them: how many, and where their ends will come.
    async fn ask_some(
        &self,
        application: &str,
        commands: Vec<Command>,
        deadline: Moment,
    ) -> (usize, Result<oneshot::Receiver<Vec<Ended>>, Error>) {
        let count = commands.len();
        let permit = match self.places(count, deadline).await {
            Ok(permit) => permit,
            Err(error) => return (count, Err(error)),
        };
        let (answer, ended) = oneshot::channel();
        let together = NewTogether {
            application: application.to_owned(),
            commands,
            deadline,
            permit,
            answer,
        };
        match self.inner.requests.send(Call::Together(together)) {
            Ok(()) => (count, Ok(ended)),
            Err(_) => (count, Err(no_task())),
        }
    }

    /// Places among the requests in flight.
    async fn places(&self, count: usize, deadline: Moment) -> Result<OwnedSemaphorePermit, Error> {
        let inner = &self.inner;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Ok(permit) = inner.places.clone().try_acquire_many_owned(count) {
            return Ok(permit);
        }
        let left = deadline - inner.environment.clock.now();
        match timeout(&inner.environment, left, inner.places.clone().acquire_many_owned(count)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Error::Unavailable(format!(
                "{} requests were in flight for the whole of {} ms: send fewer at once",
                inner.options.in_flight_max,
                inner.options.deadline.as_millis()
            ))),
        }
    }

    fn count<T>(&self, result: &Result<T, Error>) {
        if let Err(error) = result {
            self.inner.counters.failed.add();
            if error.is_outcome_unknown() {
                self.inner.counters.unknown.add();
            }
        }
    }
}

/// What no cluster would take is not sent.
fn check(application: &str, command: &str, payload: &[u8]) -> Result<(), Error> {
    check_names([("application", application), ("command", command)])?;
    if payload.len() > wire::limits::COMMAND_BYTES_MAX {
        let text = format!(
            "the payload has {} bytes, more than the {} that a command may have: split it",
            payload.len(),
            wire::limits::COMMAND_BYTES_MAX
        );
        return Err(Error::problem(Code::TooLarge, text));
    }
    Ok(())
}

fn check_names(names: [(&str, &str); 2]) -> Result<(), Error> {
    for (what, name) in names {
        if name.len() > wire::limits::NAME_BYTES_MAX {
            let text = format!("the name of the {what} has {} bytes: no name has that many", name.len());
            return Err(Error::problem(Code::TooLarge, text));
        }
    }
    Ok(())
}

fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.len() <= wire::limits::COMMAND_BYTES_MAX {
        return Ok(());
    }
    let text = format!("the key has {} bytes: no row's key has that many", key.len());
    Err(Error::problem(Code::TooLarge, text))
}

/// Nothing was sent.
fn no_task() -> Error {
    Error::Unavailable("the client's task has ended with its runtime".into())
}

/// Something may have been sent.
fn task_ended() -> Error {
    Error::OutcomeUnknown("the client's task has ended with its runtime".into())
}

fn mismatch() -> Error {
    Error::OutcomeUnknown("an answer of another kind than the request".into())
}

fn command_reply(reply: Reply) -> Result<CommandReply, Error> {
    let (outcome, bytes) = match reply.outcome {
        Outcome::Applied(bytes) => (CommandOutcome::Applied, bytes),
        Outcome::Refused(bytes) => (CommandOutcome::Refused, bytes),
        Outcome::Failed(failure) => {
            let problem = Problem::new(failure.code, failure.detail).at(reply.index);
            return Err(Error::Problem(Box::new(problem)));
        }
        Outcome::SessionExpired => return Err(Error::OutcomeUnknown("the session has expired".into())),
    };
    // A copy, since the bytes share a read buffer that is many times larger than most replies.
    Ok(CommandReply {
        index: reply.index,
        outcome,
        reply: Bytes::copy_from_slice(&bytes),
    })
}
