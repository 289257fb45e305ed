//! How a node is to be run: one struct, checked when it is loaded, from flags, environment, file and defaults, in this
//! order.

mod address;
mod file;
mod limits;
mod observe;

use std::path::{Path, PathBuf};

pub use address::{Address, InvalidAddress};
use file::ConfigFile;
pub use limits::{Limits, LimitsFlags};
pub use observe::{Observe, ObserveFlags};

/// What `serve` runs, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The node's name, for people.
    pub name: String,
    /// Where everything of the node lies.
    pub data: PathBuf,
    /// Where HTTP and the client protocol are served; port 0 picks a free one.
    pub http: Address,
    /// Where the peer protocol is served; port 0 picks a free one.
    pub peer: Address,
    /// The peer address of a member of the cluster to join; none: go on with the cluster in `data`, or found one.
    pub join: Option<Address>,
    /// Whether listening beyond loopback is allowed although nobody is authenticated.
    pub insecure_network: bool,
    /// What others are told as the address of HTTP; none: the address it listens at.
    pub advertise_http: Option<Address>,
    /// What others are told as the address of the peer protocol; none: the address it listens at.
    pub advertise_peer: Option<Address>,
    /// Which log lines are written, as in `info` or `info,node=debug`.
    pub log: String,
    /// Whether log lines are JSON objects.
    pub log_json: bool,
    /// What is shown of the ways of commands.
    pub observe: Observe,
    /// Sizes.
    pub limits: Limits,
}

/// Why a configuration is refused. Each says what is wrong, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file {} is refused: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What, and where.
        reason: String,
    },
    /// The name is none.
    #[error("the node cannot be named {0:?}: use 1 to 64 of a-z 0-9 - _, a letter first (--name)")]
    Name(String),
    /// An address is none.
    #[error("--{flag} is refused: {error}")]
    Address {
        /// Of which setting.
        flag: &'static str,
        /// What is wrong.
        error: InvalidAddress,
    },
    /// Listening beyond loopback without leave.
    #[error(
        "--{flag} {address} would listen beyond this machine, and there is no authentication yet: whoever reaches the \
         port can read and change everything. Listen on 127.0.0.1, or say --insecure-network if the network is yours alone"
    )]
    BeyondLoopback {
        /// Which setting.
        flag: &'static str,
        /// The address.
        address: Address,
    },
    /// Others cannot connect to the address that the node listens at.
    #[error(
        "--{flag} {address} stands for every address of this machine, so others cannot be told to connect to it: \
         name the one they reach with --advertise-{flag} HOST:PORT"
    )]
    NoAdvertisedAddress {
        /// Which setting.
        flag: &'static str,
        /// The address.
        address: Address,
    },
    /// Both on one port.
    #[error("--http and --peer both name {0}: they are two ports")]
    SamePort(Address),
    /// The collector of traces is none that a node can speak to.
    #[error("--otlp-endpoint is refused: {0}")]
    Endpoint(#[from] edge::InvalidEndpoint),
    /// A size is out of its range.
    #[error("--{flag} {value} is refused: it may be {min} to {max}")]
    Limit {
        /// Which setting.
        flag: &'static str,
        /// What was asked for.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
}

/// Our own lines; of the libraries only what an operator must know. A lost peer is told of once by us, where the Raft
/// library would tell of each heartbeat, and twice of each attempt to send it entries.
const DEFAULT_LOG: &str = "info,openraft=warn,openraft::core::heartbeat=error,openraft::replication=error,\
                           openraft::engine::handler::replication_handler=error,fjall=warn,lsm_tree=warn";

/// The settings as flags; each is an environment variable too, and a flag goes before its variable.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// TOML file with the same settings, names with underscores; flags and variables go before it
    #[arg(long, env = "SEACHANGE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node's name [default: a]
    #[arg(long, env = "SEACHANGE_NAME")]
    pub name: Option<String>,
    /// Directory of everything the node keeps [default: ./seachange-data]
    #[arg(long, env = "SEACHANGE_DATA", value_name = "DIRECTORY")]
    pub data: Option<PathBuf>,
    /// Where to serve HTTP and the client protocol; port 0 picks a free one [default: 127.0.0.1:7070]
    #[arg(long, env = "SEACHANGE_HTTP", value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// Where to serve the peers; port 0 picks a free one [default: 127.0.0.1:7071]
    #[arg(long, env = "SEACHANGE_PEER", value_name = "HOST:PORT")]
    pub peer: Option<String>,
    /// Peer address of a member of the cluster to join
    #[arg(long, env = "SEACHANGE_JOIN", value_name = "HOST:PORT")]
    pub join: Option<String>,
    /// Allow listening beyond loopback, although nobody is authenticated yet
    #[arg(long, env = "SEACHANGE_INSECURE_NETWORK", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub insecure_network: Option<bool>,
    /// Address of HTTP that others are told [default: where it listens]
    #[arg(long, env = "SEACHANGE_ADVERTISE_HTTP", value_name = "HOST:PORT")]
    pub advertise_http: Option<String>,
    /// Address of the peer protocol that others are told [default: where it listens]
    #[arg(long, env = "SEACHANGE_ADVERTISE_PEER", value_name = "HOST:PORT")]
    pub advertise_peer: Option<String>,
    /// Log lines to write, to standard error: error, warn, info, debug, trace, or by part as in info,node=debug [default: info]
    #[arg(long, env = "SEACHANGE_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// Write log lines as JSON objects
    #[arg(long, env = "SEACHANGE_LOG_JSON", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub log_json: Option<bool>,
    /// What is shown of the ways of commands.
    #[command(flatten)]
    pub observe: ObserveFlags,
    /// Sizes.
    #[command(flatten)]
    pub limits: LimitsFlags,
}

