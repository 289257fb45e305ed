//! Digests compared between nodes: an entry marks where, each node says in the log what it had there, and whoever differs
//! from a majority of the voters knows it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Index, NodeId, StateDigest, record};

/// What nodes say of their digests as of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// The entry that marks where; zero as long as there was none.
    pub mark: Index,
    /// What each node had before it.
    pub found: BTreeMap<NodeId, StateDigest>,
}
record!(Comparison { mark, found });

/// A node does not hold what the others hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// As of which entry.
    pub mark: Index,
    /// What the node has.
    pub own: StateDigest,
    /// What a majority of the voters has.
    pub majority: StateDigest,
}

impl Comparison {
    /// Whether `node` differs from what more than half of `voters` agree on. Without such a majority nobody can say who is
    /// wrong.
    #[must_use]
    pub fn difference(&self, node: NodeId, voters: &BTreeSet<NodeId>) -> Option<Difference> {
        let own = *self.found.get(&node)?;
        let mut counts: BTreeMap<(u128, u128), usize> = BTreeMap::new();
        for voter in voters {
            if let Some(digest) = self.found.get(voter) {
                *counts.entry((digest.rows, digest.history)).or_default() += 1;
            }
        }
        let (rows, history) = counts
            .into_iter()
            .find(|(_, count)| count * 2 > voters.len())
            .map(|(digest, _)| digest)?;
        let majority = StateDigest { rows, history };
        (majority != own).then_some(Difference {
            mark: self.mark,
            own,
            majority,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: u128) -> StateDigest {
        StateDigest { rows, history: 0 }
    }

    fn check(voters: u64, found: &[(u64, u128)], node: u64) -> Option<u128> {
        let comparison = Comparison {
            mark: Index(9),
            found: found
                .iter()
                .map(|(node, rows)| (NodeId(*node), digest(*rows)))
                .collect(),
        };
        let voters = (1..=voters).map(NodeId).collect();
        comparison
            .difference(NodeId(node), &voters)
            .map(|difference| difference.majority.rows)
    }

    #[test]
    fn only_whoever_differs_from_a_majority_is_wrong() {
        assert_eq!(check(3, &[(1, 7), (2, 7), (3, 8)], 3), Some(7));
        assert_eq!(check(3, &[(1, 7), (2, 7), (3, 8)], 1), None);
        assert_eq!(check(3, &[(1, 7), (3, 8)], 3), None, "one against one");
        assert_eq!(check(2, &[(1, 7), (2, 8)], 2), None, "nobody can say");
        assert_eq!(check(1, &[(1, 7)], 1), None);
        assert_eq!(check(5, &[(1, 7), (2, 7), (3, 8), (4, 7), (5, 9)], 5), Some(7));
        // A learner is compared, and has no say.
        assert_eq!(check(3, &[(1, 7), (2, 7), (4, 8)], 4), Some(7));
        assert_eq!(check(3, &[(1, 7), (4, 8), (5, 8), (6, 8)], 1), None);
    }
}
