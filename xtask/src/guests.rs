//! Builds the applications under `apps/` into the WASM modules that are kept beside them, so that a newcomer needs no WASM
//! target; `--check` says which of the kept modules are not what their sources build to. Most are packages in Rust; one is
//! written in WebAssembly's text format.
//!
//! The same sources give the same bytes only under the same compiler, so `apps/compiler.txt` records the one that built
//! the kept modules, and they are compared under that one alone.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail};

use crate::repository;

const TARGET: &str = "wasm32-unknown-unknown";
const COMPILER_FILE: &str = "apps/compiler.txt";
/// Bytes of all kept modules; they are in the repository for ever. Two thirds of them are the interpreter of `transform`.
const KEPT_BYTES_MAX: u64 = 1_300_000;
/// A panic in a guest is a trap, so it needs no unwinding; of speed and size, size counts for more here.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=\"s\"",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
    "profile.release.debug=false",
];
const HOW_TO_GET_ONE: &str = "\
no compiler for wasm32-unknown-unknown is here. Either of these brings one:
    rustup target add wasm32-unknown-unknown
    apt-get install --no-install-recommends rustc-web rust-web-src   (Debian, beside rustup's cargo)";

/// Builds the kept modules, or compares them with `--check`.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask guests [--check]"),
    };
    let root = repository::root();
    let recorded = fs::read_to_string(root.join(COMPILER_FILE)).unwrap_or_default();
    let mut compilers = Compiler::found()?;
    let matching = compilers.iter().position(|compiler| compiler.record == recorded);
    if check && matching.is_none() {
        println!("guests: skipped: {}", why_skipped(&compilers, &recorded));
    } else if compilers.is_empty() {
        bail!("{HOW_TO_GET_ONE}");
    }
    let chosen = if check { matching } else { matching.or(Some(0)) };
    let mut compiler = chosen.map(|position| compilers.swap_remove(position));
    if let Some(compiler) = &mut compiler {
        compiler.prepare(&root)?;
    }
    match check {
        true => compare(&root, compiler.as_ref()),
        false => build_all(&root, compiler.as_ref()),
    }
}

fn why_skipped(compilers: &[Compiler], recorded: &str) -> String {
    match compilers {
        [] => HOW_TO_GET_ONE.to_owned(),
        [first, ..] => format!(
            "the kept modules are compared only under the compiler that built them ({COMPILER_FILE}):\n{}\nhere is:\n{}",
            indented(recorded),
            indented(&first.record)
        ),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect::<String>()
}

fn build_all(root: &Path, compiler: Option<&Compiler>) -> anyhow::Result<()> {
    let mut bytes_total = 0;
    for guest in Guest::all(root)? {
        let Some(built) = guest.build(root, compiler, false)? else {
            continue;
        };
        bytes_total += built.len() as u64;
        let kept = root.join(&guest.module);
        let same = fs::read(&kept).is_ok_and(|kept| kept == built);
        fs::write(&kept, &built).with_context(|| format!("cannot write {}", kept.display()))?;
        let news = if same { "as it was" } else { "new" };
        println!("guests: {} {} bytes, {news}", guest.module, built.len());
    }
    if let Some(compiler) = compiler {
        fs::write(root.join(COMPILER_FILE), &compiler.record)
            .with_context(|| format!("cannot write {COMPILER_FILE}"))?;
    }
    println!("guests: {bytes_total} bytes in all");
    if bytes_total > KEPT_BYTES_MAX {
        bail!("the kept modules have {bytes_total} bytes, more than {KEPT_BYTES_MAX}: make them smaller");
    }
    Ok(())
}

fn compare(root: &Path, compiler: Option<&Compiler>) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for guest in Guest::all(root)? {
        let Some(built) = guest.build(root, compiler, true)? else {
            continue;
        };
        match fs::read(root.join(&guest.module)) {
            Ok(kept) if kept == built => {}
            Ok(_) => problems.push(format!(
                "{} is not what its source builds to: run `cargo xtask guests` and keep the result",
                guest.module
            )),
            Err(error) => problems.push(format!("{}: {error}: run `cargo xtask guests`", guest.module)),
        }
    }
    repository::report("guests", &problems)
}

/// One application under `apps/`.
struct Guest {
    source: Source,
    /// Where the module is kept, from the repository's top.
    module: String,
}

