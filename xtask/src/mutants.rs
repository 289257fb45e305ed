//! Deliberate bugs, each a patch of `crates/sim/mutants`: the simulator must find every one of them. One that it does not
//! find says what it cannot see; one that no longer applies says nothing any more, and fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Within so many seeds a mutant must be found, or else by a scenario.
const SEEDS: &str = "120";

/// Tries the mutants of those names, or all.
pub fn run(root: &Path, names: &[String]) -> anyhow::Result<()> {
    let tree = root.join("target/mutants/tree");
    let mut survived = Vec::new();
    for patch in patches(root)? {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        copy(root, &tree)?;
        apply(&tree, &patch)?;
        match is_found(root, &tree)? {
            Some(by) => println!("mutants: {name}: found by {by}"),
            None => survived.push(name),
        }
    }
    if survived.is_empty() {
        return Ok(());
    }
    bail!(
        "not found within {SEEDS} seeds nor by a scenario: {}",
        survived.join(", ")
    )
}

/// Every mutant that no longer applies.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for patch in patches(root)? {
        let checked = Command::new("git")
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(root)
            .output()?;
        if !checked.status.success() {
            let name = patch.file_name().unwrap_or_default().to_string_lossy();
            problems.push(format!("crates/sim/mutants/{name} no longer applies: make it anew"));
        }
    }
    Ok(problems)
}

fn patches(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    files(&root.join("crates/sim/mutants"))
}

fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// The tree as it is committed: what a mutant changed before is gone, and what none changed is not built again.
fn copy(root: &Path, tree: &Path) -> anyhow::Result<()> {
    let git = |arguments: &[&str], what: &Path| -> anyhow::Result<()> {
        let done = Command::new("git")
            .args(arguments)
            .arg(what)
            .current_dir(root)
            .status()?;
        if !done.success() {
            bail!(
                "the tree could not be copied to {}: git {}",
                tree.display(),
                arguments.join(" ")
            );
        }
        Ok(())
    };
    if !tree.join(".git").exists() {
        git(&["clone", "--quiet", "--shared", "."], tree)?;
    }
    let copy = tree.to_string_lossy().into_owned();
    git(&["-C", &copy, "fetch", "--quiet"], root)?;
    git(&["-C", &copy, "clean", "--quiet", "--force", "-d"], Path::new("."))?;
    git(&["-C", &copy, "reset", "--quiet", "--hard"], Path::new("FETCH_HEAD"))
}

fn apply(tree: &Path, patch: &Path) -> anyhow::Result<()> {
    let applied = Command::new("git").arg("apply").arg(patch).current_dir(tree).status()?;
    if !applied.success() {
        bail!(
            "{} no longer applies: make it anew, or delete it if its bug cannot be made any more",
            patch.display()
        );
    }
    Ok(())
}

/// What tells of it first: a seed that fails, or else a scenario.
fn is_found(root: &Path, tree: &Path) -> anyhow::Result<Option<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let sim = |arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(arguments).current_dir(tree);
        command.env("CARGO_TARGET_DIR", root.join("target/mutants/build"));
        command
    };
    let built = sim(&["build", "--quiet", "-p", "sim"]).status()?;
    if !built.success() {
        bail!("the mutant does not compile");
    }
    let violation = |arguments: &[&str]| -> anyhow::Result<Option<String>> {
        let said = sim(&[&["run", "--quiet", "-p", "sim", "--"], arguments].concat()).output()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        Ok(said.lines().find(|line| is_violation(line)).map(str::to_owned))
    };
    if let Some(by) = violation(&["--seeds", SEEDS])? {
        return Ok(Some(by));
    }
    let scenarios = files(&tree.join("crates/sim/scenarios"))?;
    let scenarios: Vec<&str> = scenarios.iter().filter_map(|path| path.to_str()).collect();
    violation(&[&["scenario"], &scenarios[..]].concat())
}

/// As the simulator prints it for a seed, and for a scenario that fails, or that prints something else than it should.
fn is_violation(line: &str) -> bool {
    let of_seed = line.starts_with("seed ") && line.contains(": ");
    of_seed || line.contains(": VIOLATION: ") || line.contains(": it prints something else than what is recorded")
}
