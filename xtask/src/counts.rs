//! Instructions that the way of a command takes, counted under valgrind and compared with those that are noted.
//!
//! Times on a machine with other work vary by tens of percent; the instructions of one thread that does fixed work do
//! not. What they do not show are waits, caches and the kernel: the benchmarks do. The workloads stand in
//! `crates/seachange/benches/counts.rs`, built as the tests are: what the tests need anyway serves here too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail, ensure};

use crate::repository;

const NOTED: &str = "crates/seachange/benches/counts.txt";
/// Where what valgrind writes is kept, for callgrind_annotate.
const PLACE: &str = "target/counts";
/// How many percent more or less than noted pass without a word. Runs of one build differ by a fifth of it at most; an
/// extra hash of each row that apply touches is 1.3 %.
const TOLERANCE_PERCENT: f64 = 1.0;
const HEAD: &str = "\
# Instructions that one operation of each workload in counts.rs takes, and what counted them. Written by
# `cargo xtask counts --accept`.
";

/// Counts all workloads and compares them with the noted counts; with `--accept` they become those.
pub fn run(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let accept = match arguments {
        [] => false,
        [flag] if flag == "--accept" => true,
        _ => bail!("usage: cargo xtask counts [--accept]"),
    };
    let Some(tools) = tools() else {
        ensure!(!accept, "there is no valgrind to count with: apt-get install valgrind");
        println!("counts: skipped: there is no valgrind (apt-get install valgrind)");
        return Ok(());
    };
    let found = Counts {
        tools,
        instructions: count_all(root)?,
    };
    if accept {
        fs::write(root.join(NOTED), found.to_text())?;
        println!("counts: noted in {NOTED}");
        return Ok(());
    }
    let noted = Counts::parse(&repository::read(root, NOTED)?)?;
    print!("{}", table(&noted, &found));
    if noted.tools != found.tools {
        // Another compiler makes other code of the same source, and another libc and processor copy in other ways: what
        // differs here is no doing of the change that is looked at.
        println!(
            "counts: not compared: {NOTED} was counted by {}; here is {}",
            noted.tools, found.tools
        );
        return Ok(());
    }
    let (problems, hints) = compare(&noted, &found);
    for hint in hints {
        println!("counts: {hint}");
    }
    repository::report("counts", &problems)
}

/// What was counted, or is noted.
struct Counts {
    /// All that the counts depend on beside the code.
    tools: String,
    /// By workload, for one operation.
    instructions: BTreeMap<String, u64>,
}

impl Counts {
    fn parse(text: &str) -> anyhow::Result<Counts> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let tools = lines.next().with_context(|| format!("{NOTED} is empty"))?.to_owned();
        let instructions = lines.map(pair).collect::<anyhow::Result<_>>()?;
        Ok(Counts { tools, instructions })
    }

    fn to_text(&self) -> String {
        let counts = self
            .instructions
            .iter()
            .map(|(name, count)| format!("{name} {count}\n"));
        format!("{HEAD}{}\n{}", self.tools, counts.collect::<String>())
    }
}

/// A line of a name and a number.
fn pair(line: &str) -> anyhow::Result<(String, u64)> {
    let wrong = || format!("{line:?} is no name with a number");
    let (name, number) = line.split_once(' ').with_context(wrong)?;
    Ok((name.to_owned(), number.parse().with_context(wrong)?))
}

/// What is out of order; and what has become better, which is worth noting.
fn compare(noted: &Counts, found: &Counts) -> (Vec<String>, Vec<String>) {
    let (mut problems, mut hints) = (Vec::new(), Vec::new());
    for (name, now) in &found.instructions {
        let Some(before) = noted.instructions.get(name) else {
            problems.push(format!("{name} is not noted: cargo xtask counts --accept"));
            continue;
        };
        let percent = percent(*before, *now);
        let differs = format!("{name}: {now} instructions an operation, {before} noted ({percent:+.1} %)");
        if percent > TOLERANCE_PERCENT {
            problems.push(format!(
                "{differs}; {TOLERANCE_PERCENT} % more is the most: something on the way of a command does more than \
                 before. `callgrind_annotate {PLACE}/{name}.out` says where. If it has to: cargo xtask counts --accept, \
                 and the commit says what for"
            ));
        } else if percent < -TOLERANCE_PERCENT {
            hints.push(format!("{differs}; so that it stays so: cargo xtask counts --accept"));
        }
    }
    let gone = noted
        .instructions
        .keys()
        .filter(|name| !found.instructions.contains_key(*name));
    problems.extend(gone.map(|name| format!("{name} is noted, but no workload: cargo xtask counts --accept")));
    (problems, hints)
}

