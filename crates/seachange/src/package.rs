//! Versions of applications as their authors hand them over.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use client::Admin;
use client::wire::{Code as ErrorCode, CodeSource, Manifest, PlanRequest, RehearsalRequest, Stage};
use host::Registry;
use machine::{Code, Contract, Digest, TRANSFORM};
use node::replay::Candidate;

use crate::connection::explain;
use crate::exit::Stopped;

/// A version of an application as its author hands it over: a manifest and its module.
#[derive(Debug, Clone)]
pub struct Package {
    /// What the version takes, keeps and emits.
    pub manifest: Manifest,
    /// Where its code is.
    pub code: PackagedCode,
}

/// The code of a [`Package`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackagedCode {
    /// The bytes of a WASM module.
    Module(Vec<u8>),
    /// Linked into the nodes' binary.
    Native,
}

/// How a version is to be brought in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Give up the way back as soon as it answers.
    pub finalize: bool,
    /// Take it back unless it is confirmed so soon after the switch.
    pub confirm_within: Option<Duration>,
    /// Do not take it back where it traps.
    pub stay_on_trap: bool,
    /// Take it back with one command more than these that it refuses and the version before would have applied.
    pub refusals_max: Option<u64>,
    /// Let it drop commands that clients may still send; why.
    pub allow_breaking: Option<String>,
    /// Try it on the real commands first.
    pub rehearse: Option<RehearsalRequest>,
    /// Bring every stored row into the new shape and back first.
    pub verify_data: bool,
}

impl PlanOptions {
    /// For good as soon as it answers.
    pub const FINALIZE: PlanOptions = PlanOptions {
        finalize: true,
        confirm_within: None,
        stay_on_trap: false,
        refusals_max: None,
        allow_breaking: None,
        rehearse: None,
        verify_data: false,
    };
}

/// Bytes that a module may have, as the cluster says too; past it the file is not even read.
const MODULE_BYTES_MAX: u64 = machine::limits::MODULE_BYTES_MAX as u64;

/// Bytes that a schema may have: all of a contract's together may not have more.
const SCHEMA_BYTES_MAX: u64 = machine::limits::CONTRACT_BYTES_MAX as u64;

impl Package {
    /// What its manifest promises.
    ///
    /// # Errors
    /// What in it cannot be read.
    pub fn contract(&self) -> anyhow::Result<Contract> {
        let contract = edge::read_contract(&self.manifest).map_err(|why| {
            let remedy = "Mend the manifest; docs/applications.md shows what stands in one.";
            Stopped::failed(format!("the manifest of {}: {why}", self.manifest.application), remedy)
        })?;
        Ok(contract.unwrap_or_default())
    }

    /// For whoever runs it without a cluster.
    ///
    /// # Errors
    /// See [`Package::contract`].
    pub fn into_candidate(self) -> anyhow::Result<Candidate> {
        let contract = self.contract()?;
        let (code, module) = match self.code {
            PackagedCode::Module(module) => {
                let meter = Registry::new(Vec::new()).meter();
                let digest = Digest::of(&module);
                (Code::Wasm { module: digest, meter }, Some(module))
            }
            PackagedCode::Native => (Code::Native, None),
        };
        Ok(Candidate {
            contract,
            manifest: edge::read_manifest(self.manifest),
            code,
            module,
        })
    }

    /// Reads the directory that holds `manifest.toml` and, unless the code is linked into the nodes, the module it names.
    ///
    /// # Errors
    /// What is missing or wrong, with what to do.
    pub fn read(directory: &Path, native: bool) -> anyhow::Result<Package> {
        let path = directory.join("manifest.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let remedy = "Name the directory that holds manifest.toml and the module.";
            Stopped::failed(format!("cannot read {}: {error}", path.display()), remedy)
        })?;
        let mut manifest = Manifest::from_toml(&text).map_err(|error| {
            let remedy = "docs/applications.md shows what stands in a manifest.";
            Stopped::failed(format!("{}: {error}", path.display()), remedy)
        })?;
        for schema in manifest.commands.iter_mut().flat_map(|command| &mut command.schemas) {
            if let Some(file) = schema.file.take() {
                if !schema.schema.is_null() {
                    let remedy = "Leave out one of the two.";
                    let what = format!("{}: a schema has both `file` and `schema`", path.display());
                    return Err(Stopped::failed(what, remedy).into());
                }
                schema.schema = read_schema(&directory.join(file))?;
            }
        }
        if native {
            let code = PackagedCode::Native;
            return Ok(Package { manifest, code });
        }
        let Some(name) = &manifest.module else {
            let remedy = "Add a line such as module = \"NAME.wasm\": the path beside the manifest. If the code is linked \
                          into the nodes' binary, say --native.";
            return Err(Stopped::failed(format!("{} names no module", path.display()), remedy).into());
        };
        let code = PackagedCode::Module(read_module(&directory.join(name))?);
        Ok(Package { manifest, code })
    }

    /// A package that stands in the binary.
    ///
    /// # Errors
    /// The manifest cannot be read.
    pub fn embedded(manifest: &str, module: &[u8]) -> anyhow::Result<Package> {
        Ok(Package {
            manifest: Manifest::from_toml(manifest).context("the embedded manifest")?,
            code: PackagedCode::Module(module.to_vec()),
        })
    }

    /// Sends the module and plans the change to this version; gives the change's id.
    ///
    /// # Errors
    /// The cluster refused, or gave no answer.
    pub async fn plan(&self, admin: &Admin, options: &PlanOptions) -> anyhow::Result<u64> {
        if self.contract()?.programs().next().is_some() {
            install_transform(admin).await?;
        }
        if let PackagedCode::Module(module) = &self.code {
            admin.upload_module(module.clone()).await.map_err(explain)?;
        }
        let planned = admin.plan_change(&self.request(options)).await.map_err(explain)?;
        Ok(planned.change)
    }

    /// The plan of a change to this version, whose module is sent apart from it.
    #[must_use]
    pub fn request(&self, options: &PlanOptions) -> PlanRequest {
        let code = match &self.code {
            PackagedCode::Module(module) => CodeSource::module(machine::Digest::of(module).to_string()),
            PackagedCode::Native => CodeSource::Native,
        };
        let PlanOptions {
            finalize,
            confirm_within,
            stay_on_trap,
            refusals_max,
            allow_breaking,
            rehearse,
            verify_data,
        } = options;
        PlanRequest {
            manifest: self.manifest.clone(),
            code,
            finalize: *finalize,
            confirm_within_ms: confirm_within.map(|within| u64::try_from(within.as_millis()).unwrap_or(u64::MAX)),
            revert_on_trap: stay_on_trap.then_some(false),
            refusals_max: *refusals_max,
            allow_breaking: allow_breaking.clone(),
            rehearse: rehearse.clone(),
            verify_data: *verify_data,
        }
    }
}

