//! Which commands clients send, in which version of their payload: how often, and when last. What a version may drop can be
//! seen from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::Codec;
use crate::machine::{SYSTEM_TABLE, USAGE_PREFIX};
use crate::{StateError, StateRead, TimeMs, record};

/// How often commands of one name and payload version were run, and when last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The application.
    pub application: String,
    /// The command.
    pub command: String,
    /// The version of its payload.
    pub version: u16,
    /// How many were run, refused and failed ones too, and repeats of one that was run not again.
    pub count: u64,
    /// Log time of the last.
    pub last: TimeMs,
}
record!(Usage {
    application,
    command,
    version,
    count,
    last
});

impl Usage {
    fn is(&self, application: &str, command: &str, version: u16) -> bool {
        self.version == version && self.command == command && self.application == application
    }

    fn key(&self) -> Vec<u8> {
        let Usage {
            application,
            command,
            version,
            ..
        } = self;
        // No name holds a slash.
        [USAGE_PREFIX, format!("{application}/{command}/{version}").as_bytes()].concat()
    }
}

/// Most commands are of one of the last few kinds; so many are looked through before the map is.
const RECENT: usize = 8;

/// The counts with what has changed since they were last saved.
#[derive(Debug, Default)]
pub(crate) struct KeptUsage {
    kept: BTreeMap<Vec<u8>, Usage>,
    /// Counted since they were last added to `kept`; each with what was counted since then alone.
    recent: Vec<Usage>,
    /// Where in `recent` the last one was found.
    at: usize,
    dirty: BTreeSet<Vec<u8>>,
}

impl KeptUsage {
    pub(crate) fn load(rows: &dyn StateRead) -> Result<KeptUsage, StateError> {
        let mut usage = KeptUsage::default();
        let mut failed = None;
        rows.scan(SYSTEM_TABLE, USAGE_PREFIX, None, false, &mut |key, row| {
            if !key.starts_with(USAGE_PREFIX) {
                return false;
            }
            match Usage::from_bytes(&row.document) {
                Ok(one) => drop(usage.kept.insert(key.to_vec(), one)),
                Err(error) => failed = Some(StateError(format!("a count of commands cannot be read: {error}"))),
            }
            failed.is_none()
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(usage),
        }
    }

    /// Counts a command that a version in force takes, so that there are never more kinds than manifests name.
    pub(crate) fn count(&mut self, application: &str, command: &str, version: u16, now: TimeMs) {
        let found = self
            .recent
            .get(self.at)
            .is_some_and(|last| last.is(application, command, version));
        if !found {
            let place = self.recent.iter().position(|one| one.is(application, command, version));
            self.at = place.unwrap_or_else(|| {
                if self.recent.len() == RECENT {
                    self.settle();
                }
                self.recent.push(Usage {
                    application: application.to_owned(),
                    command: command.to_owned(),
                    version,
                    count: 0,
                    last: now,
                });
                self.recent.len() - 1
            });
        }
        if let Some(one) = self.recent.get_mut(self.at) {
            one.count += 1;
            one.last = now;
        }
    }

    /// Adds what was counted of late to what is kept.
    fn settle(&mut self) {
        for one in self.recent.drain(..) {
            let key = one.key();
            self.dirty.insert(key.clone());
            match self.kept.get_mut(&key) {
                Some(kept) => add(kept, &one),
                None => drop(self.kept.insert(key, one)),
            }
        }
        self.at = 0;
    }

    /// What an application's clients have sent, by command and version.
    pub(crate) fn of(&self, application: &str) -> Vec<Usage> {
        let mut all = self.kept.clone();
        all.retain(|_, one| one.application == application);
        for one in self.recent.iter().filter(|one| one.application == application) {
            match all.get_mut(&one.key()) {
                Some(kept) => add(kept, one),
                None => drop(all.insert(one.key(), one.clone())),
            }
        }
        all.into_values().collect()
    }

    /// Forgets what was sent to an application.
    pub(crate) fn forget(&mut self, application: &str) {
        self.settle();
        let keys: Vec<_> = self
            .kept
            .iter()
            .filter(|(_, one)| one.application == application)
            .collect();
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.kept.remove(&key);
            self.dirty.insert(key);
        }
    }

    /// The rows that have changed since they were last taken, by key: none for those that are gone.
    pub(crate) fn take_dirty(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.settle();
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        dirty
            .map(|key| {
                let row = self.kept.get(&key).map(Codec::to_bytes);
                (key, row)
            })
            .collect()
    }
}

fn add(kept: &mut Usage, more: &Usage) {
    kept.count = kept.count.saturating_add(more.count);
    kept.last = kept.last.max(more.last);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(usage: &KeptUsage, application: &str) -> Vec<String> {
        let all = usage.of(application).into_iter();
        all.map(|one| format!("{}@{} {} last {}", one.command, one.version, one.count, one.last.0))
            .collect()
    }

    #[test]
    fn each_command_and_version_is_counted_by_itself_however_many_there_are() {
        let mut usage = KeptUsage::default();
        for round in 0..3 {
            for number in 0..RECENT as u16 + 3 {
                usage.count("notes", "put", number, TimeMs(round * 100 + u64::from(number)));
            }
        }
        usage.count("notes", "drop", 1, TimeMs(5));
        usage.count("note", "put", 1, TimeMs(6));
        assert_eq!(shown(&usage, "note"), ["put@1 1 last 6"]);
        let all = shown(&usage, "notes");
        assert_eq!(all.len(), RECENT + 4);
        assert_eq!(all[0], "drop@1 1 last 5");
        assert!(all.contains(&"put@7 3 last 207".to_owned()), "{all:?}");
        // What is saved is what is shown, and is taken once.
        assert_eq!(usage.take_dirty().len(), RECENT + 5);
        assert_eq!(shown(&usage, "notes"), all);
        assert!(usage.take_dirty().is_empty());
        usage.count("notes", "put", 7, TimeMs(900));
        assert!(shown(&usage, "notes").contains(&"put@7 4 last 900".to_owned()));
        assert_eq!(usage.take_dirty().len(), 1);
        usage.forget("notes");
        assert!(shown(&usage, "notes").is_empty());
        let gone = usage.take_dirty();
        assert!(gone.len() == RECENT + 4 && gone.iter().all(|(_, row)| row.is_none()));
        assert_eq!(shown(&usage, "note").len(), 1);
    }
}
