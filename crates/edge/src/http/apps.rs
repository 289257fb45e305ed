//! `GET /v1/apps` and `GET /v1/apps/{app}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use client::wire;
use client::wire::{ApplicationInfo, ApplicationList, Code, CodeSource, Named, RemovedAt, VersionInfo, VersionSwitch};
use machine::manifest::{CommandSpec, TableSpec};
use machine::{
    Application, Catalog, CommandSchema, Contract, DeclaredDifference, Digest, Downcast, EVENT_VERSION_FIRST,
    EventContract, Manifest, Shape, Upcast, Version,
};

use super::extract::UrlPath;
use super::problems::{ANY, problems};
use super::{Api, conversion, schema};
use crate::codes::{self, Refusal};

problems!(ListProblems: ANY);
problems!(ShowProblems: ANY, &[Code::UnknownApplication]);

/// All applications
#[utoipa::path(
    get, path = "/v1/apps", tag = "applications", operation_id = "list_applications",
    responses((status = 200, description = "By name.", body = ApplicationList), ListProblems),
)]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<ApplicationList> {
    // The status is taken first: what the catalog shows is then never older than the index says.
    let index = api.cluster.status().applied.0;
    let catalog = api.cluster.catalog();
    let apps = catalog
        .applications
        .iter()
        .map(|(name, application)| info(&catalog, name, application));
    Json(ApplicationList {
        index,
        apps: apps.collect(),
    })
}

/// One application
///
/// Its versions with their manifests, which of them answers, and which change is under way.
#[utoipa::path(
    get, path = "/v1/apps/{app}", tag = "applications", operation_id = "show_application",
    params(("app" = String, Path, description = "The application's name.", example = "ledger")),
    responses((status = 200, description = "The application.", body = ApplicationInfo), ShowProblems),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<ApplicationInfo>, Refusal> {
    let catalog = api.cluster.catalog();
    match catalog.applications.get(&name) {
        Some(application) => Ok(Json(info(&catalog, &name, application))),
        None => Err(codes::of_read(&machine::ReadError::UnknownApplication(name))),
    }
}

pub(super) fn info(catalog: &Catalog, name: &str, application: &Application) -> ApplicationInfo {
    let to_come = catalog.running_change(name).map(|(_, change)| change.to);
    ApplicationInfo {
        name: name.to_owned(),
        in_force: application.in_force.map(|version| version.0),
        versions: application
            .versions
            .values()
            .map(|version| VersionInfo {
                manifest: show_manifest(&version.manifest, catalog.contract(name, version.manifest.version)),
                code: show_code(&version.code),
                let_go: catalog.is_let_go(name, version.manifest.version) && to_come != Some(version.manifest.version),
            })
            .collect(),
        change: catalog.running_change(name).map(|(id, _)| id.0),
        reversible: application.reversible.map(|id| id.0),
        history: application
            .history
            .iter()
            .map(|(index, version)| VersionSwitch {
                index: index.0,
                version: version.0,
            })
            .collect(),
        removed: catalog.removed.get(name).map(|removed| RemovedAt {
            index: removed.index.0,
            time_ms: removed.time.0,
            version: removed.version.0,
            reason: removed.reason.clone(),
        }),
        conversions: conversion::records(catalog, name),
    }
}

fn show_code(code: &machine::Code) -> CodeSource {
    match code {
        machine::Code::Wasm { module, meter } => CodeSource::Module {
            digest: module.to_string(),
            meter: Some(meter.0),
        },
        machine::Code::Native => CodeSource::Native,
    }
}

fn show_manifest(manifest: &Manifest, contract: Option<&Contract>) -> wire::Manifest {
    let upcasts = |command: &str| {
        let casts = contract.into_iter().flat_map(|contract| &contract.upcasts);
        let of_command = casts.filter(|cast| cast.command == command);
        of_command
            .map(|cast| wire::UpcastSpec {
                from: cast.from,
                to: cast.to,
                program: cast.program.clone(),
            })
            .collect()
    };
    let named = |names: &[String]| names.iter().map(|name| Named { name: name.clone() }).collect();
    let stream = |name: &String| show_stream(name, contract.map(|contract| &contract.events));
    wire::Manifest {
        application: manifest.application.clone(),
        version: manifest.version.0,
        about: manifest.about.clone(),
        module: None,
        commands: manifest
            .commands
            .iter()
            .map(|command| wire::CommandSpec {
                name: command.name.clone(),
                versions: command.versions.clone(),
                upcasts: upcasts(&command.name),
                schemas: schemas(&command.name, contract),
            })
            .collect(),
        queries: named(&manifest.queries),
        tables: manifest.tables.iter().map(show_table).collect(),
        streams: manifest.streams.iter().map(stream).collect(),
        expected_differences: differences(contract),
    }
}

