//! The blocks of a snapshot: length u32, CRC-32C of all after it u32, kind u8, body.

use crate::limits::SNAPSHOT_BLOCK_BYTES_MAX;

/// Bytes of a block before its body.
pub(super) const HEAD_BYTES: usize = 4 + 4 + 1;

/// What a block holds, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// 1: what the snapshot is of.
    Header,
    /// 2: rows.
    Rows,
    /// 3: what all of them sum up to.
    End,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Header => 1,
            Kind::Rows => 2,
            Kind::End => 3,
        }
    }

    fn of(number: u8) -> Option<Kind> {
        [Kind::Header, Kind::Rows, Kind::End]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// Appends a block.
pub(super) fn put(kind: Kind, body: &[u8], out: &mut Vec<u8>) {
    let length = (1 + body.len()) as u32;
    let kind = [kind.number()];
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&kind), body);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&kind);
    out.extend_from_slice(body);
}

/// Bytes of the body of the block whose head this is.
pub(super) fn body_bytes(head: &[u8; HEAD_BYTES]) -> Result<usize, String> {
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if !(1..=SNAPSHOT_BLOCK_BYTES_MAX).contains(&length) {
        return Err(format!(
            "a block of {length} bytes: at most {SNAPSHOT_BLOCK_BYTES_MAX} are written"
        ));
    }
    Ok(length - 1)
}

/// What a block of that head and body holds.
pub(super) fn check(head: &[u8; HEAD_BYTES], body: &[u8]) -> Result<Kind, String> {
    let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if crc32c::crc32c_append(crc32c::crc32c(&head[8..]), body) != checksum {
        return Err("a block's checksum is wrong".to_owned());
    }
    Kind::of(head[8]).ok_or_else(|| format!("a block of kind {}, which this format does not have", head[8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_may_say_that_it_has_so_many_bytes_and_no_more() {
        let says = |length: usize| {
            let mut head = [0; HEAD_BYTES];
            head[..4].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            body_bytes(&head)
        };
        assert_eq!(says(SNAPSHOT_BLOCK_BYTES_MAX), Ok(SNAPSHOT_BLOCK_BYTES_MAX - 1));
        assert!(says(SNAPSHOT_BLOCK_BYTES_MAX + 1).is_err());
        assert_eq!(says(1), Ok(0));
        assert!(says(0).is_err());
    }
}
