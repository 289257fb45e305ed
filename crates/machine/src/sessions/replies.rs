use std::collections::{BTreeMap, VecDeque};

use crate::codec::{Codec, Error, Reader, put_varint};
use crate::{Reply, Sequence};

/// Fewer replies than these keep the memory that more of them needed.
const SPARE: usize = 64;

/// The replies of one session that are remembered, in order of sequence, at most one for each.
///
/// A client asks in order of sequence, or nearly so, and what is forgotten are the lowest: so replies come at one end and
/// go at the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Replies(VecDeque<(Sequence, Reply)>);

impl Replies {
    pub(super) fn get(&self, sequence: Sequence) -> Option<&Reply> {
        let at = self.find(sequence).ok()?;
        self.0.get(at).map(|(_, reply)| reply)
    }

    pub(super) fn insert(&mut self, sequence: Sequence, reply: Reply) {
        match self.find(sequence) {
            Ok(at) => self.0[at].1 = reply,
            Err(at) => self.0.insert(at, (sequence, reply)),
        }
    }

    /// The lowest.
    pub(super) fn first(&self) -> Option<&(Sequence, Reply)> {
        self.0.front()
    }

    /// Forgets the lowest.
    pub(super) fn forget_first(&mut self) {
        self.0.pop_front();
        // A session whose client caught up must not hold for ever what its longest window took.
        let (left, room) = (self.0.len(), self.0.capacity());
        if room > SPARE && left < room / 4 {
            self.0.shrink_to(left * 2);
        }
    }

    /// The place of a sequence, or the place where it belongs.
    fn find(&self, sequence: Sequence) -> Result<usize, usize> {
        match self.0.back() {
            Some((last, _)) if *last >= sequence => self.0.binary_search_by_key(&sequence, |(sequence, _)| *sequence),
            Some(_) | None => Err(self.0.len()),
        }
    }
}

/// The form of a map.
impl Codec for Replies {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.0.len() as u64, out);
        for (sequence, reply) in &self.0 {
            sequence.encode(out);
            reply.encode(out);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let map: BTreeMap<Sequence, Reply> = Codec::decode(reader)?;
        Ok(Replies(map.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{Index, Outcome};

    fn reply(index: u64) -> Reply {
        Reply {
            index: Index(index),
            outcome: Outcome::Applied(Bytes::from_static(b"{}")),
        }
    }

    proptest! {
        /// `None` forgets the lowest, `Some` gives a reply to a sequence.
        #[test]
        fn replies_are_what_a_map_says_and_have_its_bytes(
            steps in proptest::collection::vec(proptest::option::weighted(0.6, 0_u64..200), 0..400),
        ) {
            let (mut replies, mut naive) = (Replies::default(), BTreeMap::new());
            for (at, step) in (0..).zip(steps) {
                match step {
                    Some(sequence) => {
                        replies.insert(Sequence(sequence), reply(at));
                        naive.insert(Sequence(sequence), reply(at));
                        prop_assert_eq!(replies.get(Sequence(sequence)), Some(&reply(at)));
                    }
                    None => {
                        replies.forget_first();
                        naive.pop_first();
                    }
                }
                let first = replies.first().map(|(sequence, reply)| (sequence, reply));
                prop_assert_eq!(first, naive.first_key_value());
            }
            for sequence in (0..201).map(Sequence) {
                prop_assert_eq!(replies.get(sequence), naive.get(&sequence));
            }
            prop_assert_eq!(replies.to_bytes(), naive.to_bytes());
            prop_assert_eq!(Replies::from_bytes(&naive.to_bytes()), Ok(replies));
        }
    }

    #[test]
    fn what_a_long_window_took_is_given_back() {
        let mut replies = Replies::default();
        (0..4096).for_each(|at| replies.insert(Sequence(at), reply(at)));
        let most = replies.0.capacity();
        (0..4090).for_each(|_| replies.forget_first());
        assert!(replies.0.capacity() <= SPARE, "{} of {most}", replies.0.capacity());
    }
}
