// What can happen to bytes on their way, for property tests of decoders. Each crate takes this file in with `#[path]`:
// a crate of its own would be one more arrow for forty lines.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::Config;

#[derive(Debug, Clone)]
enum Mutation {
    /// One bit is another.
    Flip(Index, u8),
    /// One byte is another.
    Set(Index, u8),
    /// A byte that was not there.
    Insert(Index, u8),
    /// The end is gone.
    Cut(Index),
    /// A piece is gone.
    Remove(Index, usize),
    /// A piece of the same bytes stands somewhere else too.
    Splice(Index, Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<Index>;
    prop_oneof![
        4 => (place(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        // Numbers that length fields and varints are likely to stumble over.
        4 => (place(), prop::sample::select(&[0, 1, 0x7f, 0x80, 0xfe, 0xff][..])).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => place().prop_map(Mutation::Cut),
        1 => (place(), 1..40_usize).prop_map(|(at, bytes)| Mutation::Remove(at, bytes)),
        1 => (place(), place(), 1..40_usize).prop_map(|(from, to, bytes)| Mutation::Splice(from, to, bytes)),
    ]
}

fn apply(mutation: &Mutation, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match mutation {
        Mutation::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
        Mutation::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Mutation::Insert(at, byte) => bytes.insert(at.index(length), *byte),
        Mutation::Cut(at) => bytes.truncate(at.index(length)),
        Mutation::Remove(at, count) => {
            let at = at.index(length);
            bytes.drain(at..length.min(at + count));
        }
        Mutation::Splice(from, to, count) => {
            let from = from.index(length);
            let piece = bytes[from..length.min(from + count)].to_vec();
            let to = to.index(length);
            bytes.splice(to..to, piece);
        }
    }
}

/// One of the valid ones, after one to five things happened to it.
pub fn mutated(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(valid), prop::collection::vec(mutation(), 1..6)).prop_map(|(mut bytes, mutations)| {
        mutations.iter().for_each(|mutation| apply(mutation, &mut bytes));
        bytes
    })
}

/// Bytes of any kind: arbitrary ones, and mutated valid ones far more often, since few arbitrary ones come far.
pub fn hostile(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..300),
        6 => mutated(valid),
    ]
}

/// So many cases as `PROPTEST_CASES` says, or so many where it says nothing; a failure is kept as a named test, by hand,
/// and not in a file.
pub fn cases(otherwise: u32) -> Config {
    /// What proptest itself takes where nothing is said.
    const NOTHING_SAID: u32 = 256;
    let asked = Config::default().cases;
    Config {
        cases: if asked == NOTHING_SAID { otherwise } else { asked },
        failure_persistence: None,
        ..Config::default()
    }
}
