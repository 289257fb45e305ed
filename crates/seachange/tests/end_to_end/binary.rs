use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use environment::Environment;
use seachange::local_cluster::LocalCluster;

/// The binary under test.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_seachange"))
}

/// An example application, as kept in the repository.
pub fn app(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps").join(name)
}

/// A cluster of the binary.
pub async fn cluster(nodes: usize) -> (LocalCluster, Environment) {
    let environment = environment::real::environment();
    let cluster = LocalCluster::start(program(), nodes, environment.clone())
        .await
        .unwrap();
    (cluster, environment)
}

/// The command line, told where a cluster is.
pub struct CommandLine {
    at: String,
}

/// What a command gave.
#[derive(Debug)]
pub struct Given {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl CommandLine {
    pub fn of(cluster: &LocalCluster) -> CommandLine {
        CommandLine {
            at: cluster.addresses().join(","),
        }
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Given {
        run(Command::new(program()).args(arguments).env("SEACHANGE_AT", &self.at))
    }

    /// Runs a command that must succeed, and gives its output without the last line's end.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let given = self.run(arguments);
        assert_eq!(given.code, 0, "{arguments:?}: {given:?}");
        given.out.trim_end().to_owned()
    }

    /// Runs a command that must end with this exit code, and gives its error.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let given = self.run(arguments);
        assert_eq!(given.code, code, "{arguments:?}: {given:?}");
        assert!(given.err.starts_with("seachange: "), "{given:?}");
        given.err
    }

    /// Makes the change to a version of an example application.
    pub fn install(&self, name: &str) {
        self.ok(&["app", "install", &app(name).display().to_string()]);
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Given {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Given {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
