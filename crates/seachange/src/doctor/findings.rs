use serde::Serialize;

use super::{Checked, Times};

/// An fdatasync that takes longer makes every command wait noticeably.
const FSYNC_P99_MAX: f64 = 0.05;
/// An entry that takes longer to apply holds up all behind it.
const APPLY_P99_MAX: f64 = 0.1;
/// Entries committed and not applied: a node that is so far behind answers stale reads with old rows.
const APPLY_LAG_MAX: f64 = 1000.0;
/// A heartbeat waits for no disk: what takes longer is the network, or a process that gets no processor.
const HEARTBEAT_P99_MAX: f64 = 0.05;
/// Appends that take longer although fsync and heartbeats do not: the connection carries too little.
const APPEND_P99_MAX: f64 = 0.25;
/// Part of the disk that is to be free.
const DISK_FREE_MIN: f64 = 0.1;

/// Why a node needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It does not answer.
    Unreachable,
    /// It does not apply.
    Parked,
    /// Its disk is nearly full.
    DiskSpace,
    /// Its disk is slow.
    Fsync,
    /// Its apply is slow, or far behind.
    Apply,
    /// The way to it is slow.
    Network,
}

/// What is wrong with a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its id.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// Why.
    pub cause: Cause,
    /// For people: which node, what it is, and by which threshold.
    pub text: String,
}

/// What the measures say, in order of the nodes; at most one finding each, the one that explains the others.
#[must_use]
pub fn findings(nodes: &[Checked]) -> Vec<Finding> {
    nodes.iter().filter_map(finding).collect()
}

fn finding(node: &Checked) -> Option<Finding> {
    let (cause, text) = unreachable(node)
        .or_else(|| parked(node))
        .or_else(|| disk_space(node))
        .or_else(|| fsync(node))
        .or_else(|| apply(node))
        .or_else(|| network(node))?;
    Some(Finding {
        node: node.node,
        name: node.name.clone(),
        cause,
        text: format!("node {} ({}) {text}", node.name, node.node),
    })
}

type Found = Option<(Cause, String)>;

fn unreachable(node: &Checked) -> Found {
    let text = match (node.answers, node.reached_by_leader) {
        (false, Some(true)) => format!(
            "does not answer at {}, though the leader reaches it: network",
            node.http
        ),
        (false, Some(false) | None) => format!(
            "cannot be reached at {}: it is down, stopped, or cut off (network/unreachable)",
            node.http
        ),
        (true, Some(false)) => {
            "does not answer the leader, though it answers here: network between the nodes".to_owned()
        }
        (true, Some(true) | None) => return None,
    };
    Some((Cause::Unreachable, text))
}

fn parked(node: &Checked) -> Found {
    let reason = node.parked.as_ref()?;
    Some((Cause::Parked, format!("is parked and applies nothing: {reason}")))
}

fn disk_space(node: &Checked) -> Found {
    let (free, total) = (node.disk_free_bytes?, node.disk_total_bytes?);
    (free < total * DISK_FREE_MIN).then(|| {
        let text = format!(
            "has {} of {} free on its disk: less than {:.0} %",
            bytes(free),
            bytes(total),
            DISK_FREE_MIN * 100.0
        );
        (Cause::DiskSpace, text)
    })
}

fn fsync(node: &Checked) -> Found {
    let took = judged(node.fsync).filter(|took| *took > FSYNC_P99_MAX)?;
    let text = format!(
        "is slow for its disk (fsync): fdatasync takes {}, more than {}",
        time(took),
        time(FSYNC_P99_MAX)
    );
    Some((Cause::Fsync, text))
}

fn apply(node: &Checked) -> Found {
    if let Some(took) = judged(node.apply).filter(|took| *took > APPLY_P99_MAX) {
        let text = format!(
            "is slow to apply: an entry takes {}, more than {}",
            time(took),
            time(APPLY_P99_MAX)
        );
        return Some((Cause::Apply, text));
    }
    let lag = node.apply_lag_entries.filter(|lag| *lag > APPLY_LAG_MAX)?;
    let text = format!("is behind in applying by {lag} entries, more than {APPLY_LAG_MAX}");
    Some((Cause::Apply, text))
}

