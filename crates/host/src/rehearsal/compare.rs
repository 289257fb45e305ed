//! How one command came out under two versions: byte for byte, else as JSON, but for what is meant to be otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use machine::{Aspect, End, Expected, Failure, Outcome, Trial, limits};
use serde_json::{Map, Value};

/// Differences of one command that are told of.
const TOLD: usize = 4;
/// Bytes that are shown of why a condition could not say.
const UNJUDGED_BYTES: usize = 400;
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

/// Says whether a condition holds for what it is given; else why it cannot say so.
pub(super) type Judge<'j> = dyn FnMut(&str, &Value) -> Result<bool, String> + 'j;

/// Compares both ends of a command.
pub(super) fn compare(trial: &Trial<'_>, expected: &[Expected], judge: &mut Judge<'_>) -> Verdict {
    let mut differences = Differences {
        trial,
        expected,
        judge,
        unjudged: None,
        told: Vec::new(),
        more: 0,
        as_expected: 0,
    };
    let (real, new) = (&trial.real, &trial.new);
    let class = |end: &End| std::mem::discriminant(&end.outcome);
    if class(real) != class(new) {
        let mut site = Site::of(Aspect::Reply, trial.command, "");
        let both = (said(&real.outcome), said(&new.outcome));
        if super::failed(new) {
            // Nobody can mean that: it would take the version back at once.
            differences.tell(&site, "", both);
        } else {
            site.both = (outcome_value(&real.outcome), outcome_value(&new.outcome));
            differences.add(&mut site, "", both);
        }
    } else {
        let site = Site::of(Aspect::Reply, trial.command, "");
        differences.documents(site, answer(&real.outcome), answer(&new.outcome));
        differences.events(real, new);
        differences.rows(real, new);
    }
    for lossy in &trial.lossy {
        let key = whole(&lossy.key);
        let site = Site::of(Aspect::WayBack, &lossy.table, &key);
        differences.documents(site, Some(&lossy.wrote), Some(&lossy.reads));
    }
    match (differences.told.is_empty(), differences.as_expected) {
        (false, _) => Verdict::Otherwise(differences.text()),
        (true, 0) => Verdict::Equal,
        (true, _) => Verdict::AsExpected,
    }
}

struct Differences<'a, 'j> {
    trial: &'a Trial<'a>,
    expected: &'a [Expected],
    judge: &'a mut Judge<'j>,
    /// Why the first condition that could not say could not.
    unjudged: Option<String>,
    told: Vec<String>,
    more: usize,
    as_expected: usize,
}

/// Where two versions are compared.
struct Site<'s> {
    aspect: Aspect,
    name: &'s str,
    key: &'s str,
    /// What lies there, as conditions see it; none: nothing.
    both: (Option<Value>, Option<Value>),
    /// What each of the declared differences whose condition was asked here comes to, by its place.
    judged: BTreeMap<usize, bool>,
}

impl<'s> Site<'s> {
    fn of(aspect: Aspect, name: &'s str, key: &'s str) -> Site<'s> {
        Site {
            aspect,
            name,
            key,
            both: (None, None),
            judged: BTreeMap::new(),
        }
    }

    /// Whether that covers what lies at the pointer here.
    fn is_of(&self, expected: &Expected, pointer: &str) -> bool {
        let rest = pointer.strip_prefix(expected.pointer.as_str());
        expected.aspect == self.aspect
            && expected.name == self.name
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What a condition is given that is declared for the pointer: nothing stands for what is not there.
    fn question(&self, command: &str, pointer: &str) -> Value {
        let mut question = Map::new();
        question.insert("command".into(), command.into());
        if !self.key.is_empty() {
            question.insert("key".into(), self.key.into());
        }
        let (old, new) = &self.both;
        for (name, value) in [("old", old), ("new", new)] {
            if let Some(value) = value.as_ref().and_then(|value| value.pointer(pointer)) {
                question.insert(name.into(), value.clone());
            }
        }
        Value::Object(question)
    }
}