/// What a module is built from.
enum Source {
    /// A package of the workspace.
    Package(String),
    /// A file in WebAssembly's text format, from the repository's top.
    Text(String),
}

impl Guest {
    fn all(root: &Path) -> anyhow::Result<Vec<Guest>> {
        let mut guests = Vec::new();
        for path in repository::files(root)? {
            let ["apps", name, "manifest.toml"] = path.split('/').collect::<Vec<_>>()[..] else {
                continue;
            };
            let manifest: toml::Table = toml::from_str(&repository::read(root, &path)?)
                .with_context(|| format!("{path} is not the manifest of an application"))?;
            let module = manifest.get("module").and_then(toml::Value::as_str);
            let module = module.with_context(|| format!("{path} names no `module`"))?;
            let text = format!("apps/{name}/{}", module.replace(".wasm", ".wat"));
            let source = if root.join(format!("apps/{name}/Cargo.toml")).exists() {
                Source::Package(name.to_owned())
            } else if root.join(&text).exists() {
                Source::Text(text)
            } else {
                bail!("apps/{name} holds neither Cargo.toml nor {text}: from what is {module} built?");
            };
            guests.push(Guest {
                source,
                module: format!("apps/{name}/{module}"),
            });
        }
        Ok(guests)
    }

    /// The module; none when it takes a compiler and there is none.
    fn build(&self, root: &Path, compiler: Option<&Compiler>, locked: bool) -> anyhow::Result<Option<Vec<u8>>> {
        match (&self.source, compiler) {
            (Source::Package(package), Some(compiler)) => build_package(root, compiler, package, locked).map(Some),
            (Source::Package(_), None) => Ok(None),
            (Source::Text(path), _) => {
                let module = wat::parse_str(repository::read(root, path)?);
                module.map(Some).with_context(|| format!("{path} is no module"))
            }
        }
    }
}

/// Builds one package, apart from all others: built together, packages share features, and the exports of two applications
/// would meet.
fn build_package(root: &Path, compiler: &Compiler, package: &str, locked: bool) -> anyhow::Result<Vec<u8>> {
    eprintln!("guests: building {package}");
    let target_dir = root.join("target/guests");
    let mut cargo = compiler.cargo(root);
    cargo.args(["rustc", "--quiet", "--release", "--lib", "--crate-type", "cdylib"]);
    cargo
        .args(["--package", package, "--target", TARGET, "--target-dir"])
        .arg(&target_dir);
    // One that is nothing without it, so that the workspace is built without what it is made of.
    let manifest = repository::read(root, &format!("apps/{package}/Cargo.toml"))?;
    if manifest.contains("\nguest = [") {
        cargo.args(["--features", "guest"]);
    }
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    if locked {
        cargo.arg("--locked");
    }
    let status = cargo.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("{package} does not build for {TARGET} ({status})");
    }
    let name = package.replace('-', "_");
    let built = target_dir.join(TARGET).join("release").join(format!("{name}.wasm"));
    fs::read(&built).with_context(|| format!("cannot read {}", built.display()))
}

/// A way to compile for WASM.
struct Compiler {
    /// What is recorded of it: all that decides the bytes.
    record: String,
    /// Variables that are set for its builds alone.
    variables: Vec<(&'static str, OsString)>,
    /// More arguments for cargo.
    arguments: &'static [&'static str],
    /// Where the sources of the standard library lie, which its panics name.
    sources: PathBuf,
}

impl Compiler {
    /// Those that are here, the better one first.
    fn found() -> anyhow::Result<Vec<Compiler>> {
        let ours = Rustc::ask("rustc".into()).context("cannot run rustc")?;
        let mut found = Vec::new();
        found.extend(Compiler::rustup(&ours));
        found.extend(Compiler::debian(&ours));
        Ok(found)
    }

    /// rustc with the target that rustup brings.
    fn rustup(ours: &Rustc) -> Option<Compiler> {
        let installed = ours.sysroot.join("lib/rustlib").join(TARGET).join("lib");
        installed.exists().then(|| Compiler {
            record: format!("compiler: {}\nstandard library: as rustup brings it\n", ours.version),
            variables: Vec::new(),
            arguments: &[],
            sources: ours.sysroot.join("lib/rustlib/src/rust"),
        })
    }

