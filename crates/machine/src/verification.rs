//! Every stored row converted into the shape of a version that is to come and back again, before it takes over: what is asked
//! for, and what was found.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::apply::{CommandContext, Tables};
use crate::{
    Applications, Catalog, ChangeId, Index, Misuse, NodeId, Row, Shape, StateError, StateRead, TimeMs, Unconverted,
    limits, record,
};

/// The leader names the nodes that look at their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignVerification {
    /// For which change.
    pub change: ChangeId,
    /// Who.
    pub nodes: BTreeSet<NodeId>,
}
record!(AssignVerification { change, nodes });

/// A node says what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who.
    pub node: NodeId,
    /// For which change.
    pub change: ChangeId,
    /// What.
    pub rows: VerifiedRows,
}
record!(Verified { node, change, rows });

/// What came of all rows of an application, as of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifiedRows {
    /// As of which entry: what was written later is not among them.
    pub as_of: Index,
    /// Rows of tables that the version reshapes.
    pub rows: u64,
    /// Those of them that cannot be converted, or are other ones after the way back.
    pub failed: u64,
    /// The first of those.
    pub samples: Vec<Unconverted>,
}
record!(VerifiedRows {
    as_of,
    rows,
    failed,
    samples
});

/// How far that is, for one change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Who looks.
    pub nodes: BTreeSet<NodeId>,
    /// Log time since which they do.
    pub since: TimeMs,
    /// What each has found.
    pub found: BTreeMap<NodeId, VerifiedRows>,
    /// Rows that do not come through are as they should be, an operator said.
    pub approved: bool,
}
record!(Verification {
    nodes,
    since,
    found,
    approved
});

impl Verification {
    /// Who has not said yet what it found.
    pub fn waiting(&self) -> impl Iterator<Item = NodeId> {
        let found = |node: &&NodeId| !self.found.contains_key(node);
        self.nodes.iter().filter(found).copied()
    }

    /// Whether all have, and every row came through.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        let is_whole = !self.nodes.is_empty() && self.waiting().next().is_none();
        is_whole && (self.approved || !self.has_failed())
    }

    /// Whether a node has found a row that does not come through.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.found.values().any(|rows| rows.failed > 0)
    }
}

impl VerifiedRows {
    fn fail(&mut self, table: &str, key: &[u8], why: String) {
        self.failed += 1;
        if self.samples.len() < limits::CONVERSION_SAMPLES_MAX {
            let key = Bytes::copy_from_slice(key);
            self.samples.push(Unconverted::new(key, format!("{table}: {why}")));
        }
    }

    /// Within the limits that any honest node keeps.
    pub(crate) fn is_sound(&self) -> bool {
        let fits = |sample: &Unconverted| {
            sample.key.len() <= limits::KEY_BYTES_MAX && sample.why.len() <= limits::SAMPLE_BYTES_MAX
        };
        self.samples.len() <= limits::CONVERSION_SAMPLES_MAX && self.samples.iter().all(fits)
    }
}

/// Rows after which the converter's instances are made anew.
const AT_ONCE: u64 = 256;

/// Converts every row of the tables that a change reshapes into its new shape and back, by the very code that would do it
/// behind the switch. `alike` says whether two documents are the same; `go_on` is asked now and then.
///
/// # Errors
/// The disk failed, or the code is not ready here.
pub fn verify_rows(
    catalog: &Catalog,
    id: ChangeId,
    state: &dyn StateRead,
    converter: &mut dyn Applications,
    alike: &dyn Fn(&[u8], &[u8]) -> bool,
    go_on: &dyn Fn() -> bool,
) -> Result<VerifiedRows, StateError> {
    let mut found = VerifiedRows::default();
    let Some(change) = catalog.changes.get(&id) else {
        return Ok(found);
    };
    let Some((now, application)) =
        Tables::of(catalog, &change.application).zip(catalog.applications.get(&change.application))
    else {
        return Ok(found);
    };
    let ids = application.tables.clone();
    let Some(to_come) = Tables::to_come(catalog, change, &ids) else {
        return Ok(found);
    };
    for table in &to_come.version.manifest.tables {
        let old = now.version.manifest.table(&table.name);
        let Some((old, table_id)) = old.zip(application.tables.get(&table.name)) else {
            continue;
        };
        if old.shape == table.shape {
            continue;
        }
        let mut failure = None;
        state.scan(*table_id, &[], None, false, &mut |key, row| {
            let mut context = CommandContext::reading(&to_come, state, converter, TimeMs::default(), Index::default());
            let both = (old.shape, table.shape);
            match there_and_back(&mut context, (&now, &to_come), (&table.name, key, row), both, alike) {
                Ok(None) => {}
                Ok(Some(why)) => found.fail(&table.name, key, why),
                Err(error) => failure = Some(error),
            }
            drop(context);
            found.rows += 1;
            if found.rows.is_multiple_of(AT_ONCE) {
                converter.end_entry();
                if !go_on() {
                    failure = Some(StateError("the node is stopping".to_owned()));
                }
            }
            failure.is_none()
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
    }
    converter.end_entry();
    Ok(found)
}

/// What is wrong with a row, if anything is.
fn there_and_back<'a>(
    context: &mut CommandContext<'a>,
    (now, to_come): (&'a Tables<'a>, &'a Tables<'a>),
    (table, key, row): (&str, &[u8], &Row),
    (old, new): (Shape, Shape),
    alike: &dyn Fn(&[u8], &[u8]) -> bool,
) -> Result<Option<String>, StateError> {
    let mut convert = |reader: &'a Tables<'a>, document: &[u8], shapes: (Shape, Shape)| match shapes.0 == shapes.1 {
        true => Ok(Bytes::copy_from_slice(document)),
        false => context.convert(reader.version, table, key, document, shapes),
    };
    let mut all = || -> Result<(Bytes, Bytes), Misuse> {
        let before = convert(now, &row.document, (row.shape, old))?;
        let up = convert(to_come, &row.document, (row.shape, new))?;
        let down = convert(now, &up, (new, old))?;
        Ok((before, down))
    };
    match all() {
        Ok((before, down)) if alike(&before, &down) => Ok(None),
        Ok((before, down)) => Ok(Some(format!(
            "it is another one after the way to shape {new} and back: {} and then {}",
            String::from_utf8_lossy(&before),
            String::from_utf8_lossy(&down)
        ))),
        Err(Misuse::Failed(failure)) => Ok(Some(failure.detail)),
        Err(Misuse::State(error)) => Err(error),
    }
}
