//! What a version promises to those who do not change with it: it takes commands in versions of before, and gives events in
//! them.
//!
//! Between the versions lie programs. They are run by an application of their own, installed through the log like any
//! other, so that two binaries cannot disagree on what a program means, and metered like any other.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::apply::NoContext;
use crate::codec::Codec;
use crate::manifest::Error;
use crate::{
    ApplicationVersion, Applications, Call, CallOutcome, Catalog, DeclaredDifference, Digest, EventContract, Manifest,
    Misuse, Stop, Trap, Version, limits, record,
};

/// Name of the application that runs programs, and of the query by which it is asked.
pub const TRANSFORM: &str = "transform";

/// How [`TRANSFORM`]'s refusal of a program that cannot be compiled begins.
const BAD_PROGRAM: &str = r#"{"code":"bad_program""#;
/// What is said of a program whose nesting goes too deep, most often while it is compiled.
const TOO_DEEP: &str = "its calls went too deep";

/// What a version promises beside what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contract {
    /// The version of [`TRANSFORM`] that runs its programs: the one in force when it was planned.
    pub transform: Option<Version>,
    /// Programs that bring commands into versions that the version takes.
    pub upcasts: Vec<Upcast>,
    /// What it says of the events that it emits.
    pub events: EventContract,
    /// What payloads of its commands look like, for those who write clients.
    pub schemas: Vec<CommandSchema>,
    /// What is meant to come out otherwise than in the version before, where it is rehearsed.
    pub differences: Vec<DeclaredDifference>,
}

/// What one version of a command's payload looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSchema {
    /// The command.
    pub command: String,
    /// The version of its payload.
    pub version: u16,
    /// A JSON Schema.
    pub schema: String,
    /// Of that part of it that says which payloads are valid: what is only for people may change.
    pub constraints: Digest,
}
record!(CommandSchema {
    command,
    version,
    schema,
    constraints
});

/// The part of a [`Contract`] that was in the log first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CommandContract {
    transform: Option<Version>,
    upcasts: Vec<Upcast>,
}
record!(CommandContract { transform, upcasts });

/// Brings a command's payload from one version into a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcast {
    /// The command.
    pub command: String,
    /// The version that a client sends.
    pub from: u16,
    /// The version that comes out.
    pub to: u16,
    /// How, in jq.
    pub program: String,
}
record!(Upcast {
    command,
    from,
    to,
    program
});

