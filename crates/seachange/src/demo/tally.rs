//! What came of every transfer, found from outside: what the clients were told is compared with the event stream and
//! with the accounts, and nothing that the nodes say of themselves is believed.

use std::collections::BTreeMap;

use super::ledger::{Account, Transferred};

/// A transfer that a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Number of the account that pays.
    pub from: u32,
    /// Number of the account that is paid.
    pub to: u32,
    /// In cents.
    pub amount: u32,
    /// What the client was told.
    pub end: End,
}

/// What a client was told of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was applied by the entry at that index.
    Acknowledged {
        /// The entry.
        index: u64,
    },
    /// The ledger declined it.
    Refused,
    /// An error; it may have been applied if the outcome is unknown.
    Failed {
        /// Whether it may have been applied.
        unknown: bool,
    },
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Acknowledged, and not in the event stream.
    pub lost: u64,
    /// More than once in the event stream.
    pub doubled: u64,
    /// In the event stream, and never sent, or reported to the client as not applied.
    pub invented: u64,
    /// In the event stream with other accounts or another amount than were sent.
    pub altered: u64,
    /// With a fee before the switch, or without one after it.
    pub wrong_fee: u64,
    /// Accounts whose balance is not what the events make of it.
    pub wrong_balances: u64,
}

impl Findings {
    /// Whether all is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Findings::default()
    }
}

/// Compares the transfers of each client (by number, in the order sent), the events, and the accounts at the end.
#[must_use]
pub fn compare(
    sent: &[Vec<Transfer>],
    events: &[Transferred],
    opened: &BTreeMap<String, i64>,
    accounts: &BTreeMap<String, Account>,
    switch_index: u64,
) -> Findings {
    let mut findings = Findings::default();
    let mut seen: Vec<Vec<u32>> = sent.iter().map(|transfers| vec![0; transfers.len()]).collect();
    let mut balances = opened.clone();
    for event in events {
        *balances.entry(event.from.clone()).or_default() -= event.amount + event.fee;
        *balances.entry(event.to.clone()).or_default() += event.amount;
        *balances.entry(super::ledger::FEES.to_owned()).or_default() += event.fee;
        let Some((transfer, times)) = find(sent, &mut seen, &event.id) else {
            findings.invented += 1;
            continue;
        };
        *times += 1;
        check_event(transfer, event, switch_index, &mut findings);
    }
    for (transfer, times) in sent.iter().flatten().zip(seen.iter().flatten()) {
        let acknowledged = matches!(transfer.end, End::Acknowledged { .. });
        findings.lost += u64::from(acknowledged && *times == 0);
        findings.doubled += u64::from(*times > 1);
    }
    findings.wrong_balances = wrong_balances(&balances, accounts);
    findings
}

fn find<'a>(sent: &'a [Vec<Transfer>], seen: &'a mut [Vec<u32>], id: &str) -> Option<(&'a Transfer, &'a mut u32)> {
    let (client, number) = super::ledger::parse_id(id)?;
    let transfer = sent.get(client)?.get(number)?;
    Some((transfer, seen.get_mut(client)?.get_mut(number)?))
}

fn check_event(transfer: &Transfer, event: &Transferred, switch_index: u64, findings: &mut Findings) {
    let same = super::ledger::account_id(transfer.from) == event.from
        && super::ledger::account_id(transfer.to) == event.to
        && i64::from(transfer.amount) == event.amount;
    findings.altered += u64::from(!same);
    match transfer.end {
        End::Acknowledged { index } => {
            // The switch entry itself holds no command: what came before it is the old version's, all after it the new's.
            let fee = i64::from(index > switch_index);
            findings.wrong_fee += u64::from(event.fee != fee);
        }
        End::Failed { unknown: true } => {}
        End::Refused | End::Failed { unknown: false } => findings.invented += 1,
    }
}

