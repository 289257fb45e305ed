//! What is let go of: code that nobody can call any more, and modules that nothing needs.
//!
//! A version is called because it answers, because a change brings it or may go back to it, or because it is the only one that
//! reads a shape in which rows still lie. Any other that has answered before is let go by an entry: from there on no node needs
//! its code, and no row is read by it, until it answers again. Its manifest stays, which says what was. Replay crosses such
//! changes all the same: it begins at a snapshot, which holds the modules of its time, and later ones came through the log
//! behind it.

use std::collections::BTreeSet;

use crate::apply::refused;
use crate::{
    Application, ApplicationVersion, Catalog, Code, Decision, Digest, Index, Manifest, Module, Shape, TRANSFORM,
    TimeMs, Version, limits, record,
};

/// The leader asks to let a version go that nobody can call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetGo {
    /// The application.
    pub application: String,
    /// The version.
    pub version: Version,
}
record!(LetGo { application, version });

/// The leader asks to delete a module that nothing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropModule {
    /// Which.
    pub module: Digest,
}
record!(DropModule { module });

impl Catalog {
    /// Whether a version was let go.
    #[must_use]
    pub fn is_let_go(&self, name: &str, version: Version) -> bool {
        self.let_go
            .get(name)
            .is_some_and(|versions| versions.contains(&version))
    }

    /// The versions of an application that have answered and were not let go, by number: these may be called.
    pub(crate) fn kept(&self, name: &str) -> impl DoubleEndedIterator<Item = &ApplicationVersion> {
        let gone = self.let_go.get(name);
        let is_gone = move |number: Version| gone.is_some_and(|versions| versions.contains(&number));
        let application = self.applications.get(name).into_iter();
        application
            .flat_map(|application| application.versions.values().map(move |version| (application, version)))
            .filter(move |(application, version)| {
                let number = version.manifest.version;
                !is_gone(number) && application.has_answered(number)
            })
            .map(|(_, version)| version)
    }

    /// The version whose `migrate` knows both shapes, for a version that reads. That version itself, if it does: what one
    /// that was taken back made of older rows may be why it was. Else the one to come, else the newest that is kept, since
    /// only such a one has been found ready everywhere, and only the newer of two can know the older one's shape.
    pub(crate) fn converter<'a>(
        &'a self,
        reader: &'a ApplicationVersion,
        candidate: Option<&'a ApplicationVersion>,
        table: &str,
        (from, to): (Shape, Shape),
    ) -> Option<&'a ApplicationVersion> {
        let kept = self.kept(&reader.manifest.application).rev();
        std::iter::once(reader).chain(candidate).chain(kept).find(|version| {
            version.manifest.table(table).is_some_and(|spec| {
                (spec.shape == from && spec.converts.contains(&to))
                    || (spec.shape == to && spec.converts.contains(&from))
            })
        })
    }

    /// The versions of an application that something may call: those that answer, that a change brings or may go back to, and
    /// that read rows for these.
    fn callable(&self, name: &str) -> BTreeSet<Version> {
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
                        .map(|candidate| self.converter(reader, candidate, &table.name, (shape, table.shape)));
                    let found = converters.into_iter().flatten();
                    callable.extend(found.map(|version| version.manifest.version));
                }
            }
        }
        callable
    }

    /// A version that is to be let go next.
    #[must_use]
    pub fn to_let_go(&self) -> Option<LetGo> {
        self.applications.keys().find_map(|name| {
            let asked = |version: &ApplicationVersion| LetGo {
                application: name.clone(),
                version: version.manifest.version,
            };
            let callable = self.callable(name);
            let found = self.kept(name).find(|version| self.may_go(version, &callable));
            found.map(asked)
        })
    }

    /// Whether a version that is kept may be let go, where these of its application may be called.
    fn may_go(&self, version: &ApplicationVersion, callable: &BTreeSet<Version>) -> bool {
        !callable.contains(&version.manifest.version) && !self.runs_programs(version)
    }

    /// Whether programs of some contract are run by that version: those of events for as long as the events may be read.
    fn runs_programs(&self, version: &ApplicationVersion) -> bool {
        let mut contracts = self.contracts.values().flat_map(|versions| versions.values());
        version.manifest.application == TRANSFORM
            && contracts.any(|contract| contract.transform == Some(version.manifest.version))
    }

    /// All versions whose code a node makes ready: those that may be called, and those to come; what runs the programs of others first.
    pub fn needed(&self) -> impl Iterator<Item = &ApplicationVersion> {
        let is_transform = |name: &str| name == TRANSFORM;
        let (first, others): (Vec<_>, Vec<_>) = self.applications.iter().partition(|(name, _)| is_transform(name));
        first.into_iter().chain(others).flat_map(move |(name, application)| {
            let to_come = self.running_change(name).map(|(_, change)| change.to);
            let is_needed = move |number: Version| to_come == Some(number) || !self.is_let_go(name, number);
            let versions = application.versions.iter();
            let needed = versions.filter(move |(number, _)| is_needed(**number));
            needed.map(|(_, version)| version)
        })
    }

    /// A module that nothing needs, and that nobody is about to plan with: the one to be deleted next.
    #[must_use]
    pub fn module_to_drop(&self, time: TimeMs) -> Option<Digest> {
        let mut idle = self
            .modules
            .iter()
            .filter(|(_, module)| module.is_idle(time))
            .peekable();
        idle.peek()?;
        let needed = self.modules_needed();
        idle.map(|(digest, _)| *digest).find(|digest| !needed.contains(digest))
    }

    fn modules_needed(&self) -> BTreeSet<Digest> {
        let modules = self.needed().filter_map(|version| match &version.code {
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
        match whole {
            Some(conversion) => {
                shapes.insert(conversion.to);
                let now = self.in_force(name).and_then(|version| shape_of(&version.manifest));
                shapes.extend(now);
            }
            None => {
                let application = self.applications.get(name).into_iter();
                let so_far = application.flat_map(Application::in_force_so_far);
                shapes.extend(so_far.filter_map(|version| shape_of(&version.manifest)));
            }
        }
        shapes
    }
}

impl Module {
    /// Whether it came so long ago that nobody who sent it is about to plan with it.
    fn is_idle(&self, time: TimeMs) -> bool {
        time.0.saturating_sub(self.since.0) >= limits::MODULE_IDLE_MS
    }
}

/// Lets a version go, or says why not.
pub(crate) fn let_go(catalog: &mut Catalog, index: Index, asked: LetGo) -> Decision {
    let LetGo { application, version } = asked;
    let kept = catalog.kept(&application).find(|kept| kept.manifest.version == version);
    let Some(kept) = kept else {
        let reason = format!("version {version} of {application} never answered, or was let go before");
        return refused("nothing_to_let_go", reason);
    };
    if !catalog.may_go(kept, &catalog.callable(&application)) {
        let reason = format!("version {version} of {application} may still be called");
        return refused("version_needed", reason);
    }
    catalog.let_go.entry(application).or_default().insert(version);
    Decision::Done { index }
}

/// A version answers: whatever was said of it before, it may be called.
pub(crate) fn take_up(catalog: &mut Catalog, application: &str, version: Version) {
    if let Some(versions) = catalog.let_go.get_mut(application) {
        versions.remove(&version);
        if versions.is_empty() {
            catalog.let_go.remove(application);
        }
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
    if !module.is_idle(time) {
        let reason = format!(
            "module {} came a short time ago: somebody may be about to plan with it",
            asked.module
        );
        return Err(refused("module_needed", reason));
    }
    Ok(())
}
