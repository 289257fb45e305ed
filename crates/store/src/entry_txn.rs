use machine::{Event, Row, StateError, StateRead, StateTxn, TableId, TimeMs};

use crate::state::State;
use crate::streams::{self, Streams};

/// What one entry does to tables and streams. Rows are written at once; events wait until it is known that the entry was
/// applied, and at what time.
pub struct EntryTxn<'a> {
    state: &'a mut State,
    events: Vec<(String, Vec<Event>)>,
}

impl<'a> EntryTxn<'a> {
    /// The next entry over these tables.
    #[must_use]
    pub fn new(state: &'a mut State) -> EntryTxn<'a> {
        EntryTxn {
            state,
            events: Vec::new(),
        }
    }

    /// Hands the events of an entry that was applied at `time` to their streams, which still have to be flushed.
    ///
    /// # Errors
    /// Those of [`Streams::append`].
    pub fn append_events(self, time: TimeMs, streams: &mut Streams) -> Result<(), streams::Error> {
        for (stream, events) in self.events {
            streams.append(&stream, time, &events)?;
        }
        Ok(())
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

    fn emit(&mut self, stream: &str, event: Event) {
        match self.events.iter_mut().find(|(name, _)| name == stream) {
            Some((_, events)) => events.push(event),
            None => self.events.push((stream.to_owned(), vec![event])),
        }
    }
}
