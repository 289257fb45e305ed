//! What one call of an application sees and does, kept apart until the call went well.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::effects::Effects;
use crate::{
    ApplicationVersion, Applications, Call, CallOutcome, Catalog, Change, ChangeId, Context, Contract, Failure,
    FailureCode, Index, Misuse, Pair, Row, Shape, StateRead, TableId, TimeMs, Trap, Version, limits,
};

/// The tables of an application as the version in force knows them.
pub(crate) struct Tables<'a> {
    pub(crate) version: &'a ApplicationVersion,
    catalog: &'a Catalog,
    ids: &'a BTreeMap<String, TableId>,
    /// The version that writes must be convertible back to, while a change can be taken back.
    before: Option<&'a ApplicationVersion>,
    /// A version that converts though it was never in force, where it is the one that is tried.
    candidate: Option<&'a ApplicationVersion>,
}

impl<'a> Tables<'a> {
    /// Of the application of that name, if one is in force.
    pub(crate) fn of(catalog: &'a Catalog, name: &str) -> Option<Tables<'a>> {
        let application = catalog.applications.get(name)?;
        let version = application.versions.get(&application.in_force?)?;
        let before = application
            .reversible
            .and_then(|change| catalog.changes.get(&change)?.from)
            .and_then(|from| application.versions.get(&from));
        Some(Tables {
            version,
            catalog,
            ids: &application.tables,
            before,
            candidate: None,
        })
    }

    /// Of the version that was in force before a change that can be taken back.
    pub(crate) fn before(catalog: &'a Catalog, change: ChangeId) -> Option<Tables<'a>> {
        let change = catalog.changes.get(&change)?;
        let application = catalog.applications.get(&change.application)?;
        let version = application.versions.get(&change.from?)?;
        Some(Tables {
            version,
            catalog,
            ids: &change.tables_before,
            before: None,
            candidate: None,
        })
    }

    /// Of the version that a change will bring, as they will be once it has; `ids` are those of its tables.
    pub(crate) fn to_come(
        catalog: &'a Catalog,
        change: &Change,
        ids: &'a BTreeMap<String, TableId>,
    ) -> Option<Tables<'a>> {
        let application = catalog.applications.get(&change.application)?;
        let version = application.versions.get(&change.to)?;
        let from = change.from.filter(|_| !change.finalize);
        Some(Tables {
            version,
            catalog,
            ids,
            before: from.and_then(|from| application.versions.get(&from)),
            candidate: Some(version),
        })
    }

    /// What the version promises beside its manifest. Looked up by whoever needs it, which few commands do.
    pub(super) fn contract(&self) -> Option<&'a Contract> {
        let manifest = &self.version.manifest;
        self.catalog.contract(&manifest.application, manifest.version)
    }

    /// What another version of the application promises.
    pub(super) fn contract_of(&self, version: Version) -> Option<&'a Contract> {
        self.catalog.contract(&self.version.manifest.application, version)
    }

    /// What runs the programs of that.
    pub(super) fn transform(&self) -> Option<&'a ApplicationVersion> {
        self.catalog.transform_of(self.contract()?)
    }

    /// A table's id.
    pub(super) fn id(&self, name: &str) -> Option<TableId> {
        self.ids.get(name).copied()
    }

    /// A table's name.
    pub(super) fn name(&self, id: TableId) -> Option<&'a str> {
        let found = self.ids.iter().find(|(_, known)| **known == id);
        found.map(|(name, _)| name.as_str())
    }

    fn find(&self, name: &str) -> Result<(TableId, Shape), Misuse> {
        let found = self.version.manifest.table(name).zip(self.ids.get(name));
        found.map(|(spec, id)| (*id, spec.shape)).ok_or_else(|| {
            misuse(
                FailureCode::Misuse,
                format!("the application asked for table {name:?}, which its manifest does not name"),
            )
        })
    }

    /// The place of a stream in the manifest.
    fn stream(&self, name: &str) -> Option<usize> {
        let streams = &self.version.manifest.streams;
        streams.iter().position(|stream| stream == name)
    }

    /// The version whose `migrate` knows both shapes, for a version that reads.
    fn converter(
        &self,
        reader: &'a ApplicationVersion,
        table: &str,
        from: Shape,
        to: Shape,
    ) -> Option<&'a ApplicationVersion> {
        self.catalog.converter(reader, self.candidate, table, (from, to))
    }
}