/// Installs the application that runs the programs of manifests, unless it is there.
async fn install_transform(admin: &Admin) -> anyhow::Result<()> {
    let known = match admin.app(TRANSFORM).await {
        Ok(app) => app.in_force.is_some(),
        Err(error) if error.code() == ErrorCode::UnknownApplication => false,
        Err(error) => return Err(explain(error).into()),
    };
    if known {
        return Ok(());
    }
    let transform = Package::embedded(
        include_str!("../../../apps/transform/manifest.toml"),
        host::transform::MODULE,
    )?;
    // Boxed: it plans, as whoever asked for it does.
    let change = Box::pin(transform.plan(admin, &PlanOptions::FINALIZE)).await?;
    let mut watch = admin.watch_change(change);
    while let Some(record) = watch.next().await.map_err(explain)? {
        match record.stage {
            Stage::Finalized => return Ok(()),
            Stage::Aborted | Stage::Reverted => break,
            Stage::Preparing | Stage::Ready | Stage::Switched => {}
        }
    }
    let what = format!("change {change}, which installs application {TRANSFORM}, was given up by somebody");
    Err(Stopped::failed(what, "It runs the programs of the manifest: try again.").into())
}

fn read_schema(path: &Path) -> anyhow::Result<serde_json::Value> {
    let cannot = |why: String| {
        let remedy = "Under `schemas` of a command the manifest names a file with a JSON Schema, by its path beside the manifest.";
        Stopped::failed(format!("cannot read the schema {}: {why}", path.display()), remedy)
    };
    let bytes = std::fs::metadata(path)
        .map_err(|error| cannot(error.to_string()))?
        .len();
    if bytes > SCHEMA_BYTES_MAX {
        return Err(cannot(format!("it has {bytes} bytes; {SCHEMA_BYTES_MAX} are the most")).into());
    }
    let text = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
    let schema = serde_json::from_slice(&text).map_err(|error| cannot(error.to_string()))?;
    Ok(schema)
}

fn read_module(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = |error: std::io::Error| {
        let remedy = "Build it first: docs/applications.md shows how.";
        Stopped::failed(format!("cannot read the module {}: {error}", path.display()), remedy)
    };
    let bytes = std::fs::metadata(path).map_err(cannot)?.len();
    if bytes > MODULE_BYTES_MAX {
        let what = format!(
            "the module {} has {bytes} bytes; {MODULE_BYTES_MAX} are the most",
            path.display()
        );
        return Err(Stopped::failed(what, "Build it with --release and strip its debug information.").into());
    }
    let module = std::fs::read(path).map_err(cannot)?;
    if !module.starts_with(b"\0asm") {
        let what = format!("{} is no WASM module (it does not begin with \\0asm)", path.display());
        return Err(Stopped::failed(what, "Build the application for wasm32-unknown-unknown.").into());
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(files: &[(&str, &[u8])]) -> String {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        Package::read(directory.path(), false).unwrap_err().to_string()
    }

    #[test]
    fn each_thing_that_is_missing_or_wrong_is_named() {
        let manifest: &[u8] = b"application = \"a\"\nversion = 1\nmodule = \"a.wasm\"";
        assert!(refused(&[]).contains("manifest.toml"));
        assert!(refused(&[("manifest.toml", b"application = 1")]).contains("manifest"));
        assert!(refused(&[("manifest.toml", b"application = \"a\"\nversion = 1")]).contains("names no module"));
        assert!(refused(&[("manifest.toml", manifest)]).contains("a.wasm"));
        assert!(refused(&[("manifest.toml", manifest), ("a.wasm", b"#!/bin/sh")]).contains("no WASM module"));
        let schema =
            b"application = \"a\"\nversion = 1\n[[commands]]\nname = \"a\"\n[[commands.schemas]]\nfile = \"a.json\"";
        assert!(refused(&[("manifest.toml", schema)]).contains("a.json"));
        assert!(refused(&[("manifest.toml", schema), ("a.json", b"{")]).contains("a.json"));
        let long = vec![b' '; SCHEMA_BYTES_MAX as usize + 1];
        assert!(refused(&[("manifest.toml", schema), ("a.json", &long)]).contains("are the most"));
    }
}
