//! xtask/tidy.toml: what may be longer than the rule, how long at most, and why. It can only shrink: an exemption that
//! nothing needs any more is a problem too.

use std::path::Path;

use anyhow::{Context, bail};
use toml::{Table, Value};

use crate::repository;

const PATH: &str = "xtask/tidy.toml";

/// The list, with a mark on each that was needed.
pub struct Exemptions(Vec<Exemption>);

struct Exemption {
    path: String,
    /// None: the file as a whole.
    function: Option<String>,
    lines: usize,
    needed: bool,
}

impl Exemptions {
    pub fn read(root: &Path) -> anyhow::Result<Exemptions> {
        Exemptions::parse(&repository::read(root, PATH)?)
    }

    pub fn parse(text: &str) -> anyhow::Result<Exemptions> {
        let table: Table = text.parse().with_context(|| format!("{PATH} is not TOML"))?;
        let mut list = Vec::new();
        for (kind, entries) in &table {
            if kind != "file" && kind != "function" {
                bail!("{PATH}: {kind:?} is not known; there are [[file]] and [[function]]");
            }
            for entry in entries.as_array().map_or(&[][..], Vec::as_slice) {
                list.push(exemption(kind, entry)?);
            }
        }
        Ok(Exemptions(list))
    }

    /// How many lines the file may have, if it is exempt; `lines` is how many it has.
    pub fn lines_of_file(&mut self, path: &str, lines: usize) -> Option<usize> {
        self.find(path, None, lines > super::FILE_LINES_MAX)
    }

    /// How many lines the function may have, if it is exempt; `lines` is how many it has.
    pub fn lines_of_function(&mut self, path: &str, name: &str, lines: usize) -> Option<usize> {
        self.find(path, Some(name), lines > super::FUNCTION_LINES_MAX)
    }

    fn find(&mut self, path: &str, function: Option<&str>, needed: bool) -> Option<usize> {
        let found = self
            .0
            .iter_mut()
            .find(|exemption| exemption.path == path && exemption.function.as_deref() == function)?;
        found.needed |= needed;
        Some(found.lines)
    }

    /// Those that nothing needed, as problems.
    pub fn unused(&self) -> Vec<String> {
        let unused = self.0.iter().filter(|exemption| !exemption.needed);
        unused
            .map(|exemption| {
                let what = exemption.function.as_deref().unwrap_or("the file");
                format!(
                    "{PATH}: {}: {what} is short enough now: take the exemption out",
                    exemption.path
                )
            })
            .collect()
    }
}

fn exemption(kind: &str, entry: &Value) -> anyhow::Result<Exemption> {
    let text = |key: &str| {
        let value = entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        value
            .map(str::to_owned)
            .with_context(|| format!("{PATH}: a [[{kind}]] lacks {key:?}"))
    };
    text("reason")?;
    let lines = entry
        .get("lines")
        .and_then(Value::as_integer)
        .and_then(|lines| usize::try_from(lines).ok());
    Ok(Exemption {
        path: text("path")?,
        function: if kind == "function" { Some(text("name")?) } else { None },
        lines: lines.with_context(|| format!("{PATH}: a [[{kind}]] lacks \"lines\""))?,
        needed: false,
    })
}
