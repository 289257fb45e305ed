//! In which version a version's events are, and how whoever reads them in an earlier one gets that.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::manifest::Error;
use crate::{ApplicationVersion, Applications, Catalog, Manifest, Miscast, limits, record, transform};

/// The version of events of which nobody says it.
pub const EVENT_VERSION_FIRST: u16 = 1;

/// What a version says of the events that it emits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventContract {
    /// The version of their events, by stream; [`EVENT_VERSION_FIRST`] for one that is not named.
    pub versions: BTreeMap<String, u16>,
    /// Programs that bring events into versions of before.
    pub downcasts: Vec<Downcast>,
}
record!(EventContract { versions, downcasts });

/// Brings an event's value from one version into an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downcast {
    /// The stream.
    pub stream: String,
    /// The version that was emitted.
    pub from: u16,
    /// The version that comes out.
    pub to: u16,
    /// How, in jq.
    pub program: String,
}
record!(Downcast {
    stream,
    from,
    to,
    program
});

impl EventContract {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == EventContract::default()
    }

    /// The version in which events of a stream are emitted.
    #[must_use]
    pub fn version_of(&self, stream: &str) -> u16 {
        self.versions.get(stream).copied().unwrap_or(EVENT_VERSION_FIRST)
    }

    /// Every program, with what it does, for people.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (String, &str)> {
        self.downcasts
            .iter()
            .map(|cast| (cast.describe(), cast.program.as_str()))
    }

    /// The programs that bring an event, one after the other, down into a version; none where there is no such way.
    #[must_use]
    pub fn downcasts_of(&self, stream: &str, from: u16, to: u16) -> Option<Vec<&Downcast>> {
        let (mut path, mut at) = (Vec::new(), from);
        while at != to {
            let next = self
                .downcasts
                .iter()
                // One that does not go down is refused where it is planned, and must not be followed for ever before that.
                .find(|cast| cast.stream == stream && cast.from == at && cast.to < at && cast.to >= to)?;
            at = next.to;
            path.push(next);
        }
        Some(path)
    }

    /// Checks it in itself and against its version's manifest.
    ///
    /// # Errors
    /// The first thing that contradicts, with what to do.
    pub(crate) fn check(&self, manifest: &Manifest) -> Result<(), Error> {
        let count = self.versions.len().max(self.downcasts.len());
        if count > limits::MANIFEST_ITEMS_MAX {
            let most = limits::MANIFEST_ITEMS_MAX;
            return Err(Error(format!(
                "{count} versions of events or downcasts: {most} are the most"
            )));
        }
        for (stream, version) in &self.versions {
            if !manifest.streams.contains(stream) {
                return Err(Error(format!(
                    "the version of the events of {stream}: there is no such stream under `streams`"
                )));
            }
            if *version == 0 {
                return Err(Error(format!(
                    "version 0 of the events of {stream}: versions count from 1"
                )));
            }
        }
        self.downcasts
            .iter()
            .try_for_each(|cast| self.check_downcast(manifest, cast))
    }

    fn check_downcast(&self, manifest: &Manifest, cast: &Downcast) -> Result<(), Error> {
        let Downcast { stream, from, to, .. } = cast;
        let refuse = |why: String| Err(Error(format!("{}: {why}", cast.describe())));
        if !manifest.streams.contains(stream) {
            return refuse("there is no such stream under `streams`".to_owned());
        }
        if *to == 0 || to >= from {
            return refuse("a downcast goes from a version to an earlier one, counted from 1".to_owned());
        }
        let emitted = self.version_of(stream);
        if *from > emitted {
            return refuse(format!(
                "no event has that version: version {emitted} is emitted (`event_version` says which)"
            ));
        }
        let same = |other: &&Downcast| other.stream == *stream && other.from == *from;
        if self.downcasts.iter().filter(same).count() > 1 {
            return refuse("there is another one from that version".to_owned());
        }
        // Any two of one stream may follow one another.
        let of_stream = self.downcasts.iter().filter(|other| other.stream == *stream).count();
        if of_stream > limits::UPCASTS_MAX {
            return refuse(format!(
                "the stream has {of_stream} of them, which may come one after the other: {} are the most",
                limits::UPCASTS_MAX
            ));
        }
        Ok(())
    }
}

