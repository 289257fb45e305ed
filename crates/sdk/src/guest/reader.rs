use crate::{Command, Migration, Query};

/// Reads the input of a call. Nothing is read past its end: none stands for a host that breaks the ABI.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<usize> {
        let bytes = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    }

    fn name(&mut self) -> Option<&'a str> {
        let len = usize::from(self.u16()?);
        std::str::from_utf8(self.take(len)?).ok()
    }
}

pub(super) fn command(input: &[u8]) -> Option<Command<'_>> {
    let mut reader = Reader(input);
    Some(Command {
        name: reader.name()?,
        version: reader.u16()?,
        payload: reader.0,
    })
}

pub(super) fn query(input: &[u8]) -> Option<Query<'_>> {
    let mut reader = Reader(input);
    Some(Query {
        name: reader.name()?,
        payload: reader.0,
    })
}

pub(super) fn migration(input: &[u8]) -> Option<Migration<'_>> {
    let mut reader = Reader(input);
    let (table, from, to) = (reader.name()?, reader.u16()?, reader.u16()?);
    let key_len = reader.u32()?;
    Some(Migration {
        table,
        from,
        to,
        key: reader.take(key_len)?,
        document: reader.0,
    })
}

/// Shows `visit` the pairs that a scan wrote: `u32le key length, key, u32le document length, document`, one by one.
pub(super) fn pairs(bytes: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<()> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let key_len = reader.u32()?;
        let key = reader.take(key_len)?;
        let document_len = reader.u32()?;
        visit(key, reader.take(document_len)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_read_as_the_abi_says() {
        let read = command(b"\x04\0open\x02\0{}").expect("a command");
        assert_eq!((read.name, read.version, read.payload), ("open", 2, &b"{}"[..]));

        let read = query(b"\x05\0total").expect("a query");
        assert_eq!((read.name, read.payload), ("total", &b""[..]));

        let read = migration(b"\x01\0t\x01\0\x02\0\x03\0\0\0key{}").expect("a migration");
        assert_eq!((read.table, read.from, read.to), ("t", 1, 2));
        assert_eq!((read.key, read.document), (&b"key"[..], &b"{}"[..]));
    }

    #[test]
    fn a_short_input_is_refused() {
        let whole = b"\x01\0t\x01\0\x02\0\x03\0\0\0key";
        for len in 0..whole.len() {
            assert!(migration(&whole[..len]).is_none(), "{len} bytes");
        }
        assert!(command(b"\x01\0\xff\x01\0").is_none(), "a name that is not UTF-8");
    }

    #[test]
    fn pairs_are_shown_in_order() {
        let mut seen = Vec::new();
        let bytes = b"\x01\0\0\0a\x02\0\0\0{}\0\0\0\0\x01\0\0\x001";
        let end = pairs(bytes, &mut |key, document| seen.push((key.to_vec(), document.to_vec())));
        assert_eq!(end, Some(()));
        assert_eq!(seen, [(b"a".to_vec(), b"{}".to_vec()), (b"".to_vec(), b"1".to_vec())]);
        assert_eq!(pairs(&bytes[..8], &mut |_, _| {}), None);
    }
}
