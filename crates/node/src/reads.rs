//! Reads: confirmed as fresh where asked for, then answered by threads of their own.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use environment::Environment;
use environment::channel::{mpsc, oneshot};
use host::{Host, Registry};
use machine::{BatchPage, EventPage, Index, Offset, Read, ReadAnswer, ReadError};
use parking_lot::RwLock;
use store::streams::StreamReader;

use crate::applier::Held;
use crate::condition::Condition;
use crate::limits::{READERS, READS_WAITING_MAX};

type Answer<T> = oneshot::Sender<Result<T, ReadError>>;

enum Job {
    Read(Read, Answer<ReadAnswer>),
    Events(String, Offset, usize, Answer<EventPage>),
    Batches(String, Range<Offset>, usize, Answer<BatchPage>),
}

/// Threads that answer reads.
#[derive(Clone)]
pub struct Readers {
    queues: Arc<Vec<mpsc::Sender<Job>>>,
    next: Arc<AtomicUsize>,
}

impl Readers {
    /// Starts them.
    pub fn start(
        environment: &Environment,
        held: &Arc<RwLock<Held>>,
        registry: &Registry,
        streams: &StreamReader,
        condition: &Condition,
    ) -> Readers {
        let queues = (0..READERS)
            .map(|_| {
                let (queue, jobs) = mpsc::channel(READS_WAITING_MAX / READERS);
                let reader = Reader {
                    held: held.clone(),
                    applications: registry.host(),
                    converter: registry.host(),
                    streams: streams.clone(),
                    condition: condition.clone(),
                };
                environment.spawn_worker("reader", reader.run(jobs));
                queue
            })
            .collect();
        Readers {
            queues: Arc::new(queues),
            next: Arc::default(),
        }
    }

    /// Answers a read from what is applied now.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self, read: Read) -> Result<ReadAnswer, ReadError> {
        self.ask(|answer| Job::Read(read, answer)).await
    }

    /// Events of a stream.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn events(&self, stream: String, from: Offset, bytes_max: usize) -> Result<EventPage, ReadError> {
        self.ask(|answer| Job::Events(stream, from, bytes_max, answer)).await
    }

    /// Events of a stream as they lie in its files.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn event_batches(
        &self,
        stream: String,
        range: Range<Offset>,
        bytes_max: usize,
    ) -> Result<BatchPage, ReadError> {
        self.ask(|answer| Job::Batches(stream, range, bytes_max, answer)).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, ReadError> {
        let (answer, wait) = oneshot::channel();
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        let stopping = || ReadError::Unavailable("the node is stopping".to_owned());
        self.queues[turn].send(job(answer)).await.map_err(|_| stopping())?;
        wait.await.unwrap_or_else(|_| Err(stopping()))
    }
}

struct Reader {
    held: Arc<RwLock<Held>>,
    applications: Host,
    converter: Host,
    streams: StreamReader,
    condition: Condition,
}

impl Reader {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            // Whoever asked may have gone.
            match job {
                Job::Read(read, answer) => drop(answer.send(self.read(&read))),
                Job::Events(stream, from, bytes_max, answer) => {
                    drop(answer.send(self.events(&stream, from, bytes_max)));
                }
                Job::Batches(stream, range, bytes_max, answer) => {
                    drop(answer.send(self.batches(&stream, range, bytes_max)));
                }
            }
        }
    }

    fn read(&mut self, read: &Read) -> Result<ReadAnswer, ReadError> {
        let held = self.held.read();
        let value = held
            .machine
            .read(read, &held.state, &mut self.applications, &mut self.converter)?;
        Ok(ReadAnswer {
            index: held.machine.applied(),
            value,
        })
    }

    fn events(&self, stream: &str, from: Offset, bytes_max: usize) -> Result<EventPage, ReadError> {
        match self.of_stream(stream, self.streams.read(stream, from, bytes_max))? {
            Some(page) => Ok(page),
            None => Ok(EventPage {
                events: Vec::new(),
                start: Offset(0),
                end: Offset(0),
            }),
        }
    }

    fn batches(&self, stream: &str, range: Range<Offset>, bytes_max: usize) -> Result<BatchPage, ReadError> {
        let next = range.start;
        match self.of_stream(stream, self.streams.read_batches(stream, range, bytes_max))? {
            Some(page) => Ok(page),
            None => Ok(BatchPage {
                batches: Bytes::new(),
                next,
                start: Offset(0),
                end: Offset(0),
            }),
        }
    }

    /// What was read of a stream; none where it is named in a manifest and never was written to.
    fn of_stream<T>(
        &self,
        stream: &str,
        read: Result<Option<T>, store::streams::Error>,
    ) -> Result<Option<T>, ReadError> {
        match read {
            Ok(None) if !self.held.read().machine.catalog().has_stream(stream) => {
                Err(ReadError::UnknownStream(stream.to_owned()))
            }
            Ok(page) => Ok(page),
            Err(store::streams::Error::Trimmed { stream, start }) => Err(ReadError::EventsTrimmed { stream, start }),
            Err(error) => {
                if let store::streams::Error::Damaged { .. } = error {
                    self.condition.damaged(&error.to_string());
                }
                Err(ReadError::Unavailable(error.to_string()))
            }
        }
    }
}

/// Asks the leader for the index that reads must wait for, once for all reads that wait at the time.
#[derive(Clone)]
pub struct Freshness {
    questions: mpsc::UnboundedSender<oneshot::Sender<Result<Index, ReadError>>>,
}

impl Freshness {
    /// Starts asking with `ask`, one round after the other.
    pub fn start<F>(environment: &Environment, ask: impl Fn() -> F + Send + Sync + 'static) -> Freshness
    where
        F: Future<Output = Result<Index, ReadError>> + Send,
    {
        let (questions, mut waiting) = mpsc::unbounded_channel::<oneshot::Sender<_>>();
        environment.spawn("read index", async move {
            while let Some(first) = waiting.recv().await {
                // Whoever comes after the round has begun must wait for the next one.
                let mut round = vec![first];
                while let Ok(next) = waiting.try_recv() {
                    round.push(next);
                }
                let answer = ask().await;
                for reader in round {
                    reader.send(answer.clone()).ok();
                }
            }
        });
        Freshness { questions }
    }

    /// The index that a read which begins now must wait for.
    ///
    /// # Errors
    /// [`ReadError::Unconfirmed`].
    pub async fn index(&self) -> Result<Index, ReadError> {
        let (answer, wait) = oneshot::channel();
        let stopping = || ReadError::Unavailable("the node is stopping".to_owned());
        self.questions.send(answer).map_err(|_| stopping())?;
        wait.await.unwrap_or_else(|_| Err(stopping()))
    }
}
