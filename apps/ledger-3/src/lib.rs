//! Version 3 of the ledger, broken on purpose: it is version 2, but traps on transfers whose amount is a multiple of 13, and
//! on accounts of version 1 whose balance is one: it cannot read a state that only some histories produce.
//! Tests use it to see that a trap leaves nothing behind and that such a version can be taken back.

use sdk::{Application, Command, Context, Migration, Query, Refusal, Reply};
use serde::Deserialize;

/// The application.
pub struct Ledger;
sdk::export!(Ledger);

/// What the fault looks at in the payload of command `transfer`.
#[derive(Deserialize)]
struct Transfer {
    amount: i64,
}

/// What it looks at in an account of version 1.
#[derive(Deserialize)]
struct Account {
    balance: i64,
}

impl Application for Ledger {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        let amount = match command.name {
            "transfer" => command.json::<Transfer>()?.amount,
            _ => 1,
        };
        // After the work is done, so that there is something to undo.
        let reply = ledger_2::Ledger.apply(context, command)?;
        assert!(amount % 13 != 0, "the first fault that this version is for");
        Ok(reply)
    }

    fn query(&self, context: &mut Context<'_>, query: Query<'_>) -> Result<Reply, Refusal> {
        ledger_2::Ledger.query(context, query)
    }

    fn migrate(&self, row: Migration<'_>) -> Result<Vec<u8>, Refusal> {
        if row.from == 1 {
            let Account { balance } = row.json()?;
            assert!(balance % 13 != 0, "the second fault that this version is for");
        }
        ledger_2::Ledger.migrate(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::MemoryHost;
    use serde_json::json;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn it_traps_on_multiples_of_13_alone_and_leaves_nothing_behind() {
        let mut host = MemoryHost::new(&["accounts"], &["ledger.transfers"]);
        for id in ["a", "b"] {
            let open = json!({"id": id, "owner": "Ada Lovelace", "balance": 100});
            host.apply(&Ledger, "open", &open).expect("a new account");
        }
        let transfer = |amount: i64| json!({"from": "a", "to": "b", "amount": amount});
        host.apply(&Ledger, "transfer", &transfer(12)).expect("applied");
        let before = host.rows("accounts");
        let trapped = catch_unwind(AssertUnwindSafe(|| host.apply(&Ledger, "transfer", &transfer(26))));
        assert!(trapped.is_err());
        assert_eq!(host.rows("accounts"), before);
        // One that is refused anyway never comes to the fault.
        assert!(host.apply(&Ledger, "transfer", &transfer(1300)).is_err());
    }

    #[test]
    fn it_cannot_read_accounts_of_version_1_that_hold_a_multiple_of_13() {
        let up = |balance: i64| {
            let document = json!({"owner": "Ada Lovelace", "balance": balance}).to_string();
            let row = Migration {
                table: "accounts",
                from: 1,
                to: 2,
                key: b"a",
                document: document.as_bytes(),
            };
            catch_unwind(AssertUnwindSafe(|| Ledger.migrate(row).map(drop)))
        };
        assert!(up(100).expect("no trap").is_ok());
        assert!(up(130).is_err());
    }
}
