use std::collections::BTreeMap;

use environment::Moment;

use crate::limits;

/// Where members may be reached, and which of them to try next. Pure: time comes in.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// Those given first, then those learnt.
    known: Vec<String>,
    given: usize,
    /// The leader, as last heard.
    hint: Option<String>,
    failed: BTreeMap<String, Failure>,
    /// Where the next round begins.
    cursor: usize,
}

#[derive(Debug)]
struct Failure {
    at: Moment,
    /// Nobody answered there; else somebody did, who could not serve.
    unreachable: bool,
}

impl Addresses {
    pub(crate) fn new(given: &[String]) -> Self {
        let mut known: Vec<String> = Vec::new();
        for address in given {
            if !known.contains(address) {
                known.push(address.clone());
            }
        }
        Addresses {
            given: known.len(),
            known,
            hint: None,
            failed: BTreeMap::new(),
            cursor: 0,
        }
    }

    /// The members as one of them names them now.
    pub(crate) fn learn(&mut self, members: &[String]) {
        if members.is_empty() {
            return;
        }
        self.known.truncate(self.given);
        for member in members {
            if self.known.len() < limits::ADDRESSES_MAX && !self.known.contains(member) {
                self.known.push(member.clone());
            }
        }
        self.failed.retain(|address, _| self.known.contains(address));
    }

    /// Somebody says that `leader` leads. Whether that is followed: not to where nobody answered a moment ago, of which
    /// whoever says it has not heard yet.
    pub(crate) fn follow(&mut self, leader: &str, now: Moment) -> bool {
        let suspect = self
            .failed
            .get(leader)
            .is_some_and(|failure| failure.unreachable && now - failure.at < limits::SUSPECT);
        if !suspect {
            self.hint = Some(leader.to_owned());
        }
        !suspect
    }

    /// Nobody answers at the address.
    pub(crate) fn unreachable(&mut self, address: &str, now: Moment) {
        self.note(
            address,
            Failure {
                at: now,
                unreachable: true,
            },
        );
    }

    /// Whoever answers at the address cannot serve, or does not lead.
    pub(crate) fn of_no_use(&mut self, address: &str, now: Moment) {
        self.note(
            address,
            Failure {
                at: now,
                unreachable: false,
            },
        );
    }

    fn note(&mut self, address: &str, failure: Failure) {
        if self.hint.as_deref() == Some(address) {
            self.hint = None;
        }
        self.failed.insert(address.to_owned(), failure);
    }

    /// The address served.
    pub(crate) fn served(&mut self, address: &str) {
        self.failed.remove(address);
    }

    /// The leader if it was named, else in turn the one whose last failure lies furthest back.
    pub(crate) fn choose(&mut self) -> String {
        if let Some(hint) = self.hint.take() {
            return hint;
        }
        let count = self.known.len();
        let chosen = (0..count)
            .map(|step| (self.cursor + step) % count)
            .min_by_key(|at| self.failed.get(&self.known[*at]).map(|failure| failure.at))
            .unwrap_or(0);
        self.cursor = (chosen + 1) % count.max(1);
        self.known.get(chosen).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    fn addresses() -> Addresses {
        Addresses::new(&["a:1".to_owned(), "b:1".to_owned()])
    }

    #[test]
    fn turns_to_whoever_has_not_failed_for_longest() {
        let mut addresses = addresses();
        assert_eq!(addresses.choose(), "a:1");
        addresses.unreachable("a:1", at(1));
        assert_eq!(addresses.choose(), "b:1");
        addresses.unreachable("b:1", at(2));
        addresses.learn(&["b:1".to_owned(), "c:1".to_owned()]);
        assert_eq!(addresses.choose(), "c:1");
        addresses.unreachable("c:1", at(3));
        assert_eq!(addresses.choose(), "a:1");
    }

    #[test]
    fn follows_a_hint_but_not_to_one_that_just_failed() {
        let mut addresses = addresses();
        assert!(addresses.follow("b:1", at(0)));
        assert_eq!(addresses.choose(), "b:1");
        addresses.unreachable("b:1", at(10));
        assert!(!addresses.follow("b:1", at(20)));
        assert_eq!(addresses.choose(), "a:1");
        assert!(addresses.follow("b:1", at(1000)));
        addresses.of_no_use("b:1", at(1001));
        assert!(addresses.follow("b:1", at(1002)), "it may have come to lead since");
    }

    #[test]
    fn forgets_members_that_are_gone_but_never_those_given() {
        let mut addresses = addresses();
        addresses.learn(&["c:1".to_owned()]);
        addresses.learn(&["d:1".to_owned()]);
        assert_eq!(addresses.known, ["a:1", "b:1", "d:1"]);
    }

    #[test]
    fn no_more_addresses_are_kept_than_may_be() {
        let given = ["127.0.0.1:1".to_owned()];
        let mut addresses = Addresses::new(&given);
        let members: Vec<String> = (2..=limits::ADDRESSES_MAX + 50)
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        addresses.learn(&members[..limits::ADDRESSES_MAX - 1]);
        assert_eq!(addresses.known.len(), limits::ADDRESSES_MAX);
        addresses.learn(&members);
        assert_eq!(addresses.known.len(), limits::ADDRESSES_MAX);
        assert_eq!(addresses.known[0], given[0]);
    }
}
