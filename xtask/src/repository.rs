//! Where the repository is and what lies in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The repository's top directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// What holds nothing of ours: what is built, what runs leave behind, and `.git`, which in a worktree is a file.
const NOT_OURS: [&str; 3] = [".git", "target", "seachange-data"];

/// Every file of the repository as a path from its top with forward slashes, in order. A repository inside this one
/// (a worktree) is not part of it.
pub fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    visit(root, "", &mut found)?;
    found.sort();
    Ok(found)
}

fn visit(root: &Path, under: &str, found: &mut Vec<String>) -> anyhow::Result<()> {
    let directory = root.join(under);
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if under.is_empty() {
            name.clone()
        } else {
            format!("{under}/{name}")
        };
        let kind = entry.file_type()?;
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            if !entry.path().join(".git").exists() {
                visit(root, &path, found)?;
            }
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// The text of a file of the repository.
pub fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
}

/// Prints what was found, and fails when that is anything.
pub fn report(chore: &str, problems: &[String]) -> anyhow::Result<()> {
    for problem in problems {
        eprintln!("{chore}: {problem}");
    }
    match problems.len() {
        0 => {
            println!("{chore}: nothing to say");
            Ok(())
        }
        count => bail!("{chore} found {count} problem{}", if count == 1 { "" } else { "s" }),
    }
}
