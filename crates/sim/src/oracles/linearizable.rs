//! Whether what clients saw of a register can have happened in one order, each operation at one moment between its call
//! and its return.
//!
//! The search is Wing and Gong's with Lowe's memory of visited states ("Testing for linearizability", 2017), as in
//! porcupine: without the memory, a few dozen operations of five clients take for ever. Histories are checked key by key,
//! which is enough, because linearizability is local (Herlihy and Wing, 1990, theorem 1).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

/// What a client asked of the register under one key, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// When it was called, in any unit.
    pub called: u64,
    /// When its answer came; none: it never did, and it may yet happen at any later time.
    pub returned: Option<u64>,
    /// What it did.
    pub action: Action,
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Set the value.
    Write(String),
    /// Saw the value; none: nothing was there.
    Read(Option<String>),
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Write(value) => write!(out, "write {value}")?,
            Action::Read(Some(value)) => write!(out, "read {value}")?,
            Action::Read(None) => write!(out, "read nothing")?,
        }
        match self.returned {
            Some(returned) => write!(out, " ({}..{returned})", self.called),
            None => write!(out, " ({}.., no answer)", self.called),
        }
    }
}

/// No order explains what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// The longest prefix in time for which there is an order is shorter than this many operations.
    pub operations: Vec<Operation>,
}

/// Checks every key's history by itself.
///
/// # Errors
/// The first key whose history has no order.
pub fn check(histories: &BTreeMap<String, Vec<Operation>>) -> Result<(), Violation> {
    for (key, operations) in histories {
        if !is_linearizable(operations) {
            return Err(Violation {
                key: key.clone(),
                operations: shortest(operations),
            });
        }
    }
    Ok(())
}

/// The shortest prefix in time that has no order: the last of its operations is where it shows.
fn shortest(operations: &[Operation]) -> Vec<Operation> {
    let mut ends: Vec<u64> = operations.iter().filter_map(|operation| operation.returned).collect();
    ends.sort_unstable();
    for end in ends {
        let seen = until(operations, end);
        if !is_linearizable(&seen) {
            return seen;
        }
    }
    operations.to_vec()
}

/// What was known at a moment: what was called by then, and the answers that had come.
fn until(operations: &[Operation], moment: u64) -> Vec<Operation> {
    let mut seen = Vec::new();
    for operation in operations {
        let answered = operation.returned.is_some_and(|returned| returned <= moment);
        let called = operation.called <= moment;
        match &operation.action {
            _ if answered => seen.push(operation.clone()),
            Action::Write(_) if called => seen.push(Operation {
                returned: None,
                ..operation.clone()
            }),
            Action::Write(_) | Action::Read(_) => {}
        }
    }
    seen
}

/// Whether the operations on one register, empty at first, have an order.
#[must_use]
pub fn is_linearizable(operations: &[Operation]) -> bool {
    let mut all: Vec<(&Operation, u64)> = operations
        .iter()
        .filter_map(|operation| Some((operation, latest(operation, operations)?)))
        .collect();
    all.sort_by_key(|(operation, _)| operation.called);
    let (operations, returns) = all.into_iter().unzip();
    let mut search = Search {
        returns,
        operations,
        visited: HashSet::new(),
    };
    search.run()
}

/// The latest moment at which an operation can have happened; none: it changes nothing whether it has.
fn latest(operation: &Operation, all: &[Operation]) -> Option<u64> {
    let value = match (&operation.action, operation.returned) {
        (_, Some(returned)) => return Some(returned),
        (Action::Read(_), None) => return None,
        (Action::Write(value), None) => value,
    };
    // Every write without an answer doubles the search, unless what was seen says more: one that nobody has seen may as
    // well never have happened, and one that was seen, and is alone in writing this, had happened by then.
    let twins = all.iter().filter(|other| other.action == operation.action).count();
    let seen = Action::Read(Some(value.clone()));
    let first_seen = all
        .iter()
        .filter(|other| other.action == seen)
        .filter_map(|read| read.returned)
        .min();
    match first_seen {
        None => None,
        Some(first_seen) if twins == 1 => Some(first_seen),
        Some(_) => Some(u64::MAX),
    }
}

/// Which operations have happened, and which write was the last of them.
type State = (Vec<u64>, Option<usize>);

struct Search<'a> {
    operations: Vec<&'a Operation>,
    returns: Vec<u64>,
    visited: HashSet<State>,
}

impl Search<'_> {
    fn run(&mut self) -> bool {
        let words = self.operations.len().div_ceil(64);
        let mut open: Vec<State> = vec![(vec![0; words], None)];
        while let Some((done, last)) = open.pop() {
            if !self.visited.insert((done.clone(), last)) {
                continue;
            }
            if self.is_complete(&done) {
                return true;
            }
            for next in self.possible(&done) {
                let operation = self.operations[next];
                let after = match &operation.action {
                    Action::Write(_) => Some(next),
                    Action::Read(seen) if *seen == self.value(last) => last,
                    Action::Read(_) => continue,
                };
                let mut done = done.clone();
                done[next / 64] |= 1 << (next % 64);
                open.push((done, after));
            }
        }
        false
    }

    fn value(&self, last: Option<usize>) -> Option<String> {
        match &self.operations[last?].action {
            Action::Write(value) => Some(value.clone()),
            Action::Read(_) => None,
        }
    }

    /// Writes without an answer need not happen.
    fn is_complete(&self, done: &[u64]) -> bool {
        let mut all = (0..self.operations.len()).filter(|at| !is_done(done, *at));
        all.all(|at| self.returns[at] == u64::MAX)
    }

    /// What may come next: whatever was called before the first answer of those that have not happened.
    fn possible(&self, done: &[u64]) -> BTreeSet<usize> {
        let left = || (0..self.operations.len()).filter(|at| !is_done(done, *at));
        let first = left().map(|at| self.returns[at]).min().unwrap_or(u64::MAX);
        left().filter(|at| self.operations[*at].called <= first).collect()
    }
}

