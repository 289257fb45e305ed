//! An application's tables in two states, row by row.

use std::collections::BTreeMap;

use bytes::Bytes;
use machine::{Failure, Read, ReadError, ReadValue, Row, StateRead, TableId};
use store::state::State;

use super::Error;
use super::player::Player;

/// A table at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCompared {
    /// The table.
    pub table: String,
    /// Rows that both have.
    pub rows_equal: u64,
    /// Rows that differ, or that one of them has alone.
    pub rows_different: u64,
    /// The first of those.
    pub samples: Vec<RowDiffers>,
}

/// A row that differs, in the shape of the version that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDiffers {
    /// Its key.
    pub key: Bytes,
    /// As it was.
    pub real: RowRead,
    /// As it would have been.
    pub other: RowRead,
}

/// A row as the version that was tried reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowRead {
    /// There is none.
    Absent,
    /// It is there.
    Document(Bytes),
    /// It is there, and that version fails on it.
    Failed(Failure),
}

/// The rows that each of two states has under a key.
type Pairs = BTreeMap<Bytes, (Option<Row>, Option<Row>)>;

/// Compares the tables of the version that `tried` runs with those that were, of each at most `samples_max` rows that
/// differ one by one. A row that lies in another shape than that version writes is compared as it reads it.
pub(super) fn compare_tables(
    tried: &mut Player,
    application: &str,
    (real, real_tables): (&State, &BTreeMap<String, TableId>),
    samples_max: usize,
) -> Result<Vec<TableCompared>, Error> {
    let catalog = tried.machine.catalog().clone();
    let Some(tables) = catalog.applications.get(application).map(|it| &it.tables) else {
        return Ok(Vec::new());
    };
    let mut compared = Vec::new();
    for (table, id) in tables {
        // A table that only the version tried has may have the number of another's there.
        let pairs = pairs(real, real_tables.get(table).copied(), &tried.state, *id)?;
        compared.push(compare(tried, application, table, real, pairs, samples_max)?);
    }
    tried.end_reads();
    Ok(compared)
}

fn pairs(real: &State, real_id: Option<TableId>, other: &State, id: TableId) -> Result<Pairs, Error> {
    let mut pairs = Pairs::new();
    if let Some(real_id) = real_id {
        real.scan(real_id, &[], None, false, &mut |key, row| {
            pairs.insert(Bytes::copy_from_slice(key), (Some(row.clone()), None));
            true
        })?;
    }
    other.scan(id, &[], None, false, &mut |key, row| {
        match pairs.get_mut(key) {
            Some(pair) => pair.1 = Some(row.clone()),
            None => drop(pairs.insert(Bytes::copy_from_slice(key), (None, Some(row.clone())))),
        }
        true
    })?;
    Ok(pairs)
}

fn compare(
    tried: &mut Player,
    application: &str,
    table: &str,
    state: &State,
    pairs: Pairs,
    samples_max: usize,
) -> Result<TableCompared, Error> {
    let mut compared = TableCompared {
        table: table.to_owned(),
        rows_equal: 0,
        rows_different: 0,
        samples: Vec::new(),
    };
    for (key, (real, other)) in pairs {
        if real == other {
            compared.rows_equal += 1;
            continue;
        }
        let is_reshaped = real.as_ref().map(|row| row.shape) != other.as_ref().map(|row| row.shape);
        let read = Read::Get {
            application: application.to_owned(),
            table: table.to_owned(),
            key: key.clone(),
        };
        let real = match real {
            Some(_) if is_reshaped => row_read(tried.read_over(&read, state))?,
            real => as_it_lies(real),
        };
        let other = match other {
            Some(_) if is_reshaped => row_read(tried.read(&read))?,
            other => as_it_lies(other),
        };
        if real == other {
            compared.rows_equal += 1;
            continue;
        }
        compared.rows_different += 1;
        if compared.samples.len() < samples_max {
            compared.samples.push(RowDiffers { key, real, other });
        }
    }
    Ok(compared)
}

fn as_it_lies(row: Option<Row>) -> RowRead {
    row.map_or(RowRead::Absent, |row| RowRead::Document(row.document))
}

/// That the version fails on a row is among what it would have come to.
fn row_read(value: Result<ReadValue, ReadError>) -> Result<RowRead, Error> {
    match value {
        Ok(ReadValue::Document(document)) => Ok(document.map_or(RowRead::Absent, RowRead::Document)),
        Ok(ReadValue::Pairs { .. } | ReadValue::Usage(_) | ReadValue::Answer(_) | ReadValue::Refused(_)) => {
            Ok(RowRead::Absent)
        }
        Err(ReadError::Failed(failure)) => Ok(RowRead::Failed(failure)),
        Err(error) => Err(Error::unreadable(error)),
    }
}
