use machine::{Event, EventView, Row, StateError, StateRead, StateTxn, TableId};
use store::state::State;

/// What one entry does to tables, and the events that it emits, which go nowhere else.
pub(super) struct Recorder<'a> {
    pub state: &'a mut State,
    pub events: Vec<(String, Event)>,
}

impl StateRead for Recorder<'_> {
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

impl StateTxn for Recorder<'_> {
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
        self.events.push((stream.to_owned(), event.to_event()));
    }
}
