use std::collections::BTreeSet;
use std::sync::Arc;

use machine::{NodeId, Role, Term};
use tracing::{info, warn};

use super::Measures;
use crate::raft::View;

/// Looks at the group each time it has changed, and tells what is new.
pub struct GroupWatch {
    measures: Arc<Measures>,
    seen: Seen,
}

/// What was seen last.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    candidate: bool,
    leader: Option<NodeId>,
    term: Term,
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
}

/// What is new.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Campaign(Term),
    Leads(Term),
    Leader(NodeId, Term),
    NoLeader(Term),
    Members,
}

impl GroupWatch {
    /// Having seen nothing yet.
    pub fn new(measures: Arc<Measures>) -> GroupWatch {
        GroupWatch {
            measures,
            seen: Seen::default(),
        }
    }

    /// Tells what is new.
    pub fn look(&mut self, view: &View) {
        let now = Seen::of(view);
        let node = self.measures.node;
        for news in self.seen.news(&now, node) {
            match news {
                News::Campaign(term) => info!(%node, %term, "seeking votes"),
                News::Leads(term) => {
                    self.measures.raft.leader_changes.increment();
                    info!(%node, %term, index = %view.last, "this node leads");
                }
                News::Leader(leader, term) => {
                    self.measures.raft.leader_changes.increment();
                    info!(%node, %term, %leader, "another node leads");
                }
                News::NoLeader(term) => warn!(%node, %term, "no leader is known"),
                News::Members => {
                    let list = |nodes: &BTreeSet<NodeId>| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
                    let (voters, learners) = (list(&now.voters).join(" "), list(&now.learners).join(" "));
                    info!(%node, voters, learners, "the members have changed");
                }
            }
        }
        self.seen = now;
    }
}

impl Seen {
    fn of(view: &View) -> Seen {
        let those = |voter: bool| {
            let members = view.members.iter().filter(move |member| member.voter == voter);
            members.map(|member| member.node).collect()
        };
        Seen {
            candidate: view.role == Role::Candidate,
            leader: view.leader,
            term: view.term,
            voters: those(true),
            learners: those(false),
        }
    }

    fn news(&self, now: &Seen, node: NodeId) -> Vec<News> {
        let mut news = Vec::new();
        if now.candidate && (!self.candidate || now.term != self.term) {
            news.push(News::Campaign(now.term));
        }
        match (self.leader, now.leader) {
            (before, Some(leader)) if before != Some(leader) || self.term != now.term => {
                news.push(match leader == node {
                    true => News::Leads(now.term),
                    false => News::Leader(leader, now.term),
                });
            }
            (Some(_), None) => news.push(News::NoLeader(now.term)),
            (Some(_) | None, Some(_)) | (None, None) => {}
        }
        if (&self.voters, &self.learners) != (&now.voters, &now.learners) {
            news.push(News::Members);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(leader: Option<u64>, term: u64, candidate: bool) -> Seen {
        Seen {
            candidate,
            leader: leader.map(NodeId),
            term: Term(term),
            ..Seen::default()
        }
    }

    #[test]
    fn each_change_of_leader_is_told_once() {
        let me = NodeId(1);
        let course = [
            seen(None, 0, false),
            seen(Some(2), 1, false),
            seen(Some(2), 1, false),
            seen(None, 1, false),
            seen(None, 2, true),
            seen(None, 3, true),
            seen(Some(1), 3, false),
            seen(Some(1), 5, false),
        ];
        let told: Vec<Vec<News>> = course.windows(2).map(|pair| pair[0].news(&pair[1], me)).collect();
        let expected = [
            vec![News::Leader(NodeId(2), Term(1))],
            vec![],
            vec![News::NoLeader(Term(1))],
            vec![News::Campaign(Term(2))],
            vec![News::Campaign(Term(3))],
            vec![News::Leads(Term(3))],
            vec![News::Leads(Term(5))],
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn members_are_told_when_they_differ() {
        let mut now = Seen::default();
        now.learners.insert(NodeId(3));
        assert_eq!(Seen::default().news(&now, NodeId(1)), [News::Members]);
        assert_eq!(now.news(&now, NodeId(1)), []);
    }
}
