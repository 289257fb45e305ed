//! How one command came out under two versions: byte for byte, else as JSON, but for what is meant to be otherwise.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use machine::{Aspect, End, Expected, Failure, Outcome, Trial, limits};
use serde_json::Value;

/// Differences of one command that are told of.
const TOLD: usize = 4;
/// Bytes of a value that are shown.
const SHOWN_BYTES: usize = 80;

/// What came of it.
pub(super) enum Verdict {
    /// The same.
    Equal,
    /// Otherwise, and only as was expected.
    AsExpected,
    /// Otherwise, and how.
    Otherwise(String),
}

/// Whether two documents are the same: byte for byte, or as JSON.
#[must_use]
pub fn same_document(one: &[u8], other: &[u8]) -> bool {
    let parsed = |document: &[u8]| serde_json::from_slice::<Value>(document).ok();
    one == other || parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

/// Compares both ends of a command.
pub(super) fn compare(trial: &Trial<'_>, expected: &[Expected]) -> Verdict {
    let mut differences = Differences {
        expected,
        told: Vec::new(),
        more: 0,
        as_expected: 0,
    };
    let (real, new) = (&trial.real, &trial.new);
    let class = |end: &End| std::mem::discriminant(&end.outcome);
    if class(real) != class(new) {
        differences.add(
            Aspect::Reply,
            trial.command,
            "",
            "",
            (said(&real.outcome), said(&new.outcome)),
        );
    } else {
        differences.documents(
            Aspect::Reply,
            trial.command,
            "",
            answer(&real.outcome),
            answer(&new.outcome),
        );
        differences.events(real, new);
        differences.rows(real, new);
    }
    for lossy in &trial.lossy {
        let key = shown(&lossy.key);
        differences.documents(
            Aspect::WayBack,
            &lossy.table,
            &key,
            Some(&lossy.wrote),
            Some(&lossy.reads),
        );
    }
    match (differences.told.is_empty(), differences.as_expected) {
        (false, _) => Verdict::Otherwise(differences.text()),
        (true, 0) => Verdict::Equal,
        (true, _) => Verdict::AsExpected,
    }
}

struct Differences<'a> {
    expected: &'a [Expected],
    told: Vec<String>,
    more: usize,
    as_expected: usize,
}