impl Config {
    /// The configuration that flags (with their environment variables), the file they name, and defaults give.
    ///
    /// # Errors
    /// The first thing that cannot be; see [`Error`].
    pub fn load(flags: &Flags) -> Result<Config, Error> {
        let file = match &flags.config {
            Some(path) => read(path)?,
            None => ConfigFile::default(),
        };
        Config::merge(flags, file)
    }

    /// That of a file alone, as its text.
    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Result<Config, String> {
        let file = toml::from_str(text).map_err(|error| error.to_string())?;
        Config::merge(&Flags::default(), file).map_err(|error| error.to_string())
    }

    fn merge(flags: &Flags, file: ConfigFile) -> Result<Config, Error> {
        let observe = Observe::merge(&flags.observe, &file)?;
        let config = Config {
            name: flags.name.clone().or(file.name).unwrap_or_else(|| "a".into()),
            data: flags
                .data
                .clone()
                .or(file.data)
                .unwrap_or_else(|| "./seachange-data".into()),
            http: address("http", flags.http.as_ref().or(file.http.as_ref()))?.unwrap_or(Address::loopback(7070)),
            peer: address("peer", flags.peer.as_ref().or(file.peer.as_ref()))?.unwrap_or(Address::loopback(7071)),
            join: address("join", flags.join.as_ref().or(file.join.as_ref()))?,
            insecure_network: flags.insecure_network.or(file.insecure_network).unwrap_or(false),
            advertise_http: address(
                "advertise-http",
                flags.advertise_http.as_ref().or(file.advertise_http.as_ref()),
            )?,
            advertise_peer: address(
                "advertise-peer",
                flags.advertise_peer.as_ref().or(file.advertise_peer.as_ref()),
            )?,
            log: flags.log.clone().or(file.log).unwrap_or_else(|| DEFAULT_LOG.into()),
            log_json: flags.log_json.or(file.log_json).unwrap_or(false),
            observe,
            limits: Limits::merge(&flags.limits, &file.limits)?,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        if !machine::manifest::is_name(&self.name) {
            return Err(Error::Name(self.name.clone()));
        }
        let listening = [
            ("http", &self.http, &self.advertise_http),
            ("peer", &self.peer, &self.advertise_peer),
        ];
        for (flag, address, advertised) in listening {
            if !address.is_loopback() && !self.insecure_network {
                let address = address.clone();
                return Err(Error::BeyondLoopback { flag, address });
            }
            if address.is_unspecified() && advertised.is_none() {
                let address = address.clone();
                return Err(Error::NoAdvertisedAddress { flag, address });
            }
        }
        if self.http == self.peer && self.http.port() != 0 {
            return Err(Error::SamePort(self.http.clone()));
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<ConfigFile, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::Unreadable {
        path: path.to_path_buf(),
        error,
    })?;
    toml::from_str(&text).map_err(|error| Error::File {
        path: path.to_path_buf(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

fn address(flag: &'static str, text: Option<&String>) -> Result<Option<Address>, Error> {
    text.map(|text| text.parse::<Address>().map_err(|error| Error::Address { flag, error }))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &Flags, file: &str) -> Result<Config, Error> {
        Config::merge(flags, toml::from_str(file).unwrap())
    }

    #[test]
    fn nothing_said_gives_a_node_on_loopback() {
        let config = load(&Flags::default(), "").unwrap();
        assert_eq!(config.name, "a");
        assert_eq!(config.http.to_string(), "127.0.0.1:7070");
        assert_eq!(config.peer.to_string(), "127.0.0.1:7071");
        assert_eq!(config.data, Path::new("./seachange-data"));
        assert_eq!(config.join, None);
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let flags = Flags {
            name: Some("b".into()),
            ..Flags::default()
        };
        let config = load(
            &flags,
            "name = \"c\"\nhttp = \"127.0.0.1:1\"\n[limits]\ncache_bytes = 16777216",
        )
        .unwrap();
        assert_eq!(config.name, "b");
        assert_eq!(config.http.to_string(), "127.0.0.1:1");
        assert_eq!(config.limits.cache_bytes, 16 << 20);
    }

    #[test]
    fn listening_beyond_loopback_needs_leave() {
        for address in ["0.0.0.0:7070", "192.0.2.1:7070", "[::]:7070", "node.example:7070"] {
            let flags = Flags {
                http: Some(address.into()),
                ..Flags::default()
            };
            let error = load(&flags, "").unwrap_err();
            assert!(matches!(error, Error::BeyondLoopback { flag: "http", .. }), "{error}");
            assert!(error.to_string().contains("--insecure-network"));
        }
        let flags = Flags {
            peer: Some("192.0.2.1:7071".into()),
            insecure_network: Some(true),
            ..Flags::default()
        };
        assert!(load(&flags, "").is_ok());
        for address in ["127.0.0.1:0", "127.1.2.3:9", "localhost:9", "[::1]:9"] {
            let flags = Flags {
                http: Some(address.into()),
                ..Flags::default()
            };
            assert!(load(&flags, "").is_ok(), "{address}");
        }
    }

    #[test]
    fn an_address_that_nobody_can_connect_to_is_not_advertised() {
        let flags = Flags {
            http: Some("0.0.0.0:7070".into()),
            insecure_network: Some(true),
            ..Flags::default()
        };
        assert!(matches!(load(&flags, ""), Err(Error::NoAdvertisedAddress { .. })));
        assert!(load(&flags, "advertise_http = \"node-1.example:7070\"").is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_name() {
        let refused = |file: &str| load(&Flags::default(), file).unwrap_err().to_string();
        assert!(refused("name = \"Ä\"").contains("--name"));
        assert!(refused("http = \"7070\"").contains("--http"));
        assert!(refused("join = \"nowhere\"").contains("--join"));
        assert!(refused("http = \"127.0.0.1:7071\"").contains("both"));
        assert!(refused("[limits]\nlog_segment_bytes = 1").contains("--log-segment-bytes"));
        assert!(refused("otlp_endpoint = \"https://a:4318\"").contains("--otlp-endpoint"));
        assert!(refused("slow_command_ms = 0").contains("--slow-command-ms"));
    }

    #[test]
    fn streams_are_kept_whole_unless_a_limit_is_set_and_not_taken_back() {
        let config = load(&Flags::default(), "").unwrap();
        assert_eq!(
            (config.limits.stream_retain_bytes, config.limits.stream_retain),
            (None, None)
        );
        let file = "[limits]\nstream_retain_bytes = 1000\nstream_retain_hours = 48";
        let config = load(&Flags::default(), file).unwrap();
        assert_eq!(config.limits.stream_retain_bytes, Some(1000));
        assert_eq!(config.limits.stream_retain.map(|age| age.as_secs()), Some(48 * 3600));
        let mut flags = Flags::default();
        flags.limits.stream_retain_bytes = Some(0);
        let config = load(&flags, file).unwrap();
        assert_eq!(config.limits.stream_retain_bytes, None, "0 keeps all");
        flags.limits.stream_retain_hours = Some(u64::MAX);
        let refused = load(&flags, "").unwrap_err().to_string();
        assert!(refused.contains("--stream-retain-hours"), "{refused}");
    }

    #[test]
    fn a_setting_that_does_not_exist_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.toml");
        std::fs::write(&path, "nmae = \"a\"").unwrap();
        let flags = Flags {
            config: Some(path),
            ..Flags::default()
        };
        assert!(Config::load(&flags).unwrap_err().to_string().contains("nmae"));
        let flags = Flags {
            config: Some(directory.path().join("none.toml")),
            ..Flags::default()
        };
        assert!(matches!(Config::load(&flags), Err(Error::Unreadable { .. })));
    }

    #[test]
    fn sizes_are_within_their_limits() {
        type Set = fn(&mut LimitsFlags, u64);
        type Get = fn(&Limits) -> u64;
        let all: [(&str, u64, u64, Set, Get); 7] = [
            (
                "--log-segment-bytes",
                8 << 20,
                1 << 30,
                |flags, value| flags.log_segment_bytes = Some(value),
                |limits| limits.log_segment_bytes,
            ),
            (
                "--cache-bytes",
                8 << 20,
                1 << 40,
                |flags, value| flags.cache_bytes = Some(value),
                |limits| limits.cache_bytes,
            ),
            (
                "--snapshot-log-bytes",
                1 << 10,
                1 << 40,
                |flags, value| flags.snapshot_log_bytes = Some(value),
                |limits| limits.snapshot_log_bytes,
            ),
            (
                "--log-keep-entries",
                0,
                1 << 40,
                |flags, value| flags.log_keep_entries = Some(value),
                |limits| limits.log_keep_entries,
            ),
            (
                "--replay-keep-bytes",
                0,
                1 << 40,
                |flags, value| flags.replay_keep_bytes = Some(value),
                |limits| limits.replay_keep_bytes,
            ),
            (
                "--scan-seconds",
                1,
                366 * 24 * 3600,
                |flags, value| flags.scan_seconds = Some(value),
                |limits| limits.scan_seconds,
            ),
            (
                "--disk-reserve-bytes",
                16 << 20,
                1 << 40,
                |flags, value| flags.disk_reserve_bytes = Some(value),
                |limits| limits.disk_reserve_bytes,
            ),
        ];
        for (named, least, most, set, get) in all {
            let asked = |value: u64| {
                let mut flags = Flags::default();
                set(&mut flags.limits, value);
                load(&flags, "").map(|config| get(&config.limits))
            };
            assert_eq!((asked(least).unwrap(), asked(most).unwrap()), (least, most), "{named}");
            for past in [least.checked_sub(1), Some(most + 1)].into_iter().flatten() {
                let refused = asked(past).unwrap_err().to_string();
                assert!(refused.contains(named) && refused.contains("it may be"), "{refused}");
            }
        }
        // What an operator may choose, the log takes.
        const { assert!(1 << 30 <= store::limits::LOG_SEGMENT_BYTES_MAX) };
    }
}