impl Downcast {
    fn describe(&self) -> String {
        let Downcast { stream, from, to, .. } = self;
        format!("the downcast of events of {stream} from version {from} to {to}")
    }
}

/// How an event that was emitted in one version comes into an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayDown<'c> {
    /// What runs the programs.
    transform: &'c ApplicationVersion,
    casts: Vec<&'c Downcast>,
}

impl WayDown<'_> {
    /// The value in the earlier version.
    ///
    /// # Errors
    /// See [`Miscast`].
    pub fn bring(&self, value: &[u8], applications: &mut dyn Applications) -> Result<Bytes, Miscast> {
        bring_down(self.transform, &self.casts, value, applications)
    }
}

/// Runs downcasts on a value, one after the other.
pub(crate) fn bring_down(
    transformer: &ApplicationVersion,
    casts: &[&Downcast],
    value: &[u8],
    applications: &mut dyn Applications,
) -> Result<Bytes, Miscast> {
    let mut value = Bytes::copy_from_slice(value);
    for cast in casts {
        value = transform(transformer, applications, &cast.program, &value).map_err(|error| match error {
            Miscast::Failed(why) => Miscast::Failed(format!("{}: {why}", cast.describe())),
            Miscast::Stop(stop) => Miscast::Stop(stop),
        })?;
    }
    Ok(value)
}

impl Catalog {
    /// The version in which events of a stream are emitted now, where its application is in service.
    #[must_use]
    pub fn event_version(&self, stream: &str) -> u16 {
        let application = application_of(stream);
        let contract = self
            .in_force(application)
            .and_then(|version| self.contract(application, version.manifest.version));
        contract.map_or(EVENT_VERSION_FIRST, |contract| contract.events.version_of(stream))
    }

    /// How events of a stream come from one version into an earlier one. As the version in force says, or else the newest
    /// that was ever in force and says it: it may have been taken back, and its events are there.
    #[must_use]
    pub fn way_down(&self, stream: &str, from: u16, to: u16) -> Option<WayDown<'_>> {
        let name = application_of(stream);
        let application = self.applications.get(name)?;
        let so_far = application.in_force_so_far().rev();
        self.in_force(name).into_iter().chain(so_far).find_map(|version| {
            let contract = self.contract(name, version.manifest.version)?;
            let casts = contract.events.downcasts_of(stream, from, to)?;
            let transform = self.transform_of(contract)?;
            (!casts.is_empty()).then_some(WayDown { transform, casts })
        })
    }

    /// The version of a stream's events that a consumer is pinned to.
    #[must_use]
    pub fn pin(&self, stream: &str, consumer: &str) -> Option<u16> {
        self.pins.get(stream)?.get(consumer).copied()
    }

    /// Pins a consumer, or lets it loose.
    pub(crate) fn set_pin(&mut self, stream: &str, consumer: &str, version: Option<u16>) {
        let Some(version) = version else {
            if let Some(of_stream) = self.pins.get_mut(stream) {
                of_stream.remove(consumer);
                if of_stream.is_empty() {
                    self.pins.remove(stream);
                }
            }
            return;
        };
        let of_stream = self.pins.entry(stream.to_owned()).or_default();
        of_stream.insert(consumer.to_owned(), version);
    }

    /// Consumers that a version of an application would not serve: stream, consumer, the version that it is pinned to.
    pub(crate) fn unserved<'c>(
        &'c self,
        manifest: &'c Manifest,
        events: &'c EventContract,
    ) -> impl Iterator<Item = (&'c str, &'c str, u16)> {
        let pins = manifest
            .streams
            .iter()
            .filter_map(|stream| self.pins.get_key_value(stream));
        pins.flat_map(move |(stream, consumers)| {
            let emitted = events.version_of(stream);
            let unserved = move |pin: u16| pin < emitted && events.downcasts_of(stream, emitted, pin).is_none();
            let consumers = consumers.iter().filter(move |(_, pin)| unserved(**pin));
            consumers.map(|(consumer, pin)| (stream.as_str(), consumer.as_str(), *pin))
        })
    }
}

