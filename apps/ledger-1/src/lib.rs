//! Version 1 of the ledger: accounts with a balance in cents, and transfers between them. The sum of all balances changes
//! by nothing but the opening of accounts.

use sdk::{Application, Command, Context, Query, Refusal, Reply};
use serde::{Deserialize, Serialize};

/// Bytes of an account's id.
const ID_BYTES_MAX: usize = 128;

/// The application.
pub struct Ledger;
sdk::export!(Ledger);

/// A document of table `accounts`, shape 1, under the account's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whose it is.
    pub owner: String,
    /// Cents.
    pub balance: i64,
}

/// Payload of command `open`.
#[derive(Deserialize)]
struct Open {
    id: String,
    owner: String,
    balance: i64,
}

/// Payload of command `transfer`.
#[derive(Deserialize)]
struct Transfer {
    id: Option<String>,
    from: String,
    to: String,
    amount: i64,
}

/// Event on stream `ledger.transfers`, keyed by the account that paid.
#[derive(Serialize)]
struct Transferred<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    from: &'a str,
    to: &'a str,
    amount: i64,
}

/// Reply to `transfer`: both balances after it.
#[derive(Serialize)]
struct Balances {
    from: i64,
    to: i64,
}

/// Payload of query `total`; may be left out. A ledger that is too large for the fuel of one query is summed up page by
/// page: `limit` accounts after the id `after`.
#[derive(Default, Deserialize)]
struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

/// Answer to query `total`.
#[derive(Default, Serialize)]
struct Total {
    accounts: usize,
    balance: i64,
    /// Where the next page begins: the `after` to ask with. None: this was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Application for Ledger {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        match command.name {
            "open" => open(context, &command.json()?),
            "transfer" => transfer(context, &command.json()?),
            _ => Err(command.unknown()),
        }
    }

    fn query(&self, context: &mut Context<'_>, query: Query<'_>) -> Result<Reply, Refusal> {
        match query.name {
            "total" if query.payload.is_empty() => total(context, Page::default()),
            "total" => total(context, query.json()?),
            _ => Err(query.unknown()),
        }
    }
}

fn open(context: &mut Context<'_>, open: &Open) -> Result<Reply, Refusal> {
    if open.id.is_empty() || open.id.len() > ID_BYTES_MAX {
        return Err(Refusal::coded("bad_id", format!("an id has 1 to {ID_BYTES_MAX} bytes")));
    }
    if open.balance < 0 {
        return Err(Refusal::coded("bad_amount", "an account cannot begin below zero"));
    }
    let mut accounts = context.table::<Account>("accounts");
    if accounts.contains(&open.id) {
        return Err(Refusal::coded("account_exists", format!("account {} exists", open.id)));
    }
    let account = Account {
        owner: open.owner.clone(),
        balance: open.balance,
    };
    accounts.put(&open.id, &account)?;
    Reply::json(&account)
}

fn transfer(context: &mut Context<'_>, transfer: &Transfer) -> Result<Reply, Refusal> {
    let Transfer { id, from, to, amount } = transfer;
    if *amount <= 0 {
        return Err(Refusal::coded("bad_amount", "an amount is more than zero, in cents"));
    }
    if from == to {
        return Err(Refusal::coded("same_account", "a transfer needs two accounts"));
    }
    let mut accounts = context.table::<Account>("accounts");
    let mut payer = accounts.get(from)?.ok_or_else(|| unknown_account(from))?;
    let mut payee = accounts.get(to)?.ok_or_else(|| unknown_account(to))?;
    if payer.balance < *amount {
        let reason = format!("account {from} holds {} cents, not {amount}", payer.balance);
        return Err(Refusal::coded("insufficient_funds", reason));
    }
    payer.balance -= amount;
    payee.balance = payee.balance.checked_add(*amount).ok_or_else(too_large)?;
    accounts.put(from, &payer)?;
    accounts.put(to, &payee)?;
    let event = Transferred {
        id: id.as_deref(),
        from,
        to,
        amount: *amount,
    };
    context.emit("ledger.transfers", from, &event)?;
    Reply::json(&Balances {
        from: payer.balance,
        to: payee.balance,
    })
}

fn total(context: &mut Context<'_>, page: Page) -> Result<Reply, Refusal> {
    let limit = page.limit.unwrap_or(usize::MAX);
    let mut accounts = context.table::<Account>("accounts");
    let mut scan = accounts.scan().limit(limit);
    if let Some(after) = page.after {
        // The first key behind it.
        scan = scan.start(after + "\0");
    }
    let mut total = Total::default();
    let mut last = Vec::new();
    total.accounts = scan.each(|id, account| {
        total.balance = total.balance.checked_add(account.balance).ok_or_else(too_large)?;
        last.clear();
        last.extend_from_slice(id);
        Ok(())
    })?;
    if total.accounts == limit {
        total.next = String::from_utf8(last).ok();
    }
    Reply::json(&total)
}

