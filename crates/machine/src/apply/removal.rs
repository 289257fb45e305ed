//! Applications that are removed: first from service, later their data.

use bytes::Bytes;

use super::refused;
use super::requests::replace_row;
use crate::codec::Codec;
use crate::machine::{Machine, Stop, World};
use crate::{Decision, Index, Offset, PurgeApplication, RemoveApplication, Removed, TRANSFORM, TableId, limits};

impl Machine {
    /// Takes an application out of service; its data stays.
    pub(super) fn remove_application(&mut self, index: Index, remove: RemoveApplication) -> Decision {
        let RemoveApplication {
            application: name,
            reason,
        } = remove;
        let Some(version) = self.catalog.in_force(&name).map(|version| version.manifest.version) else {
            return refused("unknown_application", self.catalog.no_application(&name));
        };
        if let Some((id, running)) = self.catalog.running_change(&name) {
            let reason = format!(
                "change {id} of {name} to version {} is {}: finalize, revert or abort it first",
                running.to,
                running.stage.name()
            );
            return refused("change_running", reason);
        }
        if name == TRANSFORM
            && let Some(needed_by) = self.catalog.needs_transform()
        {
            let reason =
                format!("application {TRANSFORM} runs the programs of {needed_by}: remove and purge that first");
            return refused("still_needed", reason);
        }
        if reason.len() > limits::REASON_BYTES_MAX {
            let reason = format!("a reason has {} bytes at most", limits::REASON_BYTES_MAX);
            return refused("reason_too_long", reason);
        }
        let time = self.position.time;
        let catalog = self.catalog_mut();
        if let Some(application) = catalog.applications.get_mut(&name) {
            application.in_force = None;
        }
        let removed = Removed {
            index,
            time,
            version,
            reason,
        };
        catalog.removed.insert(name, removed);
        Decision::Done { index }
    }

    /// Deletes some rows of a removed application; with the last of them it is gone, and its streams are empty.
    pub(super) fn purge_application(
        &mut self,
        index: Index,
        purge: &PurgeApplication,
        world: &mut World<'_>,
    ) -> Result<Decision, Stop> {
        let name = &purge.application;
        if !self.catalog.removed.contains_key(name) {
            let reason = match self.catalog.in_force(name) {
                Some(_) => format!("{name} is in service: remove it first, and look whether anybody misses it"),
                None => self.catalog.no_application(name),
            };
            return Ok(refused("not_removed", reason));
        }
        if self.catalog.running_change(name).is_some() {
            let reason = format!("{name} is being installed again: abort that change first");
            return Ok(refused("change_running", reason));
        }
        let mut left = limits::PURGE_ROWS_MAX;
        for table in self.catalog.tables_of(name) {
            left -= self.delete_rows(table, left, world)?;
            if left == 0 {
                return Ok(Decision::Done { index });
            }
        }
        self.forget_application(name);
        Ok(Decision::Done { index })
    }

    /// Deletes up to `count` rows of a table; says how many.
    fn delete_rows(&mut self, table: TableId, count: usize, world: &mut World<'_>) -> Result<usize, Stop> {
        let mut keys: Vec<Bytes> = Vec::new();
        world.txn.scan(table, b"", None, false, &mut |key, _| {
            keys.push(Bytes::copy_from_slice(key));
            keys.len() < count
        })?;
        for key in &keys {
            replace_row(&mut self.position.digest, world.txn, table, key, None)?;
        }
        Ok(keys.len())
    }

    fn forget_application(&mut self, name: &str) {
        let prefix = format!("{name}.");
        let ours = |stream: &str| stream.starts_with(&prefix);
        let streams = self.position.streams.iter();
        let ends: Vec<(String, Offset)> = streams
            .filter(|(stream, _)| ours(stream))
            .map(|(stream, end)| (stream.clone(), *end))
            .collect();
        let consumers: Vec<(String, String)> = self
            .consumers
            .shared()
            .iter()
            .filter(|(stream, ..)| ours(stream))
            .map(|(stream, consumer, _)| (stream.to_owned(), consumer.to_owned()))
            .collect();
        for (stream, consumer) in consumers {
            // Each was listed just now.
            let _ = self.consumers.remove(&stream, &consumer);
            self.unpin(&stream, &consumer);
        }
        if !ends.is_empty() {
            self.stream_starts_mut().extend(ends);
        }
        self.usage.forget(name);
        let catalog = self.catalog_mut();
        catalog.applications.remove(name);
        catalog.removed.remove(name);
        catalog.conversions.remove(name);
        catalog.contracts.remove(name);
        catalog.let_go.remove(name);
        // What nodes let go of alike is part of what they compare.
        self.position.digest.chain(&name.to_owned().to_bytes());
    }
}