impl Differences<'_> {
    /// Events stream by stream, in their order.
    fn events(&mut self, real: &End, new: &End) {
        let streams: BTreeSet<&String> = real
            .events
            .iter()
            .chain(&new.events)
            .map(|(stream, ..)| stream)
            .collect();
        for stream in streams {
            let of = |end: &'_ End| -> Vec<(Option<Bytes>, Bytes)> {
                let events = end.events.iter().filter(|(name, ..)| name == stream);
                events.map(|(_, key, value)| (key.clone(), value.clone())).collect()
            };
            let (old, new) = (of(real), of(new));
            if old.len() != new.len() {
                let count = |events: &[_]| format!("{} events", events.len());
                self.add(Aspect::Events, stream, "", "", (count(&old), count(&new)));
                continue;
            }
            for ((old_key, old), (new_key, new)) in old.iter().zip(&new) {
                if old_key != new_key {
                    let key = |key: &Option<Bytes>| format!("key {}", key.as_deref().map_or("none".into(), shown));
                    self.add(Aspect::Events, stream, "", "", (key(old_key), key(new_key)));
                }
                self.documents(Aspect::Events, stream, "", Some(old), Some(new));
            }
        }
    }

    fn rows(&mut self, real: &End, new: &End) {
        let places: BTreeSet<&(String, Bytes)> = real.rows.keys().chain(new.rows.keys()).collect();
        for place in places {
            let (table, key) = (&place.0, shown(&place.1));
            match (real.rows.get(place), new.rows.get(place)) {
                (Some(old), Some(new)) => self.documents(Aspect::Rows, table, &key, old.as_ref(), new.as_ref()),
                (old, new) => {
                    let what = |row: Option<&Option<Bytes>>| match row {
                        Some(row) => row.as_deref().map_or("removed".into(), shown),
                        None => "not written".into(),
                    };
                    self.add(Aspect::Rows, table, &key, "", (what(old), what(new)));
                }
            }
        }
    }

    /// Two documents, or what stands in place of one.
    fn documents(&mut self, aspect: Aspect, name: &str, key: &str, old: Option<&Bytes>, new: Option<&Bytes>) {
        if old == new {
            return;
        }
        let parsed = |document: Option<&Bytes>| serde_json::from_slice::<Value>(document?).ok();
        match (parsed(old), parsed(new)) {
            (Some(old), Some(new)) => self.values(aspect, name, key, &mut String::new(), (&old, &new)),
            _ => {
                let what = |document: Option<&Bytes>| document.map_or("none".into(), |document| shown(document));
                self.add(aspect, name, key, "", (what(old), what(new)));
            }
        }
    }

    fn values(&mut self, aspect: Aspect, name: &str, key: &str, pointer: &mut String, (old, new): (&Value, &Value)) {
        let end = pointer.len();
        match (old, new) {
            _ if old == new => {}
            (Value::Object(old), Value::Object(new)) => {
                let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for field in fields {
                    let _ = write!(pointer, "/{}", field.replace('~', "~0").replace('/', "~1"));
                    match (old.get(field), new.get(field)) {
                        (Some(old), Some(new)) => self.values(aspect, name, key, pointer, (old, new)),
                        (old, new) => {
                            let what = |value: Option<&Value>| value.map_or("none".into(), text);
                            self.add(aspect, name, key, pointer, (what(old), what(new)));
                        }
                    }
                    pointer.truncate(end);
                }
            }
            (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
                for (place, both) in old.iter().zip(new).enumerate() {
                    let _ = write!(pointer, "/{place}");
                    self.values(aspect, name, key, pointer, both);
                    pointer.truncate(end);
                }
            }
            _ => self.add(aspect, name, key, pointer, (text(old), text(new))),
        }
    }

    fn add(&mut self, aspect: Aspect, name: &str, key: &str, pointer: &str, (old, new): (String, String)) {
        let covers = |expected: &&Expected| {
            let rest = pointer.strip_prefix(expected.pointer.as_str());
            expected.aspect == aspect
                && expected.name == name
                && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.expected.iter().any(|expected| covers(&expected)) {
            self.as_expected += 1;
        } else if self.told.len() < TOLD {
            let row = if key.is_empty() {
                String::new()
            } else {
                format!(" {key}")
            };
            let place = format!("{}:{name}{pointer}", aspect.word());
            self.told.push(format!("{place}{row}: {old} → {new}"));
        } else {
            self.more += 1;
        }
    }

    fn text(self) -> String {
        let mut text = self.told.join("; ");
        if self.more > 0 {
            let _ = write!(text, "; and {} more", self.more);
        }
        clipped(&text, limits::SAMPLE_BYTES_MAX)
    }
}

/// What of an outcome is compared where both are of one class: how a version fails is its own affair.
fn answer(outcome: &Outcome) -> Option<&Bytes> {
    match outcome {
        Outcome::Applied(reply) | Outcome::Refused(reply) => Some(reply),
        Outcome::Failed(_) | Outcome::SessionExpired => None,
    }
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied(reply) => format!("applied {}", shown(reply)),
        Outcome::Refused(reply) => format!("refused {}", shown(reply)),
        Outcome::Failed(Failure { detail, .. }) => format!("failed ({detail})"),
        Outcome::SessionExpired => "session expired".into(),
    }
}

fn text(value: &Value) -> String {
    clipped(&value.to_string(), SHOWN_BYTES)
}

fn shown(bytes: &[u8]) -> String {
    clipped(&String::from_utf8_lossy(bytes), SHOWN_BYTES)
}

