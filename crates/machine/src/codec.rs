//! The binary form of everything this crate puts into the log and into its own rows of the state.
//!
//! Integers are little-endian varints (LEB128), byte strings carry their length in front, lists their count. There is
//! no self-description: what follows is known from the format's number, which the outermost frame carries. Decoding
//! never panics and never allocates more than the bytes that are there could fill.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end in the middle of something.
    #[error("the bytes end after {at}, in the middle of a value")]
    Short {
        /// Position in bytes.
        at: usize,
    },
    /// A value is not one of those that may stand there.
    #[error("at byte {at}: {what}")]
    Invalid {
        /// Position in bytes.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// An enumeration's number that this binary does not know.
    #[error("at byte {at}: {what} has the number {number}, which this binary does not know")]
    Unknown {
        /// Position in bytes.
        at: usize,
        /// Name of the enumeration.
        what: &'static str,
        /// The number found.
        number: u64,
    },
}

/// Reads values one after the other.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Position in bytes.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Error::Short`] when there are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        if count > self.left() {
            return Err(Error::Short { at: self.at });
        }
        let bytes = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(bytes)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Error::Short`] at the end.
    pub fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.bytes.get(self.at).ok_or(Error::Short { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    /// An unsigned varint.
    ///
    /// # Errors
    /// [`Error::Short`], or [`Error::Invalid`] when it does not fit 64 bits.
    pub fn varint(&mut self) -> Result<u64, Error> {
        // Most are lengths, versions and counts of one byte: for those the loop is the larger part of the work.
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            Some(_) | None => self.varint_of_more_bytes(),
        }
    }

    fn varint_of_more_bytes(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        let mut shift = 0;
        while shift < 64 {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
        Err(self.invalid("an integer is longer than 64 bits"))
    }

    /// A count or length, checked against what is left: each item takes at least one byte.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there are not that many bytes.
    pub fn count(&mut self) -> Result<usize, Error> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.left() => Ok(count),
            _ => Err(self.invalid("a length reaches past the end")),
        }
    }

    /// A byte string with its length in front.
    ///
    /// # Errors
    /// As [`Reader::count`].
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let count = self.count()?;
        self.take(count)
    }

    /// A UTF-8 string with its length in front.
    ///
    /// # Errors
    /// As [`Reader::count`], and [`Error::Invalid`] when it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Error> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::Invalid {
            at,
            what: "a text is not UTF-8",
        })
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`Error::Invalid`] when something is.
    pub fn end(&self) -> Result<(), Error> {
        match self.left() {
            0 => Ok(()),
            _ => Err(self.invalid("bytes are left over")),
        }
    }

    /// An [`Error::Invalid`] here.
    #[must_use]
    pub fn invalid(&self, what: &'static str) -> Error {
        Error::Invalid { at: self.at, what }
    }

    /// An [`Error::Unknown`] here.
    #[must_use]
    pub fn unknown(&self, what: &'static str, number: u64) -> Error {
        Error::Unknown {
            at: self.at,
            what,
            number,
        }
    }
}

/// Appends an unsigned varint.
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a byte string with its length in front.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A value with a binary form.
pub trait Codec: Sized {
    /// Appends the value.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads one value.
    ///
    /// # Errors
    /// See [`Error`].
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error>;

    /// The value alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// A value that fills `bytes`.
    ///
    /// # Errors
    /// See [`Error`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.end()?;
        Ok(value)
    }
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl Codec for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                put_varint(u64::from(*self), out);
            }
            fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
                <$type>::try_from(reader.varint()?).map_err(|_| reader.invalid("an integer is out of range"))
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64);

impl Codec for u128 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(reader.take(16)?);
        Ok(u128::from_le_bytes(bytes))
    }
}

impl Codec for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(reader.invalid("a truth value is neither 0 nor 1")),
        }
    }
}

impl Codec for String {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(reader.text()?.to_owned())
    }
}

impl Codec for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(self, out);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Bytes::copy_from_slice(reader.bytes()?))
    }
}

impl<T: Codec> Codec for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(if bool::decode(reader)? {
            Some(T::decode(reader)?)
        } else {
            None
        })
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        self.iter().for_each(|item| item.encode(out));
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let count = reader.count()?;
        (0..count).map(|_| T::decode(reader)).collect()
    }
}

impl<A: Codec, B: Codec> Codec for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok((A::decode(reader)?, B::decode(reader)?))
    }
}

impl<K: Codec + Ord, V: Codec> Codec for BTreeMap<K, V> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        for (key, value) in self {
            key.encode(out);
            value.encode(out);
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let count = reader.count()?;
        (0..count).map(|_| <(K, V)>::decode(reader)).collect()
    }
}

impl<K: Codec + Ord> Codec for BTreeSet<K> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        self.iter().for_each(|key| key.encode(out));
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let count = reader.count()?;
        (0..count).map(|_| K::decode(reader)).collect()
    }
}

/// Gives a struct a [`Codec`]: its fields in the order named. A new field means a new number of the format around it.
#[macro_export]
macro_rules! record {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Codec for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $( $crate::codec::Codec::encode(&self.$field, out); )*
            }
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::Error> {
                $( let $field = $crate::codec::Codec::decode(reader)?; )*
                Ok($name { $($field),* })
            }
        }
    };
}

/// Gives an enum without fields a [`Codec`] by explicit numbers, never used again once given up.
#[macro_export]
macro_rules! numbered {
    ($name:ident { $($variant:ident = $number:literal),* $(,)? }) => {
        impl $crate::codec::Codec for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                let number: u64 = match self { $( $name::$variant => $number, )* };
                $crate::codec::put_varint(number, out);
            }
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::Error> {
                match reader.varint()? {
                    $( $number => Ok($name::$variant), )*
                    number => Err(reader.unknown(stringify!($name), number)),
                }
            }
        }
    };
}
