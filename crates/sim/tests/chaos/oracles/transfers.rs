use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};

use crate::evidence::{Event, Shown};
use crate::history::{Balances, Outcome, Transfer};
use crate::load::{ACCOUNTS, OPENED_WITH, account};

/// The account that version 2 pays its fees into.
const FEES: &str = "fees";

/// All of it: the nodes show the same, it is dense, nothing is lost, doubled or made up, it stands in an order that the
/// clients' times allow, and the balances are what the transfers make of them.
pub fn check(sent: &[Transfer], shown: &[Shown]) -> anyhow::Result<()> {
    for (number, other) in shown.iter().enumerate() {
        ensure!(
            *other == shown[0],
            "node {number} shows other transfers or balances than node 0"
        );
    }
    let Some(Shown { transfers, balances }) = shown.first() else {
        bail!("no node was looked at");
    };
    let by_id = exactly_once(sent, transfers)?;
    in_an_order_that_time_allows(transfers, &by_id)?;
    versions_switch_there_and_back(transfers)?;
    let replayed = replay(transfers, &by_id)?;
    ensure!(
        replayed == *balances,
        "the transfers give {replayed:?}, but the accounts hold {balances:?}"
    );
    let sum: i64 = balances.values().sum();
    let opened = OPENED_WITH * i64::try_from(ACCOUNTS)?;
    ensure!(sum == opened, "the balances sum up to {sum}; {opened} were opened");
    Ok(())
}

type ById<'a> = BTreeMap<&'a str, &'a Transfer>;

/// What was acknowledged is there once; what is unknown, once at most; and nothing else is.
fn exactly_once<'a>(sent: &'a [Transfer], events: &[Event]) -> anyhow::Result<ById<'a>> {
    let by_id: ById<'a> = sent.iter().map(|transfer| (transfer.id.as_str(), transfer)).collect();
    ensure!(by_id.len() == sent.len(), "two transfers were sent with one id");
    let mut seen = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        ensure!(
            event.offset == u64::try_from(place)?,
            "offset {} stands at {place}",
            event.offset
        );
        if let Some(first) = seen.insert(event.id.as_str(), event.offset) {
            bail!(
                "transfer {} was applied twice: at {first} and at {}",
                event.id,
                event.offset
            );
        }
        let transfer = by_id
            .get(event.id.as_str())
            .with_context(|| format!("nobody sent the transfer of {event:?}"))?;
        let sent = (&transfer.from, &transfer.to, transfer.amount);
        ensure!(
            sent == (&event.from, &event.to, event.amount),
            "{transfer:?} was applied as {event:?}"
        );
        if let Outcome::NothingDone(why) = &transfer.outcome {
            bail!("{transfer:?} was applied although its client was told that nothing was done: {why}");
        }
    }
    for transfer in sent {
        let acknowledged = matches!(transfer.outcome, Outcome::Acknowledged(_));
        ensure!(
            !acknowledged || seen.contains_key(transfer.id.as_str()),
            "{transfer:?} is lost"
        );
    }
    Ok(by_id)
}

/// None stands before one that was answered before it was even sent.
fn in_an_order_that_time_allows(events: &[Event], by_id: &ById<'_>) -> anyhow::Result<()> {
    let mut latest: Option<&Transfer> = None;
    for transfer in events.iter().filter_map(|event| by_id.get(event.id.as_str()).copied()) {
        let answered = matches!(transfer.outcome, Outcome::Acknowledged(_));
        if let Some(before) = latest {
            ensure!(
                !answered || before.called <= transfer.returned,
                "{before:?} stands before {transfer:?}, which had been answered when it was sent"
            );
        }
        if latest.is_none_or(|latest| latest.called < transfer.called) {
            latest = Some(transfer);
        }
    }
    Ok(())
}

/// Version 2 takes a fee: there is one piece of the stream at most in which there are fees.
fn versions_switch_there_and_back(events: &[Event]) -> anyhow::Result<()> {
    let switches = events
        .windows(2)
        .filter(|pair| pair[0].fee.is_some() != pair[1].fee.is_some());
    let begins_with_a_fee = usize::from(events.first().is_some_and(|event| event.fee.is_some()));
    let count = switches.count() + begins_with_a_fee;
    ensure!(count <= 2, "the stream switches between versions {count} times");
    Ok(())
}

