//! Rows brought into the newest shape, batch after batch, once there is no way back: what is asked for and how far it is.
//!
//! A switch never waits for it, since each row is converted as it is read. It is there so that no row lies in an old shape for
//! ever, and a version that was taken back can be let go.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::apply::refused;
use crate::manifest::TableSpec;
use crate::{ApplicationVersion, Catalog, Decision, Index, Shape, TimeMs, Version, limits, record};

/// The conversions of an application, by table.
pub type Conversions = BTreeMap<String, Conversion>;

/// How far the rows of one table are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The shape that they come to have.
    pub to: Shape,
    /// All rows up to this key were looked at.
    pub reached: Bytes,
    /// So many rows were looked at.
    pub looked: u64,
    /// So many of them were converted.
    pub converted: u64,
    /// So many could not be, and lie as they did.
    pub failed: u64,
    /// Some of those.
    pub samples: Vec<Unconverted>,
    /// Log time at which it began.
    pub since: TimeMs,
    /// Log time at which the last row was looked at.
    pub done: Option<TimeMs>,
    /// Whether it waits for an operator.
    pub paused: bool,
    /// Rows a second that the leader looks at, at most.
    pub rate: u64,
}
record!(Conversion {
    to,
    reached,
    looked,
    converted,
    failed,
    samples,
    since,
    done,
    paused,
    rate
});

/// A row that could not be brought into the newest shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconverted {
    /// Its key.
    pub key: Bytes,
    /// Why, for people.
    pub why: String,
}
record!(Unconverted { key, why });

impl Unconverted {
    /// With a reason that is cut to what is kept of it: it may be the application's own words.
    pub(crate) fn new(key: Bytes, mut why: String) -> Unconverted {
        let most = limits::SAMPLE_BYTES_MAX.min(why.len());
        let end = (0..=most).rev().find(|end| why.is_char_boundary(*end));
        why.truncate(end.unwrap_or(0));
        Unconverted { key, why }
    }
}

/// Brings the next rows of a table into the newest shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertRows {
    /// The application.
    pub application: String,
    /// The table.
    pub table: String,
    /// The shape.
    pub to: Shape,
    /// How far it must be, so that a batch of an earlier leader does nothing.
    pub after: Bytes,
    /// Rows to look at, at most.
    pub rows: u64,
}
record!(ConvertRows {
    application,
    table,
    to,
    after,
    rows
});

/// Pauses or resumes the conversions of an application, or sets their pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteerConversion {
    /// The application.
    pub application: String,
    /// Whether they are paused; none: as they are.
    pub paused: Option<bool>,
    /// Rows a second; none: as before.
    pub rate: Option<u64>,
}
record!(SteerConversion {
    application,
    paused,
    rate
});

impl Conversion {
    fn begin(to: Shape, since: TimeMs, before: Option<&Conversion>) -> Conversion {
        Conversion {
            to,
            reached: Bytes::new(),
            looked: 0,
            converted: 0,
            failed: 0,
            samples: Vec::new(),
            since,
            done: None,
            paused: before.is_some_and(|before| before.paused),
            rate: before.map_or(limits::CONVERSION_RATE_DEFAULT, |before| before.rate),
        }
    }

    /// A row could not be converted.
    pub(crate) fn note_failure(&mut self, key: Bytes, why: String) {
        self.failed += 1;
        if self.samples.len() < limits::CONVERSION_SAMPLES_MAX {
            self.samples.push(Unconverted::new(key, why));
        }
    }
}

