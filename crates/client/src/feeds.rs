//! Answers that go on, from whichever node answers: events of a stream, a change, everything that happens.

use environment::timeout;
use serde::de::DeserializeOwned;

use crate::http::{Batches, Http, HttpRequest, Lines, escape, query_string};
use crate::wire::{ChangeRecord, EventRecord, RECORD_BATCH_MEDIA_TYPE, RecordBatch, WatchRecord};
use crate::{Error, limits};

/// Events of a stream, in order and without gaps, from whichever node answers.
#[derive(Debug)]
pub struct Events {
    http: Http,
    stream: String,
    /// None before the first event of a stream that is read from its start.
    next: Option<u64>,
    follow: bool,
    version: Option<u16>,
    source: Option<Source>,
}

/// Where events come from.
#[derive(Debug)]
enum Source {
    /// From a node that knows no other form, or where another version than the one emitted is asked for.
    Lines(Option<Lines>),
    Batches(Batches, Option<RecordBatch>),
}

impl Events {
    pub(crate) fn new(http: Http, stream: &str, from: Option<u64>, follow: bool) -> Self {
        Events {
            http,
            stream: stream.to_owned(),
            next: from,
            follow,
            version: None,
            source: None,
        }
    }

    /// With events that were emitted in a later version brought down into this one; none: as they were emitted.
    #[must_use]
    pub fn in_version(mut self, version: Option<u16>) -> Self {
        self.version = version;
        self
    }

    /// The next event; none at the end of the stream, unless it is followed. May be dropped while it waits without
    /// losing anything.
    ///
    /// # Errors
    /// As [`Http::send`], and [`Error::Unreadable`] when the events that come are not those asked for.
    pub async fn next(&mut self) -> Result<Option<EventRecord>, Error> {
        loop {
            let event = match self.record().await? {
                Record::Some(event) => event,
                Record::End if !self.follow => return Ok(None),
                // The node that served it is stopping.
                Record::End | Record::Broken => continue,
            };
            if let Some(next) = self.next
                && event.offset != next
            {
                let (stream, offset) = (&self.stream, event.offset);
                let what = format!("event {offset} of stream {stream} where {next} was expected");
                return Err(self.unreadable(what));
            }
            self.next = Some(event.offset + 1);
            return Ok(Some(event));
        }
    }

    /// The offset of the event that comes next; none before the first of a stream that is read from its start.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.next
    }

    async fn record(&mut self) -> Result<Record<EventRecord>, Error> {
        let source = match &mut self.source {
            Some(source) => source,
            None => {
                let opened = self.open().await?;
                self.source.insert(opened)
            }
        };
        let record = match source {
            Source::Lines(lines) => next_of(&self.http, lines).await?,
            Source::Batches(batches, current) => match next_in(&self.http, batches, current).await {
                Ok(record) => record,
                Err(Error::Unreadable { what, .. }) => return Err(self.unreadable(what)),
                Err(error) => return Err(error),
            },
        };
        if let Record::End | Record::Broken = record {
            self.source = None;
        }
        Ok(record)
    }

    async fn open(&self) -> Result<Source, Error> {
        let query = query_string(&[
            ("from", self.next.map(|from| from.to_string())),
            ("follow", self.follow.then(|| "true".to_owned())),
            ("event_version", self.version.map(|version| version.to_string())),
        ]);
        let path = format!("/v1/streams/{}{query}", escape(&self.stream));
        let accept = format!("{RECORD_BATCH_MEDIA_TYPE}, application/x-ndjson;q=0.5");
        let request = HttpRequest::get(path).header("accept", accept);
        let (address, answer) = self.http.send_for_body(&request).await?;
        let batches = answer
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes() == RECORD_BATCH_MEDIA_TYPE.as_bytes());
        let body = answer.into_body();
        Ok(match batches {
            true => Source::Batches(Batches::new(address, body), None),
            false => Source::Lines(Some(Lines::new(address, body))),
        })
    }

    /// What the present source gave is not what was asked for; the next call asks anew.
    fn unreadable(&mut self, what: String) -> Error {
        let address = match self.source.take() {
            Some(Source::Lines(Some(lines))) => lines.address().to_owned(),
            Some(Source::Batches(batches, _)) => batches.address().to_owned(),
            Some(Source::Lines(None)) | None => String::new(),
        };
        Error::Unreadable { address, what }
    }
}