fn percent(before: u64, now: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

fn table(noted: &Counts, found: &Counts) -> String {
    let row = |(name, now): (&String, &u64)| match noted.instructions.get(name) {
        Some(before) => format!("{name:<14} {now:>8} {before:>8} {:>+7.2} %\n", percent(*before, *now)),
        None => format!("{name:<14} {now:>8}\n"),
    };
    let rows: String = found.instructions.iter().map(row).collect();
    format!("{:<14} {:>8} {:>8}\n{rows}", "an operation", "now", "noted")
}

/// All that counts depend on beside the code; none without valgrind.
fn tools() -> Option<String> {
    let valgrind = first_line("valgrind", "--version")?;
    let compiler = first_line("rustc", "--version").unwrap_or_default();
    let libc = first_line("ldd", "--version").unwrap_or_default();
    // The version stands last, behind that of the package, which changes with each mend.
    let libc = libc.rsplit(' ').next().unwrap_or_default();
    // The libc chooses its way to copy by it. Of all else valgrind shows the program a processor of its own.
    let wide = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" avx2 "));
    let processor = format!("{}{}", std::env::consts::ARCH, if wide { " with avx2" } else { "" });
    // The compiler cuts a crate into fewer pieces then, which makes other code: 1 to 4 % less in some workloads.
    let whole = std::env::var("CARGO_INCREMENTAL").is_ok_and(|value| value == "0");
    let built = if whole { ", not incremental" } else { "" };
    Some(format!("{compiler}{built}, {valgrind}, libc {libc}, {processor}"))
}

fn first_line(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(|line| line.trim().to_owned())
}

fn count_all(root: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    fs::create_dir_all(root.join(PLACE))?;
    let listed = done(cargo(root).stderr(Stdio::inherit()), "the list of workloads")?;
    let mut counts = BTreeMap::new();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let (name, operations) = pair(line)?;
        counts.insert(name.clone(), count(root, &name)? / operations);
    }
    Ok(counts)
}

/// Instructions of one round of a workload.
fn count(root: &Path, name: &str) -> anyhow::Result<u64> {
    let written = root.join(PLACE).join(name).with_extension("out");
    // The runner: cargo knows where the program lies.
    let runner = format!(
        "target.'cfg(all())'.runner = ['valgrind', '--tool=callgrind', '--collect-atstart=no', \
         '--toggle-collect=*instructions_counted*', '--callgrind-out-file={}']",
        written.display()
    );
    let mut command = cargo(root);
    done(command.args(["--config", &runner, "--", name]), name)?;
    let text = fs::read_to_string(&written).with_context(|| format!("{} is not there", written.display()))?;
    total(&text).with_context(|| format!("{} has no total, or counted nothing", written.display()))
}

/// The sum that callgrind writes at the end.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok().filter(|total| *total > 0)
}

/// Runs the program of the workloads: with the profile of the tests and with what all of the workspace asks of
/// libraries, so that nothing is built for this alone but the program.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args([
        "bench",
        "--quiet",
        "--workspace",
        "--profile",
        "dev",
        "--bench",
        "counts",
    ]);
    command
}

fn done(command: &mut Command, what: &str) -> anyhow::Result<Output> {
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "{what} failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        Counts {
            tools: "rustc 1".to_owned(),
            instructions: pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let before = counts(&[("a", 1), ("b", 20)]);
        let after = Counts::parse(&before.to_text()).unwrap();
        assert_eq!((after.tools, after.instructions), (before.tools, before.instructions));
        assert!(Counts::parse("rustc 1\na b\n").is_err());
    }

    #[test]
    fn more_than_the_tolerance_is_a_problem_and_less_is_a_hint() {
        let noted = counts(&[("a", 1000)]);
        for (now, problems, hints) in [(1000, 0, 0), (1009, 0, 0), (1011, 1, 0), (991, 0, 0), (989, 0, 1)] {
            let (found_problems, found_hints) = compare(&noted, &counts(&[("a", now)]));
            assert_eq!((found_problems.len(), found_hints.len()), (problems, hints), "{now}");
        }
    }

    #[test]
    fn a_workload_that_came_or_went_is_a_problem() {
        assert_eq!(compare(&counts(&[]), &counts(&[("a", 1)])).0.len(), 1);
        assert_eq!(compare(&counts(&[("a", 1)]), &counts(&[])).0.len(), 1);
    }

    #[test]
    fn the_total_is_found_and_nothing_counted_is_none() {
        assert_eq!(total("fn=(1)\n10 20\n\ntotals: 1234\n"), Some(1234));
        assert_eq!(total("totals: 0\n"), None);
        assert_eq!(total("fn=(1)\n"), None);
    }
}
