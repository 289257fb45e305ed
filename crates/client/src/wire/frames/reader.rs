//! Reads and writes the values in a frame's body.

use bytes::Bytes;

use super::{FrameError, RawFrame};
use crate::wire::limits;

/// Reads a body from its start. Never panics, never allocates for more than the bytes that are there.
pub(super) struct Reader<'a> {
    frame: &'a RawFrame,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(frame: &'a RawFrame) -> Self {
        Reader { frame, at: 0 }
    }

    pub(super) fn invalid(&self, what: &'static str) -> FrameError {
        FrameError::Body {
            kind: self.frame.kind,
            at: self.at,
            what,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        match self.frame.body.get(self.at..).and_then(|rest| rest.get(..count)) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => Err(self.invalid("it ends in the middle of a value")),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, FrameError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.invalid("an integer is longer than 64 bits"))
    }

    pub(super) fn u16(&mut self) -> Result<u16, FrameError> {
        u16::try_from(self.varint()?).map_err(|_| self.invalid("an integer is out of range"))
    }

    pub(super) fn flag(&mut self) -> Result<bool, FrameError> {
        match self.take(1)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid("an option is neither 0 nor 1")),
        }
    }

    fn slice(&mut self) -> Result<&'a [u8], FrameError> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) => self.take(count),
            Err(_) => Err(self.invalid("a length reaches past the end")),
        }
    }

    /// A byte string that shares the frame's memory.
    pub(super) fn bytes(&mut self) -> Result<Bytes, FrameError> {
        let slice = self.slice()?;
        Ok(self.frame.body.slice_ref(slice))
    }

    fn text(&mut self, bytes_max: usize) -> Result<String, FrameError> {
        let slice = self.slice()?;
        if slice.len() > bytes_max {
            return Err(self.invalid("a text is longer than it may be"));
        }
        match std::str::from_utf8(slice) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.invalid("a text is not UTF-8")),
        }
    }

    pub(super) fn name(&mut self) -> Result<String, FrameError> {
        self.text(limits::NAME_BYTES_MAX)
    }

    pub(super) fn detail(&mut self) -> Result<String, FrameError> {
        self.text(limits::DETAIL_BYTES_MAX)
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Option<T>, FrameError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(super) fn end(&self) -> Result<(), FrameError> {
        match self.frame.body.len() - self.at {
            0 => Ok(()),
            _ => Err(self.invalid("bytes are left over")),
        }
    }
}

pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A text for people, cut to what a reader takes.
pub(super) fn put_detail(text: &str, out: &mut Vec<u8>) {
    put_bytes(
        &text.as_bytes()[..text.floor_char_boundary(limits::DETAIL_BYTES_MAX)],
        out,
    );
}

/// A name for people, cut to what a reader takes.
pub(super) fn put_label(text: &str, out: &mut Vec<u8>) {
    put_bytes(
        &text.as_bytes()[..text.floor_char_boundary(limits::NAME_BYTES_MAX)],
        out,
    );
}

pub(super) fn put_option<T>(value: Option<&T>, out: &mut Vec<u8>, put: impl FnOnce(&T, &mut Vec<u8>)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(value, out);
    }
}
