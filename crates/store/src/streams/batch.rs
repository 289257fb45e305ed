//! Kafka's record batch, format v2, as Seachange writes it: uncompressed, no producer, no transaction, the time of creation.
//! A record has a header only where its value has another version than the first: `version`, in decimal. The encoder is
//! pinned: the same events give the same bytes in every release.
//!
//! Layout (big-endian): <https://kafka.apache.org/documentation/#recordbatch>. The integers within records are
//! varints in zigzag form.

use bytes::Bytes;
use machine::{EVENT_VERSION_FIRST, Event, EventView, Offset, TimeMs};

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes before those that the batch's length counts.
const UNCOUNTED_BYTES: usize = 12;
/// Where the checksum stands; it covers everything behind it.
const CHECKSUM_AT: usize = 17;
/// Where the last event's place, the largest time and the count stand, which are known once all records are written.
const LAST_DELTA_AT: usize = 23;
const TIME_MAX_AT: usize = 35;
const COUNT_AT: usize = 57;
const MAGIC: i8 = 2;
/// Key of the header that says the version of a record's value.
const VERSION_HEADER: &[u8] = b"version";

/// A batch without its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Offset of the first event.
    pub base: Offset,
    /// Offset after the last event.
    pub next: Offset,
    /// Time that the events' times are relative to.
    pub time: TimeMs,
    /// How many events.
    pub count: u32,
    /// Bytes of the whole batch.
    pub bytes: usize,
}

/// Appends one batch, and gives how many events it has. They follow one another from the first one's offset on.
pub fn encode<'e>(time: TimeMs, mut events: impl Iterator<Item = EventView<'e>>, out: &mut Vec<u8>) -> u32 {
    let Some(first) = events.next() else {
        return 0;
    };
    let start = out.len();
    out.extend_from_slice(&(first.offset.0 as i64).to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes()); // length, below
    out.extend_from_slice(&0_i32.to_be_bytes()); // partition leader epoch
    out.extend_from_slice(&MAGIC.to_be_bytes());
    out.extend_from_slice(&0_u32.to_be_bytes()); // checksum, below
    out.extend_from_slice(&0_i16.to_be_bytes()); // attributes
    out.extend_from_slice(&0_i32.to_be_bytes()); // last offset delta, below
    out.extend_from_slice(&(time.0 as i64).to_be_bytes());
    out.extend_from_slice(&0_i64.to_be_bytes()); // largest time, below
    out.extend_from_slice(&(-1_i64).to_be_bytes()); // producer id
    out.extend_from_slice(&(-1_i16).to_be_bytes()); // producer epoch
    out.extend_from_slice(&(-1_i32).to_be_bytes()); // base sequence
    out.extend_from_slice(&0_i32.to_be_bytes()); // count, below
    let (mut count, mut time_max) = (0_u32, first.time);
    for event in std::iter::once(first).chain(events) {
        encode_record(&event, time, i64::from(count), out);
        time_max = time_max.max(event.time);
        count += 1;
    }
    let mut set = |at: usize, bytes: &[u8]| out[start + at..start + at + bytes.len()].copy_from_slice(bytes);
    set(LAST_DELTA_AT, &(count - 1).to_be_bytes());
    set(TIME_MAX_AT, &(time_max.0 as i64).to_be_bytes());
    set(COUNT_AT, &count.to_be_bytes());
    let length = (out.len() - start - UNCOUNTED_BYTES) as i32;
    out[start + 8..start + 12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&out[start + CHECKSUM_AT + 4..]);
    out[start + CHECKSUM_AT..start + CHECKSUM_AT + 4].copy_from_slice(&checksum.to_be_bytes());
    count
}

fn encode_record(event: &EventView<'_>, time: TimeMs, offset_delta: i64, out: &mut Vec<u8>) {
    let time_delta = event.time.0.wrapping_sub(time.0) as i64;
    let key_bytes = event.key.map_or(-1, |key| key.len() as i64);
    let value_bytes = event.value.len() as i64;
    let key_len = event.key.map_or(0, <[u8]>::len);
    let length = 1
        + varint_bytes(time_delta)
        + varint_bytes(offset_delta)
        + varint_bytes(key_bytes)
        + key_len
        + varint_bytes(value_bytes)
        + event.value.len()
        + headers_bytes(event.version);
    put_varint(length as i64, out);
    out.push(0); // attributes
    put_varint(time_delta, out);
    put_varint(offset_delta, out);
    put_varint(key_bytes, out);
    out.extend_from_slice(event.key.unwrap_or_default());
    put_varint(value_bytes, out);
    out.extend_from_slice(event.value);
    put_headers(event.version, out);
}

