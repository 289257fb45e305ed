//! Applications that are linked into the binary.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use bytes::Bytes;
use machine::{Call, CallOutcome, Context, Digest, Misuse, Trap, Version};

use crate::reply;

/// One version of an application that is linked into the binary.
///
/// It must be as deterministic as a module, and nothing checks that for it: the same command over the same tables gives
/// the same bytes on every machine, with no clock, chance, file or network, no order of a hash map and no state of its
/// own between calls. A panic is a trap, as in a module (the panic hook still reports it on the node's standard error);
/// an abort, a native stack overflow or an endless loop is the end of the node.
#[derive(Clone)]
pub struct NativeApplication {
    name: String,
    version: Version,
    code: Arc<dyn sdk::Application>,
    guarded: bool,
}

impl NativeApplication {
    /// The code of that version of that application.
    #[must_use]
    pub fn new(name: impl Into<String>, version: Version, code: impl sdk::Application + 'static) -> Self {
        NativeApplication {
            name: name.into(),
            version,
            code: Arc::new(code),
            guarded: true,
        }
    }

    /// An application `poison` of which every command fails as if the program around it did: for tests of what a node does
    /// then.
    #[doc(hidden)]
    #[must_use]
    pub fn poison() -> Self {
        NativeApplication::new("poison", Version(1), Poison).unguarded()
    }

    /// Lets panics of the code through, as if they were faults of the program around it: for tests of what a node does then.
    #[doc(hidden)]
    #[must_use]
    pub fn unguarded(mut self) -> Self {
        self.guarded = false;
        self
    }

    /// The application's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What nodes compare with each other in place of a module's digest: SHA-256 of `native`, the name, and the version
    /// as four bytes, least first.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let parts = [b"native", self.name.as_bytes(), &self.version.0.to_le_bytes()];
        Digest::of(&parts.concat())
    }

    /// Makes a call.
    pub(crate) fn call(&self, call: &Call<'_>, context: &mut dyn Context) -> CallOutcome {
        let mut adapter = Adapter { context, misuse: None };
        // After a panic the adapter is asked for nothing but `misuse`, and all that the call did is void.
        let answer = catch_unwind(AssertUnwindSafe(|| self.answer(call, &mut adapter)));
        let outcome = match (adapter.misuse, answer) {
            // Also when the application caught the unwinding and went on: a module could not have.
            (Some(Misuse::State(error)), _) => Err(Trap::State(error)),
            (Some(misuse @ Misuse::Failed(_)), _) => Err(Trap::Misuse(misuse)),
            (None, Err(panic)) if !self.guarded => resume_unwind(panic),
            (None, Err(_panic)) => Err(Trap::Guest),
            (None, Ok(Ok(done))) => reply::bounded(done).map(|bytes| CallOutcome::Done(Bytes::from(bytes))),
            (None, Ok(Err(refused))) => {
                reply::bounded(refused.into_bytes()).map(|bytes| CallOutcome::Refused(Bytes::from(bytes)))
            }
        };
        outcome.unwrap_or_else(CallOutcome::Trapped)
    }

    fn answer(&self, call: &Call<'_>, adapter: &mut Adapter<'_>) -> Result<Vec<u8>, sdk::Refusal> {
        match *call {
            Call::Apply {
                command,
                version,
                payload,
            } => {
                let command = sdk::Command {
                    name: command,
                    version,
                    payload,
                };
                let reply = self.code.apply(&mut sdk::Context::new(adapter), command)?;
                Ok(reply.into_bytes())
            }
            Call::Query { query, payload } => {
                let query = sdk::Query { name: query, payload };
                let reply = self.code.query(&mut sdk::Context::new(adapter), query)?;
                Ok(reply.into_bytes())
            }
            Call::Migrate {
                table,
                from,
                to,
                key,
                document,
            } => self.code.migrate(sdk::Migration {
                table,
                from: from.0,
                to: to.0,
                key,
                document,
            }),
        }
    }
}

impl std::fmt::Debug for NativeApplication {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "NativeApplication({} {})", self.name, self.version)
    }
}

/// See [`NativeApplication::poison`].
struct Poison;

impl sdk::Application for Poison {
    fn apply(&self, _: &mut sdk::Context<'_>, _: sdk::Command<'_>) -> Result<sdk::Reply, sdk::Refusal> {
        // Not by `panic!`: the panic hook has nothing to tell.
        resume_unwind(Box::new("poison"))
    }
}

