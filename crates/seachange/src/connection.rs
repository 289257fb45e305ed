//! How the client commands find a cluster, and what they say when it gives no answer.

use std::time::Duration;

use client::wire::{Code, Status};
use client::{Admin, Client};
use environment::Environment;

use crate::exit::{Exit, Stopped};

/// Flags of every client command.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterFlags {
    /// HTTP addresses of nodes; any of them leads to the cluster
    #[arg(
        long,
        env = "SEACHANGE_AT",
        value_name = "HOST:PORT[,…]",
        default_value = "127.0.0.1:7070",
        value_delimiter = ','
    )]
    pub at: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// For how long a request is tried again while no node answers it
    #[arg(long, env = "SEACHANGE_TIMEOUT", default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub timeout: u32,
}

/// How long a status may take, where it is asked of many nodes again and again.
const STATUS_MAX: Duration = Duration::from_secs(2);

impl ClusterFlags {
    /// What does everything but commands.
    ///
    /// # Errors
    /// An address is none.
    pub fn admin(&self, environment: &Environment) -> anyhow::Result<Admin> {
        Ok(Admin::new(environment.clone(), self.options()).map_err(|error| usage(&error))?)
    }

    /// What does everything but commands, for calls that may take long.
    ///
    /// # Errors
    /// An address is none.
    pub fn patient_admin(&self, environment: &Environment, time_max: Duration) -> anyhow::Result<Admin> {
        let options = options(&self.at).deadline(time_max);
        Ok(Admin::new(environment.clone(), options).map_err(|error| usage(&error))?)
    }

    /// What sends commands.
    ///
    /// # Errors
    /// An address is none.
    pub fn client(&self, environment: &Environment) -> anyhow::Result<Client> {
        Ok(Client::connect(environment.clone(), self.options()).map_err(|error| usage(&error))?)
    }

    fn options(&self) -> client::Options {
        options(&self.at).deadline(Duration::from_secs(self.timeout.into()))
    }
}

fn options(addresses: &[String]) -> client::Options {
    client::Options::new(addresses).named(concat!("seachange ", env!("CARGO_PKG_VERSION")))
}

fn usage(error: &client::Error) -> Stopped {
    Stopped::usage(format!("--at is refused: {error}"), "")
}

/// What does everything but commands, for a cluster at these addresses.
///
/// # Errors
/// An address is none.
pub fn admin_at(addresses: &[String], environment: &Environment) -> anyhow::Result<Admin> {
    Ok(Admin::new(environment.clone(), options(addresses)).map_err(|error| usage(&error))?)
}

/// What sends commands, for a cluster at these addresses.
///
/// # Errors
/// An address is none.
pub fn client_at(addresses: &[String], environment: &Environment) -> anyhow::Result<Client> {
    Ok(Client::connect(environment.clone(), options(addresses)).map_err(|error| usage(&error))?)
}

/// What the node at one address says of itself; none if it gives no answer.
pub async fn status_of(address: &str, environment: &Environment) -> Option<Status> {
    ask_status(address, environment).await.ok()
}

/// What the node at one address, and no other, says of itself.
///
/// # Errors
/// It gives no answer in a short time.
pub async fn ask_status(address: &str, environment: &Environment) -> Result<Status, client::Error> {
    let options = client::Options::new([address]).deadline(STATUS_MAX);
    Admin::new(environment.clone(), options)?.status().await
}

/// What the node at one address counts and times of itself; none if it gives no answer.
pub async fn metrics_of(address: &str, environment: &Environment) -> Option<String> {
    let options = client::Options::new([address]).deadline(STATUS_MAX);
    let admin = Admin::new(environment.clone(), options).ok()?;
    admin.metrics().await.ok()
}

/// What an error of the client means to a person, and which exit code says so.
#[must_use]
pub fn explain(error: client::Error) -> Stopped {
    let code = error.code();
    let exit = match &error {
        client::Error::Unavailable(_) => Exit::Unreachable,
        client::Error::Problem(_) if matches!(code, Code::NoLeader | Code::Unavailable) => Exit::Unreachable,
        _ if error.is_outcome_unknown() => Exit::OutcomeUnknown,
        client::Error::OutcomeUnknown(_) => Exit::OutcomeUnknown,
        client::Error::Problem(_) | client::Error::Unreadable { .. } => Exit::Failed,
        client::Error::Invalid(_) => Exit::Usage,
    };
    let remedy = match (exit, code) {
        (Exit::Unreachable, Code::NoLeader) => "A majority of the voters must be up: seachange status shows who is.",
        (Exit::Unreachable, _) => "Start a node (seachange serve), or name the addresses of one that runs with --at.",
        (Exit::OutcomeUnknown, _) => "Look whether it took effect before you send it again.",
        (_, Code::UnknownApplication) => "seachange app list shows what is installed.",
        (_, Code::UnknownCommand | Code::UnknownTable | Code::UnknownQuery | Code::UnknownStream) => {
            "seachange app show APP lists commands, queries, tables and streams."
        }
        (_, Code::EventsTrimmed) => {
            "seachange stream list shows where streams begin; tail without --from begins there, and seachange consumer \
             reset STREAM NAME --to start lets a consumer go on."
        }
        (_, Code::UnknownConsumer) => "seachange consumer list shows those there are.",
        (_, Code::UnknownChange) => "seachange change list shows those there are.",
        _ => "",
    };
    Stopped::new(exit, error.to_string(), remedy).coded(code.name())
}

#[cfg(test)]
mod tests {
    use client::wire::Problem;

    use super::*;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let problem = |code| client::Error::Problem(Box::new(Problem::new(code, "because")));
        for (error, exit) in [
            (client::Error::Unavailable("refused".into()), Exit::Unreachable),
            (problem(Code::NoLeader), Exit::Unreachable),
            (client::Error::OutcomeUnknown("lost".into()), Exit::OutcomeUnknown),
            (problem(Code::SessionExpired), Exit::OutcomeUnknown),
            (problem(Code::UnknownApplication), Exit::Failed),
            (client::Error::Invalid("x".into()), Exit::Usage),
        ] {
            assert_eq!(explain(error.clone()).exit, exit, "{error}");
        }
    }
}