fn differences(contract: Option<&Contract>) -> Vec<wire::DifferenceSpec> {
    let declared = contract.into_iter().flat_map(|contract| &contract.differences);
    declared
        .map(|declared| wire::DifferenceSpec {
            at: declared.at.to_string(),
            when: declared.when.clone(),
        })
        .collect()
}

fn schemas(command: &str, contract: Option<&Contract>) -> Vec<wire::SchemaSpec> {
    let schemas = contract.into_iter().flat_map(|contract| &contract.schemas);
    let of_command = schemas.filter(|schema| schema.command == command);
    of_command
        .map(|schema| wire::SchemaSpec {
            version: schema.version,
            file: None,
            // It was one when it was planned.
            schema: serde_json::from_str(&schema.schema).unwrap_or_default(),
        })
        .collect()
}

fn show_stream(name: &str, events: Option<&EventContract>) -> wire::StreamSpec {
    let casts = events.into_iter().flat_map(|events| &events.downcasts);
    let downcasts = casts.filter(|cast| cast.stream == name).map(|cast| wire::DowncastSpec {
        from: cast.from,
        to: cast.to,
        program: cast.program.clone(),
    });
    wire::StreamSpec {
        name: name.to_owned(),
        event_version: events.map_or(EVENT_VERSION_FIRST, |events| events.version_of(name)),
        downcasts: downcasts.collect(),
    }
}

pub(super) fn show_table(table: &TableSpec) -> wire::TableSpec {
    wire::TableSpec {
        name: table.name.clone(),
        shape: table.shape.0,
        converts: table.converts.iter().map(|shape| shape.0).collect(),
    }
}

/// What a manifest promises beside what stands in the log's; none: nothing.
///
/// # Errors
/// What cannot be read, for people.
pub(crate) fn read_contract(manifest: &wire::Manifest) -> Result<Option<Contract>, String> {
    let of_command = |command: &wire::CommandSpec| {
        let name = command.name.clone();
        command.upcasts.clone().into_iter().map(move |cast| Upcast {
            command: name.clone(),
            from: cast.from,
            to: cast.to,
            program: cast.program,
        })
    };
    let of_stream = |stream: &wire::StreamSpec| {
        let name = stream.name.clone();
        stream.downcasts.clone().into_iter().map(move |cast| Downcast {
            stream: name.clone(),
            from: cast.from,
            to: cast.to,
            program: cast.program,
        })
    };
    let other = manifest
        .streams
        .iter()
        .filter(|stream| stream.event_version != EVENT_VERSION_FIRST);
    let contract = Contract {
        // Which version runs the programs is decided where the plan is applied.
        transform: None,
        upcasts: manifest.commands.iter().flat_map(of_command).collect(),
        events: EventContract {
            versions: other
                .map(|stream| (stream.name.clone(), stream.event_version))
                .collect(),
            downcasts: manifest.streams.iter().flat_map(of_stream).collect(),
        },
        schemas: manifest.commands.iter().flat_map(schemas_of).collect(),
        differences: manifest
            .expected_differences
            .iter()
            .map(read_difference)
            .collect::<Result<_, _>>()?,
    };
    Ok((!contract.is_empty()).then_some(contract))
}

fn read_difference(spec: &wire::DifferenceSpec) -> Result<DeclaredDifference, String> {
    Ok(DeclaredDifference {
        at: spec.at.parse()?,
        when: spec.when.clone(),
    })
}

fn schemas_of(command: &wire::CommandSpec) -> impl Iterator<Item = CommandSchema> {
    command.schemas.iter().map(|spec| CommandSchema {
        command: command.name.clone(),
        version: spec.version,
        schema: spec.schema.to_string(),
        constraints: Digest::of(schema::constraints(&spec.schema).as_bytes()),
    })
}

/// A manifest as the log has it. Whether it holds together is the machine's to say.
pub(crate) fn read_manifest(manifest: wire::Manifest) -> Manifest {
    let names = |named: Vec<Named>| named.into_iter().map(|named| named.name).collect();
    Manifest {
        application: manifest.application,
        version: Version(manifest.version),
        about: manifest.about,
        commands: manifest
            .commands
            .into_iter()
            .map(|command| CommandSpec {
                name: command.name,
                versions: command.versions,
            })
            .collect(),
        queries: names(manifest.queries),
        tables: manifest
            .tables
            .into_iter()
            .map(|table| TableSpec {
                name: table.name,
                shape: Shape(table.shape),
                converts: table.converts.into_iter().map(Shape).collect(),
            })
            .collect(),
        streams: manifest.streams.into_iter().map(|stream| stream.name).collect(),
    }
}
