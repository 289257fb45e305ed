//! Reads: one document, a range of them, or an application's own query, as of the machine's applied index.

use crate::apply::{CommandContext, Tables, trap_failure};
use crate::machine::Machine;
use crate::{
    Applications, Call, CallError, CallOutcome, Context, Misuse, Read, ReadError, ReadValue, StateRead, limits,
};

impl Machine {
    /// Answers a read. Documents come in the shape of the version in force, whatever shape they lie in.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(
        &self,
        read: &Read,
        state: &dyn StateRead,
        applications: &mut dyn Applications,
        converter: &mut dyn Applications,
    ) -> Result<ReadValue, ReadError> {
        let (Read::Get { application, .. }
        | Read::Scan { application, .. }
        | Read::Usage { application }
        | Read::Query { application, .. }) = read;
        let Some(tables) = Tables::of(&self.catalog, application) else {
            return Err(ReadError::UnknownApplication(application.clone()));
        };
        let mut context = CommandContext::reading(&tables, state, converter, self.time(), self.applied());
        let require_table = |table: &String| match tables.version.manifest.table(table) {
            Some(_) => Ok(()),
            None => Err(ReadError::UnknownTable {
                application: application.clone(),
                table: table.clone(),
            }),
        };
        let value = match read {
            Read::Get { table, key, .. } => {
                require_table(table)?;
                context.get(table, key).map(ReadValue::Document).map_err(read_misuse)
            }
            Read::Scan {
                table,
                start,
                end,
                limit,
                reverse,
                ..
            } => {
                require_table(table)?;
                scan(&mut context, table, start, end.as_deref(), *limit, *reverse)
            }
            Read::Usage { .. } => Ok(ReadValue::Usage(self.usage.of(application))),
            Read::Query { query, payload, .. } => {
                let manifest = &tables.version.manifest;
                if !manifest.queries.contains(query) {
                    return Err(ReadError::UnknownQuery {
                        application: application.clone(),
                        query: query.clone(),
                    });
                }
                let call = Call::Query { query, payload };
                match applications.call(manifest, &tables.version.code, call, &mut context) {
                    Ok(CallOutcome::Done(answer)) => Ok(ReadValue::Answer(answer)),
                    Ok(CallOutcome::Refused(reason)) => Ok(ReadValue::Refused(reason)),
                    Ok(CallOutcome::Trapped(trap)) => Err(match trap_failure(trap) {
                        Ok(failure) => ReadError::Failed(failure),
                        Err(stop) => ReadError::Unavailable(stop.reason().to_owned()),
                    }),
                    Err(CallError::NotReady(reason) | CallError::Engine(reason)) => Err(ReadError::Unavailable(reason)),
                }
            }
        };
        drop(context);
        applications.end_entry();
        converter.end_entry();
        value
    }
}

fn scan(
    context: &mut CommandContext<'_>,
    table: &str,
    start: &[u8],
    end: Option<&[u8]>,
    limit: usize,
    reverse: bool,
) -> Result<ReadValue, ReadError> {
    let limit = limit.min(limits::SCAN_ROWS_MAX);
    let (pairs, more) = context
        .scan_page(table, start, end, limit, reverse)
        .map_err(read_misuse)?;
    Ok(ReadValue::Pairs { pairs, more })
}

fn read_misuse(misuse: Misuse) -> ReadError {
    match misuse {
        Misuse::Failed(failure) => ReadError::Failed(failure),
        Misuse::State(error) => ReadError::Unavailable(error.to_string()),
    }
}
