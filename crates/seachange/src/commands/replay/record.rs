//! `seachange replay --record`: commands with what came of them, kept in a file.

use std::path::Path;

use environment::Environment;
use machine::Index;
use node::replay::{Recording, Replay, Step};
use serde_json::json;

use super::{Arguments, explain};
use crate::exit::Stopped;
use crate::output;

/// A recording on its way, if one is wanted.
pub struct Taking<'a> {
    file: Option<&'a Path>,
    application: Option<&'a str>,
    from: Index,
    recording: Option<Recording>,
}

impl<'a> Taking<'a> {
    pub fn new(arguments: &'a Arguments) -> anyhow::Result<Taking<'a>> {
        let file = arguments.record.as_deref();
        if let Some(file) = file.filter(|file| file.exists()) {
            let what = format!("{} exists already", file.display());
            return Err(Stopped::failed(what, "Name a new file.").into());
        }
        Ok(Taking {
            file,
            application: arguments.app.as_deref(),
            from: Index(arguments.from_index.unwrap_or_default()),
            recording: None,
        })
    }

    /// Begins where the next entry is the first that is wanted.
    pub fn look(&mut self, replay: &Replay) -> anyhow::Result<()> {
        if self.file.is_none() || replay.applied().next() != self.from {
            return Ok(());
        }
        let names: Vec<&String> = replay.catalog().applications.keys().collect();
        let name = match (self.application, names.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only.as_str(),
            (None, names) => {
                let names = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                let what = format!("there is not one application before entry {}: {names}", self.from);
                return Err(Stopped::usage(what, "Name the one to record with --app.").into());
            }
        };
        self.recording = Some(Recording::begin(replay, name).map_err(|error| explain(&error))?);
        Ok(())
    }

    /// Takes an entry that was just applied.
    pub fn note(&mut self, step: &Step, replay: &Replay) -> anyhow::Result<()> {
        match &mut self.recording {
            Some(recording) => Ok(recording.note(step).map_err(|error| explain(&error))?),
            None => self.look(replay),
        }
    }

    /// Writes the file.
    pub fn finish(self, replay: &Replay, environment: &Environment, json: bool) -> anyhow::Result<()> {
        let (Some(file), Some(mut recording)) = (self.file, self.recording) else {
            return Ok(());
        };
        recording.end(replay).map_err(|error| explain(&error))?;
        let bytes = recording.to_file().map_err(|error| explain(&error))?;
        // The directory of a bare name is not told by the name.
        let whole = std::path::absolute(file);
        let written = whole.and_then(|path| environment.disk.write_whole(&path, &bytes));
        written.map_err(|error| Stopped::failed(format!("cannot write {}: {error}", file.display()), ""))?;
        let (commands, application) = (recording.commands(), &recording.application);
        if json {
            return output::json(&json!({
                "what": "recorded",
                "application": application,
                "commands": commands,
                "bytes": bytes.len(),
                "file": file,
            }));
        }
        output::line(format!(
            "recorded {} commands of {application} with what came of them: {} ({} bytes); it holds payloads and documents",
            output::grouped(commands as u64),
            file.display(),
            output::grouped(bytes.len() as u64)
        ))
    }
}
