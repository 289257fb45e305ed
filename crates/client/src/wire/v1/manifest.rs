use serde::{Deserialize, Serialize};

/// Why a manifest could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest cannot be read: {0}")]
pub struct ManifestError(String);

/// What a version of an application accepts, keeps and emits: `manifest.toml`, and `manifest` in a plan. A field that
/// is not known is refused: a misspelt one would otherwise be left out in silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The application's name.
    pub application: String,
    /// The version's number, from 1.
    pub version: u32,
    /// One line for people.
    #[serde(default)]
    pub about: String,
    /// Path of the module, relative to the manifest. For the command line only: servers ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Commands that it takes.
    #[serde(default)]
    pub commands: Vec<CommandSpec>,
    /// Queries that it answers.
    #[serde(default)]
    pub queries: Vec<Named>,
    /// Tables that it keeps.
    #[serde(default)]
    pub tables: Vec<TableSpec>,
    /// Streams that it emits, each beginning with the application's name and a dot.
    #[serde(default)]
    pub streams: Vec<StreamSpec>,
    /// What is meant to come out otherwise than in the version before, where the version is rehearsed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_differences: Vec<DifferenceSpec>,
}

/// A command that a version takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// Its name.
    pub name: String,
    /// Versions of its payload that are taken.
    #[serde(default = "first")]
    pub versions: Vec<u16>,
    /// Programs that bring other versions of its payload into these: clients that send those are served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upcasts: Vec<UpcastSpec>,
    /// What its payload looks like, for those who write clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<SchemaSpec>,
}

/// What one version of a command's payload looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SchemaSpec {
    /// The version.
    #[serde(default = "one")]
    pub version: u16,
    /// Path of a file with the schema, relative to the manifest. For the command line only: servers ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A JSON Schema.
    #[serde(default)]
    pub schema: serde_json::Value,
}

/// A difference from the version before that is meant to be, where the version is rehearsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DifferenceSpec {
    /// Where: `reply:COMMAND`, `events:STREAM`, `rows:TABLE` or `way-back:TABLE`, and behind it a JSON pointer if only that may
    /// differ, as in `rows:accounts/balance`.
    pub at: String,
    /// When, in jq: an object with `command`, `key`, and what lies there in both versions as `old` and `new` goes in, and
    /// `true` comes out where the difference is meant to be. Left out: always.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub when: String,
}

/// A program that brings a command's payload from one version into a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpcastSpec {
    /// The version that clients send.
    pub from: u16,
    /// The version that comes out; one that is taken, or from which a further program goes on.
    pub to: u16,
    /// How, in jq: the payload goes in, and one document comes out.
    pub program: String,
}

/// A table that a version keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// The shape in which the version writes and reads its documents.
    #[serde(default = "one")]
    pub shape: u16,
    /// Other shapes that the version's `migrate` converts from and back to.
    #[serde(default)]
    pub converts: Vec<u16>,
}

/// `GET /v1/apps/{app}/tables`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableList {
    /// The index that the answer shows.
    pub index: u64,
    /// The application.
    pub application: String,
    /// The version in force, whose tables these are.
    pub version: u32,
    /// As its manifest names them.
    pub tables: Vec<TableSpec>,
}

/// A stream that a version emits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StreamSpec {
    /// Its name.
    pub name: String,
    /// The version of the events that are emitted.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub event_version: u16,
    /// Programs that bring events into versions of before, for whoever reads those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub downcasts: Vec<DowncastSpec>,
}

/// A program that brings an event's value from one version into an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DowncastSpec {
    /// The version that was emitted, or that a further program comes to.
    pub from: u16,
    /// The version that comes out.
    pub to: u16,
    /// How, in jq: the value goes in, and one document comes out.
    pub program: String,
}

/// A query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: String,
}

fn first() -> Vec<u16> {
    vec![1]
}

fn one() -> u16 {
    1
}

fn is_one(number: &u16) -> bool {
    *number == one()
}

impl Manifest {
    /// Reads `manifest.toml`.
    ///
    /// # Errors
    /// With line and reason.
    pub fn from_toml(text: &str) -> Result<Manifest, ManifestError> {
        toml::from_str(text).map_err(|error| ManifestError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_say_the_same() {
        let manifest = Manifest::from_toml(
            r#"
            application = "ledger"
            version = 2
            about = "Accounts and transfers"
            module = "ledger.wasm"
            [[commands]]
            name = "transfer"
            [[commands]]
            name = "open"
            versions = [2, 3]
            [[commands.upcasts]]
            from = 1
            to = 2
            program = '.balance //= 0'
            [[commands.schemas]]
            version = 2
            schema = { type = "object" }
            [[queries]]
            name = "total"
            [[tables]]
            name = "accounts"
            shape = 2
            converts = [1]
            [[streams]]
            name = "ledger.transfers"
            [[streams]]
            name = "ledger.audit"
            event_version = 2
            [[streams.downcasts]]
            from = 2
            to = 1
            program = 'del(.fee)'
            [[expected_differences]]
            at = "reply:transfer/fee"
            when = '.new <= 5'
            [[expected_differences]]
            at = "rows:accounts/name"
            "#,
        )
        .unwrap();
        let json = serde_json::to_string(&manifest).unwrap();
        expect_test::expect![[r#"{"application":"ledger","version":2,"about":"Accounts and transfers","module":"ledger.wasm","commands":[{"name":"transfer","versions":[1]},{"name":"open","versions":[2,3],"upcasts":[{"from":1,"to":2,"program":".balance //= 0"}],"schemas":[{"version":2,"schema":{"type":"object"}}]}],"queries":[{"name":"total"}],"tables":[{"name":"accounts","shape":2,"converts":[1]}],"streams":[{"name":"ledger.transfers"},{"name":"ledger.audit","event_version":2,"downcasts":[{"from":2,"to":1,"program":"del(.fee)"}]}],"expected_differences":[{"at":"reply:transfer/fee","when":".new <= 5"},{"at":"rows:accounts/name"}]}"#]]
        .assert_eq(&json);
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    }

    #[test]
    fn a_misspelt_field_is_refused_by_name() {
        let error = Manifest::from_toml("application = \"a\"\nversion = 1\ntabels = []").unwrap_err();
        assert!(error.to_string().contains("tabels"), "{error}");
    }
}
