use serde::{Deserialize, Serialize};

use super::{ConversionRecord, Manifest};

/// Where a version's code is: `{"module":"<sha256>"}` or `{"native":true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "CodeSourceJson", try_from = "CodeSourceJson")]
pub enum CodeSource {
    /// A WASM module.
    Module {
        /// Its SHA-256, 64 hexadecimal digits.
        digest: String,
        /// The meter it runs under; absent in a request, where the server chooses.
        meter: Option<u16>,
    },
    /// Linked into the binary.
    Native,
}

impl CodeSource {
    /// A module by its digest.
    #[must_use]
    pub fn module(digest: impl Into<String>) -> Self {
        CodeSource::Module {
            digest: digest.into(),
            meter: None,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = CodeSource))]
#[serde(deny_unknown_fields)]
struct CodeSourceJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meter: Option<u16>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    native: bool,
}

#[cfg(feature = "openapi")]
super::schema::shown_as!(CodeSource as "CodeSource" in CodeSourceJson);

impl From<CodeSource> for CodeSourceJson {
    fn from(from: CodeSource) -> Self {
        match from {
            CodeSource::Module { digest, meter } => CodeSourceJson {
                module: Some(digest),
                meter,
                native: false,
            },
            CodeSource::Native => CodeSourceJson {
                module: None,
                meter: None,
                native: true,
            },
        }
    }
}

impl TryFrom<CodeSourceJson> for CodeSource {
    type Error = &'static str;
    fn try_from(from: CodeSourceJson) -> Result<Self, &'static str> {
        match (from.module, from.native) {
            (Some(digest), false) => Ok(CodeSource::Module {
                digest,
                meter: from.meter,
            }),
            (None, true) => Ok(CodeSource::Native),
            (Some(_), true) => Err("code is a module or native, not both: leave one of them out"),
            (None, false) => Err(r#"code names no source: give {"module":"<sha256>"} or {"native":true}"#),
        }
    }
}

/// One version of an application whose code is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionInfo {
    /// What it takes, keeps and emits.
    pub manifest: Manifest,
    /// Where its code is.
    pub code: CodeSource,
    /// Whether it was let go: it has answered, and nothing can call its code any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub let_go: bool,
}

/// From which entry on a version answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionSwitch {
    /// The switch entry; the version answered from the next one on.
    pub index: u64,
    /// The version.
    pub version: u32,
}

/// `GET /v1/apps/{app}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplicationInfo {
    /// Its name.
    pub name: String,
    /// The version that answers now; none before the first switch.
    pub in_force: Option<u32>,
    /// Versions whose code is kept, by number.
    pub versions: Vec<VersionInfo>,
    /// The change that is under way.
    pub change: Option<u64>,
    /// The change that can still be taken back.
    pub reversible: Option<u64>,
    /// Which version took over where.
    pub history: Vec<VersionSwitch>,
    /// Since when it is out of service, if it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedAt>,
    /// How far its rows have come into the newest shapes, where some did not have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversions: Vec<ConversionRecord>,
}

/// Where an application was taken out of service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemovedAt {
    /// By which entry.
    pub index: u64,
    /// At what log time, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The version that was in force.
    pub version: u32,
    /// Why, for people.
    pub reason: String,
}

/// `POST /v1/apps/{app}/remove`; the body may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RemovalRequest {
    /// For people: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to [`RemovalRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplicationRemoved {
    /// Which.
    pub application: String,
    /// The entry that removed it.
    pub index: u64,
}

/// The answer to `POST /v1/apps/{app}/purge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplicationPurged {
    /// Which.
    pub application: String,
    /// The entry.
    pub index: u64,
    /// Whether nothing of it is left; else ask again.
    pub gone: bool,
}

/// `GET /v1/apps/{app}/usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageList {
    /// The index that the answer shows.
    pub index: u64,
    /// Which application.
    pub application: String,
    /// By command and version.
    pub commands: Vec<CommandUsage>,
    /// Who reads its events, by stream and consumer.
    #[serde(default)]
    pub consumers: Vec<ConsumerUsage>,
}

/// How often clients have sent a command in one version of its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandUsage {
    /// The command's name.
    pub command: String,
    /// The version of its payload.
    pub version: u16,
    /// How many were run, refused and failed ones too.
    pub count: u64,
    /// Log time of the last, milliseconds since the Unix epoch.
    pub last_ms: u64,
}

/// A named consumer of one of an application's streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsumerUsage {
    /// The stream.
    pub stream: String,
    /// The consumer's name.
    pub name: String,
    /// The version of events that it gets: the one that it is pinned to, or the one that is emitted.
    pub event_version: u16,
    /// Whether it is pinned to that.
    pub pinned: bool,
    /// Log time of its last commit, milliseconds since the Unix epoch.
    pub last_ms: u64,
}

/// `GET /v1/apps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplicationList {
    /// The index that the answer shows.
    pub index: u64,
    /// By name.
    pub apps: Vec<ApplicationInfo>,
}

/// `PUT /v1/modules/{sha256}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModuleStored {
    /// The module's SHA-256.
    pub module: String,
    /// Its bytes.
    pub bytes: u64,
}