impl Differences<'_, '_> {
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
                let all = |events: &[(_, Bytes)]| Some(events.iter().map(|(_, value)| value_of(value)).collect());
                let mut site = Site::of(Aspect::Events, stream, "");
                site.both = (all(&old), all(&new));
                self.add(&mut site, "", (count(&old), count(&new)));
                continue;
            }
            for ((old_key, old), (new_key, new)) in old.iter().zip(&new) {
                if old_key != new_key {
                    let key = |key: &Option<Bytes>| format!("key {}", key.as_deref().map_or("none".into(), shown));
                    let keyed = |key: &Option<Bytes>| Some(serde_json::json!({"key": key.as_deref().map(whole)}));
                    let mut site = Site::of(Aspect::Events, stream, "");
                    site.both = (keyed(old_key), keyed(new_key));
                    self.add(&mut site, "", (key(old_key), key(new_key)));
                }
                self.documents(Site::of(Aspect::Events, stream, ""), Some(old), Some(new));
            }
        }
    }

    fn rows(&mut self, real: &End, new: &End) {
        let places: BTreeSet<&(String, Bytes)> = real.rows.keys().chain(new.rows.keys()).collect();
        for place in places {
            let (table, key) = (&place.0, whole(&place.1));
            match (real.rows.get(place), new.rows.get(place)) {
                (Some(old), Some(new)) => {
                    self.documents(Site::of(Aspect::Rows, table, &key), old.as_ref(), new.as_ref());
                }
                (old, new) => {
                    let what = |row: Option<&Option<Bytes>>| match row {
                        Some(row) => row.as_deref().map_or("removed".into(), shown),
                        None => "not written".into(),
                    };
                    let value = |row: Option<&Option<Bytes>>| row?.as_deref().map(value_of);
                    let mut site = Site::of(Aspect::Rows, table, &key);
                    site.both = (value(old), value(new));
                    self.add(&mut site, "", (what(old), what(new)));
                }
            }
        }
    }

    /// Two documents, or what stands in place of one.
    fn documents(&mut self, mut site: Site<'_>, old: Option<&Bytes>, new: Option<&Bytes>) {
        if old == new {
            return;
        }
        let parsed = |document: Option<&Bytes>| serde_json::from_slice::<Value>(document?).ok();
        if let (Some(old), Some(new)) = (parsed(old), parsed(new)) {
            site.both = (Some(old.clone()), Some(new.clone()));
            self.values(&mut site, &mut String::new(), (&old, &new));
        } else {
            let what = |document: Option<&Bytes>| document.map_or("none".into(), |document| shown(document));
            let value = |document: Option<&Bytes>| document.map(|document| value_of(document));
            site.both = (value(old), value(new));
            self.add(&mut site, "", (what(old), what(new)));
        }
    }

    fn values(&mut self, site: &mut Site<'_>, pointer: &mut String, (old, new): (&Value, &Value)) {
        let end = pointer.len();
        match (old, new) {
            _ if old == new => {}
            (Value::Object(old), Value::Object(new)) => {
                let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for field in fields {
                    let _ = write!(pointer, "/{}", field.replace('~', "~0").replace('/', "~1"));
                    match (old.get(field), new.get(field)) {
                        (Some(old), Some(new)) => self.values(site, pointer, (old, new)),
                        (old, new) => {
                            let what = |value: Option<&Value>| value.map_or("none".into(), text);
                            self.add(site, pointer, (what(old), what(new)));
                        }
                    }
                    pointer.truncate(end);
                }
            }
            (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
                for (place, both) in old.iter().zip(new).enumerate() {
                    let _ = write!(pointer, "/{place}");
                    self.values(site, pointer, both);
                    pointer.truncate(end);
                }
            }
            _ => self.add(site, pointer, (text(old), text(new))),
        }
    }

    fn add(&mut self, site: &mut Site<'_>, pointer: &str, both: (String, String)) {
        if self.is_expected(site, pointer) {
            self.as_expected += 1;
        } else {
            self.tell(site, pointer, both);
        }
    }

    fn tell(&mut self, site: &Site<'_>, pointer: &str, (old, new): (String, String)) {
        if self.told.len() < TOLD {
            let row = match site.key {
                "" => String::new(),
                key => format!(" {}", clipped(key, SHOWN_BYTES)),
            };
            let place = format!("{}:{}{pointer}", site.aspect.word(), site.name);
            self.told.push(format!("{place}{row}: {old} → {new}"));
        } else {
            self.more += 1;
        }
    }

    /// Whether the difference at the pointer was named with the plan, or is declared by the version under a condition that
    /// holds. The condition is asked once for what lies at its own pointer, whatever differs below.
    fn is_expected(&mut self, site: &mut Site<'_>, pointer: &str) -> bool {
        if self.expected.iter().any(|expected| site.is_of(expected, pointer)) {
            return true;
        }
        for (place, declared) in self.trial.declared.iter().enumerate() {
            if !site.is_of(&declared.at, pointer) {
                continue;
            }
            let known = site.judged.get(&place).copied();
            let holds = declared.when.is_empty()
                || known.unwrap_or_else(|| {
                    if self.unjudged.is_some() {
                        // One that fails is to be mended: the others are not asked any more.
                        return false;
                    }
                    let question = site.question(self.trial.command, &declared.at.pointer);
                    (self.judge)(&declared.when, &question).unwrap_or_else(|why| {
                        let at = &declared.at;
                        self.unjudged = Some(format!("the condition of the expected difference {at}: {why}"));
                        false
                    })
                });
            site.judged.insert(place, holds);
            if holds {
                return true;
            }
        }
        false
    }

    fn text(self) -> String {
        let reason = self.unjudged.iter().map(|why| clipped(why, UNJUDGED_BYTES));
        let mut text = reason.chain(self.told).collect::<Vec<_>>().join("; ");
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

/// How a command ended, as conditions see it where the two versions do not even agree on that.
fn outcome_value(outcome: &Outcome) -> Option<Value> {
    let (how, what) = match outcome {
        Outcome::Applied(reply) => ("applied", value_of(reply)),
        Outcome::Refused(reply) => ("refused", value_of(reply)),
        Outcome::Failed(Failure { detail, .. }) => ("failed", detail.as_str().into()),
        Outcome::SessionExpired => ("failed", "session expired".into()),
    };
    Some(Value::Object(Map::from_iter([(how.to_owned(), what)])))
}

/// A document as JSON; as a text, where it is none.
fn value_of(document: &[u8]) -> Value {
    serde_json::from_slice(document).unwrap_or_else(|_| whole(document).into())
}

fn whole(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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

pub(super) fn shown(bytes: &[u8]) -> String {
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
            declared: &[],
            transform: None,
        };
        let expected: Vec<Expected> = expected.iter().map(|text| text.parse().unwrap()).collect();
        match compare(&trial, &expected, &mut |_, _| Ok(false)) {
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
        for expected in ["reply:put", "reply:put/a"] {
            assert_eq!(
                check(applied("1"), trapped("it trapped"), &[expected]),
                "reply:put: applied 1 → failed (it trapped)",
                "nobody means a trap"
            );
        }
        assert_eq!(
            check(trapped("it trapped"), applied("1"), &["reply:put"]),
            "as expected",
            "it is mended"
        );
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
