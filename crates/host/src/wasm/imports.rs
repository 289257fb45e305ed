//! The host functions of the interface `app_1`: they read the guest's memory, ask the command's context, and write back.
//!
//! A call that is refused, or for which the fuel does not last, ends the guest; what it was is kept in the store's data or
//! in the meter's globals, and read when the call is over.

use machine::{Context, Misuse};
use wasmtime::{Caller, Linker, Val};

use super::costs::{Charge, NAMESPACE};
use super::guest::{Ended, Guest, misuse, name, slice, slice_mut};
use super::lend;

/// A length that stands for "none".
const NONE: u32 = u32::MAX;

/// What the engine passes to a host function besides the guest's parameters.
type Host<'a> = Caller<'a, Guest>;

/// Binds every host function.
///
/// # Errors
/// One is bound twice, which is a defect of this crate.
pub(super) fn bind(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    bind_reads(linker)?;
    bind_writes(linker)?;
    bind_facts(linker)
}

fn bind_reads(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        NAMESPACE,
        "get",
        |host: Host, table: u32, table_len: u32, key: u32, key_len: u32, out: u32, out_cap: u32| {
            serve(host, |memory, context| {
                get(memory, context, (table, table_len), (key, key_len), (out, out_cap))
            })
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "scan",
        |host: Host,
         table: u32,
         table_len: u32,
         start: u32,
         start_len: u32,
         end: u32,
         end_len: u32,
         limit: u32,
         reverse: u32,
         out: u32,
         out_cap: u32| {
            let range = Range {
                start: (start, start_len),
                end: (end, end_len),
                limit,
                reverse: reverse != 0,
            };
            serve(host, |memory, context| {
                scan(memory, context, (table, table_len), &range, (out, out_cap))
            })
        },
    )?;
    Ok(())
}

