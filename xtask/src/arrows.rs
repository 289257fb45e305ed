//! Which crate may use which, and which words may stand where: the firewalls that ARCHITECTURE.md names.

mod crates;
mod words;

pub use words::is_test;

use std::path::Path;

/// Every arrow that points where it may not.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = crates::check(root)?;
    problems.extend(words::check(root)?);
    Ok(problems)
}
