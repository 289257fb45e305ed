//! One file of the log: its name, its header, and what frames it holds.

use std::path::{Path, PathBuf};

use machine::{ClusterId, Index, NodeId, Term};

use super::Identity;
use super::record::{ALIGNMENT, Decoded, Frame, eight, four, frame_bytes};
use crate::format::{self, LOG_SEGMENT};

/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 96;

/// What a segment begins with: 96 bytes, little-endian.
///
/// | at | bytes | |
/// |---|---|---|
/// | 0 | 12 | magic and format |
/// | 12 | 4 | bytes of the segment before that hold frames, all of them durable |
/// | 16 | 8 | cluster |
/// | 24 | 8 | node |
/// | 32 | 8 | the segment's number |
/// | 40 | 8 | index of its first record, as far as was known |
/// | 48 | 8 | one more than the index purged so far; 0: none was |
/// | 56 | 8 | that index's term |
/// | 64 | 28 | zero |
/// | 92 | 4 | CRC-32C of everything before |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub identity: Identity,
    pub sequence: u64,
    pub first: Index,
    pub previous_end: u32,
    pub purged: Option<(Index, Term)>,
}

impl Header {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let (purged_next, purged_term) = self.purged.map_or((0, 0), |(index, term)| (index.0 + 1, term.0));
        out.extend_from_slice(&LOG_SEGMENT.prefix());
        out.extend_from_slice(&self.previous_end.to_le_bytes());
        for number in [
            self.identity.cluster.0,
            self.identity.node.0,
            self.sequence,
            self.first.0,
            purged_next,
            purged_term,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.resize(start + HEADER_BYTES - 4, 0);
        let checksum = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// Reads the header of `file`, which must be of that identity and number.
    pub(super) fn decode(
        bytes: &[u8],
        file: &Path,
        identity: Identity,
        sequence: u64,
    ) -> Result<Header, format::Error> {
        LOG_SEGMENT.check(bytes, file)?;
        let Some(bytes) = bytes.get(..HEADER_BYTES) else {
            return Err(LOG_SEGMENT.unreadable(file, "it ends in the middle of its header"));
        };
        if crc32c::crc32c(&bytes[..HEADER_BYTES - 4]) != four(bytes, HEADER_BYTES - 4) {
            return Err(LOG_SEGMENT.unreadable(file, "its header's checksum is wrong"));
        }
        let found = Identity {
            cluster: ClusterId(eight(bytes, 16)),
            node: NodeId(eight(bytes, 24)),
        };
        if found != identity {
            return Err(identity.foreign(found, file));
        }
        if eight(bytes, 32) != sequence {
            let detail = format!("it is segment {} under another's name", eight(bytes, 32));
            return Err(LOG_SEGMENT.unreadable(file, detail));
        }
        let purged = eight(bytes, 48)
            .checked_sub(1)
            .map(|index| (Index(index), Term(eight(bytes, 56))));
        Ok(Header {
            identity,
            sequence,
            first: Index(eight(bytes, 40)),
            previous_end: four(bytes, 12),
            purged,
        })
    }
}

/// What the checksums of a segment's frames begin with: known without its header.
pub(super) fn salt(identity: Identity, sequence: u64) -> u32 {
    let crc = crc32c::crc32c(&identity.cluster.0.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &identity.node.0.to_le_bytes());
    crc32c::crc32c_append(crc, &sequence.to_le_bytes())
}

/// Where the segment of that number lies.
pub(super) fn path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:020}.log"))
}

/// The number of the segment that lies at `path`, if it is one.
pub(super) fn sequence_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The frames of a segment.
#[derive(Debug)]
pub(super) struct Scan {
    /// Each frame with its offset.
    pub frames: Vec<(u32, Frame)>,
    /// Where the next frame would begin.
    pub end: u32,
    /// What was wrong there, if a torn write follows.
    pub torn: Option<&'static str>,
}

