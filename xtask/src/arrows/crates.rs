//! The allow-list of crates, read against every `Cargo.toml`. Dependencies for tests only are free.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use toml::{Table, Value};

use crate::repository;

/// Our crates, each with those of ours that it may use.
const OURS: [(&str, &[&str]); 12] = [
    ("machine", &[]),
    ("environment", &[]),
    ("store", &["machine", "environment"]),
    ("host", &["machine", "sdk", "environment"]),
    ("node", &["machine", "store", "host", "client", "environment"]),
    ("edge", &["machine", "client", "environment"]),
    ("client", &["environment"]),
    ("sdk", &[]),
    (
        "seachange",
        &["machine", "environment", "store", "host", "node", "edge", "client"],
    ),
    (
        "sim",
        &[
            "machine",
            "environment",
            "store",
            "host",
            "node",
            "edge",
            "client",
            "seachange",
        ],
    ),
    ("xtask", &[]),
    // Every crate under apps/.
    ("apps", &["sdk"]),
];

/// Crates of others that only some of ours may use at all. What `machine` may use is named whole.
const THEIRS: [(&str, &[&str]); 5] = [
    ("openraft", &["node"]),
    ("wasmtime", &["host"]),
    ("wasmparser", &["host"]),
    ("fjall", &["store"]),
    ("axum", &["edge"]),
];

/// All that `machine` may use: nothing with a clock, a socket, a file or a thread in it.
const MACHINE_MAY_USE: [&str; 5] = ["bytes", "serde_json", "sha2", "thiserror", "xxhash-rust"];

pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let workspace = parse(root, "Cargo.toml")?;
    let packages = packages(&workspace);
    let mut problems = Vec::new();
    for path in repository::files(root)? {
        let Some(name) = crate_of(&path) else { continue };
        let manifest = parse(root, &path)?;
        problems.extend(check_crate(name, &path, &used(&manifest, &packages)));
    }
    Ok(problems)
}

/// The crate whose manifest stands at `path`, by the name in [`OURS`].
fn crate_of(path: &str) -> Option<&str> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["crates", name, "Cargo.toml"] => Some(name),
        ["apps", _, "Cargo.toml"] => Some("apps"),
        ["xtask", "Cargo.toml"] => Some("xtask"),
        _ => None,
    }
}

fn check_crate(name: &str, path: &str, used: &BTreeSet<String>) -> Vec<String> {
    let Some((_, allowed)) = OURS.iter().find(|(ours, _)| *ours == name) else {
        return vec![format!(
            "{path}: crate {name} is not in the allow-list: say in xtask/src/arrows/crates.rs what it may use, and why it is no module"
        )];
    };
    let mut problems = Vec::new();
    for other in used {
        if OURS.iter().any(|(ours, _)| ours == other) && !allowed.contains(&other.as_str()) {
            problems.push(format!(
                "{path}: {name} may not use {other} (it may use: {})",
                listed(allowed)
            ));
        }
        if let Some((_, users)) = THEIRS.iter().find(|(theirs, _)| theirs == other)
            && !users.contains(&name)
        {
            problems.push(format!(
                "{path}: {name} may not use {other}; only {} may",
                listed(users)
            ));
        }
        if name == "machine" && !MACHINE_MAY_USE.contains(&other.as_str()) {
            problems.push(format!(
                "{path}: machine may not use {other}: it is deterministic, and may use {} only",
                listed(&MACHINE_MAY_USE)
            ));
        }
    }
    problems
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "nothing of ours".to_owned()
    } else {
        names.join(", ")
    }
}

/// The workspace's dependencies under their real names: the key there may be an alias.
fn packages(workspace: &Table) -> BTreeMap<String, String> {
    let shared = workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table);
    shared.map_or_else(BTreeMap::new, |table| {
        table
            .iter()
            .map(|(key, value)| (key.clone(), package_of(key, value)))
            .collect()
    })
}

fn package_of(key: &str, value: &Value) -> String {
    value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned()
}

/// What a crate uses outside its tests, with `seachange-` taken off ours.
fn used(manifest: &Table, packages: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut tables = vec![manifest];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let kinds = ["dependencies", "build-dependencies"];
    let lists = tables
        .iter()
        .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)));
    let found = lists.filter_map(Value::as_table).flatten();
    found
        .map(|(key, value)| {
            let package = match packages.get(key) {
                Some(package) if value.get("workspace").is_some() => package.clone(),
                _ => package_of(key, value),
            };
            package.strip_prefix("seachange-").unwrap_or(&package).to_owned()
        })
        .collect()
}

fn parse(root: &Path, path: &str) -> anyhow::Result<Table> {
    repository::read(root, path)?
        .parse()
        .with_context(|| format!("{path} is not TOML"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, manifest: &str) -> Vec<String> {
        let workspace =
            "[workspace.dependencies]\nnode = { package = \"seachange-node\", path = \"x\" }\nfjall = \"3\"";
        let packages = packages(&workspace.parse().unwrap());
        check_crate(name, "Cargo.toml", &used(&manifest.parse().unwrap(), &packages))
    }

    #[test]
    fn an_arrow_that_is_not_in_the_list_is_found_under_any_name() {
        for manifest in [
            "[dependencies]\nnode.workspace = true",
            "[dependencies]\nother = { package = \"seachange-node\", path = \"../node\" }",
            "[target.'cfg(unix)'.dependencies]\nseachange-node = { path = \"../node\" }",
            "[build-dependencies]\nnode.workspace = true",
        ] {
            assert_eq!(problems("edge", manifest).len(), 1, "{manifest}");
        }
        assert_eq!(
            problems("edge", "[dev-dependencies]\nnode.workspace = true"),
            Vec::<String>::new()
        );
        assert_eq!(
            problems("sim", "[dependencies]\nnode.workspace = true"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_heavy_crate_of_others_stays_in_its_room() {
        assert_eq!(problems("edge", "[dependencies]\nopenraft = \"1\"").len(), 1);
        assert_eq!(
            problems("node", "[dependencies]\nopenraft = \"1\""),
            Vec::<String>::new()
        );
        assert_eq!(problems("machine", "[dependencies]\ntokio = \"1\"").len(), 1);
        assert_eq!(problems("apps", "[dependencies]\nseachange-machine = \"1\"").len(), 1);
    }

    #[test]
    fn a_new_crate_asks_for_a_place_in_the_list() {
        assert!(problems("attic", "")[0].contains("not in the allow-list"));
    }
}
