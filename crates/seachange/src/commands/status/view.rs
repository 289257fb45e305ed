use client::Admin;
use client::wire::{ApplicationInfo, ChangeRecord, Member, Role, Status};
use environment::Environment;
use serde::Serialize;

use crate::connection::{ask_status, explain};
use crate::output::grouped;

/// Entries by which a member may lag behind without a word: as many as a node that calls itself ready may.
const LAG_MAX: u64 = 10_000;

/// A cluster as its members tell it, each asked at its own address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct View {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What is wrong, a sentence each.
    pub wrongs: Vec<String>,
    pub cluster: String,
    pub level: u16,
    pub term: u64,
    pub leader: Option<u64>,
    pub leader_http: Option<String>,
    /// The highest index that any member knows to be committed.
    pub committed: u64,
    pub members: Vec<MemberView>,
    pub applications: Vec<ApplicationView>,
    /// Changes that have not ended.
    pub changes: Vec<ChangeRecord>,
}

/// One member: what the cluster knows of it, and what it says itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::commands) struct MemberView {
    pub node: u64,
    pub name: String,
    pub http_address: String,
    pub peer_address: String,
    pub voter: bool,
    pub binary: String,
    /// Whether it gave an answer at its own address.
    pub reachable: bool,
    /// Why not, if not.
    pub error: Option<String>,
    /// What follows is its own answer; none where there is none.
    pub role: Option<Role>,
    pub last: Option<u64>,
    pub committed: Option<u64>,
    pub applied: Option<u64>,
    /// Entries that are committed in the cluster and not yet applied by it.
    pub lag: Option<u64>,
    pub digest: Option<String>,
    pub parked: Option<String>,
}

/// An application and the version that answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ApplicationView {
    pub name: String,
    pub in_force: Option<u32>,
    /// The change that can still be taken back.
    pub reversible: Option<u64>,
}

impl View {
    /// Asks whoever answers for the members, and each of them for itself.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn gather(admin: &Admin, environment: &Environment) -> anyhow::Result<View> {
        let first = admin.status().await.map_err(explain)?;
        let asked = first.members.iter().map(|member| ask(member, &first, environment));
        let answers = futures::future::join_all(asked).await;
        let leader = first.leader_http.as_ref().and_then(|leader| admin.at(leader).ok());
        // The leader knows the changes first; where there is none, any node's word is good.
        let (apps, changes) = match leader {
            Some(leader) if leader_answers(&first, &answers) => (leader.apps().await, leader.changes().await),
            Some(_) | None => (admin.apps().await, admin.changes().await),
        };
        Ok(View::of(
            &first,
            &answers,
            apps.map_err(explain)?.apps,
            changes.map_err(explain)?.changes,
        ))
    }

    /// Puts the answers together: one for each member that `first` names, in its order.
    pub fn of(
        first: &Status,
        answers: &[Result<Status, String>],
        apps: Vec<ApplicationInfo>,
        changes: Vec<ChangeRecord>,
    ) -> View {
        let own = |status: &&Status| status.cluster == first.cluster;
        let heard: Vec<&Status> = answers.iter().flatten().filter(own).chain([first]).collect();
        // Of those that differ, the one in the latest term is the one to believe.
        let newest = heard.iter().max_by_key(|status| (status.term, status.leader.is_some()));
        let newest = newest.copied().unwrap_or(first);
        let committed = heard.iter().map(|status| status.committed).max().unwrap_or(0);
        let members = first.members.iter().zip(answers);
        let mut view = View {
            ok: true,
            wrongs: Vec::new(),
            cluster: first.cluster.clone(),
            level: newest.level,
            term: newest.term,
            leader: newest.leader,
            leader_http: newest.leader_http.clone(),
            committed,
            members: members
                .map(|(member, answer)| MemberView::of(member, answer, first, committed))
                .collect(),
            applications: apps
                .into_iter()
                .map(|app| ApplicationView {
                    name: app.name,
                    in_force: app.in_force,
                    reversible: app.reversible,
                })
                .collect(),
            changes: changes.into_iter().filter(|change| !change.stage.is_final()).collect(),
        };
        view.wrongs = view.find_wrongs();
        view.ok = view.wrongs.is_empty();
        view
    }

    fn find_wrongs(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        if self.leader.is_none() {
            wrongs.push("no leader is known: commands wait until a majority of the voters is up".to_owned());
        }
        wrongs.extend(self.members.iter().filter_map(MemberView::wrong));
        wrongs.extend(self.differing());
        for change in &self.changes {
            wrongs.extend(
                change
                    .blockers
                    .iter()
                    .map(|blocker| format!("change {} of {} waits: {}", change.id, change.application, blocker.what)),
            );
        }
        wrongs
    }

    /// Members that have applied the same index and do not have the same rows.
    fn differing(&self) -> Option<String> {
        let answered: Vec<(&MemberView, u64, &str)> = self
            .members
            .iter()
            .filter_map(|member| Some((member, member.applied?, member.digest.as_deref()?)))
            .collect();
        let ((one, applied, _), (other, ..)) = answered.iter().enumerate().find_map(|(at, one)| {
            let differs = |other: &&(&MemberView, u64, &str)| other.1 == one.1 && other.2 != one.2;
            Some((one, answered[at + 1..].iter().find(differs)?))
        })?;
        Some(format!(
            "nodes {} and {} have applied index {} and differ in their digests: one of them has other rows",
            one.name,
            other.name,
            grouped(*applied)
        ))
    }
}