/// Something is wrong with what was once durable.
#[derive(Debug)]
pub(super) struct Damage {
    pub offset: u32,
    pub detail: &'static str,
}

/// Scans a segment that another follows: exactly the bytes up to `end` are frames.
pub(super) fn scan_full(bytes: &[u8], salt: u32, end: u32) -> Result<Scan, Damage> {
    let mut frames = Vec::new();
    let mut at = HEADER_BYTES as u32;
    while at < end {
        match Frame::decode(bytes.get(at as usize..end as usize).unwrap_or_default(), salt, at) {
            Decoded::Frame(frame) => {
                frames.push((at, frame));
                at += frame_bytes(frame.payload_bytes as usize) as u32;
            }
            Decoded::End => {
                let detail = "records are missing that the next segment says are there";
                return Err(Damage { offset: at, detail });
            }
            Decoded::Bad(detail) => return Err(Damage { offset: at, detail }),
        }
    }
    Ok(Scan {
        frames,
        end: at,
        torn: None,
    })
}

/// Scans the last segment, whose tail may be torn.
pub(super) fn scan_last(bytes: &[u8], salt: u32) -> Result<Scan, Damage> {
    let mut frames = Vec::new();
    let mut at = HEADER_BYTES;
    let wrong = loop {
        match Frame::decode(&bytes[at..], salt, at as u32) {
            Decoded::Frame(frame) => {
                frames.push((at as u32, frame));
                at += frame_bytes(frame.payload_bytes as usize);
            }
            Decoded::End if bytes[at..].iter().all(|byte| *byte == 0) => break None,
            Decoded::End => break Some("zeros where a record should begin"),
            Decoded::Bad(detail) => break Some(detail),
        }
    };
    if let Some(detail) = wrong
        && durable_beyond(bytes, salt, at)
    {
        return Err(Damage {
            offset: at as u32,
            detail,
        });
    }
    Ok(Scan {
        frames,
        end: at as u32,
        torn: wrong,
    })
}

/// Whether any frame after `at` was written when the bytes at `at` were already durable: then what is wrong at `at` is
/// not a torn write.
pub(super) fn durable_beyond(bytes: &[u8], salt: u32, at: usize) -> bool {
    let mut place = at.next_multiple_of(ALIGNMENT);
    while place + super::record::HEADER_BYTES <= bytes.len() {
        let durable = four(bytes, place + 24) as usize;
        // The cheap tests first: this looks at every place of a file that may be large.
        if durable > at
            && durable <= place
            && let Decoded::Frame(_) = Frame::decode(&bytes[place..], salt, place as u32)
        {
            return true;
        }
        place += ALIGNMENT;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        cluster: ClusterId(11),
        node: NodeId(2),
    };

    #[test]
    fn a_header_is_read_back_and_every_flipped_byte_is_noticed() {
        let header = Header {
            identity: IDENTITY,
            sequence: 4,
            first: Index(100),
            previous_end: 4096,
            purged: Some((Index(0), Term(1))),
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        assert_eq!(bytes.len(), HEADER_BYTES);
        let file = Path::new("segment");
        assert_eq!(Header::decode(&bytes, file, IDENTITY, 4), Ok(header));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Header::decode(&flipped, file, IDENTITY, 4).is_err(), "byte {at}");
        }
        assert!(Header::decode(&bytes, file, IDENTITY, 5).is_err());
        let other = Identity {
            node: NodeId(3),
            ..IDENTITY
        };
        assert!(matches!(
            Header::decode(&bytes, file, other, 4),
            Err(format::Error::Foreign { .. })
        ));
    }

    #[test]
    fn names_carry_the_number() {
        let path = path(Path::new("d"), 12);
        assert_eq!(path, Path::new("d/00000000000000000012.log"));
        assert_eq!(sequence_of(&path), Some(12));
        for other in ["vote", "12.log", "0000000000000000001x.log", "00000000000000000012.new"] {
            assert_eq!(sequence_of(Path::new(other)), None, "{other}");
        }
    }
}
