//! `seachange app install` and `app upgrade`: upload, plan, and follow until the version answers.

use std::path::PathBuf;
use std::time::Duration;

use client::Admin;
use client::wire::{ChangeRecord, Stage};
use environment::Environment;

use super::dry_run;
use super::rehearsal::RehearsalFlags;
use crate::connection::{ClusterFlags, explain};
use crate::exit::Stopped;
use crate::output;
use crate::package::{Package, PackagedCode, PlanOptions};
use crate::watch::{Shown, Watch};

/// Flags of `app install`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app install apps/ledger-1")]
pub struct InstallArguments {
    /// Directory that holds manifest.toml and the module it names
    pub directory: PathBuf,
    /// The code is linked into the nodes' binary; the directory holds the manifest only
    #[arg(long)]
    pub native: bool,
    /// Only say what it would come to: what holds, what would happen, what would undo it (exit code 5: warnings, 6: it would be
    /// refused)
    #[arg(long)]
    pub dry_run: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of `app upgrade`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app upgrade ledger apps/ledger-2 --rehearse 2s --confirm-within 1h")]
pub struct UpgradeArguments {
    /// The application
    pub app: String,
    /// Directory that holds the next version's manifest.toml and the module it names
    pub directory: PathBuf,
    /// The code is linked into the nodes' binary; the directory holds the manifest only
    #[arg(long)]
    pub native: bool,
    /// Give up the way back as soon as the new version answers
    #[arg(long)]
    pub finalize: bool,
    /// Take it back by itself unless `change confirm` or `change finalize` comes within that time after the switch: 90s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "finalize")]
    pub confirm_within: Option<Duration>,
    /// Do not take it back at the first command on which the new version traps and the old one does not
    #[arg(long)]
    pub stay_on_trap: bool,
    /// Take it back with one command more than N that the new version refuses and the old one would have applied
    #[arg(long, value_name = "N", conflicts_with = "finalize")]
    pub refusals_max: Option<u64>,
    /// Let it drop commands that clients may still send, and say why: they are refused from the switch on
    #[arg(long, value_name = "REASON")]
    pub allow_breaking: Option<String>,
    /// Bring every stored row into the new shape and back first, on nodes that do not lead, and switch only if all come through
    #[arg(long)]
    pub verify_data: bool,
    /// Whether it is rehearsed.
    #[command(flatten)]
    pub rehearsal: RehearsalFlags,
    /// Only say what it would come to: what holds, what would happen, what would undo it (exit code 5: warnings, 6: it would be
    /// refused)
    #[arg(long)]
    pub dry_run: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl InstallArguments {
    /// Installs.
    ///
    /// # Errors
    /// The package is wrong, the cluster refused, or gave no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let package = Package::read(&self.directory, self.native)?;
        let admin = self.cluster.admin(&environment)?;
        let name = package.manifest.application.clone();
        let list = admin.apps().await.map_err(explain)?;
        if let Some(version) = list
            .apps
            .iter()
            .find(|app| app.name == name)
            .and_then(|app| app.in_force)
        {
            let remedy = format!(
                "To switch it: seachange app upgrade {name} {}",
                self.directory.display()
            );
            return Err(Stopped::failed(format!("{name} is installed already, version {version}"), remedy).into());
        }
        let options = PlanOptions::default();
        if self.dry_run {
            return dry_run::run(&admin, &package, &options, &self.cluster, &environment).await;
        }
        let change = run(&admin, &package, &options, &self.cluster, &environment).await?;
        conclude(&change, &self.cluster, &environment)
    }
}

impl UpgradeArguments {
    /// Upgrades.
    ///
    /// # Errors
    /// The package is wrong, the cluster refused, or gave no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let package = Package::read(&self.directory, self.native)?;
        if package.manifest.application != self.app {
            let what = format!(
                "{} holds a version of {}, not of {}",
                self.directory.display(),
                package.manifest.application,
                self.app
            );
            return Err(Stopped::usage(what, "Name the application and the directory that belong together.").into());
        }
        let admin = self.cluster.admin(&environment)?;
        let list = admin.apps().await.map_err(explain)?;
        if !list
            .apps
            .iter()
            .any(|app| app.name == self.app && app.in_force.is_some())
        {
            let remedy = format!("To install it: seachange app install {}", self.directory.display());
            return Err(Stopped::failed(format!("{} is not installed", self.app), remedy).into());
        }
        let options = PlanOptions {
            finalize: self.finalize,
            confirm_within: self.confirm_within,
            stay_on_trap: self.stay_on_trap,
            refusals_max: self.refusals_max,
            allow_breaking: self.allow_breaking,
            rehearse: self.rehearsal.into_request(),
            verify_data: self.verify_data,
        };
        if self.dry_run {
            return dry_run::run(&admin, &package, &options, &self.cluster, &environment).await;
        }
        let change = run(&admin, &package, &options, &self.cluster, &environment).await?;
        conclude(&change, &self.cluster, &environment)
    }
}

async fn run(
    admin: &Admin,
    package: &Package,
    options: &PlanOptions,
    flags: &ClusterFlags,
    environment: &Environment,
) -> anyhow::Result<ChangeRecord> {
    if let PackagedCode::Module(module) = &package.code
        && !flags.json
    {
        let bytes = output::grouped(module.len() as u64);
        output::line(format!("sending the module, {bytes} bytes"))?;
    }
    let id = package.plan(admin, options).await?;
    let watch = Watch::new(Shown::json_if(flags.json), environment).give_up_when_stuck();
    watch.until(admin, id, |change| is_done(change, options.finalize)).await
}

/// Whether the new version answers and, if it was to give up the way back, has done so.
fn is_done(change: &ChangeRecord, finalize: bool) -> bool {
    match change.stage {
        Stage::Switched => !finalize,
        Stage::Finalized => true,
        Stage::Preparing | Stage::Ready | Stage::Aborted | Stage::Reverted => false,
    }
}

fn conclude(change: &ChangeRecord, flags: &ClusterFlags, environment: &Environment) -> anyhow::Result<()> {
    if flags.json {
        return Ok(());
    }
    let at = change
        .switch_index
        .map_or_else(String::new, |index| format!(", since index {index}"));
    output::line(format!("{} version {} answers{at}", change.application, change.to))?;
    if change.stage == Stage::Switched && change.from.is_some() {
        let id = change.id;
        output::line(format!(
            "back: seachange change revert {id}    for good: seachange change finalize {id}"
        ))?;
        if let Some(by) = change.confirm_by_ms {
            let left = output::time_left(by, environment.clock.wall_ms());
            output::line(format!(
                "it goes back by itself in {left}, unless you confirm it: seachange change confirm {id}"
            ))?;
        }
    }
    Ok(())
}
