//! A host in memory, for the unit tests of applications.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Application, Command, Context, Host, Migration, Query, Refusal};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// An event as it was emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The stream's name.
    pub stream: String,
    /// The key, if there was one.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Vec<u8>,
}

/// Tables and streams in memory, with the calls that a node makes. As on a node, a call that is refused or panics leaves
/// nothing behind, each command has its own index, and a query that writes is an error.
///
/// ```
/// use sdk::{Application, Command, Context, Refusal, Reply, testing::MemoryHost};
///
/// struct Counter;
/// impl Application for Counter {
///     fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
///         let by: u64 = command.json()?;
///         let mut counters = context.table::<u64>("counters");
///         let value = counters.get("a")?.unwrap_or(0) + by;
///         counters.put("a", &value)?;
///         Reply::json(&value)
///     }
/// }
///
/// let mut host = MemoryHost::new(&["counters"], &[]);
/// assert_eq!(host.apply(&Counter, "add", &2).unwrap(), 2);
/// assert_eq!(host.apply(&Counter, "add", &3).unwrap(), 5);
/// assert!(host.apply(&Counter, "add", &"three").is_err());
/// ```
///
/// # Panics
/// All its calls panic, with a message, where a node would end the call in a trap for misuse.
#[derive(Debug, Clone)]
pub struct MemoryHost {
    tables: BTreeMap<String, Rows>,
    streams: Vec<String>,
    events: Vec<Emitted>,
    time_ms: u64,
    index: u64,
    random: u64,
    read_only: bool,
}

impl MemoryHost {
    /// A host with those tables and streams, all empty.
    #[must_use]
    pub fn new(tables: &[&str], streams: &[&str]) -> Self {
        MemoryHost {
            tables: tables.iter().map(|name| ((*name).to_owned(), Rows::new())).collect(),
            streams: streams.iter().map(|name| (*name).to_owned()).collect(),
            events: Vec::new(),
            time_ms: 1_000_000_000_000,
            index: 0,
            random: 0,
            read_only: false,
        }
    }

    /// Sets the time that the next calls see, in milliseconds since the Unix epoch.
    pub fn set_time_ms(&mut self, time_ms: u64) {
        self.time_ms = time_ms;
    }

    /// Runs version 1 of a command with a payload of JSON. A refusal's body is the error.
    ///
    /// # Errors
    /// The application declined.
    pub fn apply(
        &mut self,
        application: &dyn Application,
        command: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Value, Value> {
        let payload = serde_json::to_vec(payload).expect("the payload is written as JSON");
        let command = Command {
            name: command,
            version: 1,
            payload: &payload,
        };
        let outcome = self.apply_command(application, command);
        outcome
            .map(|reply| value_of(&reply))
            .map_err(|refusal| value_of(refusal.as_bytes()))
    }

    /// Runs a command.
    ///
    /// # Errors
    /// The application declined.
    pub fn apply_command(&mut self, application: &dyn Application, command: Command<'_>) -> Result<Vec<u8>, Refusal> {
        self.index += 1;
        // On a copy, which is thrown away when the call is refused or panics.
        let mut attempt = self.clone();
        attempt.random = attempt.index;
        let reply = application.apply(&mut Context::new(&mut attempt), command)?;
        *self = attempt;
        Ok(reply.into_bytes())
    }

    /// Asks a query, with a payload of JSON. A refusal's body is the error.
    ///
    /// # Errors
    /// The application declined.
    pub fn query(
        &mut self,
        application: &dyn Application,
        query: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Value, Value> {
        let payload = serde_json::to_vec(payload).expect("the payload is written as JSON");
        let query = Query {
            name: query,
            payload: &payload,
        };
        let mut attempt = self.clone();
        attempt.read_only = true;
        let outcome = application.query(&mut Context::new(&mut attempt), query);
        outcome
            .map(|reply| value_of(reply.as_bytes()))
            .map_err(|refusal| value_of(refusal.as_bytes()))
    }

    /// Brings every row of a table from one shape into another, as the switch to a version or back does row by row.
    ///
    /// # Errors
    /// The application declined for one of them; no row is changed then.
    pub fn migrate_table(
        &mut self,
        application: &dyn Application,
        table: &str,
        from: u16,
        to: u16,
    ) -> Result<(), Refusal> {
        let rows = self.rows_mut(table);
        let mut migrated = Rows::new();
        for (key, document) in rows.iter() {
            let row = Migration {
                table,
                from,
                to,
                key,
                document,
            };
            migrated.insert(key.clone(), application.migrate(row)?);
        }
        *rows = migrated;
        Ok(())
    }

    /// The document under a key, if there is one and it is a `T`.
    #[must_use]
    pub fn document<T: DeserializeOwned>(&self, table: &str, key: impl AsRef<[u8]>) -> Option<T> {
        let document = self.tables.get(table)?.get(key.as_ref())?;
        serde_json::from_slice(document).ok()
    }

    /// All rows of a table as text, in order of key.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<(String, String)> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let rows = self.tables.get(table).into_iter().flatten();
        rows.map(|(key, document)| (text(key), text(document))).collect()
    }

    /// All events so far, in their order.
    #[must_use]
    pub fn events(&self) -> &[Emitted] {
        &self.events
    }

    fn rows_mut(&mut self, table: &str) -> &mut Rows {
        let rows = self.tables.get_mut(table);
        rows.unwrap_or_else(|| panic!("table {table:?} is not among those that MemoryHost::new was given"))
    }

    fn check_writable(&self, what: &str) {
        assert!(!self.read_only, "a query may not {what}");
    }
}

fn value_of(bytes: &[u8]) -> Value {
    match bytes {
        [] => Value::Null,
        bytes => {
            serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
        }
    }
}

impl Host for MemoryHost {
    fn get(&mut self, table: &str, key: &[u8], document: &mut Vec<u8>) -> bool {
        document.clear();
        let found = self.rows_mut(table).get(key);
        document.extend(found.into_iter().flatten());
        found.is_some()
    }

    fn put(&mut self, table: &str, key: &[u8], document: &[u8]) {
        self.check_writable("put");
        self.rows_mut(table).insert(key.to_vec(), document.to_vec());
    }

    fn delete(&mut self, table: &str, key: &[u8]) {
        self.check_writable("delete");
        self.rows_mut(table).remove(key);
    }

    fn scan(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: u32,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let within = |key: &[u8]| key >= start && end.is_none_or(|end| key < end);
        let rows = self.rows_mut(table).iter().filter(|(key, _)| within(key));
        // A scan may give fewer than it was asked for: seven at most, so that tests see what comes of it.
        let limit = usize::try_from(limit).map_or(7, |limit| limit.min(7));
        let rows: Vec<_> = match reverse {
            true => rows.rev().take(limit).collect(),
            false => rows.take(limit).collect(),
        };
        for (key, document) in rows {
            visit(key, document);
        }
    }

    fn emit(&mut self, stream: &str, key: Option<&[u8]>, value: &[u8]) {
        self.check_writable("emit");
        assert!(
            self.streams.iter().any(|name| name == stream),
            "stream {stream:?} is not among those that MemoryHost::new was given"
        );
        self.events.push(Emitted {
            stream: stream.to_owned(),
            key: key.map(<[u8]>::to_vec),
            value: value.to_vec(),
        });
    }

    fn time(&mut self) -> u64 {
        self.time_ms
    }

    fn index(&mut self) -> u64 {
        self.index
    }

    fn random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