/// Bytes of a record's headers, their count among them.
#[inline]
fn headers_bytes(version: u16) -> usize {
    match version {
        EVENT_VERSION_FIRST => 1,
        // Both lengths take one byte.
        version => 1 + 1 + VERSION_HEADER.len() + 1 + version.to_string().len(),
    }
}

#[inline]
fn put_headers(version: u16, out: &mut Vec<u8>) {
    if version == EVENT_VERSION_FIRST {
        out.push(0);
        return;
    }
    let version = version.to_string();
    put_varint(1, out);
    put_varint(VERSION_HEADER.len() as i64, out);
    out.extend_from_slice(VERSION_HEADER);
    put_varint(version.len() as i64, out);
    out.extend_from_slice(version.as_bytes());
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_bytes(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn put_varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes of the whole batch that begins `bytes`, as it says itself; none when there are too few to tell.
#[must_use]
pub fn whole_bytes(bytes: &[u8]) -> Option<Result<usize, &'static str>> {
    let length = i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    let whole = usize::try_from(length).ok().map(|length| length + UNCOUNTED_BYTES);
    Some(match whole {
        Some(whole) if (HEADER_BYTES..=crate::limits::STREAM_BATCH_BYTES_MAX).contains(&whole) => Ok(whole),
        Some(_) | None => Err("a batch's length is impossible"),
    })
}

/// Reads the header of a whole batch.
///
/// # Errors
/// What is wrong with it.
pub fn header(bytes: &[u8]) -> Result<Header, &'static str> {
    let mut reader = Reader { bytes };
    let base = u64::try_from(reader.i64()?).map_err(|_| "a batch's offset is negative")?;
    let length = usize::try_from(reader.i32()?).map_err(|_| "a batch's length is negative")?;
    if length + UNCOUNTED_BYTES < HEADER_BYTES {
        return Err("a batch's length is less than its header's");
    }
    reader.take(4)?; // partition leader epoch
    if reader.take(1)? != MAGIC.to_be_bytes() {
        return Err("a batch has a magic number other than 2");
    }
    reader.take(4)?; // checksum
    if reader.take(2)? != [0, 0] {
        return Err("a batch has attributes that are never written");
    }
    let last_delta = u32::try_from(reader.i32()?).map_err(|_| "a batch's last offset is negative")?;
    let time = reader.i64()? as u64;
    reader.take(8 + 8 + 2 + 4)?; // largest time, producer, epoch, sequence
    let count = u32::try_from(reader.i32()?).map_err(|_| "a batch's count is negative")?;
    if count == 0 || count != last_delta + 1 {
        return Err("a batch's count and last offset do not agree");
    }
    let next = base
        .checked_add(u64::from(count))
        .ok_or("a batch's offset is impossible")?;
    Ok(Header {
        base: Offset(base),
        next: Offset(next),
        time: TimeMs(time),
        count,
        bytes: length + UNCOUNTED_BYTES,
    })
}

/// Reads the header of a whole batch whose checksum is right.
///
/// # Errors
/// What is wrong with it.
pub fn check(bytes: &[u8]) -> Result<Header, &'static str> {
    let header = header(bytes)?;
    let Some(whole) = bytes.get(..header.bytes) else {
        return Err("a batch is cut short");
    };
    let mut reader = Reader {
        bytes: &whole[CHECKSUM_AT..],
    };
    if reader.i32()?.to_be_bytes() != crc32c::crc32c(&whole[CHECKSUM_AT + 4..]).to_be_bytes() {
        return Err("a batch's checksum is wrong");
    }
    Ok(header)
}

/// The events of a whole batch that passed [`check`], without copying their bytes.
///
/// # Errors
/// What is wrong with it.
pub fn decode(batch: &Bytes) -> Result<Vec<Event>, &'static str> {
    let header = header(batch)?;
    let records = batch.get(HEADER_BYTES..header.bytes);
    let mut reader = Reader {
        bytes: records.ok_or("a batch is cut short")?,
    };
    let mut events = Vec::new();
    for at in 0..u64::from(header.count) {
        let record = reader.counted()?;
        let mut record = Reader { bytes: record };
        record.take(1)?; // attributes
        let time_delta = record.varint()?;
        if u64::try_from(record.varint()?) != Ok(at) {
            return Err("a record's offset is not its place");
        }
        let key = match record.varint()? {
            -1 => None,
            length => Some(batch.slice_ref(record.take(usize::try_from(length).map_err(|_| LENGTH)?)?)),
        };
        let value = batch.slice_ref(record.counted()?);
        let version = match record.bytes {
            // Nearly all.
            [0] => EVENT_VERSION_FIRST,
            [..] => record.version()?,
        };
        events.push(Event {
            offset: Offset(header.base.0 + at),
            time: TimeMs(header.time.0.wrapping_add(time_delta as u64)),
            key,
            value,
            version,
        });
    }
    match reader.bytes {
        [] => Ok(events),
        [..] => Err("bytes are left over in a batch"),
    }
}

