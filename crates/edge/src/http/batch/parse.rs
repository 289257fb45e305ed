use bytes::Bytes;
use client::wire::BatchCommand;
use machine::limits::COMMAND_BYTES_MAX;
use machine::manifest::is_name;
use machine::{Claim, Request, Sequence};

use crate::codes::Refusal;
use crate::limits::BATCH_COMMANDS_MAX;

/// A batch that was read whole.
pub(super) struct Batch {
    /// Its commands, in order.
    pub commands: Vec<Command>,
    /// Whether they carry a session: to do them twice is then the same as to do them once.
    pub repeatable: bool,
}

/// One command of a batch.
pub(super) struct Command {
    pub request: Request,
    /// The line as it came, without its end.
    pub line: Bytes,
}

/// Reads the lines of a batch; `first` is the claim of its first command.
pub(super) fn batch(application: &str, first: Option<Claim>, body: &Bytes) -> Result<Batch, Refusal> {
    let mut lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    // The last line may have an end of its own.
    if lines.last().is_some_and(|last| last.trim_ascii().is_empty()) {
        lines.pop();
    }
    if lines.is_empty() {
        return Err(Refusal::malformed(
            "the batch is empty: send a command on each line, {\"command\": NAME, \"payload\": JSON}; nothing was done",
        ));
    }
    if lines.len() > BATCH_COMMANDS_MAX {
        return Err(Refusal::new(
            client::wire::Code::TooLarge,
            format!(
                "a batch may have {BATCH_COMMANDS_MAX} commands and this one has {}; nothing was done: send it in parts",
                lines.len()
            ),
        ));
    }
    let commands = lines
        .into_iter()
        .enumerate()
        .map(|(place, line)| {
            let command = read(application, claim_at(first, place)?, line);
            let (number, rest) = (place + 1, "nothing of the batch was done");
            let request = command.map_err(|why| Refusal::malformed(format!("line {number}: {why}; {rest}")))?;
            let line = body.slice_ref(line);
            Ok(Command { request, line })
        })
        .collect::<Result<_, Refusal>>()?;
    Ok(Batch {
        commands,
        repeatable: first.is_some(),
    })
}

/// A batch's n-th command is the n-th after the sequence of its first.
fn claim_at(first: Option<Claim>, place: usize) -> Result<Option<Claim>, Refusal> {
    let Some(first) = first else {
        return Ok(None);
    };
    match first.sequence.0.checked_add(place as u64) {
        Some(sequence) => Ok(Some(Claim {
            sequence: Sequence(sequence),
            ..first
        })),
        None => Err(Refusal::malformed(
            "the sequences of this batch would pass the largest there is: open another session; nothing was done",
        )),
    }
}

fn read(application: &str, claim: Option<Claim>, line: &[u8]) -> Result<Request, String> {
    if line.trim_ascii().is_empty() {
        return Err("it is empty, and would not be answered: leave it out".to_owned());
    }
    let command: BatchCommand = serde_json::from_slice(line).map_err(|error| {
        let (column, text) = (error.column(), error.to_string());
        // The reader counts lines too, and would call each of ours the first.
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("it is no command, {{\"command\", \"version\", \"payload\"}}: {what}, at column {column}")
    })?;
    if !is_name(&command.command) {
        return Err(format!("{:?} is no name of a command", command.command));
    }
    let payload = command.payload.get();
    if payload.len() > COMMAND_BYTES_MAX {
        let bytes = payload.len();
        return Err(format!(
            "the payload has {bytes} bytes and may have {COMMAND_BYTES_MAX}"
        ));
    }
    Ok(Request {
        claim,
        application: application.to_owned(),
        command: command.command,
        version: command.version,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    })
}
