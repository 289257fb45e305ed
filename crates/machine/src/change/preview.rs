//! What planning a change would come to, without planning it.

use std::collections::BTreeSet;

use super::preconditions::{PRECONDITIONS, broken_events, check_safeguards, dropped_commands, in_force};
use crate::{Catalog, Decision, Manifest, PlanApplication, RehearsalPlan, Safeguards, Upcast, Version};

/// What a plan would come to, as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The version in force; none: it would be installed.
    pub from: Option<Version>,
    /// All that must hold or should be known, in the order in which it is looked at.
    pub checks: Vec<Check>,
    /// What would happen, in order.
    pub steps: Vec<StepAhead>,
}

/// Something that must hold, or that whoever plans should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is, for programs.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// For people: what holds, or what does not and what to do about it.
    pub what: String,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Met,
    /// It does not hold yet, and whoever plans sees to it first.
    Pending,
    /// Nothing is refused for it, but it may not be what is wanted.
    Warning,
    /// The plan would be refused for it.
    Refused,
}

/// A step that the change would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepAhead {
    /// What it is, for programs: `plan`, `prepare`, `verify`, `rehearse`, `switch`, `keep` or `finalize`.
    pub name: &'static str,
    /// What happens in it.
    pub what: String,
    /// What would undo it, and what that costs.
    pub undo: String,
}

/// Looks at a plan as things stand. Planned now, it would be refused where a check says so, and nowhere else.
#[must_use]
pub fn preview(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards) -> Preview {
    let mut checks: Vec<Check> = PRECONDITIONS
        .iter()
        .map(|precondition| {
            let checked = (precondition.check)(catalog, plan, safeguards);
            verdict(precondition.name, precondition.holds, checked)
        })
        .collect();
    let contradictions = check_safeguards(catalog, plan, safeguards);
    checks.push(verdict(
        "safeguards",
        "nothing that was asked for contradicts another",
        contradictions,
    ));
    let before = in_force(catalog, plan);
    let dropped = dropped_commands(catalog, plan, safeguards);
    if let Some(why) = safeguards.allow_breaking.as_ref().filter(|_| !dropped.is_empty()) {
        let what = format!(
            "clients that still send {} are refused from the switch on, which is allowed: {why}",
            dropped.join(", ")
        );
        checks.push(warning("breaking", what));
    }
    let broken = broken_events(catalog, plan, safeguards);
    if let Some(why) = safeguards.allow_breaking.as_ref().filter(|_| !broken.is_empty()) {
        let what = format!("{}, which is allowed: {why}", broken.join("; "));
        checks.push(warning("breaking", what));
    }
    if let Some(before) = before {
        warn(before, plan, safeguards, &mut checks);
        tell_upcasts(before, safeguards, &mut checks);
        tell_events(catalog, plan, safeguards, &mut checks);
    }
    if catalog.voters.is_empty() {
        let what = "the cluster has no voters yet: nothing would switch before it has".to_owned();
        checks.push(warning("voters", what));
    }
    Preview {
        from: before.map(|before| before.version),
        checks,
        steps: steps(catalog, before, plan, safeguards),
    }
}

fn verdict(name: &'static str, holds: &str, checked: Result<(), Decision>) -> Check {
    let (verdict, what) = match checked {
        Err(Decision::Refused {
            code: "module_incomplete" | "transform_missing",
            reason,
        }) => (Verdict::Pending, reason),
        Err(Decision::Refused { reason, .. }) => (Verdict::Refused, reason),
        Ok(()) | Err(_) => (Verdict::Met, holds.to_owned()),
    };
    Check { name, verdict, what }
}

fn warning(name: &'static str, what: String) -> Check {
    Check {
        name,
        verdict: Verdict::Warning,
        what,
    }
}

