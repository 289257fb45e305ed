use crate::{Command, Context, Migration, Query, Refusal, Reply};

/// Deterministic code that runs on every node of a cluster.
///
/// Implement it for a unit struct: everything that is to be remembered belongs into tables. A field would be lost, as a
/// guest is begun anew for each entry of the log.
///
/// **Refusal or trap.** A [`Refusal`] is the application's answer: "no", with a reason. A panic is a trap: the caller
/// learns that the application failed. Either way nothing that the call wrote or emitted takes effect.
pub trait Application: Send + Sync {
    /// Runs a command that the manifest names, in one of the versions it names.
    ///
    /// # Errors
    /// The application declines; nothing is changed.
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal>;

    /// Answers a query that the manifest names. Writing or emitting here is a trap.
    ///
    /// # Errors
    /// The application declines.
    fn query(&self, context: &mut Context<'_>, query: Query<'_>) -> Result<Reply, Refusal> {
        let _ = context;
        Err(query.unknown())
    }

    /// Brings one document from one shape into another, between this version's shape of a table and those that the
    /// manifest says it `converts`: up when a row of the old version is read, down so that the change can be taken back.
    /// What goes up must come down again unharmed. It sees nothing but the row.
    ///
    /// # Errors
    /// The document cannot be brought into that shape; the command that needed it fails.
    fn migrate(&self, row: Migration<'_>) -> Result<Vec<u8>, Refusal> {
        Err(row.unknown())
    }
}
