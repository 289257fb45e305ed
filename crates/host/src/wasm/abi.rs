//! The bytes that pass between host and guest in version 1 of the interface.

use machine::Call;

/// The function that answers a call, and the kind of instance that it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// A command.
    Apply,
    /// A query.
    Query,
    /// The conversion of a row.
    Migrate,
}

impl Function {
    /// Which function a call is for.
    pub(crate) fn of(call: &Call<'_>) -> Function {
        match call {
            Call::Apply { .. } => Function::Apply,
            Call::Query { .. } => Function::Query,
            Call::Migrate { .. } => Function::Migrate,
        }
    }
}

/// The input of a call, little-endian: what stands before the last part, and the last part, which is taken as it is.
///
/// - apply: `u16 name_len, name, u16 version`, payload
/// - query: `u16 name_len, name`, payload
/// - migrate: `u16 table_len, table, u16 from, u16 to, u32 key_len, key`, document
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Input<'a> {
    /// What stands before the rest.
    pub(super) head: &'a [u8],
    /// Payload or document.
    pub(super) rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// The input for `call`, put together in `head`; `None` if a part is too long for its length field, which the machine's
    /// limits rule out.
    pub(super) fn of(call: &Call<'a>, head: &'a mut Vec<u8>) -> Option<Input<'a>> {
        head.clear();
        let rest = match *call {
            Call::Apply {
                command,
                version,
                payload,
            } => {
                put_name(command, head)?;
                head.extend_from_slice(&version.to_le_bytes());
                payload
            }
            Call::Query { query, payload } => {
                put_name(query, head)?;
                payload
            }
            Call::Migrate {
                table,
                from,
                to,
                key,
                document,
            } => {
                put_name(table, head)?;
                head.extend_from_slice(&from.0.to_le_bytes());
                head.extend_from_slice(&to.0.to_le_bytes());
                head.extend_from_slice(&u32::try_from(key.len()).ok()?.to_le_bytes());
                head.extend_from_slice(key);
                document
            }
        };
        let input = Input { head, rest };
        i32::try_from(input.bytes()).ok()?;
        Some(input)
    }

    /// Bytes in all.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.rest.len()
    }
}

/// What a guest's answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output<'a> {
    /// Done, with a reply or document.
    Done(&'a [u8]),
    /// Declined, with the reason.
    Refused(&'a [u8]),
}

impl<'a> Output<'a> {
    /// Reads the answer that `packed` names in the guest's memory; `None` if it is not one.
    pub(super) fn read(memory: &'a [u8], packed: i64) -> Option<Output<'a>> {
        let packed = packed as u64;
        let pointer = (packed >> 32) as usize;
        let length = (packed & 0xffff_ffff) as usize;
        let answer = memory.get(pointer..pointer.checked_add(length)?)?;
        match answer.split_first()? {
            (0, rest) => Some(Output::Done(rest)),
            (1, rest) => Some(Output::Refused(rest)),
            (_, _) => None,
        }
    }
}

fn put_name(name: &str, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use machine::{Call, Shape};

    use super::{Input, Output};

    fn whole(call: Call<'_>) -> Vec<u8> {
        // What an earlier call left there is no part of it.
        let mut head = b"left".to_vec();
        let input = Input::of(&call, &mut head).expect("within the limits");
        [input.head, input.rest].concat()
    }

    #[test]
    fn inputs_are_laid_out_as_the_interface_says() {
        let apply = Call::Apply {
            command: "add",
            version: 0x0102,
            payload: b"xy",
        };
        assert_eq!(whole(apply), b"\x03\x00add\x02\x01xy");
        let query = Call::Query {
            query: "sum",
            payload: b"",
        };
        assert_eq!(whole(query), b"\x03\x00sum");
        let migrate = Call::Migrate {
            table: "t",
            from: Shape(1),
            to: Shape(2),
            key: b"k1",
            document: b"{}",
        };
        assert_eq!(whole(migrate), b"\x01\x00t\x01\x00\x02\x00\x02\x00\x00\x00k1{}");
    }

    #[test]
    fn a_part_that_does_not_fit_its_length_field_is_no_input() {
        let query = "q".repeat(1 << 16);
        let call = Call::Query {
            query: &query,
            payload: b"",
        };
        assert_eq!(Input::of(&call, &mut Vec::new()), None);
    }

    #[test]
    fn an_answer_outside_the_memory_or_of_an_unknown_kind_is_none() {
        let memory = b"\x00done\x01no\x02";
        let packed = |pointer: u64, length: u64| (pointer << 32 | length) as i64;
        assert_eq!(Output::read(memory, packed(0, 5)), Some(Output::Done(b"done")));
        assert_eq!(Output::read(memory, packed(5, 3)), Some(Output::Refused(b"no")));
        assert_eq!(Output::read(memory, packed(8, 1)), None);
        assert_eq!(Output::read(memory, packed(0, 0)), None);
        assert_eq!(Output::read(memory, packed(5, 5)), None);
        assert_eq!(Output::read(memory, packed(u32::MAX.into(), u32::MAX.into())), None);
    }
}
