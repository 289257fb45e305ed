//! The operator: what a person would do to the cluster, by the public API, from a machine of their own.

use std::time::Duration;

use client::wire::{CodeSource, Manifest, ModuleStored, PlanRequest, RehearsalRequest, Stage};
use client::{Admin, Client, Error, Options};
use environment::Environment;
use machine::Digest;
use seachange::demo::ledger::{Open, ledger_1, ledger_2};
use seachange::package::{Package, PackagedCode, PlanOptions};

use crate::clients::{ACCOUNTS, BALANCE, account};

/// For how long the operator tries one thing.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an operator who looks after all nodes waits for one of them, and between two rounds.
const ROUND: Duration = Duration::from_secs(1);

const POISON: &str = "application = \"poison\"\nversion = 1\n\n[[commands]]\nname = \"drink\"\n";

/// The operator.
#[derive(Clone)]
pub struct Operator {
    environment: Environment,
    addresses: Vec<String>,
    options: Options,
    admin: Admin,
}

/// What an operator can decide of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Let it switch whatever its rehearsal found.
    Approve,
    /// Take it back.
    Revert,
    /// Make it final.
    Finalize,
    /// Let it stay beyond its deadline.
    Confirm,
    /// Give it up before the switch.
    Abort,
}

/// A version of an application that the operator can bring in.
///
/// # Errors
/// There is none of that name and number.
pub fn package(application: &str, version: u32) -> anyhow::Result<Package> {
    match (application, version) {
        ("ledger", 1) => ledger_1(),
        ("ledger", 2) => ledger_2(),
        ("ledger", 3) => Package::embedded(
            include_str!("../../../apps/ledger-3/manifest.toml"),
            include_bytes!("../../../apps/ledger-3/ledger.wasm"),
        ),
        ("bench", 1) => Package::embedded(
            include_str!("../../../apps/bench-1/manifest.toml"),
            include_bytes!("../../../apps/bench-1/bench.wasm"),
        ),
        (name, version) => anyhow::bail!("there is no {name} version {version}"),
    }
}

/// A rehearsal that expects what the ledger's versions from 2 on do otherwise: they take a fee.
#[must_use]
pub fn rehearsal(commands: u64) -> RehearsalRequest {
    let expected = [
        "reply:open",
        "reply:transfer/from",
        "reply:transfer/fee",
        "events:ledger.transfers/fee",
        "rows:accounts",
    ];
    RehearsalRequest {
        commands: Some(commands),
        expected: expected.map(str::to_owned).to_vec(),
        ..RehearsalRequest::default()
    }
}

impl Operator {
    /// An operator who knows all nodes.
    ///
    /// # Errors
    /// The options are refused, which is a mistake of the simulator.
    pub fn new(environment: Environment, addresses: Vec<String>) -> Result<Operator, Error> {
        let options = Options::new(addresses.clone()).named("operator").deadline(PATIENCE);
        let admin = Admin::new(environment.clone(), options.clone())?;
        Ok(Operator {
            environment,
            addresses,
            options,
            admin,
        })
    }

    /// The operator's calls.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Waits for so many voters, installs the applications and opens the accounts.
    ///
    /// # Errors
    /// What did not work.
    pub async fn set_up(&self, voters: usize) -> anyhow::Result<()> {
        loop {
            let members = self.admin.members().await.map(|list| list.members).unwrap_or_default();
            if members.iter().filter(|member| member.voter).count() == voters {
                break;
            }
            self.environment.sleep(Duration::from_millis(200)).await;
        }
        for name in ["ledger", "bench"] {
            let change = package(name, 1)?.plan(&self.admin, &PlanOptions::FINALIZE).await?;
            self.until(change, Stage::Finalized).await?;
        }
        let client = Client::connect(self.environment.clone(), self.options.clone())?;
        for number in 0..ACCOUNTS {
            let open = Open {
                id: account(number),
                owner: format!("Owner {number}"),
                balance: BALANCE,
            };
            client.submit("ledger", "open", 1, serde_json::to_vec(&open)?).await?;
        }
        Ok(())
    }

    /// Brings in a version; gives the change.
    ///
    /// # Errors
    /// The cluster refused, or gave no answer.
    pub async fn upgrade(&self, application: &str, version: u32, options: &PlanOptions) -> anyhow::Result<u64> {
        package(application, version)?.plan(&self.admin, options).await
    }

