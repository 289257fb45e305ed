//! Recordings: commands of one application with what came of them, to be held against another version of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use environment::Disk;
use host::Registry;
use machine::codec::{Codec, Error as CodecError};
use machine::{
    Application, Body, Catalog, Entry, FailureCode, Index, LEVEL_MAX, Machine, Manifest, Outcome, Output, Request,
    RequestView, Row, Shape, StateRead, TableId, TimeMs, Version, record,
};
use store::format::{self, Format, RECORDING};
use store::state::{Backend, MemoryBackend, State, Write};

use super::player::Player;
use super::tables::{TableCompared, compare_tables};
use super::what_if::{differing_events, emitted};
use super::{Candidate, EmittedEvent, Error, EventsDiffer, OutcomesDiffer, Replay, Step};
use crate::limits::{RECORDING_BYTES_MAX, REPLAY_LOAD_ROWS};

/// Commands of one application, what they were given over, and what came of them. It holds payloads and documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The application.
    pub application: String,
    /// As of which entry the rows before it are.
    pub start: Index,
    pub(super) time: TimeMs,
    /// The version in force at the start, and at the end.
    pub versions: (Version, Version),
    pub(super) tables: BTreeMap<String, TableId>,
    pub(super) rows: Vec<RecordedRow>,
    /// The entries in which it has commands.
    pub entries: Vec<RecordedEntry>,
    pub(super) rows_after: Vec<RecordedRow>,
}
record!(Recording {
    application,
    start,
    time,
    versions,
    tables,
    rows,
    entries,
    rows_after
});

/// A row as it lay in the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordedRow {
    pub table: TableId,
    pub key: Bytes,
    pub shape: Shape,
    pub document: Bytes,
}
record!(RecordedRow {
    table,
    key,
    shape,
    document
});

/// The commands of one entry, and what came of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEntry {
    /// Where it stood.
    pub index: Index,
    /// Its time in the log.
    pub time: TimeMs,
    /// Its commands; where one is of another application, or a repeat, an empty one holds its place.
    pub requests: Vec<Request>,
    /// What came of each.
    pub outcomes: Vec<Outcome>,
    /// The application's events, in their order in each stream.
    pub events: Vec<EmittedEvent>,
}
record!(RecordedEntry {
    index,
    time,
    requests,
    outcomes,
    events
});

impl Recording {
    /// Begins one as of where a replay stands.
    ///
    /// # Errors
    /// There is no such application there, or its rows are more than a recording holds.
    pub fn begin(replay: &Replay, application: &str) -> Result<Recording, Error> {
        let (tables, version) = of_application(replay, application)?;
        let rows = rows_of(replay, &tables)?;
        Ok(Recording {
            application: application.to_owned(),
            start: replay.applied(),
            time: replay.player.machine.time(),
            versions: (version, version),
            tables,
            rows,
            entries: Vec::new(),
            rows_after: Vec::new(),
        })
    }

