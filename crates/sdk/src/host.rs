/// What runs an application: the imports of the ABI as a trait, over bytes.
///
/// **A host call that is refused does not return.** A table or stream that the manifest does not name, a key or document
/// past its limit, a write in a query: all these are errors in the application, and end the call with all its effects
/// undone. In a guest the import traps. An implementation that is linked in unwinds with a payload of its own
/// (`std::panic::resume_unwind(Box::new(Payload))`, which calls no panic hook) and catches that where it made the
/// call; any other payload is a panic of the application.
pub trait Host {
    /// Reads the document under `key` into `document`, whose earlier content is replaced; false when there is none.
    fn get(&mut self, table: &str, key: &[u8], document: &mut Vec<u8>) -> bool;

    /// Writes a document.
    fn put(&mut self, table: &str, key: &[u8], document: &[u8]);

    /// Removes a document; no error when there is none.
    fn delete(&mut self, table: &str, key: &[u8]);

    /// Shows `visit` at most `limit` pairs of key and document in order of key, from `start` (included) to `end`
    /// (excluded; none: to the end of the table), or from the end to the start. It may show fewer than there are, but
    /// shows at least one if there is one and `limit` is not 0.
    fn scan(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: u32,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    );

    /// Appends an event to a stream.
    fn emit(&mut self, stream: &str, key: Option<&[u8]>, value: &[u8]);

    /// The entry's time: milliseconds since the Unix epoch, never going back. The same on every node.
    fn time(&mut self) -> u64;

    /// The entry's index in the log.
    fn index(&mut self) -> u64;

    /// The next of a sequence of numbers that is seeded by the entry and the command's place in it: the same on every
    /// node. Whoever can read the log can predict it; it is no secret.
    fn random(&mut self) -> u64;
}
