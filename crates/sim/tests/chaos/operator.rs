//! What an operator does while all of it goes on: installs, upgrades, and takes the upgrade back.

use std::time::Duration;

use anyhow::{Context, bail};
use client::wire::{ChangeRecord, Stage};
use client::{Admin, Error, Options};
use environment::Environment;
use seachange::package::{Package, PlanOptions};

use crate::nodes::application;

/// The operator of one cluster. Gives up after a time, since a cluster that never takes a change is a failure too.
#[derive(Clone)]
pub struct Operator {
    admin: Admin,
    environment: Environment,
}

/// For one call: short, so that a node that does not answer is left for another.
const DEADLINE: Duration = Duration::from_secs(5);
/// For one change to come to a stage, whatever goes on. Without a node it waits for that node, by design.
const CHANGE_MAX: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);

impl Operator {
    pub fn new(addresses: &[String], environment: &Environment) -> anyhow::Result<Operator> {
        let options = Options::new(addresses).named("operator").deadline(DEADLINE);
        Ok(Operator {
            admin: Admin::new(environment.clone(), options)?,
            environment: environment.clone(),
        })
    }

    /// Changes an application to a version and waits until that answers; gives the change's id.
    pub async fn change(&self, directory: &str, finalize: bool) -> anyhow::Result<u64> {
        let package = Package::read(&application(directory), false)?;
        let (name, version) = (package.manifest.application.clone(), package.manifest.version);
        let deadline = self.environment.clock.now() + CHANGE_MAX;
        let options = PlanOptions {
            finalize,
            ..PlanOptions::default()
        };
        loop {
            let planned = package.plan(&self.admin, &options).await;
            // Whatever was answered, the list says what came of it: one planned without an answer is never planned twice.
            let changes = self.admin.changes().await.map(|list| list.changes).unwrap_or_default();
            let ours = |change: &&ChangeRecord| {
                change.application == name && change.to == version && change.stage != Stage::Aborted
            };
            if let Some(change) = changes.iter().rfind(ours) {
                let stage = if finalize { Stage::Finalized } else { Stage::Switched };
                self.comes_to(change.id, stage).await?;
                return Ok(change.id);
            }
            if self.environment.clock.now() > deadline {
                return planned.with_context(|| format!("{directory} could not be planned"));
            }
            self.environment.sleep(POLL).await;
        }
    }

    /// Takes a change back and waits until that is done.
    pub async fn revert(&self, change: u64) -> anyhow::Result<()> {
        let deadline = self.environment.clock.now() + CHANGE_MAX;
        loop {
            let step = self.admin.revert(change, None).await;
            if let Ok(record) = self.admin.change(change).await
                && record.stage == Stage::Reverted
            {
                return Ok(());
            }
            if self.environment.clock.now() > deadline {
                bail!("change {change} could not be reverted: {step:?}");
            }
            self.environment.sleep(POLL).await;
        }
    }

    async fn comes_to(&self, change: u64, stage: Stage) -> anyhow::Result<()> {
        let deadline = self.environment.clock.now() + CHANGE_MAX;
        loop {
            let record = self.admin.change(change).await;
            match &record {
                Ok(record) if record.stage == stage => return Ok(()),
                Ok(record) if record.stage.is_final() => bail!("change {change} ended otherwise: {record:?}"),
                Ok(_) | Err(_) => {}
            }
            if self.environment.clock.now() > deadline {
                bail!("change {change} did not come to {stage}: {record:?}");
            }
            self.environment.sleep(POLL).await;
        }
    }

    /// All changes, as the cluster has them now.
    pub async fn changes(&self) -> Result<Vec<ChangeRecord>, Error> {
        Ok(self.admin.changes().await?.changes)
    }
}