/// What one call of an application sees and does.
pub(crate) struct CommandContext<'a> {
    tables: &'a Tables<'a>,
    state: &'a dyn StateRead,
    converter: &'a mut dyn Applications,
    effects: Effects,
    writes_allowed: bool,
    time: TimeMs,
    index: Index,
    random: u64,
}

impl<'a> CommandContext<'a> {
    /// For a command.
    pub(crate) fn writing(
        tables: &'a Tables<'a>,
        state: &'a dyn StateRead,
        converter: &'a mut dyn Applications,
        time: TimeMs,
        index: Index,
        seed: (u64, u64),
    ) -> Self {
        let random = mix(seed.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mix(seed.1));
        CommandContext {
            tables,
            state,
            converter,
            effects: Effects::default(),
            writes_allowed: true,
            time,
            index,
            random,
        }
    }

    /// For a query.
    pub(crate) fn reading(
        tables: &'a Tables<'a>,
        state: &'a dyn StateRead,
        converter: &'a mut dyn Applications,
        time: TimeMs,
        index: Index,
    ) -> Self {
        let mut context = CommandContext::writing(tables, state, converter, time, index, (index.0, 0));
        context.writes_allowed = false;
        context
    }

    /// With effects that are kept from an earlier command, and empty.
    pub(crate) fn with(mut self, effects: Effects) -> Self {
        self.effects = effects;
        self
    }

    pub(super) fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn converter(&mut self) -> &mut dyn Applications {
        self.converter
    }

    pub(super) fn tables(&self) -> &'a Tables<'a> {
        self.tables
    }

    pub(crate) fn into_effects(self) -> Effects {
        self.effects
    }

    /// The document of a row in the shape that the version in force reads.
    fn in_shape(&mut self, table: &str, key: &[u8], row: &Row, shape: Shape) -> Result<Bytes, Misuse> {
        if row.shape == shape {
            return Ok(row.document.clone());
        }
        self.convert(self.tables.version, table, key, &row.document, (row.shape, shape))
    }

    /// Brings a document from one shape to another, as `reader` will have it.
    pub(crate) fn convert(
        &mut self,
        reader: &'a ApplicationVersion,
        table: &str,
        key: &[u8],
        document: &[u8],
        (from, to): (Shape, Shape),
    ) -> Result<Bytes, Misuse> {
        let describe = |what: String| {
            let key = String::from_utf8_lossy(key).into_owned();
            misuse(
                FailureCode::MigrationFailed,
                format!("row {key:?} of table {table} could not be brought from shape {from} to shape {to}: {what}"),
            )
        };
        let Some(version) = self.tables.converter(reader, table, from, to) else {
            return Err(describe("no version at hand converts between the two".into()));
        };
        let call = Call::Migrate {
            table,
            from,
            to,
            key,
            document,
        };
        match self
            .converter
            .call(&version.manifest, &version.code, call, &mut NoContext)
        {
            Ok(CallOutcome::Done(document)) if document.len() <= limits::DOCUMENT_BYTES_MAX => Ok(document),
            Ok(CallOutcome::Done(_)) => Err(describe("the result is too large".into())),
            Ok(CallOutcome::Refused(reason)) => Err(describe(String::from_utf8_lossy(&reason).into_owned())),
            Ok(CallOutcome::Trapped(Trap::State(error) | Trap::Misuse(Misuse::State(error)))) => {
                Err(Misuse::State(error))
            }
            Ok(CallOutcome::Trapped(Trap::Guest | Trap::Fuel | Trap::Depth | Trap::Misuse(Misuse::Failed(_)))) => {
                Err(describe(format!("version {} trapped on it", version.manifest.version)))
            }
            Err(error) => {
                let text = error.to_string();
                Err(Misuse::State(crate::StateError(text)))
            }
        }
    }

