//! All of CI, cheapest first; the last step is the README's test command.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::{arrows, counts, guests, mutants, repository, tidy};

/// Runs every step and stops at the first that fails.
pub fn run(root: &Path) -> anyhow::Result<()> {
    step("formatting");
    cargo(root, &["fmt", "--all", "--check"])?;
    step("arrows");
    repository::report("arrows", &arrows::check(root)?)?;
    step("tidy");
    repository::report("tidy", &tidy::check(root)?)?;
    step("mutants apply");
    repository::report("mutants", &mutants::check(root)?)?;
    step("clippy");
    cargo(
        root,
        &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
    )?;
    step("guests");
    guests::run(&["--check".to_owned()])?;
    step("counts");
    counts::run(root, &[])?;
    step("cargo test --workspace");
    cargo(root, &["test", "--workspace"])
}

fn step(name: &str) {
    eprintln!("── {name}");
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("`cargo {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}
