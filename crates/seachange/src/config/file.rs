use std::path::PathBuf;

use serde::Deserialize;

/// The configuration file as it is written; [`super::Config`] is what it means.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    pub name: Option<String>,
    pub data: Option<PathBuf>,
    pub http: Option<String>,
    pub peer: Option<String>,
    pub join: Option<String>,
    pub insecure_network: Option<bool>,
    pub advertise_http: Option<String>,
    pub advertise_peer: Option<String>,
    pub log: Option<String>,
    pub log_json: Option<bool>,
    pub slow_command_ms: Option<u64>,
    pub trace_one_in: Option<u64>,
    pub otlp_endpoint: Option<String>,
    pub limits: LimitsFile,
}

/// The part `[limits]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsFile {
    pub log_segment_bytes: Option<u64>,
    pub cache_bytes: Option<u64>,
    pub snapshot_log_bytes: Option<u64>,
    pub log_keep_entries: Option<u64>,
    pub replay_keep_bytes: Option<u64>,
    pub scan_seconds: Option<u64>,
    pub disk_reserve_bytes: Option<u64>,
    pub stream_retain_bytes: Option<u64>,
    pub stream_retain_hours: Option<u64>,
}