fn unknown_account(id: &str) -> Refusal {
    Refusal::coded("unknown_account", format!("there is no account {id}: open it first"))
}

fn too_large() -> Refusal {
    Refusal::coded("too_large", "the balance would be too large to be held")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::MemoryHost;
    use serde_json::{Value, json};

    fn host() -> MemoryHost {
        let mut host = MemoryHost::new(&["accounts"], &["ledger.transfers"]);
        for (id, owner, balance) in [("ada", "Ada Lovelace", 1050), ("alan", "Alan Turing", 200)] {
            let open = json!({"id": id, "owner": owner, "balance": balance});
            host.apply(&Ledger, "open", &open).expect("a new account");
        }
        host
    }

    fn refused(command: &str, payload: Value) -> String {
        let mut host = host();
        let before = host.rows("accounts");
        let refusal = host.apply(&Ledger, command, &payload).expect_err("a refusal");
        assert_eq!(host.rows("accounts"), before);
        assert!(host.events().is_empty());
        refusal["code"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_transfer_moves_the_amount_and_says_so() {
        let mut host = host();
        let transfer = json!({"id": "t1", "from": "ada", "to": "alan", "amount": 50});
        let reply = host.apply(&Ledger, "transfer", &transfer);
        assert_eq!(reply, Ok(json!({"from": 1000, "to": 250})));
        assert_eq!(
            host.rows("accounts"),
            [
                ("ada".into(), r#"{"owner":"Ada Lovelace","balance":1000}"#.into()),
                ("alan".into(), r#"{"owner":"Alan Turing","balance":250}"#.into()),
            ]
        );
        let [event] = host.events() else { panic!("one event") };
        assert_eq!(event.key.as_deref(), Some(&b"ada"[..]));
        let value = String::from_utf8_lossy(&event.value);
        assert_eq!(value, r#"{"id":"t1","from":"ada","to":"alan","amount":50}"#);
    }

    #[test]
    fn an_event_without_an_id_has_no_field_for_it() {
        let mut host = host();
        let transfer = json!({"from": "ada", "to": "alan", "amount": 50});
        host.apply(&Ledger, "transfer", &transfer).expect("applied");
        let value = String::from_utf8_lossy(&host.events()[0].value).into_owned();
        assert_eq!(value, r#"{"from":"ada","to":"alan","amount":50}"#);
    }

    #[test]
    fn refusals_change_nothing_and_are_named() {
        let transfer = |from: &str, to: &str, amount: i64| json!({"from": from, "to": to, "amount": amount});
        assert_eq!(refused("transfer", transfer("ada", "eve", 1)), "unknown_account");
        assert_eq!(refused("transfer", transfer("eve", "ada", 1)), "unknown_account");
        assert_eq!(refused("transfer", transfer("ada", "ada", 1)), "same_account");
        assert_eq!(refused("transfer", transfer("ada", "alan", 1051)), "insufficient_funds");
        assert_eq!(refused("transfer", transfer("ada", "alan", 0)), "bad_amount");
        assert_eq!(refused("transfer", transfer("ada", "alan", -5)), "bad_amount");
        assert_eq!(refused("transfer", json!({"from": "ada"})), "malformed");
        assert_eq!(refused("transfer", json!("ada")), "malformed");
        let open = |id: &str, balance: i64| json!({"id": id, "owner": "Eve", "balance": balance});
        assert_eq!(refused("open", open("ada", 1)), "account_exists");
        assert_eq!(refused("open", open("eve", -1)), "bad_amount");
        assert_eq!(refused("open", open("", 1)), "bad_id");
        assert_eq!(refused("open", open(&"e".repeat(129), 1)), "bad_id");
        assert_eq!(refused("close", json!({})), "unknown_command");
    }

    #[test]
    fn a_balance_that_cannot_be_held_is_refused() {
        let mut host = host();
        let open = json!({"id": "rich", "owner": "Midas", "balance": i64::MAX});
        host.apply(&Ledger, "open", &open).expect("a new account");
        let transfer = json!({"from": "ada", "to": "rich", "amount": 1});
        let refusal = host.apply(&Ledger, "transfer", &transfer).expect_err("too large");
        assert_eq!(refusal["code"], "too_large");
    }

    #[test]
    fn the_total_goes_over_all_pages() {
        let mut host = host();
        for number in 0..40 {
            let open = json!({"id": format!("n{number:02}"), "owner": "N", "balance": number});
            host.apply(&Ledger, "open", &open).expect("a new account");
        }
        let total = host.query(&Ledger, "total", &json!({})).expect("answered");
        assert_eq!(total, json!({"accounts": 42, "balance": 1250 + 780}));

        let first = host.query(&Ledger, "total", &json!({"limit": 2})).expect("answered");
        assert_eq!(first, json!({"accounts": 2, "balance": 1250, "next": "alan"}));
        let rest = host
            .query(&Ledger, "total", &json!({"after": "alan"}))
            .expect("answered");
        assert_eq!(rest, json!({"accounts": 40, "balance": 780}));
    }
}