fn network(node: &Checked) -> Found {
    if let Some(took) = judged(node.heartbeat).filter(|took| *took > HEARTBEAT_P99_MAX) {
        let text = format!(
            "is far from the leader (network): a heartbeat takes {}, more than {}",
            time(took),
            time(HEARTBEAT_P99_MAX)
        );
        return Some((Cause::Network, text));
    }
    let took = judged(node.append).filter(|took| *took > APPEND_P99_MAX)?;
    let text = format!(
        "gets entries slowly (network): an append takes {}, more than {}, while its fsync is not slow",
        time(took),
        time(APPEND_P99_MAX)
    );
    Some((Cause::Network, text))
}

fn judged(times: Option<Times>) -> Option<f64> {
    times?.judged_seconds()
}

/// Seconds, as people read them.
#[must_use]
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1_000_000.0),
        s if s < 1.0 => format!("{:.1} ms", s * 1000.0),
        s => format!("{s:.1} s"),
    }
}

/// Bytes, as people read them.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    match bytes {
        b if b < 1024.0 * 1024.0 => format!("{:.0} KiB", b / 1024.0),
        b if b < 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", b / 1024.0 / 1024.0),
        b => format!("{:.1} GiB", b / 1024.0 / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(p99_seconds: f64) -> Option<Times> {
        Some(Times {
            p50_seconds: 0.001,
            p99_seconds,
            count: 100.0,
            since_start: false,
        })
    }

    fn healthy() -> Checked {
        Checked {
            node: 3,
            name: "c".into(),
            http: "127.0.0.1:7074".into(),
            answers: true,
            fsync: times(0.004),
            apply: times(0.001),
            apply_lag_entries: Some(0.0),
            append: times(0.006),
            heartbeat: times(0.001),
            reached_by_leader: Some(true),
            disk_free_bytes: Some(5e9),
            disk_total_bytes: Some(1e10),
            ..Checked::default()
        }
    }

    fn found(change: impl FnOnce(&mut Checked)) -> Option<(Cause, String)> {
        let mut node = healthy();
        change(&mut node);
        findings(&[node]).pop().map(|finding| (finding.cause, finding.text))
    }

    #[test]
    fn each_cause_is_named_and_a_healthy_node_is_not() {
        assert_eq!(found(|_| {}), None);
        let (cause, text) = found(|node| node.fsync = times(0.123)).unwrap();
        assert_eq!(cause, Cause::Fsync);
        assert_eq!(
            text,
            "node c (3) is slow for its disk (fsync): fdatasync takes 123.0 ms, more than 50.0 ms"
        );
        let cause_of = |change: fn(&mut Checked)| found(change).unwrap().0;
        assert_eq!(cause_of(|node| node.apply_lag_entries = Some(5000.0)), Cause::Apply);
        assert_eq!(cause_of(|node| node.apply = times(0.2)), Cause::Apply);
        assert_eq!(cause_of(|node| node.heartbeat = times(0.2)), Cause::Network);
        assert_eq!(cause_of(|node| node.append = times(0.5)), Cause::Network);
        assert_eq!(
            cause_of(|node| node.reached_by_leader = Some(false)),
            Cause::Unreachable
        );
        assert_eq!(cause_of(|node| node.parked = Some("why".into())), Cause::Parked);
        assert_eq!(cause_of(|node| node.disk_free_bytes = Some(1e8)), Cause::DiskSpace);
    }

    #[test]
    fn the_cause_that_explains_the_others_is_the_one_named() {
        let slow_disk = found(|node| {
            node.fsync = times(0.2);
            node.append = times(0.5);
        });
        assert_eq!(
            slow_disk.unwrap().0,
            Cause::Fsync,
            "appends are slow because the disk is"
        );
        let gone = found(|node| {
            *node = Checked {
                node: 3,
                name: "c".into(),
                ..Checked::default()
            }
        });
        assert_eq!(gone.unwrap().0, Cause::Unreachable);
    }

    #[test]
    fn few_and_old_times_are_no_evidence() {
        let few = |node: &mut Checked| node.fsync = times(0.2).map(|times| Times { count: 5.0, ..times });
        assert_eq!(found(few), None, "one of five was slow");
        let old = |node: &mut Checked| {
            node.fsync = times(0.2).map(|times| Times {
                since_start: true,
                ..times
            });
        };
        assert_eq!(found(old), None, "nothing happened since");
        let slow = |node: &mut Checked| {
            node.fsync = times(0.2).map(|times| Times {
                p50_seconds: 0.1,
                count: 5.0,
                ..times
            });
        };
        assert_eq!(found(slow).unwrap().0, Cause::Fsync, "most of them were");
    }
}