/// Begins the conversion of each table whose rows may lie in another shape than the version has that is here to stay.
/// `from` is the version before it; none: it was installed, anew perhaps.
pub(crate) fn begin(catalog: &mut Catalog, time: TimeMs, name: &str, from: Option<Version>) {
    let Some(application) = catalog.applications.get(name) else {
        return;
    };
    let in_force = application
        .in_force
        .and_then(|number| application.versions.get(&number));
    let Some(now) = in_force.map(|version| &version.manifest) else {
        return;
    };
    let earlier = catalog.conversions.get(name);
    let mut begun = Conversions::new();
    for table in &now.tables {
        let is_other = |version: &ApplicationVersion| {
            let before = version.manifest.table(&table.name);
            before.is_some_and(|before| before.shape != table.shape)
        };
        let was_other = match from {
            Some(from) => application.versions.get(&from).is_some_and(is_other),
            None => application.in_force_so_far().any(is_other),
        };
        let known = earlier.and_then(|conversions| conversions.get(&table.name));
        let is_whole = known.is_none_or(|known| known.done.is_some() && known.failed == 0 && known.to == table.shape);
        match known {
            Some(known) if !was_other && is_whole => drop(begun.insert(table.name.clone(), known.clone())),
            None if !was_other => {}
            known => drop(begun.insert(table.name.clone(), Conversion::begin(table.shape, time, known))),
        }
    }
    match begun.is_empty() {
        true => drop(catalog.conversions.remove(name)),
        false => drop(catalog.conversions.insert(name.to_owned(), begun)),
    }
}

/// A version was taken back: what it wrote lies in its shape, so that the tables that it reshaped are looked at anew.
pub(crate) fn begin_again(catalog: &mut Catalog, time: TimeMs, name: &str, reverted: Version) {
    let Some(application) = catalog.applications.get(name) else {
        return;
    };
    let version = |number: Version| application.versions.get(&number).map(|version| &version.manifest);
    let Some((gone, now)) = version(reverted).zip(application.in_force.and_then(version)) else {
        return;
    };
    let was_other = |table: &&TableSpec| gone.table(&table.name).is_some_and(|gone| gone.shape != table.shape);
    let tables: Vec<TableSpec> = now.tables.iter().filter(was_other).cloned().collect();
    for table in tables {
        let conversions = catalog.conversions.entry(name.to_owned()).or_default();
        let anew = Conversion::begin(table.shape, time, conversions.get(&table.name));
        conversions.insert(table.name, anew);
    }
}

/// Steers the conversions of an application, or says why not.
pub(crate) fn steer(catalog: &mut Catalog, index: Index, steer: &SteerConversion) -> Decision {
    let Some(conversions) = catalog.conversions.get_mut(&steer.application) else {
        let reason = format!(
            "no rows of {} have another shape than they should: there is nothing to steer",
            steer.application
        );
        return refused("no_conversion", reason);
    };
    if steer
        .rate
        .is_some_and(|rate| rate == 0 || rate > limits::CONVERSION_RATE_MAX)
    {
        let reason = format!("1 to {} rows a second, or pause it", limits::CONVERSION_RATE_MAX);
        return refused("no_conversion", reason);
    }
    for conversion in conversions.values_mut() {
        conversion.paused = steer.paused.unwrap_or(conversion.paused);
        conversion.rate = steer.rate.unwrap_or(conversion.rate);
    }
    Decision::Done { index }
}

/// The next batch of an application's rows, if one is due; `rows` of it at most.
#[must_use]
pub fn next_batch(catalog: &Catalog, name: &str, rows: u64) -> Option<ConvertRows> {
    let application = catalog.applications.get(name)?;
    if application.reversible.is_some() {
        return None;
    }
    let manifest = &application.versions.get(&application.in_force?)?.manifest;
    let conversions = catalog.conversions.get(name)?;
    let due = |(table, conversion): &(&String, &Conversion)| {
        let shape = manifest.table(table).map(|table| table.shape);
        conversion.done.is_none() && !conversion.paused && shape == Some(conversion.to)
    };
    let (table, conversion) = conversions.iter().find(due)?;
    Some(ConvertRows {
        application: name.to_owned(),
        table: table.clone(),
        to: conversion.to,
        after: conversion.reached.clone(),
        rows,
    })
}
