//! `app install|upgrade --dry-run`: what it would come to, and nothing done.

use client::Admin;
use client::wire::{Check, DryRun, Forecast, Member, Verdict};
use environment::Environment;
use host::{Registry, transform};
use machine::{ApplicationVersion, Contract, Miscast};

use crate::connection::{self, ClusterFlags, explain};
use crate::exit::{Exit, Stopped};
use crate::output;
use crate::package::{Package, PackagedCode, PlanOptions};
use crate::style::{Mark, paint};

/// Asks the cluster, tries the module here and asks each node how it is; prints what came of it.
///
/// # Errors
/// There is no answer; or what came of it is not all good, which the exit code then says.
pub async fn run(
    admin: &Admin,
    package: &Package,
    options: &PlanOptions,
    flags: &ClusterFlags,
    environment: &Environment,
) -> anyhow::Result<()> {
    let mut found = admin.dry_run(&package.request(options)).await.map_err(explain)?;
    if let PackagedCode::Module(module) = &package.code {
        for check in &mut found.checks {
            if check.name == "module" && check.verdict == Verdict::Pending {
                check.what = "the module is not in the cluster yet: it is sent before the plan".to_owned();
            }
        }
        found.add(try_module(module));
    }
    for check in &mut found.checks {
        if check.name == "contract" && check.verdict == Verdict::Pending {
            check.what = "application transform, which runs its programs, is not installed yet: it is before the plan"
                .to_owned();
        }
    }
    for check in try_programs(&package.contract()?) {
        found.add(check);
    }
    let members = admin.members().await.map_err(explain)?.members;
    for check in ask_nodes(&members, environment).await {
        found.add(check);
    }
    match flags.json {
        true => output::json(&found)?,
        false => output::line(describe(&found))?,
    }
    conclude(&found)
}

/// Compiles and tries the module as each node will.
fn try_module(module: &[u8]) -> Check {
    let bytes = output::grouped(module.len() as u64);
    let (verdict, what) = match Registry::new(Vec::new()).try_module(module) {
        Ok(()) => (
            Verdict::Met,
            format!("the module ({bytes} bytes) compiles and answers its first call, tried here"),
        ),
        Err(error) => (Verdict::Refused, format!("no node could run it: {error}")),
    };
    Check {
        name: "module_runs".to_owned(),
        verdict,
        what,
    }
}

/// Compiles each program of a manifest. What it makes of a real payload is for a rehearsal to say.
fn try_programs(contract: &Contract) -> Vec<Check> {
    let tried = contract.programs().map(|(what, program)| {
        let (verdict, what) = match compile(program) {
            Ok(()) => (Verdict::Met, format!("{what} compiles, tried here")),
            Err(why) => (Verdict::Refused, format!("{what} fails on every payload: {why}")),
        };
        Check {
            name: "program".to_owned(),
            verdict,
            what,
        }
    });
    tried.collect()
}

fn compile(program: &str) -> Result<(), String> {
    let version = ApplicationVersion {
        manifest: transform::manifest(),
        code: transform::code(),
    };
    let registry = Registry::new(Vec::new());
    let prepared = registry.prepare(&version.manifest, &version.code, Some(transform::MODULE));
    prepared.map_err(|error| error.to_string())?;
    machine::compiles(&version, &mut registry.host(), program).map_err(|error| match error {
        Miscast::Failed(why) => why,
        Miscast::Stop(stop) => stop.reason().to_owned(),
    })
}

/// A change waits for every voter, so it is worth knowing which would let it wait.
async fn ask_nodes(members: &[Member], environment: &Environment) -> Vec<Check> {
    let asked = members.iter().map(|member| async {
        let status = connection::status_of(&member.http_address, environment).await;
        let waits = match member.voter {
            true => "the change would wait for it: start it, or take it out of the voters",
            false => "it votes on nothing, and nothing waits for it",
        };
        let (verdict, what) = match status {
            None => (Verdict::Warning, format!("{} does not answer; {waits}", member.name)),
            Some(status) => match status.parked {
                Some(why) => (Verdict::Warning, format!("{} is parked ({why}); {waits}", member.name)),
                None => (Verdict::Met, format!("{} answers and applies", member.name)),
            },
        };
        Check {
            name: "node".to_owned(),
            verdict,
            what,
        }
    });
    futures::future::join_all(asked).await
}

fn describe(found: &DryRun) -> String {
    let mut lines = vec![match found.from {
        Some(from) => format!(
            "{} from version {from} to version {}, as of entry {}; nothing was done",
            found.application, found.to, found.index
        ),
        None => format!(
            "{} version {}, to be installed, as of entry {}; nothing was done",
            found.application, found.to, found.index
        ),
    }];
    lines.push(String::new());
    for check in &found.checks {
        let mark = match check.verdict {
            Verdict::Met => Mark::Good,
            Verdict::Pending | Verdict::Warning => Mark::Notable,
            Verdict::Refused => Mark::Bad,
        };
        let verdict = paint(&format!("{:<7}", check.verdict), mark);
        lines.push(format!("  {verdict}  {}", check.what));
    }
    lines.push(String::new());
    for (place, step) in (1..).zip(&found.steps) {
        lines.push(format!("  {place}. {}: {}", step.name, step.what));
        lines.push(format!("     undone by: {}", step.undo));
    }
    lines.join("\n")
}

fn conclude(found: &DryRun) -> anyhow::Result<()> {
    let count = |verdict| found.checks.iter().filter(|check| check.verdict == verdict).count();
    match found.forecast {
        Forecast::Ready => Ok(()),
        Forecast::Warnings => {
            let what = format!(
                "it would be taken, with {}",
                counted(count(Verdict::Warning), "warning")
            );
            let remedy = "If that is what you want, run it without --dry-run.";
            Err(Stopped::new(Exit::Warnings, what, remedy).into())
        }
        Forecast::Blocked => {
            let what = format!(
                "it would be refused, for {}",
                counted(count(Verdict::Refused), "reason")
            );
            Err(Stopped::new(Exit::Blocked, what, "Put right what is marked with no.").into())
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}