const LENGTH: &str = "a length in a record is impossible";
const VERSION: &str = "the version that a record says is none";

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
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

    /// The version that a record's headers say.
    fn version(&mut self) -> Result<u16, &'static str> {
        match self.varint()? {
            0 => return Ok(EVENT_VERSION_FIRST),
            1 => {}
            _ => return Err("a record has headers that are never written"),
        }
        if self.counted()? != VERSION_HEADER {
            return Err("a record has a header that is never written");
        }
        let text = std::str::from_utf8(self.counted()?).map_err(|_| VERSION)?;
        match text.parse() {
            Ok(version) if version > EVENT_VERSION_FIRST => Ok(version),
            Ok(_) | Err(_) => Err(VERSION),
        }
    }

    fn counted(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| LENGTH)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(offset: u64, key: Option<&'static [u8]>, value: &'static [u8]) -> Event {
        Event {
            offset: Offset(offset),
            time: TimeMs(1_700_000_000_000),
            key: key.map(Bytes::from_static),
            value: Bytes::from_static(value),
            version: 1,
        }
    }

    fn sample() -> (Vec<Event>, Vec<u8>) {
        let events = vec![
            event(5, Some(b"k1"), b"hello"),
            event(6, None, b""),
            event(7, Some(b""), b"\xff"),
        ];
        let mut bytes = Vec::new();
        encode(TimeMs(1_700_000_000_000), events.iter().map(Event::view), &mut bytes);
        (events, bytes)
    }

    #[test]
    fn the_bytes_are_pinned() {
        let (_, bytes) = sample();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // Made by an independent program from the protocol's page.
        let expected = "00000000000000050000004e00000000026636b4fe0000000000020000018bcfe568000000018bcfe56800\
                        ffffffffffffffffffffffffffff000000031a000000046b310a68656c6c6f000c0000020100000e0000040002ff00";
        assert_eq!(hex, expected);
    }

    #[test]
    fn events_are_read_back() {
        let (mut events, _) = sample();
        events[1].version = u16::MAX;
        events[2].version = 2;
        let mut bytes = Vec::new();
        encode(TimeMs(1_700_000_000_000), events.iter().map(Event::view), &mut bytes);
        let bytes = Bytes::from(bytes);
        assert_eq!(whole_bytes(&bytes), Some(Ok(bytes.len())));
        assert_eq!(decode(&bytes), Ok(events));
    }

    #[test]
    fn every_flipped_byte_behind_the_length_is_noticed() {
        let (_, bytes) = sample();
        for at in 16..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            assert!(check(&flipped).is_err(), "byte {at}");
        }
        for cut in 0..bytes.len() {
            assert!(check(&bytes[..cut]).is_err(), "cut to {cut}");
        }
    }

    /// Found by `hostile::batches_are_read`: it was a panic.
    #[test]
    fn a_length_less_than_the_header_is_an_error() {
        let (_, mut bytes) = sample();
        bytes[8..12].fill(0);
        assert!(check(&bytes).is_err());
        assert!(decode(&Bytes::from(bytes)).is_err());
    }

    #[test]
    fn integers_of_every_size_come_back() {
        for value in [
            0,
            1,
            -1,
            63,
            64,
            -64,
            -65,
            8191,
            8192,
            i64::from(i32::MAX),
            i64::MAX,
            i64::MIN,
        ] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out.len(), varint_bytes(value), "{value}");
            assert_eq!(Reader { bytes: &out }.varint(), Ok(value));
        }
    }

    #[test]
    fn a_batch_may_say_that_it_has_so_many_bytes_and_no_more() {
        let says = |whole: usize| {
            let mut bytes = [0; 12];
            bytes[8..].copy_from_slice(&i32::try_from(whole - UNCOUNTED_BYTES).unwrap().to_be_bytes());
            whole_bytes(&bytes).unwrap()
        };
        let most = crate::limits::STREAM_BATCH_BYTES_MAX;
        assert_eq!(says(most), Ok(most));
        assert!(says(most + 1).is_err());
        assert_eq!(says(HEADER_BYTES), Ok(HEADER_BYTES));
        assert!(says(HEADER_BYTES - 1).is_err());
    }
}