/// The application whose stream it is.
fn application_of(stream: &str) -> &str {
    stream.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    const STREAM: &str = "ledger.transfers";

    fn manifest() -> Manifest {
        Manifest {
            application: "ledger".into(),
            version: Version(2),
            about: String::new(),
            commands: vec![],
            queries: vec![],
            tables: vec![],
            streams: vec![STREAM.into(), "ledger.late".into()],
        }
    }

    fn downcast(from: u16, to: u16) -> Downcast {
        Downcast {
            stream: STREAM.into(),
            from,
            to,
            program: format!(".version = {to}"),
        }
    }

    fn contract(version: u16, casts: &[(u16, u16)]) -> EventContract {
        EventContract {
            versions: [(STREAM.to_owned(), version)].into(),
            downcasts: casts.iter().map(|(from, to)| downcast(*from, *to)).collect(),
        }
    }

    #[test]
    fn programs_are_taken_one_after_the_other_down_to_the_version_asked_for() {
        let contract = contract(4, &[(4, 3), (3, 1)]);
        let path = |from, to| {
            let casts = contract.downcasts_of(STREAM, from, to)?;
            Some(casts.iter().map(|cast| cast.to).collect::<Vec<u16>>())
        };
        assert_eq!(path(4, 4), Some(vec![]));
        assert_eq!(path(4, 3), Some(vec![3]));
        assert_eq!(path(4, 1), Some(vec![3, 1]));
        assert_eq!(path(4, 2), None, "from 3 it goes past it");
        assert_eq!(path(2, 1), None);
        assert_eq!(path(3, 4), None, "there is no way up");
        assert_eq!(contract.downcasts_of("ledger.late", 4, 3), None);
        assert_eq!(
            (contract.version_of(STREAM), contract.version_of("ledger.late")),
            (4, 1)
        );
    }

    #[test]
    fn one_that_contradicts_its_manifest_is_refused_with_what_it_is() {
        let says = |contract: &EventContract, what: &str| {
            let said = contract.check(&manifest());
            assert!(
                said.as_ref().is_err_and(|said| said.0.contains(what)),
                "{what}: {said:?}"
            );
        };
        assert_eq!(contract(3, &[(3, 2), (2, 1)]).check(&manifest()), Ok(()));
        says(&contract(0, &[]), "count from 1");
        says(&contract(3, &[(3, 3)]), "to an earlier one");
        says(&contract(3, &[(3, 0)]), "to an earlier one");
        says(&contract(3, &[(4, 1)]), "no event has that version");
        says(&contract(3, &[(3, 1), (3, 2)]), "another one");
        let mut other = contract(3, &[(3, 1)]);
        other.downcasts[0].stream = "ledger.none".into();
        says(&other, "no such stream");
        other = contract(3, &[]);
        other.versions.insert("ledger.none".into(), 2);
        says(&other, "no such stream");
        let long: Vec<(u16, u16)> = (1..=1 + limits::UPCASTS_MAX as u16).map(|to| (to + 1, to)).collect();
        says(&contract(100, &long), "one after the other");
        let many = (0..=limits::MANIFEST_ITEMS_MAX).map(|number| (number.to_string(), 2));
        let many = EventContract {
            versions: many.collect(),
            downcasts: vec![],
        };
        says(&many, "are the most");
    }
}
