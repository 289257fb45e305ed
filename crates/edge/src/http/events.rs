//! The bodies of answers with events: as records, or in batches as they lie in the stream's files.

use std::sync::Arc;

use bytes::Bytes;
use client::wire::{EventRecord, heartbeat};
use futures::FutureExt;
use machine::{Event, EventPage, Offset};

use super::Api;
use super::feed::{Feed, Form};
use crate::limits::{EVENT_BATCHES_BYTES, EVENT_PAGE_BYTES, FOLLOW_PAUSE};

/// What of a stream is still to be sent.
pub(super) struct Span {
    pub api: Arc<Api>,
    pub stream: String,
    pub next: Offset,
    /// How many events.
    pub left: u64,
    /// None: new ones too, as they come.
    pub end: Option<Offset>,
    /// The version that those of a later one are brought down into.
    pub version: Option<u16>,
}

/// Events each by itself, as JSON.
pub(super) struct Records {
    pub span: Span,
    pub form: Form,
    /// What was read already.
    pub page: Option<EventPage>,
}

/// Events in batches.
pub(super) struct Batches {
    pub span: Span,
}

/// Why a wait for new events ended.
enum Woken {
    Grown,
    Heartbeat,
    Stopped,
}

impl Feed for Records {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if self.span.is_sent() {
                return Ok(None);
            }
            let page = match self.page.take() {
                Some(page) => page,
                None => self.span.events(EVENT_PAGE_BYTES).await?,
            };
            let bytes = self.encode(page.events)?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            match self.span.wait().await {
                Woken::Grown => {}
                Woken::Stopped => return Ok(None),
                Woken::Heartbeat => return Ok(Some(self.form.heartbeat())),
            }
        }
    }
}

impl Records {
    fn encode(&mut self, events: Vec<Event>) -> Result<Bytes, String> {
        let mut out = Vec::new();
        for event in events {
            if self.span.left == 0 || self.span.end.is_some_and(|end| event.offset >= end) {
                break;
            }
            self.span.left -= 1;
            self.span.next = Offset(event.offset.0 + 1);
            let record = EventRecord {
                offset: event.offset.0,
                time_ms: event.time.0,
                key: event.key,
                value: event.value,
                version: event.version,
            };
            self.form.put(record.offset, &record, &mut out)?;
        }
        Ok(out.into())
    }
}

impl Feed for Batches {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let span = &mut self.span;
        loop {
            if span.is_sent() {
                return Ok(None);
            }
            let limit = Offset(span.next.0.saturating_add(span.left));
            let range = span.next..span.end.map_or(limit, |end| end.min(limit));
            let page = span
                .api
                .cluster
                .event_batches(span.stream.clone(), range, EVENT_BATCHES_BYTES);
            let page = page.await.map_err(|error| error.to_string())?;
            if !page.batches.is_empty() {
                span.left -= page.next.0.saturating_sub(span.next.0).min(span.left);
                span.next = page.next;
                return Ok(Some(page.batches));
            }
            match span.wait().await {
                Woken::Grown => {}
                Woken::Stopped => return Ok(None),
                Woken::Heartbeat => return Ok(Some(heartbeat())),
            }
        }
    }
}

impl Span {
    fn is_sent(&self) -> bool {
        self.left == 0 || self.end.is_some_and(|end| self.next >= end)
    }

    async fn events(&self, bytes_max: usize) -> Result<EventPage, String> {
        let cluster = &self.api.cluster;
        let page = cluster.events(self.stream.clone(), self.next, bytes_max, self.version);
        page.await.map_err(|error| error.to_string())
    }

    /// Until there is something to send; at once, and for good, where nothing more can come.
    async fn wait(&self) -> Woken {
        if self.end.is_some() {
            return Woken::Stopped;
        }
        let environment = &self.api.environment;
        let grown = async {
            self.api.cluster.events_beyond(self.stream.clone(), self.next).await;
            // It may also say so because the node stops, again and again: that must not become a busy loop.
            let page = self.api.cluster.events(self.stream.clone(), self.next, 1, None).await;
            if page.is_ok_and(|page| page.events.is_empty()) {
                environment.sleep(FOLLOW_PAUSE).await;
            }
        }
        .fuse();
        let heartbeat = environment.sleep(self.api.limits.heartbeat).fuse();
        let stopped = self.api.stopping.said().fuse();
        futures::pin_mut!(grown, heartbeat, stopped);
        futures::select_biased! {
            () = grown => Woken::Grown,
            () = stopped => Woken::Stopped,
            () = heartbeat => Woken::Heartbeat,
        }
    }
}
