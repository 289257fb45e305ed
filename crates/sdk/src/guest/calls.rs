use std::cell::RefCell;

use super::{imports::Imports, reader};
use crate::{Application, Context, Refusal};

/// First byte of an output: done.
const DONE: u8 = 0;
/// First byte of an output: the application declined.
const REFUSED: u8 = 1;

/// What lives from call to call within one instance: buffers alone, so that a call after the first allocates little.
struct Guest {
    input: Vec<u8>,
    output: Vec<u8>,
    scratch: Vec<u8>,
    imports: Imports,
}

thread_local! {
    // A guest has one thread; this is a plain static there.
    static GUEST: RefCell<Guest> = const {
        RefCell::new(Guest {
            input: Vec::new(),
            output: Vec::new(),
            scratch: Vec::new(),
            imports: Imports::new(),
        })
    };
}

/// Export `buffer`: a place for the input of the next call.
#[must_use]
pub fn buffer(len: usize) -> usize {
    GUEST.with_borrow_mut(|guest| {
        if guest.input.len() < len {
            guest.input.resize(len, 0);
        }
        guest.input.as_mut_ptr().expose_provenance()
    })
}

/// Export `apply`.
pub fn apply(application: &dyn Application, pointer: usize, len: usize) -> u64 {
    call(pointer, len, &mut |input, imports, scratch| {
        let command = reader::command(input)?;
        let mut context = Context::with_scratch(imports, std::mem::take(scratch));
        let reply = application.apply(&mut context, command);
        *scratch = context.into_scratch();
        Some(reply.map(crate::Reply::into_bytes))
    })
}

/// Export `query`.
pub fn query(application: &dyn Application, pointer: usize, len: usize) -> u64 {
    call(pointer, len, &mut |input, imports, scratch| {
        let query = reader::query(input)?;
        let mut context = Context::with_scratch(imports, std::mem::take(scratch));
        let reply = application.query(&mut context, query);
        *scratch = context.into_scratch();
        Some(reply.map(crate::Reply::into_bytes))
    })
}

/// Export `migrate`.
pub fn migrate(application: &dyn Application, pointer: usize, len: usize) -> u64 {
    call(pointer, len, &mut |input, _, _| {
        Some(application.migrate(reader::migration(input)?))
    })
}

/// What one call gives; none for an input that breaks the ABI.
type Outcome = Option<Result<Vec<u8>, Refusal>>;

fn call(pointer: usize, len: usize, run: &mut dyn FnMut(&[u8], &mut Imports, &mut Vec<u8>) -> Outcome) -> u64 {
    GUEST.with_borrow_mut(|guest| {
        let Guest {
            input,
            output,
            scratch,
            imports,
        } = guest;
        let ours = pointer == input.as_ptr().addr();
        let outcome = if ours { input.get(..len) } else { None }.and_then(|input| run(input, imports, scratch));
        let Some(outcome) = outcome else {
            // The host broke the ABI: an abort is a trap.
            std::process::abort();
        };
        let (first, bytes) = match outcome {
            Ok(bytes) => (DONE, bytes),
            Err(refusal) => (REFUSED, refusal.into_bytes()),
        };
        output.clear();
        output.push(first);
        output.extend_from_slice(&bytes);
        // Both fit 32 bits, as this is wasm32.
        (output.as_ptr().expose_provenance() as u64) << 32 | output.len() as u64
    })
}