/// What a refused host call unwinds with.
struct Refused;

/// The machine's context as the sdk's host.
struct Adapter<'c> {
    context: &'c mut dyn Context,
    /// Why a host call was refused. From then on every host call is.
    misuse: Option<Misuse>,
}

impl Adapter<'_> {
    fn ask<R>(&mut self, question: impl FnOnce(&mut dyn Context) -> Result<R, Misuse>) -> R {
        if self.misuse.is_none() {
            match question(self.context) {
                Ok(answer) => return answer,
                Err(misuse) => self.misuse = Some(misuse),
            }
        }
        resume_unwind(Box::new(Refused))
    }
}

impl sdk::Host for Adapter<'_> {
    fn get(&mut self, table: &str, key: &[u8], document: &mut Vec<u8>) -> bool {
        let found = self.ask(|context| context.get(table, key));
        document.clear();
        match found {
            Some(found) => {
                document.extend_from_slice(&found);
                true
            }
            None => false,
        }
    }

    fn put(&mut self, table: &str, key: &[u8], document: &[u8]) {
        self.ask(|context| context.put(table, key, document));
    }

    fn delete(&mut self, table: &str, key: &[u8]) {
        self.ask(|context| context.delete(table, key));
    }

    fn scan(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: u32,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let pairs = self.ask(|context| context.scan(table, start, end, limit as usize, reverse));
        pairs.iter().for_each(|(key, document)| visit(key, document));
    }

    fn emit(&mut self, stream: &str, key: Option<&[u8]>, value: &[u8]) {
        self.ask(|context| context.emit(stream, key, value));
    }

    fn time(&mut self) -> u64 {
        self.ask(|context| Ok(context.time().0))
    }

    fn index(&mut self) -> u64 {
        self.ask(|context| Ok(context.index().0))
    }

    fn random(&mut self) -> u64 {
        self.ask(|context| Ok(context.random()))
    }
}

#[cfg(test)]
mod tests {
    use machine::{
        Applications, Call, CallError, CallOutcome, Code, FailureCode, Index, Manifest, Misuse, Shape, StateError,
        TimeMs, Trap, Version,
    };
    use sdk::{Command, Context, Migration, Query, Refusal, Reply};

    use super::NativeApplication;
    use crate::testing::Memory;
    use crate::{Host, Registry};

    struct Sampler;