fn clipped(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use machine::{FailureCode, Index, Lossy};

    use super::*;

    fn applied(reply: &str) -> End {
        End {
            outcome: Outcome::Applied(Bytes::from(reply.to_owned())),
            events: Vec::new(),
            rows: BTreeMap::new(),
        }
    }

    fn bytes(text: &str) -> Bytes {
        Bytes::from(text.to_owned())
    }

    fn wrote(mut end: End, key: &str, document: Option<&str>) -> End {
        end.rows.insert(("accounts".into(), bytes(key)), document.map(bytes));
        end
    }

    fn emitted(mut end: End, key: Option<&str>, value: &str) -> End {
        end.events.push(("l.log".into(), key.map(bytes), bytes(value)));
        end
    }

    fn check(real: End, new: End, expected: &[&str]) -> String {
        check_trial(real, new, Vec::new(), expected)
    }

    fn check_trial(real: End, new: End, lossy: Vec<Lossy>, expected: &[&str]) -> String {
        let trial = Trial {
            change: machine::ChangeId(5),
            index: Index(1),
            place: 0,
            command: "put",
            real,
            new,
            lossy,
        };
        let expected: Vec<Expected> = expected.iter().map(|text| text.parse().unwrap()).collect();
        match compare(&trial, &expected) {
            Verdict::Equal => "equal".into(),
            Verdict::AsExpected => "as expected".into(),
            Verdict::Otherwise(what) => what,
        }
    }

    #[test]
    fn replies_are_compared_as_json() {
        let old = || applied(r#"{"a":1,"b":[1,2]}"#);
        assert_eq!(check(old(), applied(r#"{"b":[1,2], "a":1}"#), &[]), "equal");
        let new = || applied(r#"{"a":2,"b":[1,3],"c":null}"#);
        let all = "reply:put/a: 1 → 2; reply:put/b/1: 2 → 3; reply:put/c: none → null";
        assert_eq!(check(old(), new(), &[]), all);
        assert_eq!(
            check(old(), new(), &["reply:put/a", "reply:put/b"]),
            "reply:put/c: none → null"
        );
        assert_eq!(check(old(), new(), &["reply:put"]), "as expected");
        assert_eq!(check(old(), new(), &["reply:get", "rows:put", "reply:put/"]), all);
        assert_eq!(check(applied("x"), applied("y"), &[]), "reply:put: x → y");
        let many = |base: u32| applied(&serde_json::json!((base..base + 9).collect::<Vec<_>>()).to_string());
        assert!(check(many(0), many(9), &[]).ends_with("; and 5 more"));
        assert_eq!(
            check(applied(&"é".repeat(200)), applied(""), &[]).len(),
            "reply:put: ".len() + 79 + " → ".len()
        );
    }

    #[test]
    fn a_command_that_ends_in_another_way_is_one_difference() {
        let trapped = |detail: &str| End {
            outcome: Outcome::Failed(machine::Failure::new(FailureCode::Trapped, detail.to_owned())),
            ..applied("")
        };
        let new = wrote(trapped("it trapped"), "ada", Some("1"));
        assert_eq!(
            check(applied("1"), new, &[]),
            "reply:put: applied 1 → failed (it trapped)"
        );
        assert_eq!(check(trapped("one"), trapped("two"), &[]), "equal");
        assert_eq!(
            check(applied("1"), trapped("it trapped"), &["reply:put"]),
            "as expected"
        );
        assert!(check(applied("1"), trapped("it trapped"), &["reply:put/a"]).starts_with("reply:put: "));
    }

    #[test]
    fn rows_and_events_are_compared_each_under_its_name() {
        let old = || wrote(applied(""), "ada", Some(r#"{"balance":5}"#));
        let new = |document| wrote(applied(""), "ada", document);
        assert_eq!(
            check(old(), new(Some(r#"{"balance":6}"#)), &[]),
            "rows:accounts/balance ada: 5 → 6"
        );
        assert_eq!(
            check(old(), new(Some(r#"{"balance":6}"#)), &["rows:accounts/balance"]),
            "as expected"
        );
        assert_eq!(
            check(old(), new(None), &[]),
            r#"rows:accounts ada: {"balance":5} → none"#
        );
        assert_eq!(
            check(old(), applied(""), &[]),
            r#"rows:accounts ada: {"balance":5} → not written"#
        );
        let event = |key, value| emitted(applied(""), key, value);
        assert_eq!(check(event(None, "1"), event(None, "1"), &[]), "equal");
        assert_eq!(check(event(None, "1"), event(None, "2"), &[]), "events:l.log: 1 → 2");
        assert_eq!(
            check(event(None, "1"), event(Some("k"), "1"), &[]),
            "events:l.log: key none → key k"
        );
        assert_eq!(
            check(event(None, "1"), applied(""), &[]),
            "events:l.log: 1 events → 0 events"
        );
        assert_eq!(check(event(None, "1"), applied(""), &["events:l.log"]), "as expected");
    }

    #[test]
    fn a_document_that_is_another_one_after_the_way_back_is_a_difference() {
        let lossy = || {
            vec![Lossy {
                table: "accounts".into(),
                key: bytes("ada"),
                wrote: bytes(r#"{"limit":9,"name":"a"}"#),
                reads: bytes(r#"{"name":"a"}"#),
            }]
        };
        let seen = check_trial(applied(""), applied(""), lossy(), &[]);
        assert_eq!(seen, "way-back:accounts/limit ada: 9 → none");
        let seen = check_trial(applied(""), applied(""), lossy(), &["way-back:accounts/limit"]);
        assert_eq!(seen, "as expected");
    }
}