fn is_done(done: &[u64], at: usize) -> bool {
    done[at / 64] & (1 << (at % 64)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(called: u64, returned: impl Into<Option<u64>>, value: &str) -> Operation {
        Operation {
            called,
            returned: returned.into(),
            action: Action::Write(value.to_owned()),
        }
    }

    fn read(called: u64, returned: u64, value: &str) -> Operation {
        let value = (!value.is_empty()).then(|| value.to_owned());
        Operation {
            called,
            returned: Some(returned),
            action: Action::Read(value),
        }
    }

    #[test]
    fn a_read_sees_the_last_write_before_it_or_one_beside_it() {
        assert!(is_linearizable(&[]));
        assert!(is_linearizable(&[write(0, 1, "a"), read(2, 3, "a")]));
        assert!(!is_linearizable(&[write(0, 1, "a"), read(2, 3, "")]));
        assert!(is_linearizable(&[write(0, 5, "a"), read(2, 3, "")]));
        assert!(is_linearizable(&[write(0, 5, "a"), read(2, 3, "a")]));
        let back = [write(0, 1, "a"), write(2, 9, "b"), read(3, 4, "b"), read(5, 6, "a")];
        assert!(!is_linearizable(&back), "once seen, it stays seen");
        assert!(!is_linearizable(&[read(0, 1, "a"), write(2, 3, "a")]));
    }

    #[test]
    fn a_write_without_an_answer_may_have_happened_or_not_and_late() {
        let lost = write(0, None, "a");
        assert!(is_linearizable(&[lost.clone(), read(1, 2, "")]));
        assert!(is_linearizable(&[lost.clone(), read(1, 2, "a")]));
        assert!(is_linearizable(&[lost.clone(), read(1, 2, ""), read(3, 4, "a")]));
        assert!(!is_linearizable(&[lost, read(1, 2, "a"), read(3, 4, "")]));
    }

    #[test]
    fn a_violation_shows_the_first_operation_that_has_no_place() {
        let all = vec![write(0, 1, "a"), read(2, 3, ""), read(4, 5, "a"), write(6, 7, "b")];
        let histories = BTreeMap::from([("k".to_owned(), all)]);
        let violation = check(&histories).expect_err("a violation");
        assert_eq!(violation.operations, [write(0, 1, "a"), read(2, 3, "")]);
    }

    #[test]
    fn many_operations_at_once_are_answered_soon() {
        // Five clients write eight times each, all the while others read; and forty writes are left without an answer.
        let mut all = Vec::new();
        for round in 0..8_u64 {
            let begin = round * 10;
            all.extend((0..5).map(|client| write(begin + client, begin + 8, &format!("{round}-{client}"))));
            all.extend((0..5).map(|client| write(begin + client, None, &format!("lost {round}-{client}"))));
            all.push(read(begin + 9, begin + 9, &format!("{round}-3")));
        }
        all.extend((0..20).map(|at| read(200 + 2 * at, 201 + 2 * at, "7-3")));
        assert!(is_linearizable(&all));
        all.push(read(300, 301, "7-2"));
        assert!(!is_linearizable(&all));
    }

    /// Tries every order.
    fn naive(operations: &[Operation]) -> bool {
        fn go(left: &[Operation], value: Option<&str>) -> bool {
            if left.iter().all(|operation| operation.returned.is_none()) {
                return true;
            }
            let first = left.iter().filter_map(|operation| operation.returned).min();
            (0..left.len()).any(|at| {
                let operation = &left[at];
                if operation.called > first.unwrap_or(u64::MAX) {
                    return false;
                }
                let mut rest = left.to_vec();
                rest.remove(at);
                match &operation.action {
                    Action::Write(value) => go(&rest, Some(value)),
                    Action::Read(seen) => seen.as_deref() == value && go(&rest, value),
                }
            })
        }
        go(operations, None)
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_search_of_all_orders(
            drawn in prop::collection::vec((0_u64..12, 0_u64..6, 0_u8..4, any::<bool>(), 0_u8..8), 0..7)
        ) {
            let operations: Vec<Operation> = drawn.into_iter().map(|(called, long, value, reads, lost)| {
                let returned = called + long;
                match reads {
                    true => read(called, returned, ["", "a", "b", "c"][usize::from(value)]),
                    false => write(called, (lost > 0).then_some(returned), ["a", "a", "b", "c"][usize::from(value)]),
                }
            }).collect();
            prop_assert_eq!(is_linearizable(&operations), naive(&operations));
        }
    }
}