    impl sdk::Application for Sampler {
        fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
            match command.name {
                "write" => {
                    let mut table = context.table::<u64>("t");
                    let before = table.get("k")?.unwrap_or(0);
                    table.put("k", &(before + u64::from(command.version)))?;
                    context.emit("s", "k", &before)?;
                    let facts = (context.time_ms(), context.index(), context.random());
                    Reply::json(&facts)
                }
                "refuse" => Err(Refusal::new("no")),
                "panic" => panic!("as a test asked for"),
                "large" => Ok(Reply::bytes(vec![0; command.payload.len() + 1])),
                "unknown" | "broken" => {
                    context.table::<u64>(command.name).put("k", &1)?;
                    unreachable!("a refused call does not return")
                }
                "stubborn" => {
                    let first = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        context.table::<u64>("unknown").delete("k");
                    }));
                    assert!(first.is_err());
                    context.table::<u64>("t").put("k", &1)?;
                    Ok(Reply::empty())
                }
                _ => Err(command.unknown()),
            }
        }

        fn query(&self, context: &mut Context<'_>, _query: Query<'_>) -> Result<Reply, Refusal> {
            let keys: Vec<String> = context
                .table::<u64>("t")
                .scan()
                .rows()?
                .iter()
                .map(|row| row.key_text())
                .collect();
            Reply::json(&keys)
        }

        fn migrate(&self, row: Migration<'_>) -> Result<Vec<u8>, Refusal> {
            Ok([row.document, row.key, &row.from.to_le_bytes(), &row.to.to_le_bytes()].concat())
        }
    }

    fn host() -> (Host, Manifest) {
        let registry = Registry::new(vec![NativeApplication::new("sampler", Version(3), Sampler)]);
        let manifest = Manifest {
            application: "sampler".into(),
            version: Version(3),
            about: String::new(),
            commands: Vec::new(),
            queries: Vec::new(),
            tables: Vec::new(),
            streams: Vec::new(),
        };
        (registry.host(), manifest)
    }

    fn call(call: Call<'_>, memory: &mut Memory) -> CallOutcome {
        let (mut host, manifest) = host();
        host.call(&manifest, &Code::Native, call, memory).expect("linked in")
    }

    fn apply(command: &str, payload: &[u8], memory: &mut Memory) -> CallOutcome {
        let version = 2;
        call(
            Call::Apply {
                command,
                version,
                payload,
            },
            memory,
        )
    }

    fn done(answer: &[u8]) -> CallOutcome {
        CallOutcome::Done(bytes::Bytes::copy_from_slice(answer))
    }

    #[test]
    fn a_command_reads_writes_and_emits() {
        let mut memory = Memory {
            time: TimeMs(5),
            index: Index(6),
            ..Memory::default()
        };
        assert_eq!(apply("write", b"", &mut memory), done(b"[5,6,1]"));
        assert_eq!(apply("write", b"", &mut memory), done(b"[5,6,2]"));
        assert_eq!(memory.rows[&b"k"[..]], "4");
        assert_eq!(memory.events[1], (Some(b"k".to_vec()), b"2".to_vec()));
    }

    #[test]
    fn queries_and_conversions_are_passed_on() {
        let mut memory = Memory::default();
        apply("write", b"", &mut memory);
        let query = Call::Query {
            query: "keys",
            payload: b"",
        };
        assert_eq!(call(query, &mut memory), done(b"[\"k\"]"));
        let migrate = Call::Migrate {
            table: "t",
            from: Shape(1),
            to: Shape(2),
            key: b"k",
            document: b"d",
        };
        assert_eq!(call(migrate, &mut memory), done(b"dk\x01\x00\x02\x00"));
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_panic_is_a_trap() {
        let mut memory = Memory::default();
        let refused = CallOutcome::Refused(bytes::Bytes::from_static(b"{\"reason\":\"no\"}"));
        assert_eq!(apply("refuse", b"", &mut memory), refused);
        assert_eq!(apply("panic", b"", &mut memory), CallOutcome::Trapped(Trap::Guest));
    }

    #[test]
    fn a_refused_host_call_ends_the_application() {
        let mut memory = Memory::default();
        let misused = |outcome| match outcome {
            CallOutcome::Trapped(Trap::Misuse(Misuse::Failed(failure))) => failure.detail,
            other => panic!("{other:?}"),
        };
        assert_eq!(misused(apply("unknown", b"", &mut memory)), "no unknown");
        let state = Trap::State(StateError("the disk is gone".into()));
        assert_eq!(apply("broken", b"", &mut memory), CallOutcome::Trapped(state));
        assert_eq!(
            misused(apply("stubborn", b"", &mut memory)),
            "no unknown",
            "also when it went on"
        );
        assert!(memory.rows.is_empty(), "and then nothing reaches the context any more");
    }

    #[test]
    fn an_answer_has_the_same_limit_as_a_modules() {
        let mut memory = Memory::default();
        let largest = vec![0; machine::limits::COMMAND_BYTES_MAX - 1];
        assert!(matches!(apply("large", &largest, &mut memory), CallOutcome::Done(_)));
        let larger = vec![0; machine::limits::COMMAND_BYTES_MAX];
        let outcome = apply("large", &larger, &mut memory);
        let CallOutcome::Trapped(Trap::Misuse(Misuse::Failed(failure))) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(failure.code, FailureCode::TooLarge);
    }

    #[test]
    fn a_version_that_is_not_linked_in_is_not_ready() {
        let (mut host, manifest) = host();
        assert_eq!(host.ready(&manifest, &Code::Native), Ok(()));
        let manifest = Manifest {
            version: Version(4),
            ..manifest
        };
        let query = Call::Query {
            query: "keys",
            payload: b"",
        };
        let called = host.call(&manifest, &Code::Native, query, &mut Memory::default());
        assert!(matches!(called, Err(CallError::NotReady(_))), "{called:?}");
    }

    #[test]
    fn the_digest_depends_on_name_and_version() {
        let digest = |name, version| NativeApplication::new(name, Version(version), Sampler).digest();
        assert_eq!(digest("a", 1), digest("a", 1));
        assert_ne!(digest("a", 1), digest("a", 2));
        assert_ne!(digest("a", 1), digest("b", 1));
    }
}
