//! Newtypes for everything that is counted or named by a number, so that two of them can never be confused.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl crate::codec::Codec for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
            fn decode(reader: &mut crate::codec::Reader<'_>) -> Result<Self, crate::codec::Error> {
                Ok($name(crate::codec::Codec::decode(reader)?))
            }
        }
    };
}

number!(/// Position of an entry in the replicated log, from 1.
    Index(u64));
number!(/// A leader's term.
    Term(u64));
number!(/// A node, unique to its incarnation: never used again after the node is removed.
    NodeId(u64));
number!(/// A cluster, drawn at random when it is founded.
    ClusterId(u64));
number!(/// A client's session: the index of the entry that opened it.
    SessionId(u64));
number!(/// Position of a request within its session, from 1.
    Sequence(u64));
number!(/// A change: the index of the entry that planned it.
    ChangeId(u64));
number!(/// A numbered release of an application, from 1.
    Version(u32));
number!(/// A numbered form of a table's documents, from 1.
    Shape(u16));
number!(/// A table of one application, never used again.
    TableId(u32));
number!(/// Dense position of an event in its stream, from 0.
    Offset(u64));
number!(/// Milliseconds since the Unix epoch, as stamped by a leader.
    TimeMs(u64));
number!(/// The numbered set of node features that the cluster as a whole has switched on.
    Level(u16));
number!(/// The numbered meter that a module was instrumented with.
    MeterNumber(u16));

impl Index {
    /// The entry after this one.
    #[must_use]
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }
}

/// SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        use sha2::Digest as _;
        Digest(sha2::Sha256::digest(bytes).into())
    }

    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Digest> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Digest(bytes))
    }

    /// The first eight digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.short())
    }
}

impl crate::codec::Codec for Digest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn decode(reader: &mut crate::codec::Reader<'_>) -> Result<Self, crate::codec::Error> {
        let bytes = reader.take(32)?;
        let mut digest = [0; 32];
        digest.copy_from_slice(bytes);
        Ok(Digest(digest))
    }
}
