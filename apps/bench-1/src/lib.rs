//! The smallest application that does something, for `seachange bench`: each command is one write.

use sdk::{Application, Command, Context, Refusal, Reply};

/// Bytes at the start of a command that are the key; the rest is the document.
pub const KEY_BYTES: usize = 16;

/// The application.
pub struct Bench;
sdk::export!(Bench);

impl Application for Bench {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        match command.name {
            "put" => put(context, command.payload),
            _ => Err(command.unknown()),
        }
    }
}

fn put(context: &mut Context<'_>, payload: &[u8]) -> Result<Reply, Refusal> {
    let Some((key, document)) = payload.split_at_checked(KEY_BYTES) else {
        let reason = format!("a command begins with a key of {KEY_BYTES} bytes");
        return Err(Refusal::coded("too_short", reason));
    };
    context.host().put("values", key, document);
    Ok(Reply::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::MemoryHost;

    #[test]
    fn the_first_bytes_are_the_key_and_the_rest_the_document() {
        let mut host = MemoryHost::new(&["values"], &[]);
        let command = |payload| Command {
            name: "put",
            version: 1,
            payload,
        };
        host.apply_command(&Bench, command(b"0123456789abcdefdocument"))
            .expect("applied");
        let refusal = host.apply_command(&Bench, command(b"short")).expect_err("a refusal");
        assert!(refusal.to_string().contains("too_short"));
        assert_eq!(host.rows("values"), [("0123456789abcdef".into(), "document".into())]);
    }
}
