//! What is let go of: code that nobody can call any more, and modules that nothing needs.
//!
//! A version is called because it answers, because a change brings it or may go back to it, or because it is the only one that
//! reads a shape in which rows still lie. All others are kept as manifests, which say what was, and as no more. Replay crosses
//! their changes all the same: it begins at a snapshot, which holds the modules of its time, and later ones came through the
//! log behind it.

use std::collections::BTreeSet;

use crate::apply::refused;
use crate::{
    Application, ApplicationVersion, Catalog, Code, Decision, Digest, Manifest, Shape, TimeMs, Version, limits, record,
};

/// The leader asks to delete a module that nothing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropModule {
    /// Which.
    pub module: Digest,
}
record!(DropModule { module });

impl Application {
    /// The version whose `migrate` knows both shapes, for a version that reads. That version itself, if it does: what one
    /// that was taken back made of older rows may be why it was. Else the one to come, else the newest that was ever in force,
    /// since only such a one has been found ready everywhere, and only the newer of two can know the older one's shape.
    pub(crate) fn converter<'a>(
        &'a self,
        reader: &'a ApplicationVersion,
        candidate: Option<&'a ApplicationVersion>,
        table: &str,
        (from, to): (Shape, Shape),
    ) -> Option<&'a ApplicationVersion> {
        let so_far = self.in_force_so_far().rev();
        std::iter::once(reader).chain(candidate).chain(so_far).find(|version| {
            version.manifest.table(table).is_some_and(|spec| {
                (spec.shape == from && spec.converts.contains(&to))
                    || (spec.shape == to && spec.converts.contains(&from))
            })
        })
    }
}

impl Catalog {
    /// The versions of an application whose code may be called: those that answer, that a change brings or may go back to, and
    /// that read rows for these.
    #[must_use]
    pub fn callable(&self, name: &str) -> BTreeSet<Version> {
        let Some(application) = self.applications.get(name) else {
            return BTreeSet::new();
        };
        let running = self.running_change(name).map(|(_, change)| change);
        let of_change = running
            .into_iter()
            .flat_map(|change| change.from.into_iter().chain([change.to]));
        let mut callable: BTreeSet<Version> = application.in_force.into_iter().chain(of_change).collect();
        let version = |number: &Version| application.versions.get(number);
        let candidate = running.and_then(|change| version(&change.to));
        let readers: Vec<&ApplicationVersion> = callable.iter().filter_map(version).collect();
        for reader in &readers {
            for table in &reader.manifest.tables {
                for shape in self.shapes_stored(name, &table.name, candidate) {
                    // Rows are read both by what answers and by what is tried before it does.
                    let converters = [None, candidate]
                        .map(|candidate| application.converter(reader, candidate, &table.name, (shape, table.shape)));
                    let found = converters.into_iter().flatten();
                    callable.extend(found.map(|version| version.manifest.version));
                }
            }
        }
        callable
    }

    /// All versions whose code may be called, of every application, with what runs the programs of contracts first.
    pub fn all_callable(&self) -> impl Iterator<Item = &ApplicationVersion> {
        let contracts = self.contracts.values().flat_map(|versions| versions.values());
        let transforms: BTreeSet<Version> = contracts.filter_map(|contract| contract.transform).collect();
        let programs = self.applications.get(crate::TRANSFORM).into_iter();
        let programs = programs.flat_map(move |application| {
            let versions = application.versions.iter();
            let named = transforms.clone();
            versions.filter(move |(number, _)| named.contains(number))
        });
        let others = self.applications.iter().flat_map(|(name, application)| {
            let callable = self.callable(name);
            let versions = application.versions.iter();
            versions.filter(move |(number, _)| callable.contains(number))
        });
        programs.chain(others).map(|(_, version)| version)
    }

    /// A module that nothing needs, and that nobody is about to plan with: the one to be deleted next.
    #[must_use]
    pub fn module_to_drop(&self, time: TimeMs) -> Option<Digest> {
        if self.modules.is_empty() {
            return None;
        }
        let needed = self.modules_needed();
        let mut modules = self.modules.iter();
        let is_idle = |since: TimeMs| time.0.saturating_sub(since.0) >= limits::MODULE_IDLE_MS;
        let found = modules.find(|(digest, module)| is_idle(module.since) && !needed.contains(digest));
        found.map(|(digest, _)| *digest)
    }

    fn modules_needed(&self) -> BTreeSet<Digest> {
        let modules = self.all_callable().filter_map(|version| match &version.code {
            Code::Wasm { module, .. } => Some(*module),
            Code::Native => None,
        });
        modules.collect()
    }

    /// The shapes in which rows of a table may lie, or may once the change that is under way has come.
    fn shapes_stored(&self, name: &str, table: &str, candidate: Option<&ApplicationVersion>) -> BTreeSet<Shape> {
        let shape_of = |manifest: &Manifest| manifest.table(table).map(|spec| spec.shape);
        let to_come = candidate.and_then(|version| shape_of(&version.manifest));
        let conversion = self.conversions.get(name).and_then(|tables| tables.get(table));
        // One that ended found all rows in its shape, and only the version that answers has written since.
        let whole = conversion.filter(|conversion| conversion.done.is_some() && conversion.failed == 0);
        let mut shapes: BTreeSet<Shape> = to_come.into_iter().collect();
        let application = self.applications.get(name);
        match whole {
            Some(conversion) => {
                shapes.insert(conversion.to);
                let now = self.in_force(name).and_then(|version| shape_of(&version.manifest));
                shapes.extend(now);
            }
            None => {
                let so_far = application.into_iter().flat_map(Application::in_force_so_far);
                shapes.extend(so_far.filter_map(|version| shape_of(&version.manifest)));
            }
        }
        shapes
    }
}

/// Whether that module may go, as each node sees it at this entry; else why not.
pub(crate) fn may_drop(catalog: &Catalog, time: TimeMs, asked: &DropModule) -> Result<(), Decision> {
    let Some(module) = catalog.modules.get(&asked.module) else {
        return Err(refused(
            "unknown_module",
            format!("module {} is not here", asked.module),
        ));
    };
    if catalog.modules_needed().contains(&asked.module) {
        let reason = format!("module {} is needed by a version that may be called", asked.module);
        return Err(refused("module_needed", reason));
    }
    if time.0.saturating_sub(module.since.0) < limits::MODULE_IDLE_MS {
        let reason = format!(
            "module {} came a short time ago: somebody may be about to plan with it",
            asked.module
        );
        return Err(refused("module_needed", reason));
    }
    Ok(())
}