fn wrong_balances(expected: &BTreeMap<String, i64>, accounts: &BTreeMap<String, Account>) -> u64 {
    let mut wrong = 0;
    for (id, balance) in expected {
        let found = accounts.get(id).map(|account| account.balance);
        // An account that holds nothing and was never opened (the one for fees, before there are any) may be missing.
        wrong += u64::from(found != Some(*balance) && !(found.is_none() && *balance == 0));
    }
    wrong + accounts.keys().filter(|id| !expected.contains_key(*id)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{FEES, account_id, transfer_id};
    use super::*;

    const SWITCH: u64 = 10;

    /// Two clients with one transfer each, before and after the switch.
    fn clean() -> (Vec<Vec<Transfer>>, Vec<Transferred>, BTreeMap<String, Account>) {
        let transfer = |from, to, index| Transfer {
            from,
            to,
            amount: 5,
            end: End::Acknowledged { index },
        };
        let event = |client, from, to, fee| Transferred {
            id: transfer_id(client, 0),
            from: account_id(from),
            to: account_id(to),
            amount: 5,
            fee,
        };
        let accounts = [(account_id(0), 99), (account_id(1), 100), (FEES.to_owned(), 1)];
        let accounts = accounts.map(|(id, balance)| (id, Account { balance }));
        (
            vec![vec![transfer(0, 1, 9)], vec![transfer(1, 0, 11)]],
            vec![event(0, 0, 1, 0), event(1, 1, 0, 1)],
            accounts.into_iter().collect(),
        )
    }

    fn check(sent: &[Vec<Transfer>], events: &[Transferred], accounts: &BTreeMap<String, Account>) -> Findings {
        let opened = [0, 1].map(|number| (account_id(number), 100)).into_iter().collect();
        compare(sent, events, &opened, accounts, SWITCH)
    }

    #[test]
    fn a_clean_run_is_clean() {
        let (sent, events, mut accounts) = clean();
        accounts.insert(account_id(0), Account { balance: 100 });
        accounts.insert(account_id(1), Account { balance: 99 });
        let findings = check(&sent, &events, &accounts);
        assert!(findings.is_clean(), "{findings:?}");
    }

    #[test]
    fn each_kind_of_damage_is_found() {
        let (sent, events, mut accounts) = clean();
        accounts.insert(account_id(0), Account { balance: 100 });
        accounts.insert(account_id(1), Account { balance: 99 });

        let lost = check(&sent, &events[..1], &accounts);
        assert_eq!((lost.lost, lost.wrong_balances), (1, 3));

        let twice = [events.clone(), events[..1].to_vec()].concat();
        assert_eq!(check(&sent, &twice, &accounts).doubled, 1);

        let mut strange = events.clone();
        strange[0].id = transfer_id(7, 7);
        assert_eq!(check(&sent, &strange, &accounts).invented, 1);

        let mut altered = events.clone();
        altered[0].amount = 6;
        assert_eq!(check(&sent, &altered, &accounts).altered, 1);

        let mut fees = events.clone();
        fees[0].fee = 1;
        fees[1].fee = 0;
        assert_eq!(check(&sent, &fees, &accounts).wrong_fee, 2);

        accounts.insert(account_id(1), Account { balance: 98 });
        assert_eq!(check(&sent, &events, &accounts).wrong_balances, 1);
        accounts.insert("stranger".into(), Account { balance: 0 });
        assert_eq!(check(&sent, &events, &accounts).wrong_balances, 2);
    }

    #[test]
    fn a_transfer_that_was_reported_as_not_applied_must_not_be_there() {
        let (mut sent, events, mut accounts) = clean();
        accounts.insert(account_id(0), Account { balance: 100 });
        accounts.insert(account_id(1), Account { balance: 99 });
        sent[0][0].end = End::Failed { unknown: true };
        assert!(check(&sent, &events, &accounts).is_clean());
        sent[0][0].end = End::Refused;
        assert_eq!(check(&sent, &events, &accounts).invented, 1);
    }
}