impl Contract {
    /// Whether it promises nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Contract::default()
    }

    /// The part of it that lies in the log and among the rows by itself.
    pub(crate) fn of_commands(&self) -> CommandContract {
        CommandContract {
            transform: self.transform,
            upcasts: self.upcasts.clone(),
        }
    }

    /// Puts that part in.
    pub(crate) fn set_commands(&mut self, part: CommandContract) {
        let CommandContract { transform, upcasts } = part;
        self.transform = transform;
        self.upcasts = upcasts;
    }

    /// Whether commands or events go through programs of it.
    pub(crate) fn has_casts(&self) -> bool {
        !self.upcasts.is_empty() || !self.events.downcasts.is_empty()
    }

    /// Every program, with what it does, for people.
    pub fn programs(&self) -> impl Iterator<Item = (String, &str)> {
        let upcasts = self.upcasts.iter().map(|cast| {
            let Upcast {
                command,
                from,
                to,
                program,
            } = cast;
            (
                format!("the upcast of command {command} from version {from} to {to}"),
                program.as_str(),
            )
        });
        let conditions = self.differences.iter().filter_map(DeclaredDifference::program);
        upcasts.chain(self.events.programs()).chain(conditions)
    }

    /// The programs that bring a command of that version, one after the other, into one that the manifest takes; none
    /// where there is no such way.
    #[must_use]
    pub fn upcasts_of(&self, manifest: &Manifest, command: &str, version: u16) -> Option<Vec<&Upcast>> {
        let taken = &manifest.command(command)?.versions;
        let (mut path, mut at) = (Vec::new(), version);
        while !taken.contains(&at) {
            let next = self
                .upcasts
                .iter()
                // One that does not go up is refused where it is planned, and must not be followed for ever before that.
                .find(|cast| cast.command == command && cast.from == at && cast.to > at)?;
            at = next.to;
            path.push(next);
        }
        Some(path)
    }

    /// Checks the contract in itself and against its version's manifest, as every node does before it takes effect.
    ///
    /// # Errors
    /// The first thing that contradicts, with what to do.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Error> {
        let differences = match self.differences.is_empty() {
            // Not even the byte that says so: contracts of before are measured as they were.
            true => 0,
            false => self.differences.to_bytes().len(),
        };
        let bytes = self.of_commands().to_bytes().len()
            + self.events.to_bytes().len()
            + self.schemas.to_bytes().len()
            + differences;
        if bytes > limits::CONTRACT_BYTES_MAX {
            return Err(Error(format!(
                "its programs and schemas have {bytes} bytes: {} are the most",
                limits::CONTRACT_BYTES_MAX
            )));
        }
        let count = self.upcasts.len().max(self.schemas.len());
        if count > limits::MANIFEST_ITEMS_MAX {
            let most = limits::MANIFEST_ITEMS_MAX;
            return Err(Error(format!("{count} upcasts or schemas: {most} are the most")));
        }
        if let Some(declared) = self.differences.iter().find(|declared| declared.is_blank()) {
            let at = &declared.at;
            return Err(Error(format!(
                "the condition of the expected difference {at} is empty: leave out `when` to expect it always"
            )));
        }
        if let Some((what, _)) = self.programs().find(|(_, program)| program.trim().is_empty()) {
            return Err(Error(format!(
                "{what} has no program: give one in jq, `.` to leave all as it is"
            )));
        }
        self.upcasts
            .iter()
            .try_for_each(|cast| self.check_upcast(manifest, cast))?;
        self.schemas
            .iter()
            .try_for_each(|schema| self.check_schema(manifest, schema))?;
        self.check_differences()?;
        self.events.check(manifest)
    }

    /// The schema of a version of a command's payload, where one is given.
    #[must_use]
    pub fn schema(&self, command: &str, version: u16) -> Option<&CommandSchema> {
        let mut schemas = self.schemas.iter();
        schemas.find(|schema| schema.command == command && schema.version == version)
    }

    fn check_schema(&self, manifest: &Manifest, schema: &CommandSchema) -> Result<(), Error> {
        let CommandSchema { command, version, .. } = schema;
        let refuse = |why: &str| {
            Err(Error(format!(
                "the schema of version {version} of command {command}: {why}"
            )))
        };
        if self.upcasts_of(manifest, command, *version).is_none() {
            return refuse("nobody takes that version, neither as it is nor through programs");
        }
        match self
            .schemas
            .iter()
            .filter(|other| other.command == *command && other.version == *version)
            .count()
        {
            1 => Ok(()),
            _ => refuse("there is another one of that version"),
        }
    }

    fn check_differences(&self) -> Result<(), Error> {
        let (count, most) = (self.differences.len(), limits::EXPECTED_MAX);
        if count > most {
            return Err(Error(format!("{count} expected differences: {most} are the most")));
        }
        match self.differences.iter().find(|declared| !declared.at.is_sound()) {
            Some(declared) => Err(Error(format!("{} names no difference", declared.at))),
            None => Ok(()),
        }
    }

    fn check_upcast(&self, manifest: &Manifest, cast: &Upcast) -> Result<(), Error> {
        let Upcast { command, from, to, .. } = cast;
        let refuse = |why: String| {
            Err(Error(format!(
                "the upcast of command {command} from version {from} to {to}: {why}"
            )))
        };
        let Some(spec) = manifest.command(command) else {
            return refuse("there is no such command under `commands`".to_owned());
        };
        if *from == 0 || to <= from {
            return refuse("an upcast goes from a version, counted from 1, to a later one".to_owned());
        }
        if spec.versions.contains(from) {
            return refuse(format!("version {from} is taken as it is: leave out one of the two"));
        }
        let same = |other: &&Upcast| other.command == *command && other.from == *from;
        if self.upcasts.iter().filter(same).count() > 1 {
            return refuse("there is another one from that version".to_owned());
        }
        match self.upcasts_of(manifest, command, *from) {
            Some(path) if path.len() > limits::UPCASTS_MAX => refuse(format!(
                "it takes {} programs, one after the other: {} are the most",
                path.len(),
                limits::UPCASTS_MAX
            )),
            Some(_) => Ok(()),
            None => refuse(format!(
                "it ends at a version that is not taken: {:?} are",
                spec.versions
            )),
        }
    }
}

/// A program was run, and gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miscast {
    /// It failed on the document, the same on every node; for people.
    Failed(String),
    /// It could not be run, for reasons of this node alone.
    Stop(Stop),
}

