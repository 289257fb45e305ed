use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Builds the binary under test as this test was built, beside it, and gives where it lies. Cargo gives the path of a
/// binary to the tests of its own package only.
pub fn build() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    // …/target/PROFILE/deps/chaos-HASH
    let profile = here
        .ancestors()
        .nth(2)
        .context("the test does not lie in a target directory")?;
    let target = profile.parent().context("a profile lies in a target directory")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--package", "seachange", "--target-dir"])
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "the binary cannot be built ({status})");
    Ok(profile.join("seachange"))
}

/// A version of an example application, as kept in the repository.
pub fn application(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps").join(directory)
}