    /// Takes an entry that was applied.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn note(&mut self, step: &Step) -> Result<(), Error> {
        let requests = RequestView::all(&step.payload).map_err(Error::unreadable)?;
        let requests = requests.unwrap_or_default();
        if !requests.iter().any(|request| request.application == self.application) {
            return Ok(());
        }
        let mut entry = RecordedEntry {
            index: step.index,
            time: step.time,
            requests: Vec::with_capacity(requests.len()),
            outcomes: Vec::with_capacity(requests.len()),
            events: Vec::new(),
        };
        for (request, reply) in requests.iter().zip(&step.replies) {
            let ran = reply.index == step.index && !never_ran(&reply.outcome);
            let request = match ran && request.application == self.application {
                // Sessions are no part of it.
                true => Request {
                    claim: None,
                    ..request.to_request()
                },
                false => nothing(),
            };
            entry.outcomes.push(reply.outcome.clone());
            entry.requests.push(request);
        }
        let own = format!("{}.", self.application);
        entry
            .events
            .extend(emitted(&step.events).filter(|event| event.stream.starts_with(&own)));
        self.entries.push(entry);
        Ok(())
    }

    /// Ends it as of where the replay stands now.
    ///
    /// # Errors
    /// As [`Recording::begin`].
    pub fn end(&mut self, replay: &Replay) -> Result<(), Error> {
        let (tables, version) = of_application(replay, &self.application)?;
        self.versions.1 = version;
        self.rows_after = rows_of(replay, &tables)?;
        // Tables that came with a later version keep the numbers that they got.
        self.tables.extend(tables);
        Ok(())
    }

    /// How many commands it holds.
    #[must_use]
    pub fn commands(&self) -> usize {
        let commands = self.entries.iter().flat_map(|entry| &entry.requests);
        commands.filter(|request| !request.application.is_empty()).count()
    }

    /// As it lies in a file: magic and format, the recording, and the CRC-32C of everything before.
    ///
    /// # Errors
    /// It is larger than one may be.
    pub fn to_file(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = RECORDING.prefix().to_vec();
        self.encode(&mut bytes);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        check_size(bytes.len())?;
        Ok(bytes)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is none, damaged, of a newer format, or larger than one may be.
    pub fn read(disk: &(dyn Disk + 'static), path: &Path) -> Result<Recording, Error> {
        let bytes = disk
            .read_whole(path, RECORDING_BYTES_MAX)
            .map_err(|error| Error::Unreadable(format!("{}: {error}", path.display())))?;
        Recording::from_file(&bytes, path).map_err(Error::unreadable)
    }

    fn from_file(bytes: &[u8], path: &Path) -> Result<Recording, format::Error> {
        RECORDING.check(bytes, path)?;
        let content = bytes.len().checked_sub(4).map(|at| bytes.split_at(at));
        let body = match content {
            Some((content, checksum)) if crc32c::crc32c(content).to_le_bytes() == *checksum => {
                content.get(Format::PREFIX_BYTES..).unwrap_or_default()
            }
            Some(_) | None => return Err(RECORDING.unreadable(path, "its checksum is wrong")),
        };
        let recording = Recording::from_bytes(body);
        let recording = recording.map_err(|error: CodecError| RECORDING.unreadable(path, error.to_string()))?;
        match recording.check() {
            Ok(()) => Ok(recording),
            Err(why) => Err(RECORDING.unreadable(path, why)),
        }
    }
}

impl Recording {
    /// What a file may say and no recording does.
    fn check(&self) -> Result<(), String> {
        let mut before = self.start;
        for entry in &self.entries {
            if entry.index <= before {
                return Err(format!("entry {} does not stand behind entry {before}", entry.index));
            }
            if entry.requests.len() != entry.outcomes.len() {
                return Err(format!("entry {} has not an outcome for each command", entry.index));
            }
            before = entry.index;
        }
        Ok(())
    }
}

/// A recording larger than this would not be read again.
fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > RECORDING_BYTES_MAX {
        return Err(Error::Unreadable(format!(
            "the recording has {bytes} bytes or more, and {RECORDING_BYTES_MAX} are the most: record fewer entries, or \
             begin where there were fewer rows"
        )));
    }
    Ok(())
}

/// Whether no version had a say: the session was gone, or the entry was skipped. A repeat has the index of another entry.
fn never_ran(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::SessionExpired => true,
        Outcome::Failed(failure) => failure.code == FailureCode::EntrySkipped,
        Outcome::Applied(_) | Outcome::Refused(_) => false,
    }
}

/// Holds the place of a command that is no part of a recording: its place seeds the random numbers of those behind it.
fn nothing() -> Request {
    Request {
        claim: None,
        application: String::new(),
        command: String::new(),
        version: 0,
        payload: Bytes::new(),
    }
}

