use super::*;
use sdk::testing::MemoryHost;
use serde_json::{Value, json};

fn host() -> MemoryHost {
    let mut host = MemoryHost::new(&["accounts"], &["ledger.transfers"]);
    for (id, owner, balance) in [("ada", "Ada Lovelace", 1050), ("plato", "Plato", 200)] {
        let open = json!({"id": id, "owner": owner, "balance": balance});
        host.apply(&Ledger, "open", &open).expect("a new account");
    }
    host
}

fn transfer(host: &mut MemoryHost, from: &str, to: &str, amount: i64) -> Result<Value, Value> {
    let transfer = json!({"id": "t1", "from": from, "to": to, "amount": amount});
    host.apply(&Ledger, "transfer", &transfer)
}

fn migrate(from: u16, to: u16, document: &str) -> Result<String, Refusal> {
    let row = Migration {
        table: "accounts",
        from,
        to,
        key: b"ada",
        document: document.as_bytes(),
    };
    Ledger
        .migrate(row)
        .map(|bytes| String::from_utf8(bytes).expect("JSON is UTF-8"))
}

#[test]
fn a_transfer_pays_a_fee_and_the_sum_stays() {
    let mut host = host();
    let reply = transfer(&mut host, "ada", "plato", 50);
    assert_eq!(reply, Ok(json!({"from": 999, "to": 250, "fee": 1})));
    assert_eq!(
        host.rows("accounts")
            .into_iter()
            .map(|(_, document)| document)
            .collect::<Vec<_>>(),
        [
            r#"{"first":"Ada","last":"Lovelace","balance":{"amount":999,"currency":"USD"}}"#,
            r#"{"first":null,"last":"Fees","balance":{"amount":1,"currency":"USD"}}"#,
            r#"{"first":null,"last":"Plato","balance":{"amount":250,"currency":"USD"}}"#,
        ]
    );
    let total = host.query(&Ledger, "total", &json!({})).expect("answered");
    assert_eq!(total, json!({"accounts": 3, "balance": 1250}));
    let [event] = host.events() else { panic!("one event") };
    assert_eq!(event.key.as_deref(), Some(&b"ada"[..]));
    let value = String::from_utf8_lossy(&event.value);
    assert_eq!(value, r#"{"id":"t1","from":"ada","to":"plato","amount":50,"fee":1}"#);
}

#[test]
fn the_account_of_fees_pays_and_is_paid_like_any_other() {
    let mut host = host();
    transfer(&mut host, "ada", "plato", 50).expect("applied");
    transfer(&mut host, "ada", "plato", 50).expect("applied");
    let paid = transfer(&mut host, "fees", "plato", 1);
    assert_eq!(paid, Ok(json!({"from": 1, "to": 301, "fee": 1})));
    let received = transfer(&mut host, "ada", "fees", 10);
    assert_eq!(received, Ok(json!({"from": 937, "to": 12, "fee": 1})));
    let total = host.query(&Ledger, "total", &json!({})).expect("answered");
    assert_eq!(total["balance"], 1250);
}

#[test]
fn an_amount_without_its_fee_is_refused() {
    let mut host = host();
    let before = host.rows("accounts");
    let refusal = transfer(&mut host, "ada", "plato", 1050).expect_err("the fee is missing");
    assert_eq!(refusal["code"], "insufficient_funds");
    assert_eq!(host.rows("accounts"), before);
    transfer(&mut host, "ada", "plato", 1049).expect("applied");
}

#[test]
fn refusals_are_named_as_in_version_1() {
    let mut host = host();
    let mut code = |from: &str, to: &str, amount: i64| {
        transfer(&mut host, from, to, amount).expect_err("a refusal")["code"].clone()
    };
    assert_eq!(code("ada", "eve", 1), "unknown_account");
    assert_eq!(code("eve", "ada", 1), "unknown_account");
    assert_eq!(code("ada", "ada", 1), "same_account");
    assert_eq!(code("ada", "plato", 0), "bad_amount");
    assert_eq!(code("ada", "plato", i64::MAX), "too_large");
}

#[test]
fn what_goes_up_comes_down_again_byte_for_byte() {
    for owner in [
        "Ada Lovelace",
        "Plato",
        " Plato",
        "Plato ",
        "",
        " ",
        "  ",
        "Johann Sebastian Bach",
        "Zoë 木",
    ] {
        for balance in [0, 1050, -3, i64::MAX] {
            let old = json!({"owner": owner, "balance": balance});
            // In the order in which version 1 writes its fields.
            let old = format!(r#"{{"owner":{},"balance":{balance}}}"#, old["owner"]);
            let new = migrate(1, 2, &old).expect("up");
            assert_eq!(migrate(2, 1, &new).expect("down"), old);
        }
    }
}

#[test]
fn what_this_version_writes_goes_down_and_up_again_byte_for_byte() {
    let mut host = host();
    transfer(&mut host, "ada", "plato", 50).expect("applied");
    let written = host.rows("accounts");
    host.migrate_table(&Ledger, "accounts", 2, 1).expect("down");
    let fees = host.document::<Value>("accounts", "fees");
    assert_eq!(fees, Some(json!({"owner": "Fees", "balance": 1})));
    host.migrate_table(&Ledger, "accounts", 1, 2).expect("up");
    assert_eq!(host.rows("accounts"), written);
}

#[test]
fn shape_1_has_no_place_for_other_currencies_and_other_shapes_are_unknown() {
    let euro = r#"{"first":"Ada","last":"Lovelace","balance":{"amount":1,"currency":"EUR"}}"#;
    assert!(
        migrate(2, 1, euro)
            .expect_err("no way down")
            .to_string()
            .contains("no_way_down")
    );
    assert!(
        migrate(3, 2, euro)
            .expect_err("unknown")
            .to_string()
            .contains("shape 3")
    );
    assert!(
        migrate(1, 2, euro)
            .expect_err("not shape 1")
            .to_string()
            .contains("malformed")
    );
}
