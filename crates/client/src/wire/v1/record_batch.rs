//! Events as they lie in a node's files: Kafka's record batches, format v2, uncompressed. Read here on its own, not by
//! the code that writes them, as anybody's client would.
//!
//! Layout (big-endian): <https://kafka.apache.org/documentation/#recordbatch>. The integers within records are
//! varints in zigzag form. A batch without records says no more than that the node is there. The version of a record's value,
//! where it is not 1, stands in the record's header `version`, in decimal.

use bytes::{BufMut, Bytes, BytesMut};

use super::EventRecord;

/// What a client that wants events in this form accepts: batches one behind the other, and nothing between them.
pub const RECORD_BATCH_MEDIA_TYPE: &str = "application/vnd.seachange.record-batches";

/// Bytes before the first record.
const HEADER_BYTES: usize = 61;
/// Bytes before those that the batch's length counts.
const UNCOUNTED_BYTES: usize = 12;
/// Bytes before those that the checksum covers.
const UNCHECKED_BYTES: usize = 21;
const MAGIC: u8 = 2;
/// Bytes of one batch at most: the events of one entry of the log.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// A batch of which some events may have been taken already.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    batch: Bytes,
    /// Where the next record begins.
    at: usize,
    left: u32,
    /// Offset of the next one.
    next: u64,
    /// The first one's offset.
    base: u64,
    time_ms: u64,
}

/// Bytes of the whole batch that begins `bytes`; none where there are too few to tell.
///
/// # Errors
/// What begins there is no batch.
pub fn whole_bytes(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(length) = bytes.get(8..).and_then(|rest| rest.first_chunk()) else {
        return Ok(None);
    };
    let whole = usize::try_from(i32::from_be_bytes(*length)).map(|length| length + UNCOUNTED_BYTES);
    match whole {
        Ok(whole) if (HEADER_BYTES..=BATCH_BYTES_MAX).contains(&whole) => Ok(Some(whole)),
        Ok(_) | Err(_) => Err("a batch's length is impossible"),
    }
}

/// What shows, while there are no events, that the node is there: a batch without records.
#[must_use]
pub fn heartbeat() -> Bytes {
    let mut checked = BytesMut::with_capacity(HEADER_BYTES);
    checked.put_i16(0); // attributes
    checked.put_i32(-1); // last offset delta
    checked.put_i64(0); // base timestamp
    checked.put_i64(0); // largest timestamp
    checked.put_i64(-1); // producer id
    checked.put_i16(-1); // producer epoch
    checked.put_i32(-1); // base sequence
    checked.put_i32(0); // records
    let mut out = BytesMut::with_capacity(HEADER_BYTES);
    out.put_i64(0); // base offset
    out.put_i32((HEADER_BYTES - UNCOUNTED_BYTES) as i32);
    out.put_i32(0); // partition leader epoch
    out.put_u8(MAGIC);
    out.put_u32(crc32c::crc32c(&checked));
    out.put_slice(&checked);
    out.freeze()
}

impl RecordBatch {
    /// A whole batch, whose checksum is right.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(batch: &Bytes) -> Result<RecordBatch, &'static str> {
        if batch.len() < HEADER_BYTES {
            return Err("a batch is cut short");
        }
        let mut header = Cursor { bytes: batch };
        let base = u64::try_from(header.i64()?).map_err(|_| "a batch's offset is negative")?;
        header.take(4 + 4)?; // length, partition leader epoch
        if header.take(1)? != [MAGIC] {
            return Err("a batch is not of format 2");
        }
        if header.i32()? as u32 != crc32c::crc32c(&batch[UNCHECKED_BYTES..]) {
            return Err("a batch's checksum is wrong");
        }
        if header.take(2)? != [0, 0] {
            return Err("a batch is compressed, or has other attributes that this client does not know");
        }
        header.take(4)?; // last offset delta
        let time_ms = header.i64()? as u64;
        header.take(8 + 8 + 2 + 4)?; // largest timestamp, producer, its epoch, sequence
        let left = u32::try_from(header.i32()?).map_err(|_| "a batch's count is negative")?;
        if base.checked_add(u64::from(left)).is_none() {
            return Err("a batch's offset is impossible");
        }
        Ok(RecordBatch {
            batch: batch.clone(),
            at: HEADER_BYTES,
            left,
            next: base,
            base,
            time_ms,
        })
    }

    fn record(&mut self) -> Result<EventRecord, &'static str> {
        let mut cursor = Cursor {
            bytes: &self.batch[self.at..],
        };
        let mut record = Cursor {
            bytes: cursor.counted()?,
        };
        record.take(1)?; // attributes
        let time_ms = self.time_ms.wrapping_add(record.varint()? as u64);
        if u64::try_from(record.varint()?) != Ok(self.next - self.base) {
            return Err("a record's offset is not its place");
        }
        let key = match record.varint()? {
            -1 => None,
            length => Some(record.take(usize::try_from(length).map_err(|_| LENGTH)?)?),
        };
        let value = record.counted()?;
        let version = record.version()?;
        let event = EventRecord {
            offset: self.next,
            time_ms,
            key: key.map(|key| self.batch.slice_ref(key)),
            value: self.batch.slice_ref(value),
            version,
        };
        self.at = self.batch.len() - cursor.bytes.len();
        self.next += 1;
        Ok(event)
    }
}