/// Does again what the events say, and finds the very balances that the clients were told.
fn replay(events: &[Event], by_id: &ById<'_>) -> anyhow::Result<BTreeMap<String, i64>> {
    let mut balances: BTreeMap<String, i64> = (0..ACCOUNTS).map(|number| (account(number), OPENED_WITH)).collect();
    for event in events {
        let fee = event.fee.unwrap_or(0);
        *balances.entry(event.from.clone()).or_default() -= event.amount + fee;
        *balances.entry(event.to.clone()).or_default() += event.amount;
        if event.fee.is_some() {
            *balances.entry(FEES.to_owned()).or_default() += fee;
        }
        let now = Balances {
            from: balances[&event.from],
            to: balances[&event.to],
        };
        if let Some(transfer) = by_id.get(event.id.as_str())
            && let Outcome::Acknowledged(told) = &transfer.outcome
        {
            ensure!(*told == now, "{transfer:?} left {now:?} at offset {}", event.offset);
        }
    }
    Ok(balances)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three transfers of 10, 20 and 30 cents, of which the second has an unknown outcome and the third pays a fee.
    fn history() -> (Vec<Transfer>, Vec<Shown>) {
        let transfer = |id: &str, amount, called, outcome| Transfer {
            id: id.to_owned(),
            from: account(0),
            to: account(1),
            amount,
            called,
            returned: called + 5,
            outcome,
        };
        let told = |from, to| Outcome::Acknowledged(Balances { from, to });
        let sent = vec![
            transfer("1", 10, 0, told(OPENED_WITH - 10, OPENED_WITH + 10)),
            transfer("2", 20, 10, Outcome::Unknown("lost".into())),
            transfer("3", 30, 20, told(OPENED_WITH - 61, OPENED_WITH + 60)),
            transfer("4", 40, 30, Outcome::NothingDone("no".into())),
        ];
        let event = |offset: u64, fee| Event {
            offset,
            id: (offset + 1).to_string(),
            from: account(0),
            to: account(1),
            amount: 10 + 10 * i64::try_from(offset).unwrap(),
            fee,
        };
        let mut balances: BTreeMap<String, i64> = (0..ACCOUNTS).map(|number| (account(number), OPENED_WITH)).collect();
        balances.insert(account(0), OPENED_WITH - 61);
        balances.insert(account(1), OPENED_WITH + 60);
        balances.insert(FEES.to_owned(), 1);
        let shown = Shown {
            transfers: vec![event(0, None), event(1, None), event(2, Some(1))],
            balances,
        };
        (sent, vec![shown; 3])
    }

    /// What is wrong after `spoil` has changed what all nodes show, or what the clients were told.
    fn wrong(spoil: impl Fn(&mut Vec<Transfer>, &mut Shown)) -> String {
        let (mut sent, mut shown) = history();
        spoil(&mut sent, &mut shown[0]);
        let shown = vec![shown[0].clone(); 3];
        check(&sent, &shown)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn what_is_as_it_should_be_passes_with_and_without_what_is_unknown() {
        let (mut sent, shown) = history();
        assert_eq!(wrong(|_, _| {}), "");
        sent[1].outcome = Outcome::Acknowledged(Balances {
            from: OPENED_WITH - 30,
            to: OPENED_WITH + 30,
        });
        assert!(check(&sent, &shown).is_ok());
    }

    #[test]
    fn each_lie_is_found() {
        let lost = wrong(|_, shown| {
            shown.transfers.pop();
        });
        assert!(lost.contains("is lost"), "{lost}");
        let doubled = wrong(|_, shown| {
            let again = Event {
                offset: 3,
                ..shown.transfers[0].clone()
            };
            shown.transfers.push(again);
        });
        assert!(doubled.contains("applied twice"), "{doubled}");
        let refused = wrong(|sent, _| sent[1].outcome = Outcome::NothingDone("no".into()));
        assert!(refused.contains("nothing was done"), "{refused}");
        let made_up = wrong(|sent, _| {
            sent.remove(1);
        });
        assert!(made_up.contains("nobody sent"), "{made_up}");
        let changed = wrong(|_, shown| shown.transfers[1].amount += 1);
        assert!(changed.contains("was applied as"), "{changed}");
        let gap = wrong(|_, shown| shown.transfers[2].offset = 3);
        assert!(gap.contains("offset 3 stands at 2"), "{gap}");
        let early = wrong(|sent, _| (sent[0].called, sent[2].returned) = (100, 25));
        assert!(early.contains("had been answered"), "{early}");
        let told = wrong(|sent, _| sent[0].outcome = Outcome::Acknowledged(Balances { from: 0, to: 0 }));
        assert!(told.contains("left"), "{told}");
        let balance = wrong(|_, shown| *shown.balances.get_mut(FEES).unwrap() += 1);
        assert!(balance.contains("the accounts hold"), "{balance}");
        let (sent, mut shown) = history();
        shown[2].transfers.pop();
        let differs = check(&sent, &shown).unwrap_err().to_string();
        assert!(differs.contains("node 2 shows"), "{differs}");
    }

    #[test]
    fn versions_that_take_turns_are_found() {
        let (_, shown) = history();
        let mut events = shown[0].transfers.clone();
        events.extend(events.clone());
        assert!(versions_switch_there_and_back(&events).is_err());
    }
}
