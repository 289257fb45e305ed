//! The example application `ledger` as the demo meets it: its modules, and its commands, events and accounts as JSON.

use serde::{Deserialize, Serialize};

use crate::package::Package;

/// The account that fees go to, as ledger 2 names it.
pub const FEES: &str = "fees";

/// Ledger 1, as kept in the repository.
///
/// # Errors
/// What is embedded is damaged.
pub fn ledger_1() -> anyhow::Result<Package> {
    Package::embedded(
        include_str!("../../../../apps/ledger-1/manifest.toml"),
        include_bytes!("../../../../apps/ledger-1/ledger.wasm"),
    )
}

/// Ledger 2, as kept in the repository.
///
/// # Errors
/// What is embedded is damaged.
pub fn ledger_2() -> anyhow::Result<Package> {
    Package::embedded(
        include_str!("../../../../apps/ledger-2/manifest.toml"),
        include_bytes!("../../../../apps/ledger-2/ledger.wasm"),
    )
}

/// Ledger 3, as kept in the repository: broken on purpose, it traps on amounts that are a multiple of 13.
///
/// # Errors
/// What is embedded is damaged.
pub fn ledger_3() -> anyhow::Result<Package> {
    Package::embedded(
        include_str!("../../../../apps/ledger-3/manifest.toml"),
        include_bytes!("../../../../apps/ledger-3/ledger.wasm"),
    )
}

/// Payload of `open`.
#[derive(Debug, Serialize)]
pub struct Open {
    /// The account's id.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// In cents.
    pub balance: i64,
}

/// Payload of `transfer`.
#[derive(Debug, Serialize)]
pub struct TransferCommand {
    /// The transfer's own id, which its event carries.
    pub id: String,
    /// The account that pays.
    pub from: String,
    /// The account that is paid.
    pub to: String,
    /// In cents.
    pub amount: u32,
}

/// An event of `ledger.transfers`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Transferred {
    /// The transfer's own id.
    pub id: String,
    /// The account that paid.
    pub from: String,
    /// The account that was paid.
    pub to: String,
    /// In cents.
    pub amount: i64,
    /// In cents; none in version 1.
    #[serde(default)]
    pub fee: i64,
}

/// What the demo needs of an account's document, in the shape of either version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "AccountJson")]
pub struct Account {
    /// In cents.
    pub balance: i64,
}

#[derive(Deserialize)]
struct AccountJson {
    balance: BalanceJson,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum BalanceJson {
    Shape1(i64),
    Shape2 { amount: i64 },
}

impl From<AccountJson> for Account {
    fn from(json: AccountJson) -> Account {
        let balance = match json.balance {
            BalanceJson::Shape1(amount) | BalanceJson::Shape2 { amount } => amount,
        };
        Account { balance }
    }
}

/// The id of the account of that number.
#[must_use]
pub fn account_id(number: u32) -> String {
    format!("account-{number:04}")
}

/// The id of a client's transfer of that number.
#[must_use]
pub fn transfer_id(client: usize, number: usize) -> String {
    format!("{client}-{number}")
}

/// The client and number of a transfer's id.
#[must_use]
pub fn parse_id(id: &str) -> Option<(usize, usize)> {
    let (client, number) = id.split_once('-')?;
    Some((client.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::PackagedCode;

    #[test]
    fn accounts_of_both_shapes_are_read() {
        for json in [
            r#"{"owner":"Ada Lovelace","balance":1050}"#,
            r#"{"first":"Ada","last":"Lovelace","balance":{"amount":1050,"currency":"USD"}}"#,
        ] {
            assert_eq!(serde_json::from_str::<Account>(json).unwrap().balance, 1050);
        }
    }

    #[test]
    fn ids_lead_back() {
        assert_eq!(parse_id(&transfer_id(7, 123)), Some((7, 123)));
        assert_eq!(parse_id("x"), None);
    }

    #[test]
    fn what_is_embedded_is_ledger_1_and_2() {
        for (package, version) in [(ledger_1(), 1), (ledger_2(), 2)] {
            let package = package.unwrap();
            assert_eq!(
                (package.manifest.application.as_str(), package.manifest.version),
                ("ledger", version)
            );
            assert!(matches!(package.code, PackagedCode::Module(module) if module.starts_with(b"\0asm")));
        }
    }
}
