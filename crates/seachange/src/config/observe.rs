use edge::Endpoint;

use super::Error;
use super::file::ConfigFile;

/// What a node shows of the ways of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observe {
    /// Milliseconds after which a command is logged with its stages.
    pub slow_command_ms: u64,
    /// One command in so many has its stages kept; 0: none is picked by chance.
    pub trace_one_in: u64,
    /// Where an OpenTelemetry collector takes OTLP over HTTP; none: traces are not exported.
    pub otlp_endpoint: Option<Endpoint>,
}

/// The settings of [`Observe`] as flags.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ObserveFlags {
    /// Milliseconds after which a command is logged with the stages of its way [default: 1000]
    #[arg(long, env = "SEACHANGE_SLOW_COMMAND_MS", value_name = "MS")]
    pub slow_command_ms: Option<u64>,
    /// Keep, and export, the stages of one command in so many; 0 picks none [default: 1000]
    #[arg(long, env = "SEACHANGE_TRACE_ONE_IN", value_name = "N")]
    pub trace_one_in: Option<u64>,
    /// Export traces to an OpenTelemetry collector (OTLP over HTTP), as in http://127.0.0.1:4318
    #[arg(long, env = "SEACHANGE_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

impl Observe {
    pub(super) fn merge(flags: &ObserveFlags, file: &ConfigFile) -> Result<Observe, Error> {
        let endpoint = flags.otlp_endpoint.as_ref().or(file.otlp_endpoint.as_ref());
        let slow_command_ms = flags.slow_command_ms.or(file.slow_command_ms).unwrap_or(1000);
        super::limits::in_range("slow-command-ms", slow_command_ms, 1, 3_600_000)?;
        Ok(Observe {
            slow_command_ms,
            trace_one_in: flags.trace_one_in.or(file.trace_one_in).unwrap_or(1000),
            otlp_endpoint: endpoint.map(|text| text.parse()).transpose()?,
        })
    }
}
