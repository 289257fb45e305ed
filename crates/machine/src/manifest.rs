//! What a version of an application accepts, keeps and emits.

use crate::codec::Codec;
use crate::{Shape, Version, limits, record};

/// A command that a version takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// Name, such as `transfer`.
    pub name: String,
    /// Versions of the command's payload that are taken, each from 1.
    pub versions: Vec<u16>,
}
record!(CommandSpec { name, versions });

/// A table that a version keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Name, such as `accounts`.
    pub name: String,
    /// The shape in which this version writes and reads its documents.
    pub shape: Shape,
    /// Shapes that this version's `migrate` converts from and back to, other than its own.
    pub converts: Vec<Shape>,
}
record!(TableSpec { name, shape, converts });

/// What a version of an application accepts (commands), keeps (tables) and emits (streams).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The application's name.
    pub application: String,
    /// The version's number.
    pub version: Version,
    /// One line for people.
    pub about: String,
    /// Commands by name.
    pub commands: Vec<CommandSpec>,
    /// Queries by name.
    pub queries: Vec<String>,
    /// Tables by name.
    pub tables: Vec<TableSpec>,
    /// Streams by name, each beginning with the application's name and a dot.
    pub streams: Vec<String>,
}
record!(Manifest {
    application,
    version,
    about,
    commands,
    queries,
    tables,
    streams
});

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest is refused: {0}")]
pub struct Error(pub String);

/// Whether `name` may name an application, command, query, table or node: 1 to 64 of `a-z 0-9 - _`, a letter first.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= limits::NAME_BYTES_MAX
        && bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

impl Manifest {
    /// Checks the manifest in itself, as every node does before anything of it takes effect.
    ///
    /// # Errors
    /// The first thing that contradicts, with what to do.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |text: String| Err(Error(text));
        if !is_name(&self.application) {
            return refuse(format!(
                "application {:?} is no name: use 1 to {} of a-z 0-9 - _, a letter first",
                self.application,
                limits::NAME_BYTES_MAX
            ));
        }
        if self.version.0 == 0 {
            return refuse("version 0: versions count from 1".into());
        }
        let bytes = self.to_bytes().len();
        if bytes > limits::MANIFEST_BYTES_MAX {
            return refuse(format!(
                "it has {bytes} bytes: {} are the most",
                limits::MANIFEST_BYTES_MAX
            ));
        }
        self.check_counts()?;
        for name in self
            .commands
            .iter()
            .map(|command| &command.name)
            .chain(&self.queries)
            .chain(self.tables.iter().map(|table| &table.name))
        {
            if !is_name(name) {
                return refuse(format!("{name:?} is no name: use a-z 0-9 - _, a letter first"));
            }
        }
        for command in &self.commands {
            if command.versions.is_empty() || command.versions.contains(&0) {
                return refuse(format!(
                    "command {} names no version, or version 0: name those it takes, from 1",
                    command.name
                ));
            }
        }
        for table in &self.tables {
            if table.shape.0 == 0 || table.converts.contains(&table.shape) || table.converts.contains(&Shape(0)) {
                return refuse(format!(
                    "table {}: shapes count from 1, and `converts` names shapes other than its own",
                    table.name
                ));
            }
        }
        let prefix = format!("{}.", self.application);
        for stream in &self.streams {
            if !stream.strip_prefix(&prefix).is_some_and(is_name) {
                return refuse(format!(
                    "stream {stream:?} must be named {prefix}NAME, so that applications cannot take each other's"
                ));
            }
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), Error> {
        let lists = [
            ("commands", names_of(&self.commands, |command| &command.name)),
            ("queries", self.queries.iter().map(String::as_str).collect()),
            ("tables", names_of(&self.tables, |table| &table.name)),
            ("streams", self.streams.iter().map(String::as_str).collect()),
        ];
        for (what, mut names) in lists {
            let count = names.len();
            if count > limits::MANIFEST_ITEMS_MAX {
                return Err(Error(format!(
                    "{count} {what}: {} are the most",
                    limits::MANIFEST_ITEMS_MAX
                )));
            }
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Error(format!("{what} name {:?} twice", twice[0])));
            }
        }
        Ok(())
    }

    /// The command of that name.
    #[must_use]
    pub fn command(&self, name: &str) -> Option<&CommandSpec> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// The table of that name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableSpec> {
        self.tables.iter().find(|table| table.name == name)
    }
}

fn names_of<T>(items: &[T], name: impl Fn(&T) -> &String) -> Vec<&str> {
    items.iter().map(|item| name(item).as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_past_its_bytes_is_refused() {
        let mut manifest = Manifest {
            application: "ledger".into(),
            version: Version(1),
            about: "an example".into(),
            commands: vec![],
            queries: vec![],
            tables: vec![],
            streams: vec![],
        };
        assert_eq!(manifest.check(), Ok(()));
        manifest.about = "x".repeat(limits::MANIFEST_BYTES_MAX);
        let refusal = manifest.check().map_err(|error| error.to_string());
        assert!(refusal.is_err_and(|text| text.contains("are the most")));
    }
}