fn of_application(replay: &Replay, name: &str) -> Result<(BTreeMap<String, TableId>, Version), Error> {
    let index = replay.applied();
    let application = replay.catalog().applications.get(name);
    let in_force = application.and_then(|it| Some((it.tables.clone(), it.in_force?)));
    in_force.ok_or_else(|| {
        Error::Unreadable(format!(
            "no version of {name:?} is in force as of entry {index}: begin with an entry behind the switch that brought one in"
        ))
    })
}

fn rows_of(replay: &Replay, tables: &BTreeMap<String, TableId>) -> Result<Vec<RecordedRow>, Error> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for table in tables.values() {
        replay.player.state.scan(*table, &[], None, false, &mut |key, row| {
            bytes += key.len() + row.document.len();
            rows.push(RecordedRow {
                table: *table,
                key: Bytes::copy_from_slice(key),
                shape: row.shape,
                document: row.document.clone(),
            });
            bytes <= RECORDING_BYTES_MAX
        })?;
        check_size(bytes)?;
    }
    Ok(rows)
}

/// A version that runs a recording.
pub struct Trial<'a> {
    recording: &'a Recording,
    player: Player,
    next: usize,
}

/// One entry under the version tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tried {
    /// How many commands it had.
    pub commands: usize,
    /// Commands that it answers otherwise.
    pub outcomes: Vec<OutcomesDiffer>,
    /// Streams that get other events.
    pub events: Vec<EventsDiffer>,
}

impl<'a> Trial<'a> {
    /// Lets a version answer over the rows that the recording begins with.
    ///
    /// # Errors
    /// [`Error::Refused`]: it is of another application, does not read the rows, or cannot run.
    pub fn begin(recording: &'a Recording, registry: &Registry, candidate: &Candidate) -> Result<Trial<'a>, Error> {
        let manifest = &candidate.manifest;
        let refused = |reason: String| Error::Refused {
            index: recording.start,
            reason,
        };
        if manifest.application != recording.application {
            return Err(refused(format!(
                "it is a version of {}, and the recording is of {}",
                manifest.application, recording.application
            )));
        }
        recording.check_shapes(manifest).map_err(refused)?;
        let application = Application {
            in_force: None,
            versions: BTreeMap::new(),
            tables: recording.tables.clone(),
            reversible: None,
            history: Vec::new(),
        };
        let table_next = recording.tables.values().map(|id| id.0 + 1).max().unwrap_or(0);
        let catalog = Catalog {
            level: LEVEL_MAX,
            applications: [(recording.application.clone(), application)].into(),
            table_next: TableId(table_next.max(FIRST_TABLE)),
            ..Catalog::default()
        };
        let machine = Machine::of(catalog, recording.start, recording.time);
        let mut player = Player::of(registry, machine, state_of(&recording.rows)?);
        player.force(candidate)?;
        Ok(Trial {
            recording,
            player,
            next: 0,
        })
    }

    /// Runs the commands of the next entry; nothing when there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn step(&mut self) -> Result<Option<Tried>, Error> {
        let Some(recorded) = self.recording.entries.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let index = recorded.index;
        self.player.machine.apply_blank(Index(index.0.saturating_sub(1)));
        let entry = Entry {
            time: recorded.time,
            body: Body::Requests(recorded.requests.clone()),
        };
        let (output, events) = self.player.apply(index, &entry.to_bytes())?;
        let replies = match output {
            Output::Replies(replies) => replies,
            Output::Decision(_) => Vec::new(),
        };
        let mut tried = Tried::default();
        let recorded_outcomes = recorded.requests.iter().zip(&recorded.outcomes);
        for (place, ((request, real), reply)) in recorded_outcomes.zip(&replies).enumerate() {
            if request.application.is_empty() {
                continue;
            }
            tried.commands += 1;
            if *real != reply.outcome {
                tried.outcomes.push(OutcomesDiffer {
                    index,
                    place,
                    application: request.application.clone(),
                    command: request.command.clone(),
                    real: real.clone(),
                    other: reply.outcome.clone(),
                });
            }
        }
        tried.events = differing_events(index, recorded.events.iter().cloned(), emitted(&events));
        Ok(Some(tried))
    }

