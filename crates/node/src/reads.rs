//! Reads: confirmed as fresh where asked for, then answered by threads of their own.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use environment::Environment;
use environment::channel::{mpsc, oneshot};
use host::{Host, Registry};
use machine::{
    Applications, BatchPage, Catalog, Event, EventPage, Index, Miscast, Offset, Read, ReadAnswer, ReadError,
};
use parking_lot::RwLock;
use store::streams::StreamReader;

use crate::applier::Held;
use crate::condition::Condition;
use crate::limits::{DOWNCAST_PAGE_FUEL, READERS, READS_WAITING_MAX};

type Answer<T> = oneshot::Sender<Result<T, ReadError>>;

enum Job {
    Read(Read, Answer<ReadAnswer>),
    Events(Wanted, Answer<EventPage>),
    Batches(String, Range<Offset>, usize, Answer<BatchPage>),
}

/// Which events.
struct Wanted {
    stream: String,
    from: Offset,
    bytes_max: usize,
    /// The version that those of a later one are brought down into.
    version: Option<u16>,
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

    /// Events of a stream; those of a later version than `version`, where one is given, are brought down into it.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn events(
        &self,
        stream: String,
        from: Offset,
        bytes_max: usize,
        version: Option<u16>,
    ) -> Result<EventPage, ReadError> {
        let wanted = Wanted {
            stream,
            from,
            bytes_max,
            version,
        };
        self.ask(|answer| Job::Events(wanted, answer)).await
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
                Job::Events(_, answer) if answer.is_closed() => {}
                Job::Events(wanted, answer) => drop(answer.send(self.events(&wanted))),
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

    fn events(&mut self, wanted: &Wanted) -> Result<EventPage, ReadError> {
        let stream = &wanted.stream;
        match self.of_stream(stream, self.streams.read(stream, wanted.from, wanted.bytes_max))? {
            Some(page) => match wanted.version {
                Some(version) => self.brought_down(stream, page, version, wanted.bytes_max),
                None => Ok(page),
            },
            None => Ok(EventPage {
                events: Vec::new(),
                start: Offset(0),
                end: Offset(0),
            }),
        }
    }

    /// Events of later versions brought into that one: as many of the page as can be, and an error where the first cannot.
    fn brought_down(
        &mut self,
        stream: &str,
        mut page: EventPage,
        version: u16,
        bytes_max: usize,
    ) -> Result<EventPage, ReadError> {
        if page.events.iter().all(|event| event.version <= version) {
            return Ok(page);
        }
        let catalog = self.held.read().machine.catalog().clone();
        let spent_before = self.applications.fuel_spent_in_all();
        let (mut bytes, mut end) = (0, Ok(page.events.len()));
        for (place, event) in page.events.iter_mut().enumerate() {
            // Others wait for this thread, and a program may make much of little.
            let spent = self.applications.fuel_spent_in_all().saturating_sub(spent_before);
            if bytes >= bytes_max || spent >= DOWNCAST_PAGE_FUEL {
                end = Ok(place);
                break;
            }
            if event.version > version {
                match self.bring(&catalog, stream, event, version) {
                    Ok(value) => (event.value, event.version) = (value, version),
                    Err(error) => {
                        end = if place == 0 { Err(error) } else { Ok(place) };
                        break;
                    }
                }
            }
            bytes += event.value.len();
        }
        self.applications.end_entry();
        page.events.truncate(end?);
        Ok(page)
    }

    /// The value of an event in an earlier version.
    fn bring(&mut self, catalog: &Catalog, stream: &str, event: &Event, version: u16) -> Result<Bytes, ReadError> {
        let unserved = |why: String| ReadError::EventVersionUnserved {
            stream: stream.to_owned(),
            offset: event.offset,
            version,
            why,
        };
        let Some(way) = catalog.way_down(stream, event.version, version) else {
            return Err(unserved(format!(
                "it was emitted in version {}, and no version of the application that was in force has a downcast from there: \
                 bring one whose manifest has it, or ask for version {}",
                event.version, event.version
            )));
        };
        let value = &event.value;
        let mut brought = way.bring(value, &mut self.applications);
        if let Err(Miscast::Failed(_)) = brought {
            // What was run before it on the same instance may have left too little for it.
            self.applications.end_entry();
            brought = way.bring(value, &mut self.applications);
        }
        brought.map_err(|error| match error {
            Miscast::Failed(why) => unserved(why),
            // For reasons of this node alone, and for now.
            Miscast::Stop(stop) => ReadError::Unavailable(stop.reason().to_owned()),
        })
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
