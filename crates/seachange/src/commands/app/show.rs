//! `seachange app show` and `app list`.

use client::wire::{ApplicationInfo, CodeSource, VersionInfo};
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
    let mut lines = vec![format!("version {}, {code}: {}", manifest.version, manifest.about)];
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