/// What a member says of itself. One that has just started may not have told the cluster yet where it is.
async fn ask(member: &Member, first: &Status, environment: &Environment) -> Result<Status, String> {
    if !member.http_address.is_empty() {
        let answer = ask_status(&member.http_address, environment).await;
        return answer.map_err(|error| error.to_string());
    }
    if member.node == first.node {
        return Ok(first.clone());
    }
    Err("it has not told its address yet: ask again in a moment".to_owned())
}

fn leader_answers(first: &Status, answers: &[Result<Status, String>]) -> bool {
    let mut members = first.members.iter().zip(answers);
    members.any(|(member, answer)| Some(member.node) == first.leader && answer.is_ok())
}

impl MemberView {
    fn of(member: &Member, answer: &Result<Status, String>, first: &Status, committed: u64) -> MemberView {
        let (status, error) = match answer {
            Ok(status) if status.cluster == first.cluster && status.node == member.node => (Some(status), None),
            Ok(other) => (
                None,
                Some(format!(
                    "node {} of cluster {} answers there",
                    other.name, other.cluster
                )),
            ),
            Err(error) => (None, Some(error.clone())),
        };
        MemberView {
            node: member.node,
            name: member.name.clone(),
            http_address: member.http_address.clone(),
            peer_address: member.peer_address.clone(),
            voter: member.voter,
            binary: status.map_or(&member.binary, |status| &status.binary).clone(),
            reachable: status.is_some(),
            error,
            role: status.map(|status| status.role),
            last: status.map(|status| status.last),
            committed: status.map(|status| status.committed),
            applied: status.map(|status| status.applied),
            lag: status.map(|status| committed.saturating_sub(status.applied)),
            digest: status.map(|status| status.digest.clone()),
            parked: status.and_then(|status| status.parked.clone()),
        }
    }

    fn wrong(&self) -> Option<String> {
        let name = &self.name;
        if let Some(error) = &self.error {
            return Some(format!("node {name} cannot be reached: {error}"));
        }
        if let Some(reason) = &self.parked {
            return Some(format!("node {name} is parked: {reason}"));
        }
        let lag = self.lag.filter(|lag| *lag > LAG_MAX)?;
        Some(format!("node {name} is {} entries behind", grouped(lag)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn member(node: u64) -> Member {
        Member {
            node,
            name: format!("n{node}"),
            http_address: format!("127.0.0.1:{node}"),
            peer_address: format!("127.0.0.1:1{node}"),
            voter: true,
            leader: node == 1,
            matched: None,
            binary: "0.1.0".into(),
        }
    }

    pub fn status(node: u64) -> Status {
        Status {
            node,
            name: format!("n{node}"),
            cluster: "c".into(),
            binary: "0.1.0".into(),
            role: if node == 1 { Role::Leader } else { Role::Follower },
            term: 2,
            leader: Some(1),
            leader_http: Some("127.0.0.1:1".into()),
            last: 20_000,
            committed: 20_000,
            applied: 20_000,
            digest: "d-1".into(),
            level: 1,
            parked: None,
            members: [1, 2, 3].map(member).to_vec(),
        }
    }

    fn wrongs(change: impl Fn(&mut Status), answers: [Result<Status, String>; 3]) -> Vec<String> {
        let mut first = status(1);
        change(&mut first);
        View::of(&first, &answers, Vec::new(), Vec::new()).wrongs
    }

    #[test]
    fn nothing_is_wrong_with_three_that_agree() {
        let all = [1, 2, 3].map(|node| Ok(status(node)));
        assert_eq!(wrongs(|_| {}, all), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_is_wrong_is_said() {
        let with = |change: &dyn Fn(&mut Status)| {
            let mut second = status(2);
            change(&mut second);
            [Ok(status(1)), Ok(second), Ok(status(3))]
        };
        for (answers, said) in [
            (
                [Ok(status(1)), Err("refused".into()), Ok(status(3))],
                "node n2 cannot be reached: refused",
            ),
            (
                with(&|s| s.parked = Some("no module".into())),
                "node n2 is parked: no module",
            ),
            (with(&|s| s.applied = 9_999), "node n2 is 10,001 entries behind"),
            (
                with(&|s| s.cluster = "e".into()),
                "node n2 cannot be reached: node n2 of cluster e answers there",
            ),
            (
                with(&|s| s.digest = "d-2".into()),
                "nodes n1 and n2 have applied index 20,000 and differ in their digests: one of them has other rows",
            ),
        ] {
            assert_eq!(wrongs(|_| {}, answers), [said]);
        }
    }

    #[test]
    fn digests_of_different_indexes_are_not_compared_and_a_small_lag_is_no_fault() {
        let mut second = status(2);
        (second.applied, second.digest) = (19_000, "d-2".into());
        let answers = [Ok(status(1)), Ok(second), Ok(status(3))];
        let view = View::of(&status(1), &answers, Vec::new(), Vec::new());
        assert!(view.ok, "{:?}", view.wrongs);
        assert_eq!(view.members[1].lag, Some(1000));
    }

    #[test]
    fn the_latest_term_is_believed() {
        let mut old = status(1);
        (old.term, old.leader, old.leader_http) = (1, None, None);
        let view = View::of(&old, &[1, 2, 3].map(|node| Ok(status(node))), Vec::new(), Vec::new());
        assert_eq!((view.term, view.leader), (2, Some(1)));
        let alone = [Err("x".to_owned()), Err("x".to_owned()), Err("x".to_owned())];
        let view = View::of(&old, &alone, Vec::new(), Vec::new());
        assert_eq!(view.leader, None);
        assert!(view.wrongs[0].starts_with("no leader is known"), "{:?}", view.wrongs);
    }
}