    /// Debian's compiler for the web, with rustup's cargo and linker; it builds the standard library from its sources.
    fn debian(ours: &Rustc) -> Option<Compiler> {
        let files = output(Command::new("dpkg").args(["--listfiles", "rustc-web"])).ok()?;
        let path = files.lines().find(|line| line.ends_with("/bin/rustc"))?;
        let debian = Rustc::ask(path.into()).ok()?;
        let sources = debian.sysroot.join("lib/rustlib/src/rust");
        let linker = ours.sysroot.join("lib/rustlib").join(&ours.host).join("bin/rust-lld");
        (sources.join("library/std").exists() && linker.exists()).then(|| Compiler {
            record: format!(
                "compiler: {} of Debian's rustc-web\nlinker: rust-lld of {}\nstandard library: built with the guests\n",
                debian.version, ours.version
            ),
            variables: vec![
                ("RUSTC", path.into()),
                // `-Z` on a stable cargo.
                ("RUSTC_BOOTSTRAP", "1".into()),
                ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()),
            ],
            arguments: &["-Z", "build-std=std,panic_abort"],
            sources,
        })
    }

    /// Sets the flags that keep the folder out of the bytes.
    fn prepare(&mut self, root: &Path) -> anyhow::Result<()> {
        let mut flags = OsString::new();
        for (path, name) in self.renamed_paths(root)? {
            if !flags.is_empty() {
                // What cargo expects between two of them.
                flags.push("\u{1f}");
            }
            flags.push("--remap-path-prefix=");
            flags.push(path);
            flags.push("=");
            flags.push(name);
        }
        self.variables.push(("CARGO_ENCODED_RUSTFLAGS", flags));
        Ok(())
    }

    /// cargo with this compiler, without the user's own flags.
    fn cargo(&self, root: &Path) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(root).args(self.arguments).env_remove("RUSTFLAGS");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Paths that the compiler would write into panics, with what it writes in their stead.
    fn renamed_paths(&self, root: &Path) -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
        // Each registry has a folder of its own, which is there once something was fetched from it.
        let status = self.cargo(root).args(["fetch", "--quiet", "--target", TARGET]).status();
        if !status.context("cannot run cargo")?.success() {
            bail!("cargo could not fetch the guests' dependencies");
        }
        let mut paths = vec![(root.to_path_buf(), "/seachange"), (self.sources.clone(), "/rust")];
        if let Some(registries) = cargo_home().and_then(|home| fs::read_dir(home.join("registry/src")).ok()) {
            for registry in registries {
                paths.push((registry?.path(), "/crates"));
            }
        }
        paths.sort();
        Ok(paths)
    }
}

fn cargo_home() -> Option<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

/// What a rustc says of itself.
struct Rustc {
    version: String,
    host: String,
    sysroot: PathBuf,
}

impl Rustc {
    fn ask(path: PathBuf) -> anyhow::Result<Rustc> {
        let about = output(Command::new(&path).args(["--version", "--verbose"]))?;
        let sysroot = output(Command::new(&path).args(["--print", "sysroot"]))?;
        let version = about.lines().next().unwrap_or_default().to_owned();
        let host = about.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(Rustc {
            version,
            host: host
                .with_context(|| format!("{} names no host", path.display()))?
                .to_owned(),
            sysroot: sysroot.trim().into(),
        })
    }
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let Output { status, stdout, .. } = command.output()?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(record: &str) -> Compiler {
        Compiler {
            record: record.to_owned(),
            variables: Vec::new(),
            arguments: &[],
            sources: PathBuf::new(),
        }
    }

    #[test]
    fn a_skip_says_what_to_install_or_which_compiler_is_meant() {
        let nothing = why_skipped(&[], "compiler: rustc 1\n");
        assert!(
            nothing.contains("rustup target add wasm32-unknown-unknown"),
            "{nothing}"
        );
        let other = why_skipped(&[compiler("compiler: rustc 2\n")], "compiler: rustc 1\n");
        assert!(other.contains("    compiler: rustc 1\n"), "{other}");
        assert!(other.contains("    compiler: rustc 2\n"), "{other}");
    }

    #[test]
    fn every_application_in_rust_is_a_guest() {
        let guests = Guest::all(&repository::root()).expect("readable manifests");
        let modules: Vec<_> = guests.iter().map(|guest| guest.module.as_str()).collect();
        assert!(modules.contains(&"apps/ledger-1/ledger.wasm"), "{modules:?}");
    }

    #[test]
    fn other_arguments_are_refused() {
        assert!(run(&["--chekc".to_owned()]).is_err());
    }
}
