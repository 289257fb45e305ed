//! What must hold before a change of an application is planned.

use std::collections::BTreeSet;

use crate::apply::refused;
use crate::{
    ApplicationVersion, Catalog, Code, CommandSchema, Contract, Decision, Digest, Expected, Manifest, MeterNumber,
    PlanApplication, RehearsalPlan, Safeguards, Shape, TRANSFORM, limits,
};

/// The newest meter that every binary of level 1 knows.
const METER_MAX: MeterNumber = MeterNumber(1);

/// Readers of events that would be broken and are told of by name.
const TOLD_MAX: usize = 8;

/// One thing that must hold.
pub(super) struct Precondition {
    /// What it is, for programs.
    pub(super) name: &'static str,
    /// What holds, if it does.
    pub(super) holds: &'static str,
    /// Says why it does not.
    pub(super) check: fn(&Catalog, &PlanApplication, &Safeguards) -> Result<(), Decision>,
}

/// In the order in which they are looked at: the first that does not hold is what a plan is refused for, in every release.
pub(super) const PRECONDITIONS: [Precondition; 11] = [
    Precondition {
        name: "manifest",
        holds: "the manifest is in order",
        check: check_manifest,
    },
    Precondition {
        name: "module",
        holds: "the code is here, and its meter is known",
        check: check_code,
    },
    Precondition {
        name: "no_other_change",
        holds: "no other change of the application is under way",
        check: check_running,
    },
    Precondition {
        name: "room",
        holds: "the cluster has room for the application",
        check: check_room,
    },
    Precondition {
        name: "newer",
        holds: "its number is higher than that of the version in force",
        check: check_newer,
    },
    Precondition {
        name: "number",
        holds: "no other version in force had its number",
        check: check_number,
    },
    Precondition {
        name: "contract",
        holds: "its programs are in order, and there is what runs them",
        check: check_contract,
    },
    Precondition {
        name: "commands",
        holds: "it takes all that clients may send now",
        check: check_commands,
    },
    Precondition {
        name: "schemas",
        holds: "what a payload may be stays so under its number",
        check: check_schemas,
    },
    Precondition {
        name: "events",
        holds: "consumers get its events in the version that they know",
        check: check_events,
    },
    Precondition {
        name: "shapes",
        holds: "it reads rows of every shape that was ever written",
        check: check_shapes,
    },
];

