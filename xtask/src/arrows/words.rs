//! Words that may stand in some files only.

use std::path::Path;

use crate::repository;
use crate::source::{Source, uses, words};

/// Paths that may be named in some files only.
struct Rule {
    /// Paths such as `tokio::time`; everything below them is meant too.
    banned: &'static [&'static str],
    /// Files under these beginnings are looked at…
    under: &'static [&'static str],
    /// …but for those under these.
    but: &'static [&'static str],
    /// Whether tests are held to it.
    tests_too: bool,
    /// What to do instead.
    instead: &'static str,
}

const RULES: [Rule; 5] = [
    Rule {
        banned: &["openraft"],
        under: &["crates/"],
        but: &["crates/node/src/raft/", "crates/node/src/raft.rs"],
        tests_too: true,
        instead: "the Raft library is known to crates/node/src/raft/ alone",
    },
    Rule {
        banned: &["wasmtime"],
        under: &["crates/"],
        but: &["crates/host/src/wasm/", "crates/host/src/wasm.rs"],
        tests_too: true,
        instead: "the WASM engine is known to crates/host/src/wasm/ alone",
    },
    Rule {
        banned: &[
            "tokio::time",
            "tokio::net",
            "tokio::fs",
            "tokio::spawn",
            "tokio::task",
            "tokio::select",
            "std::thread::spawn",
            "std::thread::sleep",
            "std::thread::Builder",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
        under: &["crates/"],
        // Real threads run simulations side by side, for a real time: nothing of it is seen by a run.
        but: &["crates/environment/", "crates/sim/src/explore.rs"],
        tests_too: false,
        instead: "go through environment::Environment, so that the simulator can stand in for the world",
    },
    Rule {
        banned: &[
            "tokio",
            "std::fs",
            "std::net",
            "std::time",
            "std::thread",
            "std::env",
            "std::process",
        ],
        under: &["crates/machine/src/"],
        but: &[],
        tests_too: false,
        instead: "the deterministic half knows no world: take it as an input",
    },
    Rule {
        banned: &[
            "HashMap",
            "HashSet",
            "RandomState",
            "std::collections::hash_map",
            "std::collections::hash_set",
        ],
        under: &["crates/machine/src/"],
        but: &[],
        tests_too: false,
        instead: "their order is chance: use BTreeMap or BTreeSet",
    },
];

/// Single words in single files that stand there all the same, each with its reason.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "crates/edge/src/timer.rs",
    "std::time::Instant",
    "hyper's Timer trait speaks in Instants; each is made from the environment's clock",
)];

pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in repository::files(root)? {
        if path.starts_with("crates/") && path.ends_with(".rs") {
            problems.extend(check_file(&path, &repository::read(root, &path)?));
        }
    }
    Ok(problems)
}

fn check_file(path: &str, text: &str) -> Vec<String> {
    let source = Source::parse(text);
    let mut problems = Vec::new();
    for rule in &RULES {
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| path.starts_with(beginning));
        if !begins(rule.under) || begins(rule.but) || (!rule.tests_too && is_test(path)) {
            continue;
        }
        let code = if rule.tests_too {
            source.whole()
        } else {
            source.before_tests()
        };
        for (at, name) in found(code, rule.banned) {
            if EXCEPTIONS
                .iter()
                .any(|(file, word, _reason)| (*file, *word) == (path, name))
            {
                continue;
            }
            problems.push(format!(
                "{path}:{}: {name} may not stand here: {}",
                source.line_of(at),
                rule.instead
            ));
        }
    }
    problems
}

/// Whether the whole file is a test or an example: no node runs it.
pub fn is_test(path: &str) -> bool {
    ["/tests/", "/examples/", "/benches/"]
        .iter()
        .any(|directory| path.contains(directory))
        || path.ends_with("/tests.rs")
}

/// Where `code` names what is banned: written out, or brought in by `use`, at most once a line and name.
fn found(code: &str, banned: &[&'static str]) -> Vec<(usize, &'static str)> {
    let imports = uses(code);
    let mut found = Vec::new();
    for &name in banned {
        let mut places = words(code, name);
        for (at, path) in &imports {
            // `use std::time;` is as good as all that lies below it.
            let opens = name.contains("::") && name.starts_with(&format!("{path}::")) && path.contains("::");
            let glob = path
                .strip_suffix("::*")
                .is_some_and(|open| name.starts_with(&format!("{open}::")));
            if path == name || path.starts_with(&format!("{name}::")) || opens || glob {
                places.push(*at);
            }
        }
        places.sort_unstable();
        places.dedup_by_key(|at| code[..*at].matches('\n').count());
        found.extend(places.into_iter().map(|at| (at, name)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_word_is_found_however_it_comes_in() {
        for text in [
            "fn a() { tokio::spawn(b()); }",
            "use tokio::{sync::mpsc, time::sleep};",
            "use std::time::{Duration, Instant};",
            "use std::{fmt, time};",
            "use tokio::net as wire;",
            "use std::time::*;",
            "fn a() { tokio::select! { _ = b() => {} } }",
        ] {
            assert!(!check_file("crates/node/src/driver.rs", text).is_empty(), "{text}");
            assert_eq!(
                check_file("crates/environment/src/real/mod.rs", text),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_code_or_no_such_word_is_left_alone() {
        for text in [
            "// tokio::spawn is banned",
            "const A: &str = \"openraft\";",
            "use std::time::Duration;",
            "use environment::channel::mpsc; fn tokio_spawn() {}",
            "#[cfg(test)]\nmod tests { use std::time::Instant; }",
        ] {
            assert_eq!(
                check_file("crates/node/src/driver.rs", text),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

    #[test]
    fn engines_are_named_in_their_rooms_only() {
        assert_eq!(check_file("crates/node/src/driver.rs", "use openraft::Raft;").len(), 1);
        assert_eq!(
            check_file("crates/node/src/raft/mod.rs", "use openraft::Raft;"),
            Vec::<String>::new()
        );
        assert_eq!(
            check_file(
                "crates/edge/src/lib.rs",
                "#[cfg(test)] mod tests { use wasmtime::Engine; }"
            )
            .len(),
            1
        );
    }

    #[test]
    fn the_machine_knows_no_world_and_no_chance() {
        for text in [
            "use std::collections::HashMap;",
            "use std::fs;",
            "fn a() -> std::time::Duration {}",
        ] {
            assert!(!check_file("crates/machine/src/apply.rs", text).is_empty(), "{text}");
        }
    }
}