    /// While a change can be taken back, nothing may be written that could not go the way back.
    fn require_way_back(
        &mut self,
        table: &str,
        id: TableId,
        key: &[u8],
        document: &[u8],
        shape: Shape,
    ) -> Result<(), Misuse> {
        let Some(reader) = self.tables.before else {
            return Ok(());
        };
        let Some(before) = reader.manifest.table(table) else {
            return Ok(());
        };
        let same_table = self.tables.ids.get(table) == Some(&id);
        if before.shape == shape || !same_table {
            return Ok(());
        }
        // Tried with the very code that would read it then.
        self.convert(reader, table, key, document, (shape, before.shape))
            .map(drop)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Misuse> {
        self.effects.bytes += bytes;
        if self.effects.bytes > limits::EFFECTS_BYTES_MAX {
            let detail = format!("one command may write and emit {} bytes", limits::EFFECTS_BYTES_MAX);
            return Err(misuse(FailureCode::TooLarge, detail));
        }
        Ok(())
    }

    fn require_writing(&self) -> Result<(), Misuse> {
        if self.writes_allowed {
            return Ok(());
        }
        Err(misuse(FailureCode::Misuse, "a query may not write or emit".to_owned()))
    }

    fn row(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, Misuse> {
        if let Some(row) = self.effects.writes.get(table, key) {
            return Ok(row.clone());
        }
        self.state.get(table, key).map_err(Misuse::State)
    }

    /// Rows in the shape of the version in force, as many as are asked for and fit [`limits::SCAN_BYTES_MAX`], and
    /// whether there may be more.
    pub(crate) fn scan_page(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<(Vec<Pair>, bool), Misuse> {
        let (id, shape) = self.tables.find(table)?;
        let end = end.map(bound);
        // One more than asked for tells whether there are more.
        let (rows, mut more) = self.merged(id, &bound(start), end.as_deref(), limit.saturating_add(1), reverse)?;
        more |= rows.len() > limit;
        let ordered: Box<dyn Iterator<Item = (Bytes, Row)>> = match reverse {
            true => Box::new(rows.into_iter().rev().take(limit)),
            false => Box::new(rows.into_iter().take(limit)),
        };
        let mut pairs = Vec::new();
        let mut bytes = 0;
        for (key, row) in ordered {
            // A document may be far larger in the shape that it is given in than in the one it lies in.
            if bytes >= limits::SCAN_BYTES_MAX {
                more = true;
                break;
            }
            let document = self.in_shape(table, &key, &row, shape)?;
            bytes += key.len() + document.len();
            pairs.push((key, document));
        }
        Ok((pairs, more))
    }

    /// Stored rows with this command's own writes over them, and whether their bytes cut them short.
    fn merged(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<(BTreeMap<Bytes, Row>, bool), Misuse> {
        let inside = |key: &[u8]| key >= start && end.is_none_or(|end| key < end);
        let own = self.effects.writes.from(table, start);
        let own: Vec<(&[u8], &Option<Row>)> = own.filter(|(key, _)| inside(key)).collect();
        let wanted = limit + own.len();
        let mut rows = BTreeMap::new();
        let mut bytes = 0;
        let mut last: Option<Bytes> = None;
        self.state
            .scan(table, start, end, reverse, &mut |key, row| {
                let key = Bytes::copy_from_slice(key);
                bytes += key.len() + row.document.len();
                last = Some(key.clone());
                rows.insert(key, row.clone());
                rows.len() < wanted && bytes < limits::SCAN_BYTES_MAX
            })
            .map_err(Misuse::State)?;
        let cut_short = rows.len() >= wanted || bytes >= limits::SCAN_BYTES_MAX;
        for (key, row) in own {
            let beyond = cut_short
                && last
                    .as_ref()
                    .is_some_and(|last| if reverse { key < last } else { key > last });
            match row {
                Some(row) if !beyond => drop(rows.insert(Bytes::copy_from_slice(key), row.clone())),
                Some(_) => {}
                None => drop(rows.remove(key)),
            }
        }
        Ok((rows, bytes >= limits::SCAN_BYTES_MAX))
    }
}

/// The bound of a scan as the store may see it: no key is longer than [`limits::KEY_BYTES_MAX`], so what lies behind
/// that many bytes of a bound only says that the key of just these bytes comes before it.
fn bound(key: &[u8]) -> Cow<'_, [u8]> {
    match key.get(..limits::KEY_BYTES_MAX) {
        Some(longest) if key.len() > limits::KEY_BYTES_MAX => Cow::Owned([longest, &[0]].concat()),
        Some(_) | None => Cow::Borrowed(key),
    }
}

impl Context for CommandContext<'_> {
    fn get(&mut self, table: &str, key: &[u8]) -> Result<Option<Bytes>, Misuse> {
        let (id, shape) = self.tables.find(table)?;
        // Stores have limits of their own, past which they may do worse than answer.
        if key.len() > limits::KEY_BYTES_MAX {
            return Ok(None);
        }
        match self.row(id, key)? {
            Some(row) => self.in_shape(table, key, &row, shape).map(Some),
            None => Ok(None),
        }
    }

    fn put(&mut self, table: &str, key: &[u8], document: &[u8]) -> Result<(), Misuse> {
        self.require_writing()?;
        let (id, shape) = self.tables.find(table)?;
        if key.is_empty() || key.len() > limits::KEY_BYTES_MAX {
            let detail = format!(
                "a key has {} bytes: 1 to {} are allowed",
                key.len(),
                limits::KEY_BYTES_MAX
            );
            return Err(misuse(FailureCode::TooLarge, detail));
        }
        if document.len() > limits::DOCUMENT_BYTES_MAX {
            let detail = format!(
                "a document has {} bytes: {} are the most",
                document.len(),
                limits::DOCUMENT_BYTES_MAX
            );
            return Err(misuse(FailureCode::TooLarge, detail));
        }
        self.charge(key.len() + document.len())?;
        self.require_way_back(table, id, key, document, shape)?;
        let row = Row {
            shape,
            document: Bytes::copy_from_slice(document),
        };
        self.effects.writes.insert(id, key, Some(row));
        Ok(())
    }

    fn delete(&mut self, table: &str, key: &[u8]) -> Result<(), Misuse> {
        self.require_writing()?;
        let (id, _) = self.tables.find(table)?;
        self.charge(key.len())?;
        if key.len() > limits::KEY_BYTES_MAX {
            return Ok(());
        }
        self.effects.writes.insert(id, key, None);
        Ok(())
    }

    fn scan(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Misuse> {
        let limit = limit.min(limits::SCAN_ROWS_MAX);
        Ok(self.scan_page(table, start, end, limit, reverse)?.0)
    }

    fn emit(&mut self, stream: &str, key: Option<&[u8]>, value: &[u8]) -> Result<(), Misuse> {
        self.require_writing()?;
        let Some(place) = self.tables.stream(stream) else {
            let detail = format!("the application emitted to stream {stream:?}, which its manifest does not name");
            return Err(misuse(FailureCode::Misuse, detail));
        };
        let bytes = value.len() + key.map_or(0, <[u8]>::len);
        if bytes > limits::EVENT_BYTES_MAX {
            let detail = format!("an event has {bytes} bytes: {} are the most", limits::EVENT_BYTES_MAX);
            return Err(misuse(FailureCode::TooLarge, detail));
        }
        self.charge(bytes)?;
        self.effects.events.push(place, key, value);
        Ok(())
    }

    fn time(&self) -> TimeMs {
        self.time
    }

    fn index(&self) -> Index {
        self.index
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }
}

/// SplitMix64's finisher (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn misuse(code: FailureCode, detail: String) -> Misuse {
    Misuse::Failed(Failure::new(code, detail))
}

/// The context of a conversion: it has none.
pub(crate) struct NoContext;

impl NoContext {
    fn refuse<T>() -> Result<T, Misuse> {
        Err(misuse(
            FailureCode::Misuse,
            "migrate and transform are pure: they may ask the host for nothing".to_owned(),
        ))
    }
}

impl Context for NoContext {
    fn get(&mut self, _: &str, _: &[u8]) -> Result<Option<Bytes>, Misuse> {
        NoContext::refuse()
    }
    fn put(&mut self, _: &str, _: &[u8], _: &[u8]) -> Result<(), Misuse> {
        NoContext::refuse()
    }
    fn delete(&mut self, _: &str, _: &[u8]) -> Result<(), Misuse> {
        NoContext::refuse()
    }
    fn scan(&mut self, _: &str, _: &[u8], _: Option<&[u8]>, _: usize, _: bool) -> Result<Vec<Pair>, Misuse> {
        NoContext::refuse()
    }
    fn emit(&mut self, _: &str, _: Option<&[u8]>, _: &[u8]) -> Result<(), Misuse> {
        NoContext::refuse()
    }
    fn time(&self) -> TimeMs {
        TimeMs(0)
    }
    fn index(&self) -> Index {
        Index(0)
    }
    fn random(&mut self) -> u64 {
        0
    }
}
