use machine::{Event, EventView, Offset, Row, StateError, StateRead, StateTxn, TableId, TimeMs};

use crate::state::State;
use crate::streams::{self, Streams};

/// What one entry does to tables and streams. Rows are written at once; events wait until it is known that the entry was
/// applied, and at what time.
pub struct EntryTxn<'a> {
    state: &'a mut State,
    gathered: Vec<Gathered>,
}

/// Events of one stream that wait.
struct Gathered {
    stream: String,
    events: Vec<Waiting>,
    /// Keys and values, one after the other: events are many, and an allocation for each costs more than their bytes.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Waiting {
    offset: Offset,
    time: TimeMs,
    /// Where its key begins in [`Gathered::bytes`]; its value follows.
    at: usize,
    key_bytes: Option<usize>,
    value_bytes: usize,
    version: u16,
}

impl<'a> EntryTxn<'a> {
    /// The next entry over these tables.
    #[must_use]
    pub fn new(state: &'a mut State) -> EntryTxn<'a> {
        EntryTxn {
            state,
            gathered: Vec::new(),
        }
    }

    /// Hands the events of an entry that was applied at `time` to their streams, which still have to be flushed.
    ///
    /// # Errors
    /// Those of [`Streams::append`].
    pub fn append_events(self, time: TimeMs, streams: &mut Streams) -> Result<(), streams::Error> {
        for gathered in self.gathered {
            streams.append_views(&gathered.stream, time, gathered.views())?;
        }
        Ok(())
    }
}

impl EntryTxn<'_> {
    /// The events, each with its stream, in their order in each of those; they go nowhere else.
    pub fn into_events(self) -> impl Iterator<Item = (String, Event)> {
        self.gathered.into_iter().flat_map(|gathered| {
            let events: Vec<Event> = gathered.views().map(|view| view.to_event()).collect();
            events.into_iter().map(move |event| (gathered.stream.clone(), event))
        })
    }
}

impl Gathered {
    fn add(&mut self, event: EventView<'_>) {
        self.events.push(Waiting {
            offset: event.offset,
            time: event.time,
            at: self.bytes.len(),
            key_bytes: event.key.map(<[u8]>::len),
            value_bytes: event.value.len(),
            version: event.version,
        });
        self.bytes.extend_from_slice(event.key.unwrap_or_default());
        self.bytes.extend_from_slice(event.value);
    }

    fn views(&self) -> impl Iterator<Item = EventView<'_>> + Clone {
        self.events.iter().map(|event| {
            let value = event.at + event.key_bytes.unwrap_or(0);
            EventView {
                offset: event.offset,
                time: event.time,
                key: event.key_bytes.map(|_| &self.bytes[event.at..value]),
                value: &self.bytes[value..value + event.value_bytes],
                version: event.version,
            }
        })
    }
}

impl StateRead for EntryTxn<'_> {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        self.state.get(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), StateError> {
        self.state.scan(table, start, end, reverse, visit)
    }
}

impl StateTxn for EntryTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], row: Row) {
        self.state.put(table, key, row);
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        self.state.delete(table, key);
    }

    fn replace(&mut self, table: TableId, key: &[u8], row: Option<Row>) -> Result<Option<Row>, StateError> {
        self.state.replace(table, key, row)
    }

    fn emit(&mut self, stream: &str, event: EventView<'_>) {
        let known = self.gathered.iter().position(|gathered| gathered.stream == stream);
        let at = known.unwrap_or_else(|| {
            self.gathered.push(Gathered {
                stream: stream.to_owned(),
                events: Vec::new(),
                bytes: Vec::new(),
            });
            self.gathered.len() - 1
        });
        self.gathered[at].add(event);
    }
}