/// Refuses with the first that does not hold.
pub(super) fn check(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Result<(), Decision> {
    PRECONDITIONS
        .iter()
        .try_for_each(|precondition| (precondition.check)(catalog, plan, safeguards))
}

/// What a change is to look after must go together with what else was asked.
pub(super) fn check_safeguards(
    catalog: &Catalog,
    plan: &PlanApplication,
    safeguards: &Safeguards,
) -> Result<(), Decision> {
    if plan.finalize && safeguards.may_go_back() {
        let reason =
            "a change that is finalized as it switches cannot be taken back by itself: leave out one of the two";
        return Err(refused("plan_contradicts_itself", reason));
    }
    if safeguards.refusals_max.is_some_and(|max| max > limits::REFUSALS_MAX) {
        let reason = format!(
            "it would be taken back only after more than {} refusals: that many are the most, give fewer",
            limits::REFUSALS_MAX
        );
        return Err(refused("plan_contradicts_itself", reason));
    }
    let unfit = |why: &String| why.is_empty() || why.len() > limits::REASON_BYTES_MAX;
    if safeguards.allow_breaking.as_ref().is_some_and(unfit) {
        let reason = format!(
            "a change that breaks clients says why, in 1 to {} bytes",
            limits::REASON_BYTES_MAX
        );
        return Err(refused("plan_contradicts_itself", reason));
    }
    if in_force(catalog, plan).is_none() && (safeguards.rehearse.is_some() || safeguards.verify_data) {
        let reason = "an installation has no commands to be rehearsed on and no rows to be looked at: leave that out";
        return Err(refused("plan_contradicts_itself", reason));
    }
    if let Some(rehearse) = &safeguards.rehearse {
        check_rehearsal(rehearse)?;
    }
    if safeguards.confirm_within_ms == Some(0) {
        let reason = "no time to confirm it in: give more, or leave the deadline out";
        return Err(refused("plan_contradicts_itself", reason));
    }
    Ok(())
}

fn check_rehearsal(plan: &RehearsalPlan) -> Result<(), Decision> {
    if plan.commands == 0 && plan.for_ms == 0 {
        let reason = "a rehearsal of no command for no time: say how many commands, or how long";
        return Err(refused("plan_contradicts_itself", reason));
    }
    if plan.one_in == 0 {
        let reason = "one command in none is rehearsed: 1 stands for every one";
        return Err(refused("plan_contradicts_itself", reason));
    }
    if plan.expected.len() > limits::EXPECTED_MAX || !plan.expected.iter().all(Expected::is_sound) {
        let reason = format!(
            "a rehearsal may expect {} differences, each with a name and a JSON pointer of up to {} bytes",
            limits::EXPECTED_MAX,
            limits::POINTER_BYTES_MAX
        );
        return Err(refused("plan_contradicts_itself", reason));
    }
    Ok(())
}

/// The version in force that the plan is to replace.
pub(super) fn in_force<'c>(catalog: &'c Catalog, plan: &PlanApplication) -> Option<&'c Manifest> {
    catalog
        .in_force(&plan.manifest.application)
        .map(|version| &version.manifest)
}

fn check_manifest(_: &Catalog, plan: &PlanApplication, _: &Safeguards) -> Result<(), Decision> {
    let checked = plan.manifest.check();
    checked.map_err(|error| refused("manifest_invalid", error.to_string()))
}

fn check_running(catalog: &Catalog, plan: &PlanApplication, _: &Safeguards) -> Result<(), Decision> {
    let name = &plan.manifest.application;
    let Some((id, running)) = catalog.running_change(name) else {
        return Ok(());
    };
    let reason = format!(
        "change {id} of {name} to version {} is {}: finalize, revert or abort it first",
        running.to,
        running.stage.name()
    );
    Err(refused("change_running", reason))
}

fn check_room(catalog: &Catalog, plan: &PlanApplication, _: &Safeguards) -> Result<(), Decision> {
    let known = catalog.applications.contains_key(&plan.manifest.application);
    if known || catalog.applications.len() < limits::APPLICATIONS_MAX {
        return Ok(());
    }
    let reason = format!("a cluster holds {} applications at most", limits::APPLICATIONS_MAX);
    Err(refused("too_many_applications", reason))
}

fn check_newer(catalog: &Catalog, plan: &PlanApplication, _: &Safeguards) -> Result<(), Decision> {
    let manifest = &plan.manifest;
    let name = &manifest.application;
    let application = catalog.applications.get(name);
    let Some(in_force) = application.and_then(|application| application.in_force) else {
        return Ok(());
    };
    if manifest.version > in_force {
        return Ok(());
    }
    let reason = format!(
        "{name} is at version {in_force}: a new version has a higher number (to go back, revert the change that brought it)"
    );
    Err(refused("version_not_newer", reason))
}

