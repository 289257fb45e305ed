//! `seachange app new`: the skeleton of an application.

use std::path::{Path, PathBuf};

use anyhow::Context;
use machine::manifest::is_name;

use crate::exit::Stopped;
use crate::output;

/// Flags of `app new`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app new counters")]
pub struct Arguments {
    /// The application's name; also that of the directory that is made
    pub name: String,
    /// Where to make the directory
    #[arg(long, default_value = ".", value_name = "DIRECTORY")]
    pub within: PathBuf,
    /// Directory of the sdk's sources [default: where those of this program lie, else the published sdk]
    #[arg(long, value_name = "DIRECTORY")]
    pub sdk: Option<PathBuf>,
}

/// The skeleton's files. Those that would mean something where they lie in this repository have another name there.
const FILES: [(&str, &str); 5] = [
    (
        "Cargo.toml",
        include_str!("../../../templates/application/Cargo.toml.template"),
    ),
    (
        ".gitignore",
        include_str!("../../../templates/application/gitignore.template"),
    ),
    (
        "manifest.toml",
        include_str!("../../../templates/application/manifest.toml"),
    ),
    ("README.md", include_str!("../../../templates/application/README.md")),
    ("src/lib.rs", include_str!("../../../templates/application/src/lib.rs")),
];

/// Where the sdk's sources lay when this program was built.
const SDK_AT_BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");

impl Arguments {
    /// Writes the skeleton.
    ///
    /// # Errors
    /// The name is none, or something lies there already.
    pub fn run(self) -> anyhow::Result<()> {
        if !is_name(&self.name) {
            let what = format!("an application cannot be named {:?}", self.name);
            return Err(Stopped::usage(what, "Use 1 to 64 of a-z 0-9 - _, a letter first.").into());
        }
        let directory = self.within.join(&self.name);
        if directory.exists() {
            let what = format!("{} exists already", directory.display());
            return Err(Stopped::failed(what, "Choose another name, or another place with --within.").into());
        }
        let sdk = self.sdk.unwrap_or_else(|| PathBuf::from(SDK_AT_BUILD));
        for (path, text) in skeleton(&self.name, &sdk) {
            let path = directory.join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            }
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        output::line(format!(
            "{} is ready: the code in src/lib.rs, what it takes and keeps in manifest.toml, how to build and run it in README.md",
            directory.display()
        ))
    }
}

fn skeleton(name: &str, sdk: &Path) -> Vec<(&'static str, String)> {
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{crate}}", &name.replace('-', "_"))
            .replace("{{sdk}}", &dependency(sdk))
    };
    FILES.iter().map(|(path, text)| (*path, fill(text))).collect()
}

/// How `Cargo.toml` names the sdk: by path where its sources are, else by the version of this program.
fn dependency(sdk: &Path) -> String {
    let package = "package = \"seachange-sdk\"";
    match sdk.canonicalize() {
        Ok(path) => format!("{{ {package}, path = {:?} }}", path.display().to_string()),
        Err(_) => format!("{{ {package}, version = \"{}\" }}", env!("CARGO_PKG_VERSION")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::wire::Manifest;

    #[test]
    fn the_skeleton_is_filled_in_and_its_manifest_is_one() {
        let files = skeleton("my-counters", Path::new("/nowhere"));
        for (path, text) in &files {
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let text = |wanted: &str| {
            files
                .iter()
                .find(|(path, _)| *path == wanted)
                .map(|(_, text)| text.as_str())
                .unwrap()
        };
        let manifest = Manifest::from_toml(text("manifest.toml")).unwrap();
        assert_eq!(manifest.application, "my-counters");
        assert!(manifest.module.unwrap().ends_with("/my_counters.wasm"));
        let cargo: toml::Table = text("Cargo.toml").parse().unwrap();
        assert_eq!(cargo["dependencies"]["sdk"]["package"].as_str(), Some("seachange-sdk"));
    }

    #[test]
    fn nothing_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let new = |name: &str| {
            let arguments = Arguments {
                name: name.into(),
                within: directory.path().to_path_buf(),
                sdk: None,
            };
            arguments.run()
        };
        new("counters").unwrap();
        assert!(directory.path().join("counters/src/lib.rs").exists());
        assert!(new("counters").unwrap_err().to_string().contains("exists already"));
        assert!(new("Counters").is_err());
    }
}
