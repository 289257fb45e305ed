use bytes::Bytes;

use crate::{Code, Failure, Index, Manifest, Shape, StateError, TimeMs};

/// A call into an application.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    /// Run a command.
    Apply {
        /// The command's name.
        command: &'a str,
        /// Version of its payload.
        version: u16,
        /// Its payload.
        payload: &'a [u8],
    },
    /// Answer a query; the context refuses writes and events.
    Query {
        /// The query's name.
        query: &'a str,
        /// Its payload.
        payload: &'a [u8],
    },
    /// Bring one document from a shape into another; pure: the context refuses everything.
    Migrate {
        /// The table's name.
        table: &'a str,
        /// The shape it has.
        from: Shape,
        /// The shape wanted.
        to: Shape,
        /// The row's key.
        key: &'a [u8],
        /// The document in shape `from`.
        document: &'a [u8],
    },
}

/// How a call ended, the same on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOutcome {
    /// A reply, or the migrated document.
    Done(Bytes),
    /// The application declined, with its reason.
    Refused(Bytes),
    /// It trapped.
    Trapped(Trap),
}

/// Why a guest's call ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trap {
    /// A panic, `unreachable`, a division by zero, memory out of bounds.
    Guest,
    /// Fuel used up.
    Fuel,
    /// Calls too deep.
    Depth,
    /// It asked the host for what it may not.
    Misuse(Misuse),
    /// The disk under the state failed during a host call: nothing of the application's doing; the node stops.
    State(StateError),
}

/// A host call that is refused; the guest ends in a trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misuse {
    /// What was wrong, as a failure for the client.
    Failed(Failure),
    /// The disk failed.
    State(StateError),
}

/// The call could not be made for reasons of this node alone: never an application's answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The code is not here (yet): park, and try again.
    #[error("{0}")]
    NotReady(String),
    /// The engine failed: stop the node.
    #[error("the engine that runs applications failed: {0}")]
    Engine(String),
}

/// A key with its document.
pub type Pair = (Bytes, Bytes);

/// What an application sees of the world during one call.
pub trait Context {
    /// The document under `key`, in the shape of the version that runs.
    ///
    /// # Errors
    /// See [`Misuse`].
    fn get(&mut self, table: &str, key: &[u8]) -> Result<Option<Bytes>, Misuse>;
    /// Writes a document in the shape of the version that runs.
    ///
    /// # Errors
    /// See [`Misuse`].
    fn put(&mut self, table: &str, key: &[u8], document: &[u8]) -> Result<(), Misuse>;
    /// Removes a document.
    ///
    /// # Errors
    /// See [`Misuse`].
    fn delete(&mut self, table: &str, key: &[u8]) -> Result<(), Misuse>;
    /// At most `limit` pairs in order of key, from `start` (included) to `end` (excluded; none: to the end), reversed
    /// when asked. May give fewer than there are, but never none when there is one.
    ///
    /// # Errors
    /// See [`Misuse`].
    fn scan(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Misuse>;
    /// Appends an event to a stream, with a key if given.
    ///
    /// # Errors
    /// See [`Misuse`].
    fn emit(&mut self, stream: &str, key: Option<&[u8]>, value: &[u8]) -> Result<(), Misuse>;
    /// The entry's time.
    fn time(&self) -> TimeMs;
    /// The entry's index.
    fn index(&self) -> Index;
    /// The next of a sequence of random numbers, seeded by the entry's index and the command's place in it.
    fn random(&mut self) -> u64;
}

/// Runs the code of applications.
pub trait Applications {
    /// Makes a call. Instances are kept from call to call within one entry, apart for `Apply` and `Migrate`.
    ///
    /// # Errors
    /// See [`CallError`]; the context's effects are then void.
    fn call(
        &mut self,
        manifest: &Manifest,
        code: &Code,
        call: Call<'_>,
        context: &mut dyn Context,
    ) -> Result<CallOutcome, CallError>;

    /// Whether the code can run now. Asked for every application of an entry before the first of its commands is
    /// applied, so that an entry is never left half done.
    ///
    /// # Errors
    /// See [`CallError`].
    fn ready(&mut self, manifest: &Manifest, code: &Code) -> Result<(), CallError> {
        let _ = (manifest, code);
        Ok(())
    }

    /// One entry, or one read, is done: no instance lives on.
    fn end_entry(&mut self);
}