/// What may be overlooked, though nothing forbids it.
fn warn(before: &Manifest, plan: &PlanApplication, safeguards: &Safeguards, checks: &mut Vec<Check>) {
    let after = &plan.manifest;
    let (old, new) = (before.version, after.version);
    let queries = gone(
        names(&before.queries, |query| query),
        names(&after.queries, |query| query),
    );
    if !queries.is_empty() {
        let what =
            format!("version {new} does not answer {queries}, which version {old} answers: whoever asks is refused");
        checks.push(warning("queries", what));
    }
    let streams = gone(
        names(&before.streams, |stream| stream),
        names(&after.streams, |stream| stream),
    );
    if !streams.is_empty() {
        let what =
            format!("version {new} emits nothing to {streams}: whoever follows it hears nothing more, and is not told");
        checks.push(warning("streams", what));
    }
    let tables = gone(
        names(&before.tables, |table| &table.name),
        names(&after.tables, |table| &table.name),
    );
    if !tables.is_empty() {
        let what = format!("version {new} does not name table {tables}: its rows stay, and nothing reads them");
        checks.push(warning("tables", what));
    }
    if plan.finalize {
        let what = "it is finalized as it switches: there is no way back from what it writes".to_owned();
        checks.push(warning("way_back", what));
    } else if !safeguards.revert_on_trap {
        let what = format!("a command on which only version {new} traps fails, and the change stays");
        checks.push(warning("way_back", what));
    }
}

/// Streams whose events come in another version, and who goes on getting the one that it knows.
fn tell_events(catalog: &Catalog, plan: &PlanApplication, safeguards: &Safeguards, checks: &mut Vec<Check>) {
    let Some(contract) = &safeguards.contract else {
        return;
    };
    for stream in &plan.manifest.streams {
        let (before, after) = (catalog.event_version(stream), contract.events.version_of(stream));
        if after <= before {
            continue;
        }
        let pinned = catalog.pins.get(stream);
        let served: Vec<String> = pinned
            .into_iter()
            .flatten()
            .filter(|(_, pin)| contract.events.downcasts_of(stream, after, **pin).is_some())
            .map(|(consumer, pin)| format!("{consumer} (version {pin})"))
            .collect();
        let who = match served.as_slice() {
            [] => "no consumer is pinned to an earlier one".to_owned(),
            served => format!("programs go on giving {} the one that it knows", served.join(", ")),
        };
        checks.push(Check {
            name: "event_version",
            verdict: Verdict::Met,
            what: format!("events of {stream} come in version {after}, so far in {before}: {who}"),
        });
    }
}

/// Commands that come through by a program.
fn tell_upcasts(before: &Manifest, safeguards: &Safeguards, checks: &mut Vec<Check>) {
    let upcasts = safeguards.contract.iter().flat_map(|contract| &contract.upcasts);
    let sent_now = |cast: &&Upcast| {
        let command = before.command(&cast.command);
        command.is_some_and(|command| command.versions.contains(&cast.from))
    };
    checks.extend(upcasts.filter(sent_now).map(|cast| Check {
        name: "upcast",
        verdict: Verdict::Met,
        what: format!(
            "clients that still send version {} of command {} are served: a program makes version {} of it",
            cast.from, cast.command, cast.to
        ),
    }));
}

fn names<'m, T>(all: &'m [T], name: impl Fn(&'m T) -> &'m String) -> BTreeSet<&'m str> {
    all.iter().map(|one| name(one).as_str()).collect()
}

/// What was there and is there no more, as a list for people.
fn gone(before: BTreeSet<&str>, after: BTreeSet<&str>) -> String {
    let gone: Vec<&str> = before.difference(&after).copied().collect();
    gone.join(", ")
}