    /// Compares the tables with those that the recording ended with.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn tables(&mut self, samples_max: usize) -> Result<Vec<TableCompared>, Error> {
        let after = state_of(&self.recording.rows_after)?;
        let real = (&after, &self.recording.tables);
        compare_tables(&mut self.player, &self.recording.application, real, samples_max)
    }
}

/// Below it are the machine's own tables.
const FIRST_TABLE: u32 = 16;

impl Recording {
    /// Every shape in which its rows lie must be one that the version reads.
    fn check_shapes(&self, manifest: &Manifest) -> Result<(), String> {
        for table in &manifest.tables {
            let id = self.tables.get(&table.name);
            let rows = self
                .rows
                .iter()
                .chain(&self.rows_after)
                .filter(|row| Some(&row.table) == id);
            let unread = |row: &RecordedRow| row.shape != table.shape && !table.converts.contains(&row.shape);
            if let Some(row) = rows.into_iter().find(|row| unread(row)) {
                return Err(format!(
                    "table {} holds rows of shape {}, and version {} neither writes nor converts that",
                    table.name, row.shape, manifest.version
                ));
            }
        }
        Ok(())
    }
}

fn state_of(rows: &[RecordedRow]) -> Result<State, Error> {
    let backend = MemoryBackend::default();
    for rows in rows.chunks(REPLAY_LOAD_ROWS) {
        let write = |row: &RecordedRow| -> Write {
            let stored = Row {
                shape: row.shape,
                document: row.document.clone(),
            };
            (row.table, row.key.clone(), Some(stored))
        };
        backend.write(rows.iter().map(write).collect())?;
    }
    Ok(State::open(Arc::new(backend), Default::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recording with one entry, but for its prefix and its checksum.
    const FORMAT_1: &str = "016105010101000001060101000000000001040000";

    fn entry(index: u64, outcomes: usize) -> RecordedEntry {
        RecordedEntry {
            index: Index(index),
            time: TimeMs(1),
            requests: vec![nothing()],
            outcomes: vec![Outcome::SessionExpired; outcomes],
            events: Vec::new(),
        }
    }

    fn recording(entries: Vec<RecordedEntry>) -> Recording {
        Recording {
            application: "a".into(),
            start: Index(5),
            time: TimeMs(1),
            versions: (Version(1), Version(1)),
            tables: BTreeMap::new(),
            rows: Vec::new(),
            entries,
            rows_after: Vec::new(),
        }
    }

    #[test]
    fn the_bytes_of_format_1_stay_as_they_are() {
        let recording = recording(vec![entry(6, 1)]);
        let bytes = recording.to_file().unwrap();
        let (content, _) = bytes.split_at(bytes.len() - 4);
        let text: String = content[Format::PREFIX_BYTES..]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(text, FORMAT_1);
        assert_eq!(Recording::from_file(&bytes, Path::new("x")), Ok(recording));
    }

    #[test]
    fn what_no_recording_says_is_refused_though_its_checksum_is_right() {
        for (entries, is_right) in [
            (vec![entry(6, 1), entry(7, 1)], true),
            (vec![entry(5, 1)], false),
            (vec![entry(7, 1), entry(7, 1)], false),
            (vec![entry(6, 0)], false),
            (vec![entry(6, 2)], false),
        ] {
            let bytes = recording(entries).to_file().unwrap();
            assert_eq!(Recording::from_file(&bytes, Path::new("x")).is_ok(), is_right);
        }
    }

    #[test]
    fn a_recording_past_its_limit_is_not_written() {
        assert!(check_size(RECORDING_BYTES_MAX).is_ok());
        let error = check_size(RECORDING_BYTES_MAX + 1).unwrap_err().to_string();
        assert!(error.contains("record fewer entries"), "{error}");
    }
}
