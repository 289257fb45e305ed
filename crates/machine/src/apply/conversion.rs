//! Rows brought into the newest shape, a batch an entry.

use bytes::Bytes;

use super::requests::replace_row;
use super::{CommandContext, Tables, refused};
use crate::codec::Codec;
use crate::machine::{Machine, Stop, World};
use crate::{ConvertRows, Decision, Failure, Index, Misuse, Row, StateError, StateRead, TableId, conversion, limits};

/// The rows of a table that an entry looks at.
#[derive(Default)]
struct Found {
    rows: Vec<(Bytes, Row)>,
    /// Whether there are more behind them.
    more: bool,
}

/// What came of them.
#[derive(Default)]
struct Converted {
    rows: Vec<(Bytes, Row)>,
    failed: Vec<(Bytes, Failure)>,
    /// So many of them were looked at before what they came to was enough for one entry.
    looked: u64,
    /// The last of these.
    last: Option<Bytes>,
}

impl Machine {
    /// Converts the next rows of a table, or says why not.
    pub(super) fn convert_rows(
        &mut self,
        index: Index,
        convert: &ConvertRows,
        world: &mut World<'_>,
    ) -> Result<Decision, Stop> {
        let name = &convert.application;
        // What is due is decided here, and the same on every node; the entry only says how much of it.
        let due = conversion::next_batch(&self.catalog, name, convert.rows);
        let catalog = self.catalog.clone();
        let known = Tables::of(&catalog, name).and_then(|tables| Some((tables.id(&convert.table)?, tables)));
        let Some((id, tables)) = known.filter(|_| due.as_ref() == Some(convert)) else {
            let reason =
                format!("these rows of {name} are not what is to be converted next: something came in between");
            return Ok(refused("no_conversion", reason));
        };
        let found = find(&*world.txn, id, convert)?;
        let all = found.rows.len();
        let converted = self.converted(&tables, index, convert, found.rows, world)?;
        let (looked, count) = (converted.looked, converted.rows.len() as u64);
        let more = found.more || looked < all as u64;
        for (key, row) in converted.rows {
            replace_row(&mut self.position.digest, world.txn, id, &key, Some(row))?;
        }
        let time = self.position.time;
        let known = self.catalog_mut().conversions.get_mut(name);
        if let Some(conversion) = known.and_then(|conversions| conversions.get_mut(&convert.table)) {
            conversion.reached = converted.last.unwrap_or_else(|| convert.after.clone());
            conversion.looked += looked;
            conversion.converted += count;
            conversion.done = (!more).then_some(time);
            for (key, failure) in converted.failed {
                conversion.note_failure(key, failure.detail);
            }
            // What nodes did alike is part of what they compare.
            let said = conversion.to_bytes();
            self.position.digest.chain(&said);
        }
        Ok(Decision::Done { index })
    }

    /// Those of the rows that had another shape, in the newest.
    fn converted(
        &self,
        tables: &Tables<'_>,
        index: Index,
        convert: &ConvertRows,
        rows: Vec<(Bytes, Row)>,
        world: &mut World<'_>,
    ) -> Result<Converted, StateError> {
        let time = self.position.time;
        let mut context = CommandContext::writing(tables, &*world.txn, world.converter, time, index, (index.0, 0));
        let mut converted = Converted::default();
        let mut bytes = 0;
        for (key, row) in rows {
            if bytes >= limits::CONVERT_BYTES_MAX {
                break;
            }
            converted.looked += 1;
            converted.last = Some(key.clone());
            if row.shape == convert.to {
                continue;
            }
            let shapes = (row.shape, convert.to);
            match context.convert(tables.version, &convert.table, &key, &row.document, shapes) {
                Ok(document) => {
                    bytes += document.len();
                    let row = Row {
                        shape: convert.to,
                        document,
                    };
                    converted.rows.push((key, row));
                }
                Err(Misuse::Failed(failure)) => converted.failed.push((key, failure)),
                Err(Misuse::State(error)) => return Err(error),
            }
        }
        drop(context);
        world.converter.end_entry();
        Ok(converted)
    }
}

fn find(state: &dyn StateRead, table: TableId, convert: &ConvertRows) -> Result<Found, StateError> {
    let most = usize::try_from(convert.rows).unwrap_or(usize::MAX);
    let most = most.min(limits::CONVERT_ROWS_MAX);
    let mut start = convert.after.to_vec();
    if !start.is_empty() {
        // The first key behind it.
        start.push(0);
    }
    let mut found = Found::default();
    let mut bytes = 0;
    state.scan(table, &start, None, false, &mut |key, row| {
        found.more = found.rows.len() == most || bytes >= limits::CONVERT_BYTES_MAX;
        if found.more {
            return false;
        }
        bytes += key.len() + row.document.len();
        found.rows.push((Bytes::copy_from_slice(key), row.clone()));
        true
    })?;
    Ok(found)
}