/// Runs one program on one document.
///
/// # Errors
/// See [`Miscast`].
pub fn transform(
    version: &ApplicationVersion,
    applications: &mut dyn Applications,
    program: &str,
    document: &[u8],
) -> Result<Bytes, Miscast> {
    let payload = question(program, document);
    let call = Call::Query {
        query: TRANSFORM,
        payload: &payload,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match applications.call(&version.manifest, &version.code, call, &mut NoContext) {
        Ok(CallOutcome::Done(document)) if document.len() <= limits::COMMAND_BYTES_MAX => Ok(document),
        Ok(CallOutcome::Done(document)) => Err(Miscast::Failed(format!(
            "it makes {} bytes: {} are the most",
            document.len(),
            limits::COMMAND_BYTES_MAX
        ))),
        Ok(CallOutcome::Refused(why)) => Err(Miscast::Failed(text(&why))),
        Ok(CallOutcome::Trapped(Trap::State(error) | Trap::Misuse(Misuse::State(error)))) => {
            Err(Miscast::Stop(error.into()))
        }
        Ok(CallOutcome::Trapped(trap)) => Err(Miscast::Failed(
            match trap {
                Trap::Fuel => "it used up its fuel: it loops, or the document is too large for it",
                Trap::Depth => TOO_DEEP,
                Trap::Guest | Trap::Misuse(_) | Trap::State(_) => "it trapped: it used up its memory, most likely",
            }
            .to_owned(),
        )),
        Err(error) => Err(Miscast::Stop(error.into())),
    }
}

/// Whether a program can be compiled: it is run on a document that it is not for, and that it then fails on says nothing.
///
/// # Errors
/// See [`Miscast`].
pub fn compiles(
    version: &ApplicationVersion,
    applications: &mut dyn Applications,
    program: &str,
) -> Result<(), Miscast> {
    let mut tried = transform(version, applications, program, b"{}");
    if matches!(&tried, Err(Miscast::Failed(why)) if why == TOO_DEEP) {
        // It may go deep on a document that it is not for, and must not where it is compiled only.
        applications.end_entry();
        tried = transform(version, applications, &format!("empty | ({program}\n)"), b"{}");
    }
    match tried {
        Err(Miscast::Failed(why)) if why != TOO_DEEP && !why.starts_with(BAD_PROGRAM) => Ok(()),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the query of [`TRANSFORM`] takes: the program's length as four bytes, least first, the program, the document.
fn question(program: &str, document: &[u8]) -> Vec<u8> {
    // Bounded where it was planned.
    let length = u32::try_from(program.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&length, program.as_bytes(), document].concat()
}

impl Catalog {
    /// What a version of an application promises, if it does.
    #[must_use]
    pub fn contract(&self, application: &str, version: Version) -> Option<&Contract> {
        self.contracts.get(application)?.get(&version)
    }

    /// An application that has programs for [`TRANSFORM`] to run, if there is one.
    #[must_use]
    pub fn needs_transform(&self) -> Option<&str> {
        let mut contracts = self.contracts.iter();
        let needs =
            |versions: &BTreeMap<Version, Contract>| versions.values().any(|contract| contract.transform.is_some());
        contracts
            .find(|(_, versions)| needs(versions))
            .map(|(name, _)| name.as_str())
    }

    /// The version of [`TRANSFORM`] that runs a contract's programs.
    #[must_use]
    pub fn transform_of(&self, contract: &Contract) -> Option<&ApplicationVersion> {
        self.applications.get(TRANSFORM)?.versions.get(&contract.transform?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expected;
    use crate::manifest::CommandSpec;

    fn manifest(versions: &[u16]) -> Manifest {
        Manifest {
            application: "ledger".into(),
            version: Version(2),
            about: String::new(),
            commands: vec![CommandSpec {
                name: "transfer".into(),
                versions: versions.to_vec(),
            }],
            queries: vec![],
            tables: vec![],
            streams: vec![],
        }
    }

    fn contract(casts: &[(u16, u16)]) -> Contract {
        let upcast = |(from, to): &(u16, u16)| Upcast {
            command: "transfer".into(),
            from: *from,
            to: *to,
            program: format!(".version = {to}"),
        };
        Contract {
            upcasts: casts.iter().map(upcast).collect(),
            ..Contract::default()
        }
    }

    fn path(casts: &[(u16, u16)], version: u16) -> Option<Vec<u16>> {
        let contract = contract(casts);
        let path = contract.upcasts_of(&manifest(&[4]), "transfer", version)?;
        Some(path.iter().map(|cast| cast.to).collect())
    }

    #[test]
    fn declared_differences_are_counted_and_each_is_one() {
        let with = |count: usize, at: &Expected, when: &str| {
            let declared = DeclaredDifference {
                at: at.clone(),
                when: when.to_owned(),
            };
            Contract {
                differences: vec![declared; count],
                ..Contract::default()
            }
        };
        let check = |contract: Contract| contract.check(&manifest(&[1])).map_err(|error| error.0);
        let at: Expected = "reply:transfer/fee".parse().unwrap();
        assert_eq!(check(with(limits::EXPECTED_MAX, &at, ".new == 1")), Ok(()));
        let many = check(with(limits::EXPECTED_MAX + 1, &at, ""));
        assert!(many.is_err_and(|why| why.contains("are the most")));
        let unfit = Expected {
            name: String::new(),
            ..at.clone()
        };
        assert!(check(with(1, &unfit, "")).is_err_and(|why| why.contains("names no difference")));
        // Only a condition is a program, and needs what runs programs.
        let count = |when| with(1, &at, when).programs().count();
        assert_eq!((count(""), count("true")), (0, 1));
    }

    #[test]
    fn programs_are_taken_one_after_the_other_up_to_a_version_that_is_taken() {
        let casts = [(1, 2), (2, 4), (3, 4)];
        assert_eq!(path(&casts, 4), Some(vec![]));
        assert_eq!(path(&casts, 3), Some(vec![4]));
        assert_eq!(path(&casts, 1), Some(vec![2, 4]));
        assert_eq!(path(&casts, 5), None);
        assert_eq!(path(&[(1, 2)], 1), None);
        // Not checked yet, they must not be followed for ever.
        assert_eq!(path(&[(1, 2), (2, 1)], 1), None);
        assert_eq!(path(&[(1, 1)], 1), None);
        assert_eq!(contract(&casts).upcasts_of(&manifest(&[4]), "open", 1), None);
    }

    #[test]
    fn a_contract_that_contradicts_its_manifest_is_refused_with_what_it_is() {
        let refusal = |casts: &[(u16, u16)]| contract(casts).check(&manifest(&[2, 4])).err().map(|error| error.0);
        let says = |casts: &[(u16, u16)], what: &str| {
            let said = refusal(casts);
            assert!(
                said.as_ref().is_some_and(|said| said.contains(what)),
                "{casts:?}: {said:?}"
            );
        };
        assert_eq!(refusal(&[(1, 2), (3, 4)]), None);
        says(&[(2, 4)], "taken as it is");
        says(&[(1, 1)], "to a later one");
        says(&[(0, 2)], "to a later one");
        says(&[(1, 3)], "not taken");
        says(&[(1, 2), (1, 4)], "another one");
        says(&[(3, 4), (5, 2)], "to a later one");
        let mut other = contract(&[(1, 2)]);
        other.upcasts[0].command = "open".into();
        assert!(
            other
                .check(&manifest(&[2]))
                .is_err_and(|error| error.0.contains("no such command"))
        );
        other = contract(&[(1, 2)]);
        other.upcasts[0].program = " ".into();
        assert!(
            other
                .check(&manifest(&[2]))
                .is_err_and(|error| error.0.contains("no program"))
        );
        other.upcasts[0].program = "x".repeat(limits::CONTRACT_BYTES_MAX);
        assert!(
            other
                .check(&manifest(&[2]))
                .is_err_and(|error| error.0.contains("are the most"))
        );
        let schema = |version| CommandSchema {
            command: "transfer".into(),
            version,
            schema: "{}".into(),
            constraints: Digest::of(b"{}"),
        };
        let with = |versions: &[u16]| {
            let schemas = versions.iter().map(|version| schema(*version)).collect();
            let contract = Contract {
                schemas,
                ..contract(&[(1, 2)])
            };
            contract.check(&manifest(&[2])).map_err(|error| error.0)
        };
        assert_eq!(with(&[1, 2]), Ok(()));
        assert!(with(&[3]).is_err_and(|why| why.contains("nobody takes")));
        assert!(with(&[2, 2]).is_err_and(|why| why.contains("another one")));
        assert!(with(&[2; limits::MANIFEST_ITEMS_MAX + 1]).is_err_and(|why| why.contains("are the most")));
        let many: Vec<(u16, u16)> = (10..=10 + limits::MANIFEST_ITEMS_MAX as u16)
            .map(|from| (from, from + 1))
            .collect();
        says(&many, "are the most");
        let long: Vec<(u16, u16)> = (10..=10 + limits::UPCASTS_MAX as u16)
            .map(|from| (from, from + 1))
            .collect();
        let taken = manifest(&[11 + limits::UPCASTS_MAX as u16]);
        assert!(
            contract(&long)
                .check(&taken)
                .is_err_and(|error| error.0.contains("one after the other"))
        );
    }
}