fn check_number(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Result<(), Decision> {
    let manifest = &plan.manifest;
    let name = &manifest.application;
    let Some(application) = catalog.applications.get(name) else {
        return Ok(());
    };
    let kept = application.versions.get(&manifest.version);
    let mut history = application.history.iter();
    let was_in_force = history.any(|(_, version)| *version == manifest.version);
    let nothing = Contract::default();
    let promised = |contract: Option<&Contract>| {
        let mut promised = contract.unwrap_or(&nothing).clone();
        // Decided when it was planned, and by whoever planned it.
        promised.transform = None;
        promised
            .schemas
            .iter_mut()
            .for_each(|schema| schema.constraints = Digest([0; 32]));
        promised
    };
    let before = promised(catalog.contract(name, manifest.version));
    let same = |kept: &ApplicationVersion| {
        kept.code == plan.code && kept.manifest == *manifest && before == promised(safeguards.contract.as_deref())
    };
    if !was_in_force || kept.is_none_or(same) {
        return Ok(());
    }
    let reason = format!(
        "version {} of {name} was in force before with other code or another manifest: give the new one a new number",
        manifest.version
    );
    Err(refused("version_reused", reason))
}

/// Programs that contradict the manifest, or that nothing runs.
fn check_contract(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Result<(), Decision> {
    let Some(contract) = &safeguards.contract else {
        return Ok(());
    };
    if let Err(error) = contract.check(&plan.manifest) {
        return Err(refused("manifest_invalid", error.to_string()));
    }
    let runs = |version: &ApplicationVersion| version.manifest.queries.iter().any(|query| query == TRANSFORM);
    if contract.programs().next().is_some() && !catalog.in_force(TRANSFORM).is_some_and(runs) {
        let reason = format!(
            "its manifest has programs, and no application {TRANSFORM} that runs them is installed: `seachange app upgrade` \
             installs it by itself"
        );
        return Err(refused("transform_missing", reason));
    }
    Ok(())
}

/// Whatever clients may send now, they may still send to the new version: they learn of it only after the switch.
fn check_commands(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Result<(), Decision> {
    let dropped = dropped_commands(catalog, plan, safeguards);
    if dropped.is_empty() || safeguards.allow_breaking.is_some() {
        return Ok(());
    }
    let manifest = &plan.manifest;
    let reason = format!(
        "version {} of {} does not take {}, which version {} takes: clients that still send it would be refused from the \
         switch on; name it under `commands` in the manifest and go on taking it, give a program under `upcasts` that brings it into \
         a version that is taken, or allow it to break them and say why",
        manifest.version,
        manifest.application,
        dropped.join(", "),
        in_force(catalog, plan).map_or_else(Default::default, |manifest| manifest.version)
    );
    Err(refused("commands_dropped", reason))
}

/// A client that sends a version of a payload relies on what that version was.
fn check_schemas(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Result<(), Decision> {
    let manifest = &plan.manifest;
    let before = in_force(catalog, plan).and_then(|before| catalog.contract(&before.application, before.version));
    let (Some(before), Some(after), None) = (before, &safeguards.contract, &safeguards.allow_breaking) else {
        return Ok(());
    };
    let changed = after.schemas.iter().find(|schema| {
        let known = before.schema(&schema.command, schema.version);
        known.is_some_and(|known| known.constraints != schema.constraints && known.schema != schema.schema)
    });
    let Some(CommandSchema { command, version, .. }) = changed else {
        return Ok(());
    };
    let reason = format!(
        "version {} of {} gives another schema for version {version} of command {command} than the version in force: clients \
         that send it rely on that one; give the new payload a version of its own, with an upcast from the old one, or \
         allow it to break them and say why",
        manifest.version, manifest.application
    );
    Err(refused("schema_changed", reason))
}

/// Whoever is pinned to a version of events goes on getting it, and nobody gets an earlier one than now.
fn check_events(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Result<(), Decision> {
    let broken = broken_events(catalog, plan, safeguards);
    if broken.is_empty() || safeguards.allow_breaking.is_some() {
        return Ok(());
    }
    let manifest = &plan.manifest;
    let reason = format!(
        "version {} of {} breaks who reads its events: {}; give a program under `downcasts` of the stream in the manifest, say \
         with `event_version` in which version its events are, or allow it to break them and say why",
        manifest.version,
        manifest.application,
        broken.join("; ")
    );
    Err(refused("events_unserved", reason))
}

/// How the planned version breaks those who read events, for people.
pub(super) fn broken_events(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Vec<String> {
    let manifest = &plan.manifest;
    let nothing = Contract::default();
    let events = &safeguards.contract.as_deref().unwrap_or(&nothing).events;
    let unserved = catalog.unserved(manifest, events).map(|(stream, consumer, pin)| {
        format!(
            "consumer {consumer} of {stream} is pinned to version {pin}, and nothing brings version {} down to it",
            events.version_of(stream)
        )
    });
    let backwards = manifest.streams.iter().filter_map(|stream| {
        let (before, after) = (catalog.event_version(stream), events.version_of(stream));
        (after < before)
            .then(|| format!("events of {stream} are emitted in version {before} now, and would be in {after}"))
    });
    unserved.chain(backwards).take(TOLD_MAX).collect()
}

/// Commands, each with a version of its payload, that the version in force takes and the planned one does not.
pub(super) fn dropped_commands(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Vec<String> {
    let dropped = dropped(catalog, plan, safeguards).into_iter();
    dropped
        .map(|(name, version)| format!("{name} (payload version {version})"))
        .collect()
}

/// The same, by name and version.
#[must_use]
pub fn dropped<'c>(catalog: &'c Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Vec<(&'c str, u16)> {
    let Some(in_force) = in_force(catalog, plan) else {
        return Vec::new();
    };
    let nothing = Contract::default();
    let after = safeguards.contract.as_deref().unwrap_or(&nothing);
    let taken = |name: &str, version: u16| after.upcasts_of(&plan.manifest, name, version).is_some();
    let as_they_are = in_force
        .commands
        .iter()
        .flat_map(|command| command.versions.iter().map(|version| (command.name.as_str(), *version)));
    let before = catalog.contract(&in_force.application, in_force.version);
    let raised = before.into_iter().flat_map(|before| &before.upcasts);
    as_they_are
        .chain(raised.map(|upcast| (upcast.command.as_str(), upcast.from)))
        .filter(|(name, version)| !taken(name, *version))
        .collect()
}

fn check_code(catalog: &Catalog, plan: &PlanApplication, _: &Safeguards) -> Result<(), Decision> {
    let Code::Wasm { module, meter } = &plan.code else {
        return Ok(());
    };
    if *meter > METER_MAX || meter.0 == 0 {
        let reason = format!("meter {meter} is not one of this level's: use {METER_MAX}");
        return Err(refused("meter_unknown", reason));
    }
    match catalog.modules.get(module) {
        Some(here) if here.bytes_here == here.bytes_total => Ok(()),
        Some(here) => Err(refused(
            "module_incomplete",
            format!(
                "module {module} has {} of {} bytes here: send the rest first",
                here.bytes_here, here.bytes_total
            ),
        )),
        None => Err(refused(
            "module_incomplete",
            format!("module {module} is not here: send it first"),
        )),
    }
}

/// Every shape in which rows of a kept table may lie must be one that the new version reads.
fn check_shapes(catalog: &Catalog, plan: &PlanApplication, _: &Safeguards) -> Result<(), Decision> {
    let manifest = &plan.manifest;
    let Some(application) = catalog.applications.get(&manifest.application) else {
        return Ok(());
    };
    for table in &manifest.tables {
        if !application.tables.contains_key(&table.name) {
            continue;
        }
        let written: BTreeSet<Shape> = application
            .history
            .iter()
            .filter_map(|(_, version)| application.versions.get(version))
            .filter_map(|version| version.manifest.table(&table.name))
            .map(|spec| spec.shape)
            .collect();
        if let Some(shape) = written
            .into_iter()
            .find(|shape| *shape != table.shape && !table.converts.contains(shape))
        {
            let reason = format!(
                "table {} holds rows of shape {shape}, and version {} writes shape {} and does not say that it converts {shape}: \
                 add it to `converts` in the manifest and to `migrate`",
                table.name, manifest.version, table.shape
            );
            return Err(refused("shape_not_converted", reason));
        }
    }
    Ok(())
}
