//! `seachange app test`: a version of an application against a recording of what another one answered.

use std::path::PathBuf;

use environment::Environment;
use host::Registry;
use node::replay::{Recording, Trial};

use crate::commands::replay::{Differences, explain};
use crate::exit::Stopped;
use crate::output;
use crate::package::Package;

/// Flags of `app test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app test ./ledger-2 ./monday.recording

Make a recording with: seachange replay --data ./copy --from-index 100 --to-index 900 --record ./monday.recording
Exit code 1 says that something differs.")]
pub struct TestArguments {
    /// Directory that holds the version's manifest.toml and the module it names
    pub directory: PathBuf,
    /// The recording
    pub recording: PathBuf,
    /// Print at most so many differences of one kind
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: u32,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

impl TestArguments {
    /// Runs the recorded commands under the version and compares answers, events, and the tables at the end.
    ///
    /// # Errors
    /// Something differs; or the recording or the package cannot be used.
    pub fn run(self, environment: &Environment) -> anyhow::Result<()> {
        let candidate = Package::read(&self.directory, false)?.into_candidate()?;
        let recording = Recording::read(&*environment.disk, &self.recording).map_err(|error| explain(&error))?;
        let registry = Registry::new(Vec::new());
        let trial = Trial::begin(&recording, &registry, &candidate);
        let mut trial = trial.map_err(|error| explain(&error))?;
        if !self.json {
            let (first, last) = recording.versions;
            output::line(format!(
                "{} commands of {} behind entry {}, recorded under version {first} to {last}, run under version {}",
                output::grouped(recording.commands() as u64),
                recording.application,
                output::grouped(recording.start.0),
                candidate.manifest.version
            ))?;
        }
        let mut found = Differences::new(self.json, self.limit as usize);
        while let Some(tried) = trial.step().map_err(|error| explain(&error))? {
            found.entry(tried.commands, &tried.outcomes, &tried.events)?;
        }
        found.tables(&trial.tables(self.limit as usize).map_err(|error| explain(&error))?)?;
        if found.is_any() {
            let what = format!(
                "version {} of {} does not do what was recorded",
                candidate.manifest.version, candidate.manifest.application
            );
            let remedy = "Where it is meant to differ, record anew under this version once it is in force.";
            return Err(Stopped::failed(what, remedy).coded("recording_differs").into());
        }
        Ok(())
    }
}