fn bind_writes(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        NAMESPACE,
        "put",
        |host: Host, table: u32, table_len: u32, key: u32, key_len: u32, document: u32, document_len: u32| {
            serve(host, |memory, context| {
                let table = name(memory, table, table_len, "the table")?;
                let key = slice(memory, key, key_len, "the key")?;
                let document = slice(memory, document, document_len, "the document")?;
                Ok((context.put(table, key, document)?, Charge::NONE))
            })
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "delete",
        |host: Host, table: u32, table_len: u32, key: u32, key_len: u32| {
            serve(host, |memory, context| {
                let table = name(memory, table, table_len, "the table")?;
                let key = slice(memory, key, key_len, "the key")?;
                Ok((context.delete(table, key)?, Charge::NONE))
            })
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "emit",
        |host: Host, stream: u32, stream_len: u32, key: u32, key_len: u32, value: u32, value_len: u32| {
            serve(host, |memory, context| {
                let stream = name(memory, stream, stream_len, "the stream")?;
                let key = optional(memory, key, key_len, "the event's key")?;
                let value = slice(memory, value, value_len, "the event's value")?;
                let charge = Charge::written(key.map_or(0, <[u8]>::len));
                Ok((context.emit(stream, key, value)?, charge))
            })
        },
    )?;
    Ok(())
}

fn bind_facts(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(NAMESPACE, "time", |host: Host| {
        serve(host, |_, context| Ok((context.time().0, Charge::NONE)))
    })?;
    linker.func_wrap(NAMESPACE, "index", |host: Host| {
        serve(host, |_, context| Ok((context.index().0, Charge::NONE)))
    })?;
    linker.func_wrap(NAMESPACE, "random", |host: Host| {
        serve(host, |_, context| Ok((context.random(), Charge::NONE)))
    })?;
    Ok(())
}

/// Runs a host function over the guest's memory and the context that is lent to it.
fn serve<R>(
    mut host: Host<'_>,
    function: impl FnOnce(&mut [u8], &mut dyn Context) -> Result<(R, Charge), Misuse>,
) -> wasmtime::Result<R> {
    let Some(handles) = host.data().handles else {
        wasmtime::bail!("a guest called the host before it was instantiated");
    };
    let memory = handles.memory.data_mut(&mut host);
    let answer = lend::borrow(|context| function(memory, context)).unwrap_or_else(|| {
        Err(misuse(
            "it called the host in its start function, abi_version or buffer: do so in apply, query or migrate".into(),
        ))
    });
    match answer {
        Ok((result, Charge(0))) => Ok(result),
        Ok((result, Charge(fuel))) => {
            let Val::I64(left) = handles.budget.get(&mut host) else {
                wasmtime::bail!("the meter's budget is not an i64");
            };
            let left = left.saturating_sub_unsigned(fuel);
            handles.budget.set(&mut host, Val::I64(left))?;
            if left < 0 { Err(Ended.into()) } else { Ok(result) }
        }
        Err(refused) => {
            host.data_mut().misuse = Some(refused);
            Err(Ended.into())
        }
    }
}

fn get(
    memory: &mut [u8],
    context: &mut dyn Context,
    table: (u32, u32),
    key: (u32, u32),
    out: (u32, u32),
) -> Result<(i64, Charge), Misuse> {
    let table = name(memory, table.0, table.1, "the table")?;
    let key = slice(memory, key.0, key.1, "the key")?;
    let Some(document) = context.get(table, key)? else {
        return Ok((-1, Charge::NONE));
    };
    if document.len() <= out.1 as usize {
        slice_mut(memory, out.0, document.len(), "the place for the document")?.copy_from_slice(&document);
    }
    Ok((document.len() as i64, Charge::read(document.len())))
}

/// What a scan is to visit, as the guest gave it.
struct Range {
    start: (u32, u32),
    end: (u32, u32),
    limit: u32,
    reverse: bool,
}

fn scan(
    memory: &mut [u8],
    context: &mut dyn Context,
    table: (u32, u32),
    range: &Range,
    out: (u32, u32),
) -> Result<(i64, Charge), Misuse> {
    let table = name(memory, table.0, table.1, "the table")?;
    let start = slice(memory, range.start.0, range.start.1, "the scan's start")?;
    let end = optional(memory, range.end.0, range.end.1, "the scan's end")?;
    let end_charge = Charge::read(end.map_or(0, <[u8]>::len));
    let pairs = context.scan(table, start, end, range.limit as usize, range.reverse)?;
    let bytes_read = pairs.iter().map(|(key, document)| key.len() + document.len()).sum();
    let charge = end_charge.and(Charge::scanned(pairs.len(), bytes_read));

    let room = out.1 as usize;
    let mut written = 0;
    for (key, document) in &pairs {
        let needed = key.len() + document.len() + 8;
        if needed > room - written {
            break;
        }
        // `written` is below `room`, which is a u32; a sum past its end lies outside of any memory and is refused.
        let at = out.0.saturating_add(written as u32);
        let target = slice_mut(memory, at, needed, "the place for the rows")?;
        let (length, rest) = target.split_at_mut(4);
        length.copy_from_slice(&(key.len() as u32).to_le_bytes());
        let (bytes, rest) = rest.split_at_mut(key.len());
        bytes.copy_from_slice(key);
        let (length, bytes) = rest.split_at_mut(4);
        length.copy_from_slice(&(document.len() as u32).to_le_bytes());
        bytes.copy_from_slice(document);
        written += needed;
    }
    let result = match pairs.first() {
        Some((key, document)) if written == 0 => -((key.len() + document.len() + 8) as i64),
        Some(_) | None => written as i64,
    };
    Ok((result, charge))
}

fn optional<'m>(memory: &'m [u8], pointer: u32, length: u32, what: &str) -> Result<Option<&'m [u8]>, Misuse> {
    if length == NONE {
        return Ok(None);
    }
    slice(memory, pointer, length, what).map(Some)
}
