//! Rows brought into the newest shape, a batch an entry.

use bytes::Bytes;

use super::{CommandContext, Tables, refused};
use crate::codec::Codec;
use crate::machine::{Machine, Stop, World};
use crate::{ConvertRows, Decision, Index, Misuse, Row, conversion, limits};

impl Machine {
    /// Converts the next rows of a table, or says why not.
    pub(super) fn convert_rows(
        &mut self,
        index: Index,
        convert: &ConvertRows,
        world: &mut World<'_>,
    ) -> Result<Decision, Stop> {
        let ConvertRows {
            application: name,
            table,
            ..
        } = convert;
        // What is due is decided here, and the same on every node; the entry only says how much of it.
        let due = conversion::next_batch(&self.catalog, name, convert.rows);
        if due.as_ref() != Some(convert) {
            let reason =
                format!("these rows of {name} are not what is to be converted next: something came in between");
            return Ok(refused("no_conversion", reason));
        }
        let catalog = self.catalog.clone();
        let (Some(tables), Some(application)) = (Tables::of(&catalog, name), catalog.applications.get(name)) else {
            return Ok(refused("unknown_application", catalog.no_application(name)));
        };
        // As for a command: rows in any shape ever written may be met.
        for version in application.in_force_so_far() {
            let ready = world.applications.ready(&version.manifest, &version.code);
            ready.map_err(Stop::from)?;
        }
        let Some(id) = tables.id(table) else {
            return Ok(refused("no_conversion", format!("{name} has no table {table} now")));
        };
        let most = usize::try_from(convert.rows)
            .unwrap_or(usize::MAX)
            .min(limits::CONVERT_ROWS_MAX);
        let start = match convert.after.is_empty() {
            true => Vec::new(),
            false => [&convert.after[..], &[0]].concat(),
        };
        let mut found: Vec<(Bytes, Row)> = Vec::new();
        let mut bytes = 0;
        let mut is_last = true;
        world.txn.scan(id, &start, None, false, &mut |key, row| {
            if found.len() == most || bytes >= limits::CONVERT_BYTES_MAX {
                is_last = false;
                return false;
            }
            bytes += key.len() + row.document.len();
            found.push((Bytes::copy_from_slice(key), row.clone()));
            true
        })?;
        let time = self.position.time;
        let looked = found.len() as u64;
        let reached = found
            .last()
            .map_or_else(|| convert.after.clone(), |(key, _)| key.clone());
        let mut converted: Vec<(Bytes, Row)> = Vec::new();
        let mut failed = Vec::new();
        let mut context = CommandContext::writing(&tables, &*world.txn, world.converter, time, index, (index.0, 0));
        for (key, row) in found.into_iter().filter(|(_, row)| row.shape != convert.to) {
            match context.convert(tables.version, table, &key, &row.document, (row.shape, convert.to)) {
                Ok(document) => converted.push((
                    key,
                    Row {
                        shape: convert.to,
                        document,
                    },
                )),
                Err(Misuse::Failed(failure)) => failed.push((key, failure.detail)),
                Err(Misuse::State(error)) => return Err(error.into()),
            }
        }
        drop(context);
        world.converter.end_entry();
        let rows = converted.len() as u64;
        for (key, row) in converted {
            self.position.digest.add(id, &key, &row);
            if let Some(before) = world.txn.replace(id, &key, Some(row))? {
                self.position.digest.remove(id, &key, &before);
            }
        }
        let known = self.catalog_mut().conversions.get_mut(name);
        if let Some(conversion) = known.and_then(|conversions| conversions.get_mut(table)) {
            conversion.reached = reached;
            conversion.looked += looked;
            conversion.converted += rows;
            conversion.done = is_last.then_some(time);
            for (key, why) in failed {
                conversion.note_failure(key, why);
            }
            // What nodes did alike is part of what they compare.
            let said = conversion.to_bytes();
            self.position.digest.chain(&said);
        }
        Ok(Decision::Done { index })
    }
}
