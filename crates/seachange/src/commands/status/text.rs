use client::wire::{ChangeRecord, Role};

use super::view::{ApplicationView, MemberView, View};
use crate::output::{columns, grouped};
use crate::style::{Mark, paint};

/// Characters of a digest that are shown: enough to see that two are the same.
const DIGEST_SHOWN: usize = 12;

/// The view for people; its last line says whether all is well.
pub(super) fn describe(view: &View) -> String {
    let leader = match view.members.iter().find(|member| Some(member.node) == view.leader) {
        Some(leader) => format!("led by {}", leader.name),
        None => "WITHOUT A LEADER".to_owned(),
    };
    let mut parts = vec![format!(
        "cluster {}, level {}, term {}, {leader}, {} entries committed",
        view.cluster,
        view.level,
        view.term,
        grouped(view.committed)
    )];
    parts.push(members(&view.members));
    if !view.applications.is_empty() {
        parts.push(applications(&view.applications));
    }
    if !view.changes.is_empty() {
        parts.push(view.changes.iter().map(change).collect::<Vec<_>>().join("\n"));
    }
    parts.push(verdict(view));
    parts.join("\n\n")
}

fn members(members: &[MemberView]) -> String {
    let heading = [
        "id", "name", "role", "http", "peer", "applied", "lag", "digest", "binary",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let number = |number: Option<u64>| number.map_or_else(|| "-".into(), grouped);
    rows.extend(members.iter().map(|member| {
        vec![
            member.node.to_string(),
            member.name.clone(),
            role(member).to_owned(),
            member.http_address.clone(),
            member.peer_address.clone(),
            number(member.applied),
            number(member.lag),
            member.digest.as_deref().map_or("-", short).to_owned(),
            member.binary.clone(),
        ]
    }));
    columns(&rows)
}

fn role(member: &MemberView) -> &'static str {
    match (member.role, &member.parked) {
        (None, _) => "UNREACHABLE",
        (Some(_), Some(_)) => "PARKED",
        (Some(Role::Leader), None) => "leader",
        (Some(Role::Candidate), None) => "candidate",
        (Some(Role::Learner), None) => "learner",
        (Some(Role::Follower), None) if member.voter => "voter",
        (Some(Role::Follower), None) => "learner",
    }
}

fn short(digest: &str) -> &str {
    digest.get(..DIGEST_SHOWN).unwrap_or(digest)
}

fn applications(applications: &[ApplicationView]) -> String {
    let mut rows = vec![["application", "version", "way back"].map(str::to_owned).to_vec()];
    rows.extend(applications.iter().map(|app| {
        let back = app
            .reversible
            .map_or_else(String::new, |change| format!("seachange change revert {change}"));
        let version = app
            .in_force
            .map_or_else(|| "none yet".into(), |version| version.to_string());
        vec![app.name.clone(), version, back]
    }));
    columns(&rows)
}

fn change(change: &ChangeRecord) -> String {
    let from = change.from.map_or_else(String::new, |from| format!("{from} to "));
    format!(
        "change {}: {} version {from}{}, {}",
        change.id, change.application, change.to, change.stage
    )
}

fn verdict(view: &View) -> String {
    if view.ok {
        return paint("All is well.", Mark::Good);
    }
    let text = format!("Not all is well: {}.", view.wrongs.join("; "));
    paint(&text, Mark::Bad)
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::status;
    use super::*;

    #[test]
    fn a_cluster_that_is_well() {
        let view = View::of(
            &status(1),
            &[1, 2, 3].map(|node| Ok(status(node))),
            Vec::new(),
            Vec::new(),
        );
        expect_test::expect![[r#"
            cluster c, level 1, term 2, led by n1, 20,000 entries committed

            id  name  role    http         peer          applied  lag  digest  binary
            1   n1    leader  127.0.0.1:1  127.0.0.1:11  20,000   0    d-1     0.1.0
            2   n2    voter   127.0.0.1:2  127.0.0.1:12  20,000   0    d-1     0.1.0
            3   n3    voter   127.0.0.1:3  127.0.0.1:13  20,000   0    d-1     0.1.0

            All is well."#]]
        .assert_eq(&describe(&view));
    }

    #[test]
    fn a_cluster_that_is_not() {
        let mut parked = status(3);
        parked.parked = Some("entry 7 is of a kind that this binary does not know".into());
        let answers = [Ok(status(1)), Err("nobody answers".into()), Ok(parked)];
        let view = View::of(&status(1), &answers, Vec::new(), Vec::new());
        expect_test::expect![[r#"
            cluster c, level 1, term 2, led by n1, 20,000 entries committed

            id  name  role         http         peer          applied  lag  digest  binary
            1   n1    leader       127.0.0.1:1  127.0.0.1:11  20,000   0    d-1     0.1.0
            2   n2    UNREACHABLE  127.0.0.1:2  127.0.0.1:12  -        -    -       0.1.0
            3   n3    PARKED       127.0.0.1:3  127.0.0.1:13  20,000   0    d-1     0.1.0

            Not all is well: node n2 cannot be reached: nobody answers; node n3 is parked: entry 7 is of a kind that this binary does not know."#]].assert_eq(&describe(&view));
    }
}
