//! `seachange app show` and `app list`.

use std::collections::BTreeSet;

use client::wire::{ApplicationInfo, CodeSource, UsageList, VersionInfo};
use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::output;

/// Flags of `app show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app show ledger")]
pub struct ShowArguments {
    /// The application
    pub app: String,
    /// Show which commands its clients send, how often and when last, and which version of its events consumers get
    #[arg(long)]
    pub usage: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of `app list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app list")]
pub struct ListArguments {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl ShowArguments {
    /// Prints the application.
    ///
    /// # Errors
    /// There is none, or no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let app = admin.app(&self.app).await.map_err(explain)?;
        if self.usage {
            let usage = admin.usage(&self.app).await.map_err(explain)?;
            return match self.cluster.json {
                true => output::json(&usage),
                false => output::line(describe_usage(&app, &usage, environment.clock.wall_ms())),
            };
        }
        if self.cluster.json {
            return output::json(&app);
        }
        output::line(describe(&app))
    }
}

impl ListArguments {
    /// Prints the applications.
    ///
    /// # Errors
    /// No answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let list = admin.apps().await.map_err(explain)?;
        if self.cluster.json {
            return list.apps.iter().try_for_each(output::json);
        }
        if list.apps.is_empty() {
            return output::line("There are no applications yet: `seachange app install DIRECTORY` installs one.");
        }
        let mut rows = vec![
            ["application", "version", "about", "change"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for app in &list.apps {
            let running = app
                .versions
                .iter()
                .find(|version| Some(version.manifest.version) == app.in_force);
            rows.push(vec![
                app.name.clone(),
                app.in_force
                    .map_or_else(|| none(app).to_owned(), |version| version.to_string()),
                running
                    .map(|version| version.manifest.about.clone())
                    .unwrap_or_default(),
                app.change.map(|change| change.to_string()).unwrap_or_default(),
            ]);
        }
        output::line(output::columns(&rows))
    }
}

/// What the version in force takes, and how often it is sent; never, where nobody did.
fn describe_usage(app: &ApplicationInfo, usage: &UsageList, now_ms: u64) -> String {
    let mut rows = vec![["command", "version", "sent", "last"].map(str::to_owned).to_vec()];
    let in_force = app
        .versions
        .iter()
        .find(|version| Some(version.manifest.version) == app.in_force);
    let commands = in_force.into_iter().flat_map(|version| &version.manifest.commands);
    let mut shown = BTreeSet::new();
    for (command, version) in
        commands.flat_map(|command| command.versions.iter().map(|version| (&command.name, *version)))
    {
        shown.insert((command.clone(), version));
        let sent = usage
            .commands
            .iter()
            .find(|used| (&used.command, used.version) == (command, version));
        let (count, last) = match sent {
            Some(used) => (output::grouped(used.count), ago(now_ms, used.last_ms)),
            None => ("0".to_owned(), "never".to_owned()),
        };
        rows.push(vec![command.clone(), version.to_string(), count, last]);
    }
    // What earlier versions took.
    for used in usage
        .commands
        .iter()
        .filter(|used| !shown.contains(&(used.command.clone(), used.version)))
    {
        let last = format!("{}, not taken any more", ago(now_ms, used.last_ms));
        rows.push(vec![
            used.command.clone(),
            used.version.to_string(),
            output::grouped(used.count),
            last,
        ]);
    }
    let mut text = output::columns(&rows);
    if !usage.consumers.is_empty() {
        let mut rows = vec![["stream", "consumer", "events", "last"].map(str::to_owned).to_vec()];
        rows.extend(usage.consumers.iter().map(|consumer| {
            let events = match consumer.pinned {
                true => format!("version {}, pinned", consumer.event_version),
                false => format!("version {}, as emitted", consumer.event_version),
            };
            let (stream, name) = (consumer.stream.clone(), consumer.name.clone());
            vec![stream, name, events, ago(now_ms, consumer.last_ms)]
        }));
        text = format!("{text}\n\n{}", output::columns(&rows));
    }
    text
}

fn ago(now_ms: u64, then_ms: u64) -> String {
    let passed = std::time::Duration::from_secs(now_ms.saturating_sub(then_ms) / 1000);
    format!("{} ago", humantime::format_duration(passed))
}

fn none(app: &ApplicationInfo) -> &'static str {
    match app.removed {
        Some(_) => "removed",
        None => "none yet",
    }
}

fn describe(app: &ApplicationInfo) -> String {
    let mut lines = vec![match (app.in_force, &app.removed) {
        (Some(version), _) => format!("{}: version {version} answers", app.name),
        (None, Some(removed)) => format!("{}: removed at index {} {}", app.name, removed.index, removed.reason),
        (None, None) => format!("{}: no version answers yet", app.name),
    }];
    for version in &app.versions {
        lines.extend(describe_version(version));
    }
    for switch in &app.history {
        lines.push(format!("version {} since index {}", switch.version, switch.index));
    }
    if let Some(change) = app.change {
        lines.push(format!("change {change} is under way: seachange change show {change}"));
    }
    if let Some(change) = app.reversible {
        lines.push(format!(
            "change {change} can be taken back: seachange change revert {change}"
        ));
    }
    lines.join("\n")
}

fn describe_version(version: &VersionInfo) -> Vec<String> {
    let manifest = &version.manifest;
    let code = match &version.code {
        CodeSource::Module { digest, .. } => format!("module {}", digest.get(..8).unwrap_or(digest)),
        CodeSource::Native => "linked in".to_owned(),
    };
    let state = if version.let_go { ", let go" } else { "" };
    let mut lines = vec![format!(
        "version {}, {code}{state}: {}",
        manifest.version, manifest.about
    )];
    let mut list = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            lines.push(format!("  {what:<9}{}", names.join(", ")));
        }
    };
    list(
        "commands",
        manifest.commands.iter().map(|command| command.name.clone()).collect(),
    );
    list(
        "queries",
        manifest.queries.iter().map(|query| query.name.clone()).collect(),
    );
    let shaped = |name: &str, shape: u16| format!("{name} (shape {shape})");
    list(
        "tables",
        manifest
            .tables
            .iter()
            .map(|table| shaped(&table.name, table.shape))
            .collect(),
    );
    list(
        "streams",
        manifest.streams.iter().map(|stream| stream.name.clone()).collect(),
    );
    lines
}