impl Iterator for RecordBatch {
    type Item = Result<EventRecord, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = self.record();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

const LENGTH: &str = "a length in a record is impossible";

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("a batch is cut short")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn i32(&mut self) -> Result<i32, &'static str> {
        let mut four = [0; 4];
        four.copy_from_slice(self.take(4)?);
        Ok(i32::from_be_bytes(four))
    }

    fn i64(&mut self) -> Result<i64, &'static str> {
        let mut eight = [0; 8];
        eight.copy_from_slice(self.take(8)?);
        Ok(i64::from_be_bytes(eight))
    }

    fn varint(&mut self) -> Result<i64, &'static str> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err("an integer in a record is longer than 64 bits")
    }

    /// What the headers say of the value's version; other headers mean nothing to this client.
    fn version(&mut self) -> Result<u16, &'static str> {
        let mut version = 1;
        for _ in 0..self.varint()?.max(0) {
            let (key, value) = (self.counted()?, self.counted()?);
            if key == b"version" {
                let text = std::str::from_utf8(value).ok();
                version = text
                    .and_then(|text| text.parse().ok())
                    .ok_or("a record's version is no number")?;
            }
        }
        Ok(version)
    }

    fn counted(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| LENGTH)?;
        self.take(length)
    }
}

/// Three events from offset 5 on, made by an independent program from the protocol's page.
#[cfg(test)]
const SAMPLE: &str = "00000000000000050000004e00000000026636b4fe0000000000020000018bcfe568000000018bcfe56800\
                      ffffffffffffffffffffffffffff000000031a000000046b310a68656c6c6f000c0000020100000e0000040002ff00";

#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    let digits: Vec<u8> = SAMPLE.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_a_batch_are_read() {
        let bytes = Bytes::from(sample());
        assert_eq!(whole_bytes(&bytes), Ok(Some(bytes.len())));
        let event = |offset, key: Option<&'static [u8]>, value: &'static [u8]| EventRecord {
            offset,
            time_ms: 1_700_000_000_000,
            key: key.map(Bytes::from_static),
            value: Bytes::from_static(value),
            version: 1,
        };
        let events: Result<Vec<EventRecord>, _> = RecordBatch::open(&bytes).unwrap().collect();
        let expected = [
            event(5, Some(b"k1"), b"hello"),
            event(6, None, b""),
            event(7, Some(b""), b"\xff"),
        ];
        assert_eq!(events.unwrap(), expected);
    }

    #[test]
    fn a_batch_with_any_bit_changed_is_no_batch_or_says_other_things() {
        let bytes = sample();
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            let changed = Bytes::from(changed);
            // What the checksum does not cover: where the batch begins, how long it is, and the leader's epoch.
            match RecordBatch::open(&changed) {
                Ok(_) => assert!(at / 8 < 16, "bit {at}"),
                Err(_) => assert!(at / 8 < 8 || at / 8 >= 16, "bit {at}"),
            }
        }
        for end in 0..bytes.len() {
            assert!(RecordBatch::open(&Bytes::copy_from_slice(&bytes[..end])).is_err());
        }
        assert_eq!(whole_bytes(&bytes[..11]), Ok(None));
        assert!(whole_bytes(&[0xff; 12]).is_err());
    }

    #[test]
    fn a_heartbeat_is_a_batch_without_events() {
        let bytes = heartbeat();
        assert_eq!(whole_bytes(&bytes), Ok(Some(bytes.len())));
        assert_eq!(RecordBatch::open(&bytes).unwrap().count(), 0);
    }
}
