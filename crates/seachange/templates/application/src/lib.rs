//! Counters that can be added to: a beginning for an application of your own.

use sdk::{Application, Command, Context, Query, Refusal, Reply};
use serde::{Deserialize, Serialize};

/// The application. It has no fields: what is to be remembered stands in tables.
pub struct Counters;
sdk::export!(Counters);

/// A document of table `counters`, under the counter's name.
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: i64,
}

/// Payload of command `add`.
#[derive(Deserialize)]
struct Add {
    counter: String,
    by: i64,
}

/// Event on stream `{{name}}.added`, keyed by the counter's name.
#[derive(Serialize)]
struct Added<'a> {
    counter: &'a str,
    by: i64,
    value: i64,
}

/// Answer to query `sum`.
#[derive(Default, Serialize)]
struct Sum {
    counters: usize,
    value: i64,
}

impl Application for Counters {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        match command.name {
            "add" => add(context, &command.json()?),
            _ => Err(command.unknown()),
        }
    }

    fn query(&self, context: &mut Context<'_>, query: Query<'_>) -> Result<Reply, Refusal> {
        match query.name {
            "sum" => sum(context),
            _ => Err(query.unknown()),
        }
    }
}

/// Replies with the counter as it is now.
fn add(context: &mut Context<'_>, add: &Add) -> Result<Reply, Refusal> {
    let mut counters = context.table::<Counter>("counters");
    let mut counter = counters.get(&add.counter)?.unwrap_or_default();
    // A refusal is an answer; a panic would be a trap. Either way, nothing is changed.
    counter.value = counter
        .value
        .checked_add(add.by)
        .ok_or_else(|| Refusal::coded("too_large", "a counter cannot go that far"))?;
    counters.put(&add.counter, &counter)?;
    let event = Added {
        counter: &add.counter,
        by: add.by,
        value: counter.value,
    };
    context.emit("{{name}}.added", &add.counter, &event)?;
    Reply::json(&counter)
}

fn sum(context: &mut Context<'_>) -> Result<Reply, Refusal> {
    let mut sum = Sum::default();
    sum.counters = context.table::<Counter>("counters").scan().each(|_, counter| {
        sum.value = sum.value.saturating_add(counter.value);
        Ok(())
    })?;
    Reply::json(&sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::MemoryHost;
    use serde_json::json;

    #[test]
    fn adding_counts_and_tells() {
        let mut host = MemoryHost::new(&["counters"], &["{{name}}.added"]);
        let add = |counter: &str, by: i64| json!({"counter": counter, "by": by});
        host.apply(&Counters, "add", &add("clicks", 2)).unwrap();
        let reply = host.apply(&Counters, "add", &add("clicks", 3)).unwrap();
        assert_eq!(reply, json!({"value": 5}));
        host.apply(&Counters, "add", &add("visits", 1)).unwrap();

        let sum = host.query(&Counters, "sum", &()).unwrap();
        assert_eq!(sum, json!({"counters": 2, "value": 6}));
        assert_eq!(host.events().len(), 3);
        assert_eq!(host.events()[1].value, br#"{"counter":"clicks","by":3,"value":5}"#);
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let mut host = MemoryHost::new(&["counters"], &["{{name}}.added"]);
        host.apply(&Counters, "add", &json!({"counter": "clicks", "by": i64::MAX}))
            .unwrap();
        let before = host.rows("counters");
        let refusal = host
            .apply(&Counters, "add", &json!({"counter": "clicks", "by": 1}))
            .unwrap_err();
        assert_eq!(refusal["code"], "too_large");
        let refusal = host.apply(&Counters, "add", &json!({"counter": "clicks"})).unwrap_err();
        assert_eq!(refusal["code"], "malformed");
        assert_eq!(host.rows("counters"), before);
        assert_eq!(host.events().len(), 1);
    }
}