    /// Sends another module under the name of a version's, and plans a change to the version; gives what each was refused
    /// with.
    ///
    /// # Errors
    /// There is no such version, or one of them was taken.
    pub async fn bring_in_another(&self, application: &str, version: u32) -> anyhow::Result<[&'static str; 2]> {
        let Package { manifest, code } = package(application, version)?;
        let PackagedCode::Module(mut other) = code else {
            anyhow::bail!("{application} {version} has no module");
        };
        let digest = Digest::of(&other).to_string();
        if let Some(last) = other.last_mut() {
            *last ^= 1;
        }
        let path = format!("/v1/modules/{digest}");
        let stored = self.admin.http().put_bytes::<ModuleStored>(&path, other).await;
        let plan = PlanRequest {
            manifest,
            code: CodeSource::module(digest),
            finalize: false,
            confirm_within_ms: None,
            revert_on_trap: None,
            refusals_max: None,
            allow_breaking: None,
            rehearse: None,
            verify_data: false,
        };
        let planned = self.admin.plan_change(&plan).await;
        match (stored, planned) {
            (Err(stored), Err(planned)) => Ok([stored.code().name(), planned.code().name()]),
            (Ok(_), _) => anyhow::bail!("a module was taken under the name of another"),
            (_, Ok(planned)) => anyhow::bail!("change {} was planned without a module", planned.change),
        }
    }

    /// Sends a command at which the program fails, to an application that is linked in for that, and waits for what it is
    /// told in the end: the code of a refusal.
    ///
    /// # Errors
    /// The application could not be installed; or the command was applied.
    pub async fn poison(&self) -> anyhow::Result<&'static str> {
        if self.admin.app("poison").await.is_err() {
            let manifest = Manifest::from_toml(POISON)?;
            let code = PackagedCode::Native;
            let change = Package { manifest, code }
                .plan(&self.admin, &PlanOptions::FINALIZE)
                .await?;
            self.until(change, Stage::Finalized).await?;
        }
        let client = Client::connect(self.environment.clone(), self.options.clone())?;
        match client.submit("poison", "drink", 1, "{}").await {
            Ok(answer) => anyhow::bail!("it was drunk: {answer:?}"),
            Err(error) => Ok(error.code().name()),
        }
    }

    /// Has every entry skipped that a node stands before because the program fails there; does nothing else for ever.
    ///
    /// # Errors
    /// None: what is refused, or gets no answer, is asked again.
    pub async fn skip_failing(&self) -> anyhow::Result<()> {
        let options = self.options.clone().deadline(ROUND);
        let admin = Admin::new(self.environment.clone(), options)?;
        loop {
            for address in &self.addresses {
                let Ok(status) = admin.at(address.clone())?.status().await else {
                    continue;
                };
                if status.parked.is_some_and(|why| why.contains("has stopped this node")) {
                    let reason = Some("the simulation's operator".to_owned());
                    let skipped = admin.skip_entry(status.applied + 1, reason).await;
                    tracing::info!("skip: {skipped:?}");
                }
            }
            self.environment.sleep(ROUND).await;
        }
    }

    async fn until(&self, change: u64, stage: Stage) -> anyhow::Result<()> {
        let mut watch = self.admin.watch_change(change);
        while let Some(record) = watch.next().await? {
            if record.stage == stage {
                return Ok(());
            }
        }
        anyhow::bail!("change {change} ended without being {stage}")
    }

    /// Takes a step of the last change of an application that is not over, if there is one.
    ///
    /// # Errors
    /// The cluster refused, or gave no answer.
    pub async fn step(&self, application: &str, step: Step) -> anyhow::Result<()> {
        let mut changes = self.admin.changes().await?.changes;
        changes.retain(|change| change.application == application && !change.stage.is_final());
        let Some(change) = changes.pop() else { return Ok(()) };
        let reason = Some("the simulation's operator".to_owned());
        match step {
            Step::Revert => self.admin.revert(change.id, reason).await?,
            Step::Finalize => self.admin.finalize(change.id, reason).await?,
            Step::Confirm => self.admin.confirm(change.id, reason).await?,
            Step::Approve => self.admin.approve(change.id, reason).await?,
            Step::Abort => self.admin.abort(change.id, reason).await?,
        };
        Ok(())
    }
}