/// The next event of `current`, or of the next batch that has one.
async fn next_in(
    http: &Http,
    batches: &mut Batches,
    current: &mut Option<RecordBatch>,
) -> Result<Record<EventRecord>, Error> {
    loop {
        match current.as_mut().and_then(Iterator::next) {
            Some(Ok(event)) => return Ok(Record::Some(event)),
            Some(Err(what)) => {
                return Err(Error::Unreadable {
                    address: batches.address().to_owned(),
                    what: what.to_owned(),
                });
            }
            None => {}
        }
        match in_time(http, batches.next()).await? {
            Record::Some(batch) => *current = Some(batch),
            Record::End => return Ok(Record::End),
            Record::Broken => return Ok(Record::Broken),
        }
    }
}

/// The record of a change, each time it changes.
#[derive(Debug)]
pub struct ChangeWatch {
    http: Http,
    id: u64,
    lines: Option<Lines>,
    last: Option<ChangeRecord>,
}

impl ChangeWatch {
    pub(crate) fn new(http: Http, id: u64) -> Self {
        ChangeWatch {
            http,
            id,
            lines: None,
            last: None,
        }
    }

    /// The next record that differs from the last; none after one that is final. May be dropped while it waits without
    /// losing anything.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn next(&mut self) -> Result<Option<ChangeRecord>, Error> {
        let path = format!("/v1/changes/{}/watch", self.id);
        while !self.last.as_ref().is_some_and(|last| last.stage.is_final()) {
            match next_record(&self.http, &mut self.lines, &HttpRequest::get(path.as_str())).await? {
                // A node that is asked anew begins with what may be known already.
                Record::Some(record) if self.last.as_ref() == Some(&record) => {}
                Record::Some(record) => {
                    self.last = Some(record.clone());
                    return Ok(Some(record));
                }
                Record::End | Record::Broken => {}
            }
        }
        Ok(None)
    }
}

/// Everything that happens to the cluster, from whichever node answers.
#[derive(Debug)]
pub struct Watch {
    http: Http,
    lines: Option<Lines>,
    last: Option<u64>,
}

impl Watch {
    pub(crate) fn new(http: Http) -> Self {
        Watch {
            http,
            lines: None,
            last: None,
        }
    }

    /// The next record. A node that is asked anew begins with how things are, so the same may come again. May be
    /// dropped while it waits without losing anything.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn next(&mut self) -> Result<WatchRecord, Error> {
        loop {
            let request = HttpRequest::get("/v1/watch");
            let request = match self.last {
                Some(last) => request.header("last-event-id", last.to_string()),
                None => request,
            };
            match next_record::<WatchRecord>(&self.http, &mut self.lines, &request).await? {
                Record::Some(record) => {
                    self.last = Some(record.index);
                    return Ok(record);
                }
                Record::End | Record::Broken => {}
            }
        }
    }
}

enum Record<T> {
    Some(T),
    /// The answer ended as answers do.
    End,
    /// The connection broke, or fell silent.
    Broken,
}

/// What comes next of an answer, if it comes in time.
async fn in_time<T>(http: &Http, next: impl Future<Output = Result<Option<T>, Error>>) -> Result<Record<T>, Error> {
    match timeout(http.environment(), limits::STREAM_SILENCE, next).await {
        Ok(Ok(Some(record))) => Ok(Record::Some(record)),
        Ok(Ok(None)) => {
            // An answer that ends at once would otherwise be asked for in a circle without a pause.
            http.environment().sleep(limits::PAUSE_MIN).await;
            Ok(Record::End)
        }
        Ok(Err(Error::Unavailable(_))) | Err(_) => Ok(Record::Broken),
        Ok(Err(error)) => Err(error),
    }
}

/// The next line of `lines`, which are asked for first if there are none.
async fn next_record<T: DeserializeOwned>(
    http: &Http,
    lines: &mut Option<Lines>,
    request: &HttpRequest,
) -> Result<Record<T>, Error> {
    if lines.is_none() {
        *lines = Some(http.send_for_lines(request).await?);
    }
    next_of(http, lines).await
}

/// The next line of `lines`; none is left where that is the last.
async fn next_of<T: DeserializeOwned>(http: &Http, lines: &mut Option<Lines>) -> Result<Record<T>, Error> {
    let Some(current) = lines else {
        return Ok(Record::Broken);
    };
    let line = loop {
        match in_time(http, current.next_or_empty()).await? {
            Record::Some(line) if line.is_empty() => {}
            Record::Some(line) => break line,
            Record::End => {
                *lines = None;
                return Ok(Record::End);
            }
            Record::Broken => {
                *lines = None;
                return Ok(Record::Broken);
            }
        }
    };
    match serde_json::from_slice(&line) {
        Ok(record) => Ok(Record::Some(record)),
        Err(error) => {
            let address = current.address().to_owned();
            *lines = None;
            Err(Error::Unreadable {
                address,
                what: format!("a record: {error}"),
            })
        }
    }
}
