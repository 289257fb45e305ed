//! Records on their way out of a node: a page is a row of frames as they lie in a segment, of one whose salt is 0 and
//! which has no header.

use bytes::Bytes;

use super::record::{Decoded, Frame, HEADER_BYTES, Record, Tag, frame_bytes};

/// A page that is not what a node sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page of log records is damaged at byte {offset}: {detail}")]
pub struct PageDamaged {
    /// Where in it, bytes.
    pub offset: u32,
    /// What is wrong.
    pub detail: &'static str,
}

/// The records as a page. They are few: a page is far smaller than a segment may be.
#[must_use]
pub fn write_page(records: &[Record]) -> Vec<u8> {
    let bytes = records.iter().map(|record| frame_bytes(record.payload.len())).sum();
    let mut page = Vec::with_capacity(bytes);
    for record in records {
        let offset = page.len() as u32;
        Frame::of(record, 0).encode(&record.payload, 0, offset, &mut page);
    }
    page
}

/// The records of a page; payloads share its bytes.
///
/// # Errors
/// [`PageDamaged`].
pub fn read_page(page: &Bytes) -> Result<Vec<Record>, PageDamaged> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < page.len() {
        let offset = u32::try_from(at).unwrap_or(u32::MAX);
        let damaged = |detail| PageDamaged { offset, detail };
        let frame = match Frame::decode(&page[at..], 0, offset) {
            Decoded::Frame(frame) if frame.tag == Tag::Record => frame,
            Decoded::Frame(_) => return Err(damaged("what stands there is no record")),
            Decoded::End => return Err(damaged("nothing stands there")),
            Decoded::Bad(detail) => return Err(damaged(detail)),
        };
        let payload = at + HEADER_BYTES;
        let payload_bytes = frame.payload_bytes as usize;
        records.push(Record {
            index: frame.index,
            term: frame.term,
            kind: frame.kind,
            payload: page.slice(payload..payload + payload_bytes),
        });
        at += frame_bytes(payload_bytes);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use machine::{Index, Term};

    use super::*;

    fn records() -> Vec<Record> {
        let record = |(at, bytes): (usize, &usize)| Record {
            index: Index(7 + at as u64),
            term: Term(3),
            kind: 1,
            payload: vec![at as u8; *bytes].into(),
        };
        [0, 5, 300, 8].iter().enumerate().map(record).collect()
    }

    #[test]
    fn what_was_written_is_read_and_every_flipped_or_missing_byte_is_noticed() {
        assert_eq!(read_page(&Bytes::new()), Ok(vec![]));
        let page = write_page(&records());
        assert_eq!(read_page(&page.clone().into()), Ok(records()));
        for at in 0..page.len() {
            let mut flipped = page.clone();
            flipped[at] ^= 0x10;
            assert!(read_page(&flipped.into()).is_err(), "byte {at} flipped");
        }
        let ends: Vec<usize> = (0..records().len())
            .map(|count| write_page(&records()[..count]).len())
            .collect();
        for cut in (0..page.len()).filter(|cut| !ends.contains(cut)) {
            let read = read_page(&Bytes::copy_from_slice(&page[..cut]));
            assert!(read.is_err(), "cut to {cut} bytes");
        }
        // A record that stands elsewhere than it did is none.
        assert!(read_page(&Bytes::copy_from_slice(&page[ends[1]..])).is_err());
    }

    #[test]
    fn a_mark_of_a_segment_is_no_record() {
        let mut page = Vec::new();
        Frame::mark(Tag::Purge, Index(9), Term(1), 0).encode(&[], 0, 0, &mut page);
        let error = read_page(&page.into()).unwrap_err();
        assert_eq!((error.offset, error.detail), (0, "what stands there is no record"));
    }
}