fn steps(
    catalog: &Catalog,
    before: Option<&Manifest>,
    plan: &PlanApplication,
    safeguards: &Safeguards,
) -> Vec<StepAhead> {
    let manifest = &plan.manifest;
    let (name, to) = (&manifest.application, manifest.version);
    let step = |name, what: String, undo: &str| StepAhead {
        name,
        what,
        undo: undo.to_owned(),
    };
    let what = match before {
        Some(before) => format!(
            "one entry plans the change of {name} from version {} to version {to}",
            before.version
        ),
        None => format!("one entry plans the installation of {name} version {to}"),
    };
    let abort = "abort it: nothing was changed";
    let nodes: Vec<String> = catalog.voters.iter().map(|voter| catalog.node_name(*voter)).collect();
    let ready = format!(
        "each voter ({}) compiles and tries version {to}, and says in the log what it found",
        nodes.join(", ")
    );
    let mut steps = vec![step("plan", what, abort), step("prepare", ready, abort)];
    let Some(before) = before else {
        let what = format!("one entry brings version {to} in on every node, as soon as all voters are ready");
        steps.push(step("switch", what, "nothing: an installed application stays"));
        return steps;
    };
    if safeguards.verify_data {
        let what = "two nodes beside the leader bring every stored row into the new shape and back".to_owned();
        steps.push(step("verify", what, abort));
    }
    let when = match &safeguards.rehearse {
        Some(rehearse) => {
            steps.push(step("rehearse", rehearsed(before, to, rehearse), abort));
            "as soon as that came out well"
        }
        None if safeguards.verify_data => "as soon as that came out well",
        None => "as soon as all voters are ready",
    };
    let what = format!(
        "one entry brings version {to} in on every node, {when}: the command behind it is its first{}",
        reshaped(before, manifest)
    );
    if plan.finalize {
        steps.push(step("switch", what, "nothing: it is finalized in the same entry"));
        return steps;
    }
    let undo = format!(
        "revert it: version {} answers from the next entry on, and has every write that was acknowledged",
        before.version
    );
    steps.push(step("switch", what, &undo));
    if let Some(kept) = kept(before, plan, safeguards) {
        let undo = match safeguards.confirm_within_ms {
            Some(_) => "confirm it, and there is no deadline any more; finalize it, and it stays",
            None => "finalize it, and it stays",
        };
        steps.push(step("keep", kept, undo));
    }
    let what = "when you say so, the way back is given up".to_owned();
    steps.push(step("finalize", what, "nothing"));
    steps
}

fn rehearsed(before: &Manifest, to: Version, plan: &RehearsalPlan) -> String {
    let commands = (plan.commands > 0).then(|| format!("{} commands", plan.commands));
    let time = (plan.for_ms > 0).then(|| format!("{} s", plan.for_ms.div_ceil(1000)));
    let enough: Vec<String> = commands.into_iter().chain(time).collect();
    let each = match plan.one_in {
        1 => "each command".to_owned(),
        many => format!("one command in {many}"),
    };
    format!(
        "two nodes beside the leader try version {to} on {each} that version {} answers, and throw away what it does: {}, with \
         at most {} that come out otherwise",
        before.version,
        enough.join(" and "),
        plan.differences_max
    )
}

/// How rows change, said behind the switch.
fn reshaped(before: &Manifest, after: &Manifest) -> String {
    let reshaped: Vec<String> = after
        .tables
        .iter()
        .filter_map(|table| {
            let old = before.table(&table.name)?;
            (old.shape != table.shape).then(|| format!("{} from shape {} to {}", table.name, old.shape, table.shape))
        })
        .collect();
    match reshaped.is_empty() {
        true => String::new(),
        false => format!(
            "; rows are converted as they are read and written: {}",
            reshaped.join(", ")
        ),
    }
}

/// When it goes back by itself.
fn kept(before: &Manifest, plan: &PlanApplication, safeguards: &Safeguards) -> Option<String> {
    let to = plan.manifest.version;
    let trap = safeguards.revert_on_trap.then(|| {
        format!(
            "at the very command on which version {to} traps and version {} does not",
            before.version
        )
    });
    let refusals = safeguards.refusals_max.map(|max| {
        format!(
            "at the command on which version {to} has refused more than {max} that version {} would have applied",
            before.version
        )
    });
    let deadline = safeguards.confirm_within_ms.map(|within| {
        let seconds = within.div_ceil(1000);
        format!("unless it is confirmed within {seconds} s of log time")
    });
    let when: Vec<String> = trap.into_iter().chain(refusals).chain(deadline).collect();
    (!when.is_empty()).then(|| format!("it goes back by itself {}", when.join("; ")))
}
