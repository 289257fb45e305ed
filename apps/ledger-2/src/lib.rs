//! Version 2 of the ledger: an account's owner has a first and a last name, its balance a currency, and each transfer pays
//! a fee of one cent into the account `fees`, so that the sum of all balances stays. Accounts of version 1 are reshaped as
//! they are read.

mod account;

pub use account::{Account, Balance};

use sdk::{Application, Command, Context, Migration, Query, Refusal, Reply};
use serde::{Deserialize, Serialize};

/// Bytes of an account's id.
const ID_BYTES_MAX: usize = 128;
/// Cents that each transfer pays.
const FEE: i64 = 1;
/// The account that fees go to. It is opened by the first of them, and an account like any other: a transfer from or to
/// it pays its fee too.
const FEES: &str = "fees";

/// The application.
pub struct Ledger;
#[cfg(feature = "export")]
sdk::export!(Ledger);

/// Payload of command `open`, as in version 1.
#[derive(Deserialize)]
struct Open {
    id: String,
    owner: String,
    balance: i64,
}

/// Payload of command `transfer`, as in version 1.
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
    fee: i64,
}

/// Reply to `transfer`: both balances after it, and what it cost.
#[derive(Serialize)]
struct Balances {
    from: i64,
    to: i64,
    fee: i64,
}

/// Payload of query `total`, as in version 1: `limit` accounts after the id `after`.
#[derive(Default, Deserialize)]
struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

/// Answer to query `total`, as in version 1.
#[derive(Default, Serialize)]
struct Total {
    accounts: usize,
    balance: i64,
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

    fn migrate(&self, row: Migration<'_>) -> Result<Vec<u8>, Refusal> {
        match (row.table, row.from, row.to) {
            ("accounts", 1, 2) => sdk::to_json(&Account::from_shape_1(row.json()?)),
            ("accounts", 2, 1) => sdk::to_json(&row.json::<Account>()?.into_shape_1()?),
            _ => Err(row.unknown()),
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
    let account = Account::new(&open.owner, open.balance);
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
    let cost = amount.checked_add(FEE).ok_or_else(too_large)?;
    if payer.balance.amount < cost {
        let held = payer.balance.amount;
        let reason = format!("account {from} holds {held} cents, not {amount} and the fee of {FEE}");
        return Err(Refusal::coded("insufficient_funds", reason));
    }
    payer.balance.amount -= cost;
    payee.balance.add(*amount)?;
    if from == FEES {
        payer.balance.add(FEE)?;
    } else if to == FEES {
        payee.balance.add(FEE)?;
    } else {
        let mut fees = accounts.get(FEES)?.unwrap_or_else(|| Account::new("Fees", 0));
        fees.balance.add(FEE)?;
        accounts.put(FEES, &fees)?;
    }
    accounts.put(from, &payer)?;
    accounts.put(to, &payee)?;
    let event = Transferred {
        id: id.as_deref(),
        from,
        to,
        amount: *amount,
        fee: FEE,
    };
    context.emit("ledger.transfers", from, &event)?;
    Reply::json(&Balances {
        from: payer.balance.amount,
        to: payee.balance.amount,
        fee: FEE,
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
        total.balance = total
            .balance
            .checked_add(account.balance.amount)
            .ok_or_else(too_large)?;
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
mod tests;
