//! Records, and the frames in which they lie in a segment.
//!
//! A frame is a header of 32 bytes, a payload, and zeros up to a multiple of 8 bytes; everything is little-endian:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | length of the payload |
//! | 4 | 4 | CRC-32C over the segment's salt, the frame's offset, the length and everything from byte 8 on |
//! | 8 | 8 | index |
//! | 16 | 8 | term |
//! | 24 | 4 | bytes of this segment that were known to be durable when the frame was written |
//! | 28 | 1 | tag, see [`Tag`] |
//! | 29 | 1 | the record's kind |
//! | 30 | 2 | zero |
//!
//! The salt and the offset make sure that a frame is only ever valid where it was written, so that nothing inside a
//! payload can pass for one. A header of zeros ends the segment. The durable length tells a torn write, whose sectors
//! may have reached the disk in any order, from damage to what was once safe.

use bytes::Bytes;
use machine::{Index, Term};

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its position.
    pub index: Index,
    /// The term it was proposed in.
    pub term: Term,
    /// What the payload is; the log does not look at it.
    pub kind: u8,
    /// Its bytes.
    pub payload: Bytes,
}

/// Bytes of a frame's header.
pub(super) const HEADER_BYTES: usize = 32;
/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// 1: a record; it takes the place of everything from its index on.
    Record,
    /// 2: everything from the index on is gone.
    Truncate,
    /// 3: everything up to the index, which had the term, is gone.
    Purge,
    /// 4: nothing but its durable length.
    Durable,
}

impl Tag {
    fn number(self) -> u8 {
        match self {
            Tag::Record => 1,
            Tag::Truncate => 2,
            Tag::Purge => 3,
            Tag::Durable => 4,
        }
    }

    fn from_number(number: u8) -> Option<Tag> {
        match number {
            1 => Some(Tag::Record),
            2 => Some(Tag::Truncate),
            3 => Some(Tag::Purge),
            4 => Some(Tag::Durable),
            _ => None,
        }
    }
}

/// A frame without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub tag: Tag,
    pub kind: u8,
    pub index: Index,
    pub term: Term,
    pub durable: u32,
    pub payload_bytes: u32,
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// Zeros, or too few bytes for a header: nothing more.
    End,
    /// A frame.
    Frame(Frame),
    /// Something else.
    Bad(&'static str),
}

/// Bytes that a frame takes with its padding.
pub(super) fn frame_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(ALIGNMENT)
}

impl Frame {
    pub(super) fn mark(tag: Tag, index: Index, term: Term, durable: u32) -> Frame {
        Frame {
            tag,
            kind: 0,
            index,
            term,
            durable,
            payload_bytes: 0,
        }
    }

    pub(super) fn of(record: &Record, durable: u32) -> Frame {
        Frame {
            tag: Tag::Record,
            kind: record.kind,
            index: record.index,
            term: record.term,
            durable,
            // Longer payloads are refused before they come here.
            payload_bytes: u32::try_from(record.payload.len()).unwrap_or(u32::MAX),
        }
    }

    /// Appends the frame that is to lie at `offset` of the segment with that salt.
    pub(super) fn encode(&self, payload: &[u8], salt: u32, offset: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.index.0.to_le_bytes());
        out.extend_from_slice(&self.term.0.to_le_bytes());
        out.extend_from_slice(&self.durable.to_le_bytes());
        out.extend_from_slice(&[self.tag.number(), self.kind, 0, 0]);
        out.extend_from_slice(payload);
        out.resize(start + frame_bytes(payload.len()), 0);
        let checksum = checksum(&out[start..], salt, offset);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads what stands at the start of `bytes`, which lie at `offset` of the segment with that salt.
    pub(super) fn decode(bytes: &[u8], salt: u32, offset: u32) -> Decoded {
        let Some(header) = bytes.get(..HEADER_BYTES) else {
            return if bytes.iter().all(|byte| *byte == 0) {
                Decoded::End
            } else {
                Decoded::Bad("the segment ends in the middle of a record's header")
            };
        };
        if header.iter().all(|byte| *byte == 0) {
            return Decoded::End;
        }
        let payload_bytes = four(header, 0);
        let Some(tag) = Tag::from_number(header[28]) else {
            return Decoded::Bad("a record of unknown make");
        };
        let whole = (payload_bytes as usize)
            .checked_add(HEADER_BYTES)
            .and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT));
        let Some(whole) = whole.and_then(|whole| bytes.get(..whole)) else {
            return Decoded::Bad("a record reaches past the end of the segment");
        };
        if four(header, 4) != checksum(whole, salt, offset) {
            return Decoded::Bad("a record's checksum is wrong");
        }
        Decoded::Frame(Frame {
            tag,
            kind: header[29],
            index: Index(eight(header, 8)),
            term: Term(eight(header, 16)),
            durable: four(header, 24),
            payload_bytes,
        })
    }
}

fn checksum(frame: &[u8], salt: u32, offset: u32) -> u32 {
    let crc = crc32c::crc32c_append(salt, &offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &frame[..4]);
    crc32c::crc32c_append(crc, &frame[8..])
}

pub(super) fn four(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

pub(super) fn eight(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(payload: &'static [u8]) -> Vec<u8> {
        let record = Record {
            index: Index(7),
            term: Term(3),
            kind: 9,
            payload: Bytes::from_static(payload),
        };
        let mut out = Vec::new();
        Frame::of(&record, 96).encode(&record.payload, 5, 128, &mut out);
        out
    }

    #[test]
    fn the_layout_is_pinned() {
        let bytes = encoded(b"abc");
        let expected: &[u8] = &[
            3, 0, 0, 0, 0xf8, 0x9f, 0xbd, 0xca, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 96, 0, 0, 0, 1, 9, 0,
            0, b'a', b'b', b'c', 0, 0, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn every_flipped_bit_and_every_other_place_is_noticed() {
        let bytes = encoded(b"hello");
        assert!(matches!(Frame::decode(&bytes, 5, 128), Decoded::Frame(frame) if frame.index == Index(7)));
        assert!(matches!(Frame::decode(&bytes, 6, 128), Decoded::Bad(_)));
        assert!(matches!(Frame::decode(&bytes, 5, 136), Decoded::Bad(_)));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Frame::decode(&flipped, 5, 128), Decoded::Bad(_)), "bit {bit}");
        }
        for cut in 1..bytes.len() {
            assert!(
                matches!(Frame::decode(&bytes[..cut], 5, 128), Decoded::Bad(_)),
                "cut to {cut}"
            );
        }
        assert_eq!(Frame::decode(&[0; 40], 5, 128), Decoded::End);
        assert_eq!(Frame::decode(&[0; 8], 5, 128), Decoded::End);
    }
}
