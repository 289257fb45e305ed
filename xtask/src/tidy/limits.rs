//! Every limit is met by a test: each constant, and each field of a `Limits`, of a `limits.rs` is named in a test of its
//! crate. What is no limit but the size of a buffer or the length of a pause is listed in xtask/limits.toml, with why.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use toml::Table;

use crate::repository;
use crate::source::{Source, words};

const PATH: &str = "xtask/limits.toml";

/// A limit: where it stands, and its name.
type Limit = (String, String);

/// The limits and the tests of a repository, gathered file by file.
pub struct Limits {
    limits: Vec<Limit>,
    /// The code of all tests, by crate.
    tests: BTreeMap<String, String>,
    /// Those that need no test, with why.
    exempt: BTreeMap<String, String>,
}

impl Limits {
    pub fn read(root: &Path) -> anyhow::Result<Limits> {
        Limits::new(&repository::read(root, PATH)?)
    }

    pub fn new(exempt: &str) -> anyhow::Result<Limits> {
        let table: Table = exempt.parse().with_context(|| format!("{PATH} is not TOML"))?;
        let mut list = BTreeMap::new();
        for (file, names) in &table {
            let Some(names) = names.as_table() else {
                bail!("{PATH}: {file:?} is no table of names and reasons");
            };
            for (name, reason) in names {
                match reason.as_str().filter(|reason| !reason.is_empty()) {
                    Some(reason) => list.insert(format!("{file} {name}"), reason.to_owned()),
                    None => bail!("{PATH}: {file} {name} has no reason"),
                };
            }
        }
        Ok(Limits {
            limits: Vec::new(),
            tests: BTreeMap::new(),
            exempt: list,
        })
    }

    /// Takes note of a Rust file.
    pub fn note(&mut self, path: &str, text: &str) {
        let source = Source::parse(text);
        let is_test = crate::arrows::is_test(path);
        let tests = if is_test { source.whole() } else { source.tests() };
        self.tests.entry(crate_of(path).to_owned()).or_default().push_str(tests);
        if path.ends_with("/limits.rs") && !is_test {
            let names = names(source.before_tests());
            self.limits
                .extend(names.into_iter().map(|name| (path.to_owned(), name)));
        }
    }

    /// Limits that no test names, and exemptions that nothing needs.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut unused: Vec<&String> = self.exempt.keys().collect();
        for (path, name) in &self.limits {
            let key = format!("{path} {name}");
            let tested = self.is_tested(path, name);
            if !tested && !self.exempt.contains_key(&key) {
                problems.push(format!(
                    "{path}: no test names {name}: write one that meets it, just at it and just past it; if it is no \
                     limit but a size or a pause, say so in {PATH}"
                ));
            }
            if !tested {
                unused.retain(|exempt| **exempt != key);
            }
        }
        problems.extend(
            unused
                .iter()
                .map(|key| format!("{PATH}: {key} is tested now, or gone: take it out")),
        );
        problems
    }

    /// What the deterministic half limits may be tested wherever it is used; all else in its own crate.
    fn is_tested(&self, path: &str, name: &str) -> bool {
        let own = crate_of(path);
        self.tests
            .iter()
            .filter(|(other, _)| *other == own || (own == "machine" && *other != "client"))
            .any(|(_, code)| !words(code, name).is_empty())
    }
}

fn crate_of(path: &str) -> &str {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates") => parts.next().unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

/// Constants of any visibility, and the fields of `struct Limits`.
fn names(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_limits = false;
    for line in code.lines().map(str::trim) {
        let item = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) "));
        let Some(item) = item.or_else(|| line.strip_prefix("pub(super) ")) else {
            in_limits &= line != "}";
            continue;
        };
        in_limits |= item.starts_with("struct Limits ");
        let constant = item.strip_prefix("const ").filter(|rest| !rest.starts_with("fn "));
        if let Some((name, _)) = constant
            .or(Some(item).filter(|_| in_limits))
            .and_then(|it| it.split_once(':'))
        {
            names.push(name.trim().to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "pub const A_MAX: usize = 1;\npub(crate) const B_MAX: u64 = 2;\n\
        pub struct Limits {\n    pub held_max: usize,\n}\npub const fn pause() {}\n";

    fn problems(exempt: &str, tests: &str) -> Vec<String> {
        let mut limits = Limits::new(exempt).unwrap();
        limits.note("crates/edge/src/limits.rs", LIMITS);
        limits.note("crates/edge/tests/edge/main.rs", tests);
        limits.problems()
    }

    #[test]
    fn a_limit_without_a_test_is_found() {
        assert_eq!(problems("", "A_MAX; B_MAX; held_max").len(), 0);
        let found = problems("", "A_MAX; // B_MAX\nheld_max_of");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("B_MAX") && found[1].contains("held_max"), "{found:?}");
    }

    #[test]
    fn a_test_of_another_crate_counts_only_for_the_machine() {
        let mut limits = Limits::new("").unwrap();
        limits.note("crates/edge/src/limits.rs", "pub const A_MAX: usize = 1;");
        limits.note("crates/machine/src/limits.rs", "pub const C_MAX: usize = 1;");
        limits.note("crates/host/src/wasm/tests/limits.rs", "A_MAX; C_MAX");
        let found = limits.problems();
        assert!(found.len() == 1 && found[0].contains("A_MAX"), "{found:?}");
    }

    #[test]
    fn an_exemption_needs_a_reason_and_a_use() {
        let exempt = "[\"crates/edge/src/limits.rs\"]\nB_MAX = \"the size of a buffer\"\n";
        assert_eq!(problems(exempt, "A_MAX; held_max").len(), 0);
        let found = problems(exempt, "A_MAX; B_MAX; held_max");
        assert!(found.len() == 1 && found[0].contains("take it out"), "{found:?}");
        assert!(Limits::new("[\"a\"]\nB_MAX = \"\"\n").is_err());
    }
}
